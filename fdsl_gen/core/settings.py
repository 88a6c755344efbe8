"""Strict reading of settings: dict -> frozen dataclass and back to canonical JSON.

A settings class is a frozen keyword-only dataclass whose fields are made with :func:`setting`,
which keeps the meaning, the unit and the bounds beside the type and the default. The same facts
serve the YAML reader, the command line options and their help.
"""

import dataclasses
import difflib
import functools
import json
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.json_text import read_bounded

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """What a number may be: ``low <= x <= high``, or ``low < x`` where ``above`` is set."""

    low: float | None = None
    high: float | None = None
    above: bool = False

    def complaint(self, value: float) -> str | None:
        """Why ``value`` is out of bounds, or None."""
        if self.low is not None and self.above and value <= self.low:
            return f"must be greater than {self.low:g}"
        if self.low is not None and value < self.low:
            return f"must be at least {self.low:g}"
        if self.high is not None and value > self.high:
            return f"must be at most {self.high:g}"
        return None


def setting(
    default: Any = dataclasses.MISSING,
    *,
    doc: str,
    low: float | None = None,
    high: float | None = None,
    above: bool = False,
    identity: bool = True,
    stored: bool = True,
    derived: str | None = None,
) -> Any:
    """A dataclass field with its meaning and unit, and the bounds of its value.

    Args:
        default: left out of canonical JSON when the value equals it; without one, the field is
            required.
        doc: one line, with the unit.
        low: least value allowed; with ``above``, the value must be greater than it.
        high: greatest value allowed.
        above: whether ``low`` itself is refused.
        identity: whether pixels depend on it; not so for the path of an input file, whose digest
            is a field of its own.
        stored: whether it is written down with a dataset; not so for the path of a file of which
            the dataset keeps a copy.
        derived: name of the property that gives the value where none was given (None). It is worked
            out when asked for and never written back, so that ``dataclasses.replace`` of another
            field gives what a new instance would.
    """
    bounds = Bounds(low=low, high=high, above=above)
    facts = {"doc": doc, "bounds": bounds, "identity": identity, "stored": stored}
    facts["derived"] = derived
    return dataclasses.field(default=default, metadata=facts)


def nearest(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the closest known word, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


def _fail(path: str, text: str) -> typing.NoReturn:
    raise UsageError(f"{path}: {text}" if len(text) <= _LONG else f"{path}: {text[:_LONG]} ...")


_LONG = 400  # of a message, which may quote what was read
_NAMES = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}


def _number(value: Any, wanted: type, path: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        _fail(path, f"must be {_NAMES[wanted]}, not {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        _fail(path, f"must be finite, not {value!r}")
    if wanted is float:
        try:
            return float(value)
        except OverflowError:
            _fail(path, "is too large for a number")
    if isinstance(value, float) and value != int(value):
        _fail(path, f"must be an integer, not {value!r}")
    return int(value)


@functools.lru_cache(maxsize=256)
def _parts_of(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """``tuple`` and (int, ...) of tuple[int, ...]."""
    return typing.get_origin(annotation), typing.get_args(annotation)


@functools.lru_cache(maxsize=64)
def _annotations_of(cls: type) -> Mapping[str, Any]:
    """The types of the fields of a settings class."""
    return typing.get_type_hints(cls)


def convert(value: Any, annotation: Any, path: str, bounds: Bounds | None = None) -> Any:
    """``value`` as the annotated type, or a UsageError that names ``path``.

    Knows int, float, bool, str, Literal, X | None, tuple[X, ...] and settings classes.
    """
    if annotation is str and isinstance(value, str):  # most of what large manifests hold
        return value
    origin, choices = _parts_of(annotation)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in choices:
            return None
        (inner,) = (choice for choice in choices if choice is not type(None))
        return convert(value, inner, path, bounds)
    if origin is Literal:
        if value not in choices or isinstance(value, bool) != isinstance(choices[0], bool):
            shown = ", ".join(str(choice) for choice in choices)
            _fail(path, f"must be one of {shown}, not {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            _fail(path, f"must be a list, not {value!r}")
        return tuple(
            convert(item, choices[0], f"{path}[{i}]", bounds) for i, item in enumerate(value)
        )
    if dataclasses.is_dataclass(annotation):
        return from_dict(typing.cast(type, annotation), value, path)
    if annotation in (int, float):
        number = _number(value, annotation, path)
        complaint = bounds.complaint(number) if bounds else None
        if complaint:
            _fail(path, f"{complaint}, not {value!r}")
        return number
    if not isinstance(value, annotation):
        _fail(path, f"must be {_NAMES[annotation]}, not {value!r}")
    return value


def check_keys(data: Any, known: Iterable[str], path: str) -> None:
    """Refuse anything but a mapping with known keys."""
    if not isinstance(data, Mapping):
        _fail(path, f"must be a mapping of settings, not {data!r}")
    names = list(known)
    for key in data:
        if key not in names:
            _fail(f"{path}.{key}", f"unknown key{nearest(str(key), names)}")


def from_dict(cls: type[T], data: Any, path: str, **ready: Any) -> T:
    """An instance of the settings class ``cls`` from ``data``.

    Rules between fields belong into ``__post_init__``, as a UsageError that begins with the name
    of a field.

    Args:
        cls: a dataclass with fields made by :func:`setting`.
        data: what was read, a mapping.
        path: where it stands, for messages.
        ready: fields that are not read but given.

    Raises:
        UsageError: for an unknown or missing key, a wrong type or a value out of bounds; names the
            YAML path.
    """
    fields = [f for f in dataclasses.fields(cls) if f.name not in ready]  # type: ignore[arg-type]
    check_keys(data, [f.name for f in fields], path)
    annotations = _annotations_of(typing.cast(type, cls))
    values = {}
    for field in fields:
        if field.name in data:
            bounds = field.metadata.get("bounds")
            where = f"{path}.{field.name}"
            values[field.name] = convert(data[field.name], annotations[field.name], where, bounds)
        elif field.default is dataclasses.MISSING:
            _fail(f"{path}.{field.name}", "is missing")
    try:
        return cls(**values, **ready)
    except UsageError as error:
        raise UsageError(f"{path}.{error}") from None


def check_ranges(settings: Any, names: Iterable[str]) -> None:
    """Refuse a field ``<name>_min`` that is above ``<name>_max``.

    Raises:
        UsageError: names the field.
    """
    for name in names:
        low, high = getattr(settings, f"{name}_min"), getattr(settings, f"{name}_max")
        if low > high:
            raise UsageError(f"{name}_min: must be at most {name}_max ({high:g}), not {low:g}")


def value_of(settings: Any, field: "dataclasses.Field[Any]") -> Any:
    """The value of a field, worked out if it is derived and was not given."""
    value = getattr(settings, field.name)
    derived = field.metadata.get("derived")
    return getattr(settings, derived) if value is None and derived else value


def pinned(settings: T) -> T:
    """A copy in which derived values are given: what they are made from may not change any more."""
    fields = dataclasses.fields(settings)  # type: ignore[arg-type]
    derived = [field for field in fields if field.metadata.get("derived")]
    values = {field.name: value_of(settings, field) for field in derived}
    return dataclasses.replace(settings, **values)  # type: ignore[type-var]


def to_dict(settings: Any, *, defaults: bool, identity: bool = False) -> dict[str, Any]:
    """The fields of a settings instance, derived values among them.

    Args:
        settings: instance of a settings class.
        defaults: whether to keep fields at their default, and those that are not stored.
        identity: whether to keep only fields that pixels depend on.
    """
    kept = {}
    for field in dataclasses.fields(settings):
        value = value_of(settings, field)
        if not defaults and (value == field.default or not field.metadata.get("stored", True)):
            continue
        if identity and not field.metadata.get("identity", True):
            continue
        kept[field.name] = _plain(value, defaults)
    return kept


def _plain(value: Any, defaults: bool) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value, defaults=defaults)
    if isinstance(value, tuple):
        return [_plain(item, defaults) for item in value]
    return value


def canonical_json(data: Any) -> str:
    """JSON with sorted keys and no spaces; refuses NaN and infinity."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(data: Any) -> str:
    """sha256 of the canonical JSON, 64 hexadecimal digits."""
    return sha256(canonical_json(data).encode()).hexdigest()


_MOST_BYTES = 1 << 22  # of a YAML file


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, with three amendments.

    A repeated key is an error, so is a reference to another place (a few of which, nested, stand
    for gigabytes), and 1e-3 is a number.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("references (*name) are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key '{key}' stands twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_FLOATS = r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(_FLOATS), list("-+0123456789.")
)


def parse_yaml(text: str) -> Any:
    """The value of a YAML text; UsageError with the line if it is not YAML."""
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UsageError(f"{line}{error.problem}") from None
    except yaml.YAMLError as error:
        raise UsageError(" ".join(str(error).split())) from None
    except RecursionError:
        raise UsageError("it is nested too deeply") from None
    except (ValueError, TypeError) as error:  # a number or a date that cannot be; a list for a key
        raise UsageError(str(error)) from None


def load_yaml(path: Path) -> Any:
    """The content of a YAML file; UsageError with file and line if it is not YAML."""
    try:
        text = read_bounded(path, _MOST_BYTES).decode()
    except FileNotFoundError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"cannot read {path}: it is not UTF-8 text") from None
    try:
        return parse_yaml(text)
    except UsageError as error:
        raise UsageError(f"{path}, {error}") from None
