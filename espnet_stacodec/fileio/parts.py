"""Work on many items that goes on where it was stopped.

The items are cut into parts. The results of a part are kept in a file beside the final one,
`.<name>.<N>.<key>.<ending>`, which appears when the part is whole. The key stands for the items of
the part, what their results depend on, and what computes them: after a change the file has another
name, and only what changed is computed again.
"""

import dataclasses
import itertools
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from espnet_stacodec.fileio.files import content_key

PART_ITEMS = 100  # what a kill can cost; a slow SSL model takes a second for each


@dataclasses.dataclass(frozen=True)
class Part:
    """Items whose results are kept together.

    Attributes:
        number: From 1.
        ids: The items.
        path: The file of the results; the part is whole if it exists.
    """

    number: int
    ids: tuple[str, ...]
    path: Path

    @property
    def is_whole(self) -> bool:
        """Whether the results are there."""
        return self.path.exists()


def cut[Item](items: Mapping[str, Item], size: int | None = None) -> list[dict[str, Item]]:
    """Cut items into parts of `size` (`PART_ITEMS` if None), in their order."""
    return [dict(part) for part in itertools.batched(items.items(), size or PART_ITEMS)]


class Parts(Sequence[Part]):
    """The parts of one final file.

    Only one command may work on them at a time: see `exclusive`.

    Args:
        final: The file whose content comes from all parts together.
        items: For each part, by id: what the result of the item depends on, as JSON can say it.
        made_with: Identifies what computes the results, as JSON can say it.
        ending: Of the files of the parts, without a point: their format.
    """

    def __init__(
        self, final: Path, items: Sequence[Mapping[str, Any]], made_with: Any, ending: str
    ) -> None:
        self._final = final
        self._ending = ending
        self._parts = [
            self._part(number, part, made_with) for number, part in enumerate(items, start=1)
        ]

    def _part(self, number: int, items: Mapping[str, Any], made_with: Any) -> Part:
        # As a list: the order counts, too.
        key = content_key([made_with, list(items.items())])
        name = f".{self._final.stem}.{number}.{key}.{self._ending}"
        return Part(number, tuple(items), self._final.with_name(name))

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, index: Any) -> Any:
        return self._parts[index]

    def missing(self) -> list[Part]:
        """Return the parts that are to be computed."""
        return [part for part in self._parts if not part.is_whole]

    def begin(self) -> list[Part]:
        """Remove the files of other parts, and return the parts that are missing.

        Before anything is computed: files that have the same name for all keys, e.g. audio, may
        be written over then, and a part of other items or another codec must not vouch for them.
        The final file goes as well if a part is missing: where it is, all is whole.
        """
        kept = {part.path.name for part in self._parts}
        stem, ending = re.escape(self._final.stem), re.escape(self._ending)
        name = re.compile(rf"\.{stem}\.\d+\.[0-9a-f]+\.{ending}")
        for path in self._final.parent.glob(".*"):
            if path.name not in kept and name.fullmatch(path.name):
                path.unlink()
        missing = self.missing()
        if not missing:
            logging.info("%s: complete, nothing to do", self._final)
            return []
        self._final.unlink(missing_ok=True)
        counts = [sum(len(part.ids) for part in parts) for parts in (missing, self._parts)]
        logging.info("%s: %d of %d utterances to do", self._final, *counts)
        return missing

    def complete[Result](
        self,
        compute: Callable[[Sequence[str]], Iterable[Result]],
        save: Callable[[Part, list[Result]], object],
    ) -> None:
        """Compute and save what is missing; one part is saved while the next is computed.

        Args:
            compute: Yields the results of the items that it is given, in their order.
            save: Writes `part.path`, whole or not at all, from the results of the part's items.
        """
        missing = self.begin()
        if not missing:
            return
        wanted = [item for part in missing for item in part.ids]
        results = _in_parts(compute(wanted), [len(part.ids) for part in missing])
        for part, batch in zip(missing, results, strict=True):
            save(part, batch)


def _in_parts[Result](results: Iterable[Result], sizes: Iterable[int]) -> Iterator[list[Result]]:
    """Cut results into lists of the given sizes, and run their iterator to its end."""
    remaining = iter(results)
    for size in sizes:
        yield list(itertools.islice(remaining, size))
    # Progress bars and processes end with the iterator.
    next(remaining, None)
