"""One sample: its digest, how it stands in a shard, and back.

The digest of a sample covers its key, label, shape, pixels, mask and points, not the PNG bytes. The
digest of a collection is the sum of its samples' digests modulo 2**128, so that neither order nor
shards enter.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from fdsl_gen.archive import npy, png
from fdsl_gen.archive.label_types import LabelType, Target
from fdsl_gen.archive.tar import Encoded

_MODULUS = 2**128


def sample_digest(
    key: str,
    labels: tuple[int, ...],
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8] | None = None,
    points: NDArray[np.float32] | None = None,
) -> int:
    """xxh3-128 of a sample, as an integer.

    Args:
        key: name of the sample in its shard.
        labels: one, several, or none for segmentation sets.
        image: uint8 (H, W) or (H, W, 3).
        mask: uint8 (H, W), for segmentation sets.
        points: float32 (N, 3), for sets with points; those without have the digest they always had.
    """
    state = xxhash.xxh3_128()
    text = key.encode()
    state.update(struct.pack("<Q", len(text)) + text)
    state.update(struct.pack(f"<Q{len(labels)}Q", len(labels), *labels))
    for array in (image, mask):
        shape = () if array is None else array.shape
        state.update(struct.pack(f"<Q{len(shape)}Q", len(shape), *shape))
        if array is not None:
            state.update(np.ascontiguousarray(array).data)
    if points is not None:
        state.update(struct.pack("<Q2Q", points.ndim, *points.shape))
        state.update(np.ascontiguousarray(points, "<f4").data)
    return state.intdigest()


def digest_text(total: int) -> str:
    """A digest as 32 hexadecimal digits."""
    return f"{total % _MODULUS:032x}"


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample of a dataset.

    Attributes:
        key: its name, ``{category:05d}_{instance:05d}`` or, in scene sets, ``{image:08d}``.
        image: uint8 (H, W) for gray sets, whatever their encoding, else (H, W, 3).
        labels: one, or several in multi-label sets, or none where there is a mask of categories;
            in sets of instances that of each.
        mask: uint8 (H, W), 0 the background; segmentation sets: of categories; sets of instances:
            k for the instance of ``labels[k - 1]``.
        points: float32 (N, 3), of the model that the image shows; sets with points only.
    """

    key: str
    image: NDArray[np.uint8]
    labels: tuple[int, ...]
    mask: NDArray[np.uint8] | None = None
    points: NDArray[np.float32] | None = None

    @property
    def label(self) -> int:
        """The label of a sample that has one."""
        (label,) = self.labels
        return label

    @property
    def target(self) -> Target:
        """All that it says of its image."""
        return Target(self.labels, self.mask)

    def digest(self) -> int:
        """Its content digest."""
        return sample_digest(self.key, self.labels, self.image, self.mask, self.points)

    def is_blank(self) -> bool:
        """Whether all pixels of the image are equal, whatever the background."""
        return is_blank(self.image)

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return png.encode_any(self.image)


def is_blank(image: NDArray[np.uint8]) -> bool:
    """Whether all pixels of an image, (H, W) or (H, W, 3), are equal, whatever the background."""
    return bool(np.all(image == image[0, 0]))


@dataclass(frozen=True, slots=True)
class SampleFormat:
    """How the samples of a dataset stand in its shards.

    Made from a recipe (``Recipe.sample_format``) or from a manifest (``Manifest.sample_format``).

    Attributes:
        label_type: what images are labeled with.
        members: endings of the members of every sample, in order.
        size: height and width of every image, pixels.
        channels: 1 (gray) or 3 (RGB).
        encoding: of the image.
        levels: the gray levels that occur, where they are few.
    """

    label_type: LabelType
    members: tuple[str, ...]
    size: tuple[int, int]
    channels: int
    encoding: png.Encoding
    levels: tuple[int, ...] | None

    def encode(self, sample: Sample, facts: Mapping[str, Any]) -> Encoded:
        """A sample as it stands in a shard.

        Args:
            sample: to be stored.
            facts: what else its ``.json`` holds, if it has one.
        """
        white = self.levels[-1] if self.levels else 255
        found = {"png": png.encode(sample.image, self.encoding, white)}
        found |= self.label_type.encode(sample.target)
        if sample.points is not None:
            found["npy"] = npy.npy_bytes(sample.points.astype(npy.POINTS, copy=False))
        if "json" in self.members:
            own = self.label_type.facts(sample.target)
            found["json"] = json.dumps(own | dict(facts), allow_nan=False).encode()
        return Encoded(sample.key, tuple((ending, found[ending]) for ending in self.members))

    def decode(self, key: str, members: Mapping[str, bytes]) -> Sample:
        """A sample from the contents of its members, by ending.

        Raises:
            ValueError: if a member is missing or damaged.
        """
        if "png" not in members:
            raise ValueError("it has no image")
        try:
            image = png.decode(members["png"], self.size)
        except png.WrongSize as error:
            raise ValueError(f"its image has {error}") from None
        if self.channels == 1 and image.ndim == 3:  # a gray set stored as RGB
            image = image[:, :, 0].copy()
        target = self.decode_target(members)
        if target.mask is not None and target.mask.shape != self.size:
            raise ValueError("its mask has another size than its image")
        points = None
        if "npy" in self.members:
            points = self.decode_points(members)
        return Sample(key, image, target.labels, target.mask, points)

    def decode_points(self, members: Mapping[str, bytes]) -> NDArray[np.float32]:
        """The points of a sample, float32 (N, 3).

        Raises:
            ValueError: if the member is missing or damaged.
        """
        if "npy" not in members:
            raise ValueError("it has no .npy")
        try:
            return npy.array_of(members["npy"], npy.POINTS, (None, 3))
        except ValueError:
            raise ValueError("its .npy does not hold points, float32 (N, 3)") from None

    def decode_target(self, members: Mapping[str, bytes]) -> Target:
        """What a sample says of its image.

        Raises:
            ValueError: if the member is missing or damaged.
        """
        member = self.label_type.member
        if member not in members:
            raise ValueError(f"it has no .{member}")
        return self.label_type.decode(members[member])


def members_of(label_type: LabelType, *, metadata: bool, points: bool) -> tuple[str, ...]:
    """Endings of the members of every sample, in order.

    Args:
        label_type: of the dataset.
        metadata: whether every sample has a ``.json``.
        points: whether every sample has a ``.npy``.
    """
    members: tuple[str, ...] = ("png", label_type.member)
    if points:
        members = (*members, "npy")
    return members if "json" in members or not metadata else (*members, "json")
