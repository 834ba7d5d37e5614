"""YAML configurations, and keys that nothing reads."""

from collections.abc import Sequence

import pytest

from espnet_stacodec.config import (
    check_keys,
    check_positive,
    check_range,
    construct,
    load_yaml,
)
from espnet_stacodec.errors import ConfigError


def test_a_mapping_is_read(tmp_path):
    (tmp_path / "a.yaml").write_text("k: 1\nname: [é]\n", encoding="utf-8")
    assert load_yaml(tmp_path / "a.yaml") == {"k": 1, "name": ["é"]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read .*No such file"),
        (b"k: [1\n", "cannot be read .*while parsing"),
        (b"k: \xff\n", "cannot be read .*utf-8"),
        (b"- 1\n", "`key: value` lines, found list"),
        (b"", "found NoneType"),
        (b"k: !!python/object:os.system {}\n", "cannot be read"),
    ],
)
def test_anything_else_is_one_sentence_with_the_file(tmp_path, content, reason):
    path = tmp_path / "a.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"a.yaml: .*{reason}") as caught:
        load_yaml(path)
    assert "\n" not in str(caught.value)


def test_unknown_keys_are_named_beside_the_known():
    check_keys({"a": 1}, ("a", "b"), "here")
    with pytest.raises(ConfigError, match="^here: unknown key c; known are a, b.$"):
        check_keys({"a": 1, "c": 2}, ("b", "a"), "here")
    with pytest.raises(ConfigError, match="^here: unknown keys c, d; known"):
        check_keys({"d": 1, "c": 2}, ("a",), "here")


def test_construct_checks_keys_against_the_signature():
    def make(first: int, second: int = 2) -> tuple[int, int]:
        return first, second

    assert construct(make, {"first": 1}, "here") == (1, 2)
    with pytest.raises(ConfigError, match="^here: unknown key frist; known are first, second.$"):
        construct(make, {"frist": 1}, "here")
    with pytest.raises(ConfigError, match="^here: first must be given.$"):
        construct(make, {"second": 1}, "here")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("3", "x: size '3' is of type str; give int"),
        (None, "x: size None is of type NoneType; give int"),
        (1.5, "x: size 1.5 is of type float; give int"),
        (True, "x: size True is of type bool; give int"),
    ],
)
def test_a_value_of_another_type_is_refused(value, message):
    def factory(
        size: int,
        share: float = 0.5,
        names: Sequence[str] | None = None,
        ends: tuple[int, int] = (0, 1),
    ) -> int:
        return size

    assert construct(factory, {"size": 3, "share": 1, "names": ["a"]}, "x") == 3
    assert construct(factory, {"size": 3, "names": None, "ends": [1, 2]}, "x") == 3
    with pytest.raises(ConfigError, match=r"ends \[1\] is of type list; give tuple\[int, int\]"):
        construct(factory, {"size": 3, "ends": [1]}, "x")
    with pytest.raises(ConfigError, match=message):
        construct(factory, {"size": value}, "x")
    with pytest.raises(
        ConfigError, match=r"names 3 is of type int; give .*Sequence\[str\] \| None"
    ):
        construct(factory, {"size": 3, "names": 3}, "x")


def test_numbers_outside_their_range():
    check_range("here", 0, 1, a=0, b=1, c=None)
    check_range("here", 2, a=2, b=1e9)
    check_positive("here", a=1e-9)
    for lowest, highest, value, message in (
        (0, 1, 1.5, r"here: a 1\.5 is outside 0\.\.1\."),
        (1, float("inf"), 0, r"here: a 0 is below 1\."),
        (0, float("inf"), float("inf"), r"here: a inf is no finite number\."),
        (0, 1, float("nan"), r"here: a nan is no finite number\."),
    ):
        with pytest.raises(ConfigError, match=message):
            check_range("here", lowest, highest, a=value)
    for value in (0.0, -1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="here: a .* is not above 0"):
            check_positive("here", a=value)
