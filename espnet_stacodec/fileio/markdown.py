"""Tables for people."""

from collections.abc import Iterable, Sequence


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table, its last line without a line break; cells are shown by `str`.

    Worked example: headings a, b and one row 1, x give "| a | b |", "|---|---|", "| 1 | x |".
    """
    lines = [headings, *rows]
    cells = ["| " + " | ".join(map(str, line)) + " |" for line in lines]
    return "\n".join([cells[0], "|" + "---|" * len(headings), *cells[1:]])
