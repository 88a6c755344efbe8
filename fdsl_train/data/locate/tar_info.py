"""What stands beside the tars of others: splits, sizes and names of classes.

``_info.json`` is timm's, ``classnames.txt`` that of CLIP benchmarks, ``dataset_info.json`` and the
``dataset_info`` in the head of a ``README.md`` are those of Hugging Face ``datasets``.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.json_text import parse_json

MAX_BYTES = 1 << 24
INFO = "_info.json"
_NAMES, _DATASET_INFO, _CARD = "classnames.txt", "dataset_info.json", "README.md"
_NAME_KEYS = ("class_names", "classnames", "label_names", "classes")
_LABELS = ("label", "labels", "cls", "fine_label")  # features that are the label if several may be

#: The content of a file beside the tars; None if there is none.
ReadSmall = Callable[[str], bytes | None]


@dataclass(frozen=True)
class TarInfo:
    """What a set says of itself.

    Attributes:
        splits: names of the tars of each split; empty where it does not say.
        lengths: samples of a tar, by its name.
        label_keys: key of the ``.json`` that holds the label, of the splits that have one.
        class_names: by label, if they are known.
        where: file that names the classes.
    """

    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lengths: Mapping[str, int] = field(default_factory=dict)
    label_keys: Mapping[str, str] = field(default_factory=dict)
    class_names: tuple[str, ...] | None = None
    where: str = ""


def read_info(read: ReadSmall, place: str) -> TarInfo:
    """What the files beside the tars of ``place`` say.

    Raises:
        UsageError: if one of them cannot be read, or contradicts itself.
    """
    content = read(INFO)
    splits: dict[str, tuple[str, ...]] = {}
    lengths: dict[str, int] = {}
    keys: dict[str, str] = {}
    names, where = None, ""
    if content is not None:
        where = f"{place}/{INFO}"
        facts = parse_json(content, where, MAX_BYTES)
        if not isinstance(facts, dict):
            raise UsageError(f"{where}: must be a mapping")
        for name, split in _mapping(facts.get("splits", {}), f"{where}: splits").items():
            splits[name], own = _split(split, f"{where}: splits.{name}")
            lengths |= own
            if split.get("alt_label"):
                keys[name] = str(split["alt_label"])
        names = _names_in(facts, where)
    for other, find in ((_NAMES, _lines), (_DATASET_INFO, _json_names), (_CARD, _card_names)):
        if names is None and (content := read(other)) is not None:
            where = f"{place}/{other}"
            names = find(content, where)
    return TarInfo(splits, lengths, keys, names, where if names is not None else "")


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{where}: must be a mapping")
    return value


def _split(split: Any, where: str) -> tuple[tuple[str, ...], dict[str, int]]:
    """Names of the tars of a split, and how many samples each has."""
    split = _mapping(split, where)
    files, sizes = split.get("filenames"), split.get("shard_lengths")
    if not isinstance(files, list) or not files or not all(isinstance(f, str) for f in files):
        raise UsageError(f"{where}.filenames: must be names of tars")
    for file in files:
        if file.startswith("/") or ".." in file.split("/") or not file.endswith(".tar"):
            raise UsageError(f"{where}.filenames: {file[:80]!r} is not the name of a tar beside it")
    if len(set(files)) < len(files):
        raise UsageError(f"{where}.filenames: a tar stands there twice")
    whole = isinstance(sizes, list) and all(type(n) is int and n >= 0 for n in sizes)
    if not whole or len(sizes) != len(files):
        raise UsageError(f"{where}.shard_lengths: must be {len(files)} numbers, one for each tar")
    total = split.get("num_samples", sum(sizes))
    if total != sum(sizes):
        raise UsageError(f"{where}.num_samples: is {total}, but shard_lengths sum to {sum(sizes)}")
    return tuple(files), dict(zip(files, sizes, strict=True))


def _lines(content: bytes, where: str) -> tuple[str, ...] | None:
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"{where}: is no text in UTF-8") from None
    while lines and not lines[-1].strip():
        lines.pop()
    return _checked([line.strip() for line in lines], where) if lines else None


def _json_names(content: bytes, where: str) -> tuple[str, ...] | None:
    return _names_in(parse_json(content, where, MAX_BYTES), where)


def _card_names(content: bytes, where: str) -> tuple[str, ...] | None:
    """The classes that the YAML head of a card names; a card that cannot be read says nothing."""
    text = content.decode("utf-8", "replace")
    head = text.split("\n---", 1)[0].removeprefix("---") if text.startswith("---") else ""
    if "dataset_info" not in head:
        return None
    try:
        facts = settings.parse_yaml(head)
    except UsageError:
        return None
    return _names_in(facts.get("dataset_info"), where) if isinstance(facts, dict) else None


def _names_in(facts: Any, where: str) -> tuple[str, ...] | None:
    """The classes that a description of a set names."""
    if isinstance(facts, list):  # a set of several configurations, which may have other classes
        facts = facts[0] if len(facts) == 1 else None
    if not isinstance(facts, dict):
        return None
    for key in _NAME_KEYS:
        if isinstance(facts.get(key), list | dict):
            return _by_label(facts[key], f"{where}: {key}")
    features = facts.get("features")
    if isinstance(features, list):
        features = {f["name"]: f for f in features if isinstance(f, dict) and "name" in f}
    if not isinstance(features, dict):
        return None
    named = {name: names for name, one in features.items() if (names := _feature(one)) is not None}
    if len(named) > 1:
        named = {name: named[name] for name in _LABELS if name in named}
    for name, names in named.items():
        return _by_label(names, f"{where}: the names of {name}")
    return None


def _feature(feature: Any) -> Any:
    """The names of a feature that is a class: ``datasets`` writes it in two ways."""
    if isinstance(feature, dict) and isinstance(feature.get("dtype"), dict):
        feature = feature["dtype"].get("class_label")
    names = feature.get("names") if isinstance(feature, dict) else None
    return names if isinstance(names, list | dict) else None


def _by_label(names: Any, where: str) -> tuple[str, ...]:
    """Names in the order of their labels, from a list or from a mapping of numbers."""
    if isinstance(names, dict):
        numbers = {str(key): name for key, name in names.items()}
        if set(numbers) != {str(i) for i in range(len(numbers))}:
            raise UsageError(f"{where}: must be names of the classes 0 to {len(numbers) - 1}")
        names = [numbers[str(i)] for i in range(len(numbers))]
    return _checked(names, where)


def _checked(names: Iterable[Any], where: str) -> tuple[str, ...]:
    found = tuple(names)
    if not found or not all(isinstance(name, str) and name for name in found):
        raise UsageError(f"{where}: must be the names of the classes")
    return found
