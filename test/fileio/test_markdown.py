"""Tables for people."""

from espnet_stacodec.fileio.markdown import markdown_table


def test_a_table_by_hand():
    table = markdown_table(["a", "b"], [["x", 1], ("y", 2.5)])
    assert table == "| a | b |\n|---|---|\n| x | 1 |\n| y | 2.5 |"


def test_a_table_without_rows():
    assert markdown_table(["a"], []) == "| a |\n|---|"
