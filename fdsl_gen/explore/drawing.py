"""Drawing for a page: one rendering at a time, given up when a newer one is asked for."""

import base64
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from fdsl_gen.archive import png
from fdsl_gen.core.errors import UsageError
from fdsl_gen.dataset.contact_sheet import draw_preview, preview_png, preview_samples
from fdsl_gen.dataset.sheet import colored
from fdsl_gen.explore import controls
from fdsl_gen.recipe.jobs import jobs_of
from fdsl_gen.recipe.order import SampleId
from fdsl_gen.recipe.recipe import Recipe
from fdsl_gen.variants.base import Rendered

COLUMNS = 6
ROWS = 4
_PATIENCE = 20.0  # seconds for one grid; what is drawn by then is shown


class Superseded(Exception):
    """A newer drawing was asked for."""


@dataclass
class _Panel:
    """One grid of the page: the number of the newest request for it."""

    newest: int = 0
    changed: threading.Lock = field(default_factory=threading.Lock)


class Drawer:
    """Draws grids of images. Safe to call from several threads.

    Attributes:
        finished: how many grids were drawn to their end.
    """

    def __init__(self) -> None:
        self._drawing = threading.Lock()
        self._panels: dict[str, _Panel] = {"a": _Panel(), "b": _Panel()}
        self.finished = 0

    def grid(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The images of a page's request.

        Args:
            asked: ``name``, ``settings``, ``panel`` ("a" or "b").

        Returns:
            ``tiles`` (``png`` in base64, ``mask`` where there is one, ``key``, ``parameters``),
            ``command``, ``yaml``, ``complete``.

        Raises:
            UsageError: if such images cannot be drawn.
            Superseded: if a newer request for this panel came.
        """
        panel = self._panels.get(str(asked.get("panel", "a")))
        if panel is None:
            raise UsageError("panel must be a or b")
        with panel.changed:
            panel.newest += 1
            own = panel.newest
        recipe, different = controls.recipe_from(asked)
        with self._drawing:
            tiles = []
            complete = True
            begun = 0.0
            for sample, drawn in self._drawn(recipe, panel, own):
                tiles.append(tile_of(sample, drawn))
                begun = begun or time.monotonic()  # the first one may wait for the compiler
                if time.monotonic() - begun > _PATIENCE:
                    complete = False
                    break
            self.finished += 1
        return {
            "tiles": tiles,
            "command": controls.command_of(recipe.name, different, COLUMNS, rows_of(recipe)),
            "yaml": yaml.safe_dump(recipe.to_dict(defaults=False), sort_keys=False),
            "complete": complete,
        }

    def _drawn(
        self, recipe: Recipe, panel: _Panel, own: int
    ) -> Iterator[tuple[SampleId, Rendered]]:
        samples = samples_of(recipe)
        images = recipe.variant.render(jobs_of(recipe, samples))
        for sample in samples:
            if panel.newest != own:
                raise Superseded
            yield sample, next(iter(images))

    def sheet(self, asked: dict[str, Any]) -> bytes:
        """The grid as the PNG file that ``fdsl-gen preview`` writes."""
        recipe, _ = controls.recipe_from(asked)
        with self._drawing:
            return preview_png(recipe, draw_preview(recipe, rows_of(recipe), COLUMNS))

    def image(self, asked: dict[str, Any]) -> dict[str, Any]:
        """One image, larger: ``key`` says which."""
        recipe, _ = controls.recipe_from(asked, controls.ZOOM)
        wanted = [s for s in samples_of(recipe) if s.key == asked.get("key")]
        if not wanted:
            raise UsageError("no such image in the grid")
        with self._drawing:
            (drawn,) = recipe.variant.render(jobs_of(recipe, wanted))
        return tile_of(wanted[0], drawn)


def rows_of(recipe: Recipe) -> int:
    """How many categories a grid shows; all its images where each stands for itself."""
    single = recipe.num_instances == 1 or recipe.variant.SCENE
    most = ROWS * COLUMNS if single else ROWS
    return most // recipe.variant.LABEL_TYPE.panels


def samples_of(recipe: Recipe) -> list[SampleId]:
    """The samples of a grid: those that ``fdsl-gen preview`` takes."""
    return preview_samples(recipe, rows_of(recipe), COLUMNS)


def tile_of(sample: SampleId, drawn: Rendered) -> dict[str, Any]:
    """An image for the page."""
    tile: dict[str, Any] = {
        "key": sample.key,
        "png": _base64(drawn.image),
        "parameters": dict(drawn.parameters),
    }
    if drawn.mask is not None:
        tile["mask"] = _base64(colored(drawn.mask)[0])
    return tile


def _base64(image: NDArray[np.uint8]) -> str:
    return base64.b64encode(png.encode_any(image)).decode()
