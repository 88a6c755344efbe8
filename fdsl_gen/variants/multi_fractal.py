"""Scenes of several colored fractals over colored clouds, with the labels of all of them.

Anderson and Farrell, "Improving Fractal Pre-training", WACV 2022, arXiv 2110.03091.
Category c is the system of category c of fractal-color with the same seed. What is shared with it,
and what is ours, stands in ``_colored.py``.

Ours: every object is drawn anew, where the released code places objects out of a store of 512
renderings; an object that a later one hides stays in the labels.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fdsl_gen.archive.label_types import MULTI, LabelType
from fdsl_gen.core.keys import Key, Stream, category_key
from fdsl_gen.core.settings import setting
from fdsl_gen.kernels import compose
from fdsl_gen.variants import _colored
from fdsl_gen.variants._colored import (
    Background,
    ColoredSettings,
    Game,
    Look,
    Played,
    System,
    Table,
)
from fdsl_gen.variants.base import Job, Rendered

BATCH = 16  # images whose games are played together; memory and speed, never pixels


class SceneObject(NamedTuple):
    """An object of a scene."""

    system: System
    game: Game
    patch_33: NDArray[np.int32]
    look: Look
    size: int  # pixels
    left: int  # pixel, may be negative
    top: int


class Scene(NamedTuple):
    """An image before it is drawn."""

    key: Key
    objects: list[SceneObject]  # later ones lie on top
    background: Background
    blur_sigma: float  # pixels; 0 for none


@dataclass(frozen=True, kw_only=True)
class MultiFractal(ColoredSettings):
    """Settings of scenes of colored fractals."""

    KIND: ClassVar[str] = "multi-fractal"
    SCENE: ClassVar[bool] = True
    LABEL_TYPE: ClassVar[LabelType] = MULTI
    CITATION: ClassVar[str] = _colored.CITATION

    num_objects_min: int = setting(1, doc="least objects in an image", low=1, high=1000)
    num_objects_max: int = setting(5, doc="most objects in an image", low=1, high=1000)
    object_canvas: int = setting(
        112, doc="side at which objects are drawn before they are resized, pixels", low=8, high=2048
    )
    object_size_min: float = setting(
        0.15, doc="least side of an object, of the image's", low=0.0, high=10.0, above=True
    )
    object_size_max: float = setting(
        0.6, doc="greatest side of an object, of the image's", low=0.0, high=10.0, above=True
    )

    def nominal_bytes(self, num_categories: int) -> int:
        """Measured: 80 kB at 224 pixels; 6 kB in gray."""
        return 1_600 + (self.image_size**2 // 10 if self.gray else self.image_size**2 * 8 // 5)

    def render(self, jobs: Iterable[Job]) -> Iterator[Rendered]:
        """Images in the order of ``jobs``; the games of several are played side by side."""
        table = Table(self.num_points)
        remaining = iter(jobs)
        while batch := list(islice(remaining, BATCH)):
            scenes = [self._plan(job) for job in batch]
            played = table.play(
                [scene_object.game for scene in scenes for scene_object in scene.objects]
            )
            for scene in scenes:
                yield self._render(scene, table, played)

    def _plan(self, job: Job) -> Scene:
        stream = Stream(job.key)
        count = stream.integer(self.num_objects_min, self.num_objects_max)
        objects = [self._sample_object(job, number) for number in range(count)]
        return Scene(job.key, objects, self.sample_background(stream), self.sample_blur(stream))

    def _sample_object(self, job: Job, number: int) -> SceneObject:
        key = job.key.derive(f"{job.key.role} object", *job.key.indices, number)
        stream = Stream(key)
        system = find_system(self, key.seed, stream.integer(0, job.num_categories - 1))
        patch_33 = _colored.sample_patch(stream)
        look = self.sample_look(stream)
        size = max(int(self.image_size * self.between(stream, "object_size")), 1)
        left, top = (
            stream.integer(-(size // 2), self.image_size - 1 - size // 2) for _ in range(2)
        )
        game = Game(system.affine_N6, key.derive(f"{key.role} maps", *key.indices))
        return SceneObject(system, game, patch_33, look, size, left, top)

    def _render(self, scene: Scene, table: Table, played: Iterator[Played]) -> Rendered:
        """Draw a scene with the next points of ``played``, as many as it has objects."""
        image = self.paint_background(scene.background, scene.key)
        clouds = image.copy()
        side = self.object_canvas
        for scene_object in scene.objects:
            points = next(played)
            hits_HW, greatest = table.hits(points, points.extents, scene_object.patch_33, side)
            tile_MM3 = np.zeros((side, side, 3), np.uint8)
            self.paint(hits_HW, greatest, scene_object.look, tile_MM3)
            compose.paste_resized(
                tile_MM3, scene_object.size, scene_object.left, scene_object.top, image
            )
        labels = tuple(sorted({scene_object.system.index for scene_object in scene.objects}))
        named = {"num_objects": len(scene.objects), "blur_sigma": scene.blur_sigma}
        blank = np.array_equal(image, clouds)
        image = self.finish(image, scene.blur_sigma)
        return Rendered(image, labels=labels, blank=blank, parameters=named)


@lru_cache(maxsize=4096)
def find_system(settings: MultiFractal, seed: int, index: int) -> System:
    """Category ``index`` of a dataset."""
    system: System = settings.category(index, category_key(seed, index))
    return system
