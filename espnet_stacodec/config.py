"""Reading YAML configurations, and refusing keys that nothing reads."""

import dataclasses
import inspect
import math
import operator
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, SupportsIndex

import yaml
from typeguard import TypeCheckError, check_type

from espnet_stacodec.errors import ConfigError


def load_yaml(path: Path | str, where: str | None = None) -> dict[str, Any]:
    """Read a YAML mapping; errors call it `where`, its path if None.

    Raises:
        ConfigError: If the file is missing, is not YAML, or holds anything but a mapping.
    """
    where = where or str(path)
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{where}: the configuration cannot be read ({reason}).") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{where}: expected `key: value` lines, found {type(content).__name__}.")
    return content


def check_keys(given: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Raise ConfigError, listing the known keys, if `given` has a key that is not one of them."""
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ConfigError(
            f"{where}: unknown key{'s' if len(unknown) > 1 else ''} {', '.join(unknown)};"
            f" known are {', '.join(sorted(known))}."
        )


def construct[T](factory: Callable[..., T], conf: Mapping[str, Any], where: str) -> T:
    """Call `factory(**conf)` after checking keys and values against its signature.

    Raises:
        ConfigError: As `check_arguments` does.
    """
    check_arguments(factory, conf, where)
    return factory(**conf)


def check_arguments(factory: Callable[..., object], conf: Mapping[str, Any], where: str) -> None:
    """Check keys and values against the signature of what is called with them.

    Values of dataclasses are left to these, which say more.

    Raises:
        ConfigError: If `conf` has a key that `factory` does not take, lacks one it needs, or has a
            value of another type.
    """
    parameters = inspect.signature(factory).parameters
    check_keys(conf, list(parameters), where)
    missing = [name for name, p in parameters.items() if p.default is p.empty and name not in conf]
    if missing:
        raise ConfigError(f"{where}: {', '.join(missing)} must be given.")
    if not dataclasses.is_dataclass(factory):
        for name, value in conf.items():
            _check_type(value, parameters[name].annotation, f"{where}: {name}")


def _check_type(value: object, kind: Any, name: str) -> None:
    """Raise ConfigError for a value that is not of an annotated type; true is no number."""
    if kind is inspect.Parameter.empty:
        return
    # YAML knows no tuples.
    forms = (value, tuple(value)) if isinstance(value, list) else (value,)
    if (isinstance(value, bool) and kind in (int, float)) or not any(
        _is_of(form, kind) for form in forms
    ):
        wanted = inspect.formatannotation(kind)
        raise ConfigError(f"{name} {value!r} is of type {type(value).__name__}; give {wanted}.")


def _is_of(value: object, kind: Any) -> bool:
    try:
        check_type(value, kind)
    except TypeCheckError:
        return False
    return True


def check_types(given: object, where: str) -> None:
    """Raise ConfigError if a value of a dataclass's instance is not of its attribute's type."""
    assert dataclasses.is_dataclass(given)
    for field in dataclasses.fields(given):
        _check_type(getattr(given, field.name), field.type, f"{where}: {field.name}")


def check_range(
    where: str, lowest: float, highest: float = math.inf, /, **values: float | None
) -> None:
    """Raise ConfigError for a number, by its key, that is not finite or outside lowest..highest.

    None passes: a key that may be `null` is not limited then.
    """
    for name, value in values.items():
        if value is None or (math.isfinite(value) and lowest <= value <= highest):
            continue
        wrong = f"is outside {lowest:.10g}..{highest:.10g}"
        if not math.isfinite(value):
            wrong = "is no finite number"
        elif math.isinf(highest):
            wrong = f"is below {lowest:g}"
        raise ConfigError(f"{where}: {name} {value} {wrong}.")


def check_positive(where: str, /, **values: float) -> None:
    """Raise ConfigError for a number, by its key, that is not finite or not above 0."""
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{where}: {name} {value} is not above 0.")


def choose[T](choices: Mapping[str, T], name: str, where: str) -> T:
    """Return the choice of that name.

    Raises:
        ConfigError: If there is none, listing those there are.
    """
    if name not in choices:
        raise ConfigError(f"{where} '{name}' is unknown; known are {', '.join(choices)}.")
    return choices[name]


def whole_number(
    name: str, given: SupportsIndex | None, default: int, highest: int | None = None
) -> int:
    """Return a number of 1 or more, `default` where it is None.

    Raises:
        ConfigError: If it is a truth value, below 1, or above `highest`.
    """
    if given is None:
        return default
    number = operator.index(given)
    if isinstance(given, bool) or number < 1 or number > (number if highest is None else highest):
        limits = "1 or more" if highest is None else f"in 1..{highest}"
        raise ConfigError(f"{name} {given} is invalid; it must be {limits}.")
    return number
