"""Instances with a mask of each, as COCO annotations in the ``.json``."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive.label_types.base import LabelType, Target
from fdsl_gen.core.json_text import parse_json

MAX_INSTANCES = 255
_MOST_PIXELS = 1 << 26  # of an image: 8192 x 8192
_WRONG = "its .json does not hold annotations of instances"


class Instances(LabelType):
    """Instances that share no pixel.

    A target has the category of every instance as ``labels``, and as ``mask`` the number of the
    instance at every pixel: 0 for none, k for the one of ``labels[k - 1]``. In the ``.json`` they
    are COCO annotations, where category c is c + 1 and masks are uncompressed run lengths.
    """

    name: ClassVar[str] = "instances"
    member: ClassVar[str] = "json"
    panels: ClassVar[int] = 2
    hub_task: ClassVar[str] = "image-segmentation"
    card_text: ClassVar[str] = (
        "a `.json` with COCO `annotations` of instances: `category_id` (from 1), `bbox`, `area`,"
        " and `segmentation` as uncompressed run lengths"
    )
    card_feature: ClassVar[Mapping[str, Any]] = {
        "name": "json",
        "struct": [
            {"name": "height", "dtype": "int64"},
            {"name": "width", "dtype": "int64"},
            {
                "name": "annotations",
                "list": [
                    {"name": "category_id", "dtype": "int64"},
                    {"name": "bbox", "sequence": "int64"},
                    {"name": "area", "dtype": "int64"},
                    {"name": "iscrowd", "dtype": "int64"},
                    {
                        "name": "segmentation",
                        "struct": [
                            {"name": "size", "sequence": "int64"},
                            {"name": "counts", "sequence": "int64"},
                        ],
                    },
                ],
            },
        ],
    }

    def target(
        self, category: int, labels: tuple[int, ...] | None, mask: NDArray[np.uint8] | None
    ) -> Target:
        return Target(labels or (), mask)

    def facts(self, target: Target) -> dict[str, Any]:
        if target.mask is None:
            raise ValueError("it has no mask")
        height, width = target.mask.shape
        return {"height": height, "width": width, "annotations": annotations(target)}

    def decode(self, content: bytes) -> Target:
        found = parse_json(content, "its .json", max_bytes=1 << 23)
        try:
            labels, mask = _parse(found)
            target = Target(labels, mask)
            sound = annotations(target) == found["annotations"]
        except (ValueError, KeyError, TypeError):
            raise ValueError(_WRONG) from None
        if not sound:
            raise ValueError(f"{_WRONG} that fit together")
        return target

    def files(self, key: str, target: Target, members: Mapping[str, bytes]) -> dict[str, bytes]:
        return {f"images/{key}.png": members["png"], f"annotations/{key}.json": members["json"]}


def _is_count(value: object, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


def _parse(found: Any) -> tuple[tuple[int, ...], NDArray[np.uint8]]:
    """Labels and mask; one of many errors if they are not those of instances."""
    height, width, listed = found["height"], found["width"], found["annotations"]
    if not (_is_count(height, 65535) and _is_count(width, 65535) and height and width):
        raise ValueError
    total = height * width
    if total > _MOST_PIXELS or not isinstance(listed, list) or len(listed) > MAX_INSTANCES:
        raise ValueError
    labels, parts = [], []
    for number, one in enumerate(listed, 1):
        category, segmentation = one["category_id"], one["segmentation"]
        if segmentation["size"] != [height, width] or not _is_count(category, 1 << 62):
            raise ValueError
        counts = np.array(segmentation["counts"])
        if category == 0 or counts.ndim != 1 or counts.dtype != np.int64:
            raise ValueError
        if counts.min() < 0 or counts.max() > total or counts.sum() != total:
            raise ValueError
        ends = np.cumsum(np.concatenate([[0], counts]))
        inside = len(counts) // 2  # runs of the instance itself
        part = np.empty((3, inside), np.int64)
        part[0], part[1], part[2] = ends[1::2][:inside], ends[2::2], number
        parts.append(part[:, part[1] > part[0]])
        labels.append(category - 1)
    return tuple(labels), _filled(parts, height, width)


def _filled(parts: list[NDArray[np.int64]], height: int, width: int) -> NDArray[np.uint8]:
    """A mask from begins, ends and numbers of runs; ValueError if some overlap."""
    start, stop, number = np.concatenate([np.empty((3, 0), np.int64), *parts], axis=1)
    order = np.argsort(start)
    start, stop = start[order], stop[order]
    gap = np.diff(np.concatenate([[0], np.stack([start, stop], axis=1).reshape(-1)]))
    if np.any(gap < 0):
        raise ValueError
    value = np.zeros(2 * len(order), np.uint8)
    value[1::2] = number[order]
    flat = np.zeros(height * width, np.uint8)  # column by column
    drawn = np.repeat(value, gap)
    flat[: len(drawn)] = drawn
    return np.ascontiguousarray(flat.reshape(width, height).T)


class _Runs(NamedTuple):
    """Neighbors of one value in a mask, column by column: where they begin, end, and the value."""

    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    value: NDArray[np.uint8]


def _runs(mask: NDArray[np.uint8]) -> _Runs:
    flat = np.ascontiguousarray(mask.T).reshape(-1)
    border = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    start = np.concatenate([[0], border])
    return _Runs(start, np.concatenate([border, [flat.size]]), flat[start])


def boxes(mask: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    """The tight boxes x, y, width, height of instances 1 .. count, pixels, int64 (count, 4).

    An instance without a pixel has four zeros.
    """
    return _boxes(_runs(mask), mask.shape[0], count)


def _boxes(runs: _Runs, height: int, count: int) -> NDArray[np.int64]:
    """Boxes from the runs of a mask."""
    left, right = runs.start // height, (runs.stop - 1) // height
    whole = left != right  # such a run reaches from the last row to the first
    top = np.where(whole, 0, runs.start % height)
    bottom = np.where(whole, height - 1, (runs.stop - 1) % height)
    far = np.iinfo(np.int64).max
    low, high = np.full((2, count + 1), far), np.full((2, count + 1), -1)
    for axis, (least, most) in enumerate(((left, right), (top, bottom))):
        np.minimum.at(low[axis], runs.value, least)
        np.maximum.at(high[axis], runs.value, most)
    there = high[0, 1:] >= 0
    found = np.concatenate([low[:, 1:], high[:, 1:] - low[:, 1:] + 1]).T
    found[~there] = 0
    return found


def annotations(target: Target) -> list[dict[str, Any]]:
    """The instances of an image in COCO's words; boxes are x, y, width, height in pixels.

    Run lengths go down the columns and begin with pixels that do not belong to the instance.
    """
    labels, mask = target
    if mask is None:
        raise ValueError("it has no mask")
    height, width = mask.shape
    runs = _runs(mask)
    box = _boxes(runs, height, len(labels)).tolist()
    found = []
    for number, label in enumerate(labels, 1):
        mine = runs.value == number
        edges = np.stack([runs.start[mine], runs.stop[mine]], axis=1).reshape(-1)
        counts = np.diff(np.concatenate([[0], edges, [mask.size]]))
        if counts[-1] == 0:
            counts = counts[:-1]
        found.append(
            {
                "category_id": label + 1,
                "bbox": box[number - 1],
                "area": int(counts[1::2].sum()),
                "iscrowd": 0,
                "segmentation": {"size": [height, width], "counts": counts.tolist()},
            }
        )
    return found
