"""What stands in a tar of others: samples by byte offset, with their labels.

Members belong to one sample if their names are equal up to the first dot of the file's name, as
WebDataset has it; they need not be neighbors. The headers are read once: what they said is kept in
the user's cache, by the name, the size and the time of the tar.
"""

import contextlib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.image_files import MAX_BYTES, open_regular
from fdsl_gen.core.json_text import parse_json, read_bounded
from fdsl_gen.core.user_dirs import cache_folder
from fdsl_gen.storage import local
from fdsl_train.data.locate.tar_headers import DamagedTar, TarBytes, members, shown

#: One row a sample: where its image is, in bytes, and its label.
ROW = np.dtype([("offset", "<i8"), ("size", "<i8"), ("label", "<i4")])
IMAGES = ("jpg", "jpeg", "png", "webp", "ppm")

_FORMAT = 1  # of what is kept; another one is not read
_META = re.compile(r"__[^/]*__($|/)")  # what the webdataset library passes over, too
_ARCHIVE = re.compile(r"(.*\.)?(tar|tgz|tar\.\w+)")
_MOST_TEXT = 64  # bytes of a .cls
_MOST_JSON = 1 << 20
_MOST_LABEL = 2**31 - 1
_MOST_NAME = 1000  # characters of a label that is a text
_FAULTS_TOLD = 5


class TarFile(NamedTuple):
    """A tar of a set: its name there, its bytes, and what changes when its content does."""

    name: str
    size: int
    version: str


@dataclass
class TarIndex:
    """The samples of a tar.

    Attributes:
        rows: of those that can be used (``ROW``), in the order of the tar.
        names: where labels are texts: those that occur, and ``label`` counts them.
        faults: the first things that are wrong with it, as parts of sentences.
        num_faults: how many there are.
    """

    rows: NDArray[np.void]
    names: tuple[str, ...] = ()
    faults: list[str] = field(default_factory=list)
    num_faults: int = 0

    @property
    def digest(self) -> str:
        """Equal for tars whose samples stand at the same places and are labeled alike."""
        hashed = hashlib.sha256(json.dumps(self.names).encode())
        hashed.update(self.rows.tobytes())
        return hashed.hexdigest()


class _Fault(Exception):
    """Why a sample cannot be used."""


@dataclass
class _Found:
    """A sample while its members are met."""

    image: tuple[int, int] | None = None
    label: int | str | None = None
    endings: set[str] = field(default_factory=set)
    fault: str = ""


def kept_index(tar: TarFile, place: str, label_key: str | None) -> TarIndex | None:
    """The index of a tar that is kept in the user's cache, if it is; see :func:`read_index`."""
    kept = _kept_at(tar, place, label_key)
    return None if kept is None else _load(kept)


def read_index(
    tar: TarFile, place: str, label_key: str | None, locate: Callable[[], Path]
) -> TarIndex:
    """The index of a tar, from the user's cache or from the tar.

    Args:
        tar: what its set says of it.
        place: of the set.
        label_key: key of ``.json`` members that holds the label; None: ``.cls`` members do.
        locate: gives its file, if it is wanted.

    Raises:
        UsageError: if it is no regular file, or holds links, devices or names of paths.
    """
    found = kept_index(tar, place, label_key)
    if found is None:
        found = scan(locate(), tar.name, label_key)
        kept = _kept_at(tar, place, label_key)
        if kept is not None:
            with contextlib.suppress(OSError):  # a full disk costs the time of the next run only
                local.write(kept, _dump(found))
    return found


def scan(path: Path, name: str, label_key: str | None) -> TarIndex:
    """The index of a tar file, from its headers and labels; see :func:`read_index`."""
    samples: dict[str, _Found] = {}
    faults: list[str] = []
    try:
        opened = open_regular(path)
    except ValueError as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    with opened as file:
        tar = TarBytes(file.fileno(), name)
        try:
            for member in members(tar):
                key, ending = split_name(member.name)
                if not key:
                    continue
                if ending not in _WANTED:
                    if _ARCHIVE.fullmatch(ending):
                        faults.append(f"{shown(member.name)} is an archive in the archive")
                    continue
                sample = samples.setdefault(key, _Found())
                try:
                    _take(sample, ending, member.offset, member.size, tar, label_key)
                except _Fault as fault:
                    sample.fault = sample.fault or str(fault)
        except DamagedTar as error:
            faults.append(f"it {error}")
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from None
    return _index_of(samples, faults, label_key)


_WANTED = frozenset((*IMAGES, "cls", "json"))


def split_name(name: str) -> tuple[str, str]:
    """Key and ending, in small letters, of a member; empty for one that belongs to no sample."""
    begin = name.rfind("/") + 1
    dot = name.find(".", begin)
    if dot <= begin or (name[0] == "_" and _META.match(name)):
        return "", ""
    return name[:dot], name[dot + 1 :].lower()


def _take(
    sample: _Found, ending: str, offset: int, size: int, tar: TarBytes, label_key: str | None
) -> None:
    """Take a member into its sample."""
    if ending in sample.endings:
        raise _Fault(f"has .{ending} twice")
    sample.endings.add(ending)
    if ending in IMAGES:
        if sample.image is not None:
            raise _Fault("has two images")
        if not 0 < size <= MAX_BYTES:
            large = f"has an image of more than {MAX_BYTES:,} bytes"
            raise _Fault(large if size else "has an empty image")
        sample.image = offset, size
    elif ending == "cls" and label_key is None:
        if size > _MOST_TEXT:
            raise _Fault("has a .cls that is no number")
        sample.label = _number(tar.read(offset, size))
    elif ending == "json" and label_key is not None:
        if size > _MOST_JSON:
            raise _Fault(f"has a .json of more than {_MOST_JSON:,} bytes")
        sample.label = _label_in(tar.read(offset, size), label_key)


def _number(content: bytes) -> int:
    text = content.strip()
    if not (text.isdigit() and text.isascii() and int(text) < _MOST_LABEL):
        raise _Fault("has a .cls that is not the number of a class")
    return int(text)


def _label_in(content: bytes, label_key: str) -> int | str:
    try:
        facts = json.loads(content)
    except (ValueError, RecursionError):
        raise _Fault("has a .json that cannot be read") from None
    if not isinstance(facts, dict) or label_key not in facts:
        keys = ", ".join(shown(key) for key in facts) if isinstance(facts, dict) else "none"
        raise _Fault(f"has no {shown(label_key)} in its .json, whose keys are {keys}")
    label = facts[label_key]
    if isinstance(label, bool) or not isinstance(label, int | str):
        raise _Fault(f"has a {shown(label_key)} that is neither a number nor a text")
    if isinstance(label, int) and not 0 <= label < _MOST_LABEL:
        raise _Fault("has no label (it is negative, or too large)")
    if isinstance(label, str) and not 0 < len(label) <= _MOST_NAME:
        raise _Fault("has no label (its text is empty, or too long)")
    return label


def _index_of(samples: dict[str, _Found], faults: list[str], label_key: str | None) -> TarIndex:
    rows, kinds = [], Counter[type]()
    numbers: dict[str, int] = {}
    for key, sample in samples.items():
        fault = sample.fault or _missing(sample, label_key)
        if fault:
            faults.append(f"sample {shown(key)} {fault}")
            continue
        assert sample.image is not None and sample.label is not None
        label = sample.label
        kinds[type(label)] += 1
        number = label if isinstance(label, int) else numbers.setdefault(label, len(numbers))
        rows.append((*sample.image, number))
    if len(kinds) > 1:
        raise UsageError(f"the labels under {label_key} are numbers and texts; they must be alike")
    return TarIndex(np.array(rows, ROW), tuple(numbers), faults[:_FAULTS_TOLD], len(faults))


def _missing(sample: _Found, label_key: str | None) -> str:
    if sample.image is None:
        return f"has no image ({', '.join(IMAGES)})"
    if sample.label is not None:
        return ""
    if label_key is not None:
        return "has no .json"
    hint = "; --label-key KEY takes the label from its .json" if "json" in sample.endings else ""
    return f"has no label (.cls){hint}"


def _kept_at(tar: TarFile, place: str, label_key: str | None) -> Path | None:
    folder = cache_folder("tars")
    if folder is None:
        return None
    facts = [_FORMAT, place, *tar, label_key]
    return folder / hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _dump(index: TarIndex) -> bytes:
    """A line of JSON, and the rows."""
    facts = [index.names, index.faults, index.num_faults, index.digest]
    return json.dumps(facts).encode() + b"\n" + index.rows.tobytes()


def _load(path: Path) -> TarIndex | None:
    """What was kept; None if it is not there, or not whole."""
    with contextlib.suppress(FileNotFoundError, UsageError, ValueError, TypeError):
        line, _, rows = read_bounded(path).partition(b"\n")
        names, faults, count, digest = parse_json(line, str(path))
        index = TarIndex(np.frombuffer(rows, ROW), tuple(names), faults, count)
        if index.digest == digest:
            return index
    return None
