"""Drawing for a page: one rendering at a time, given up when a newer one is asked for."""

import base64
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from fdsl_gen.archive import png
from fdsl_gen.core.errors import UsageError
from fdsl_gen.dataset.contact_sheet import draw_preview, preview_png, preview_samples
from fdsl_gen.dataset.sheet import TILE, brightened, colored, in_tile
from fdsl_gen.explore import controls
from fdsl_gen.recipe.jobs import jobs_of
from fdsl_gen.recipe.order import SampleId
from fdsl_gen.recipe.recipe import Recipe
from fdsl_gen.variants.base import Rendered

Tile = dict[str, Any]

COLUMNS = 6
ROWS = 4
_MOST_PANELS = 64  # of pages that may still be open
_PATIENCE = 20.0  # seconds for one grid; what is drawn by then is shown


class Superseded(Exception):
    """A newer drawing was asked for."""


@dataclass
class _Panel:
    """One grid of one page: the number of the newest request for it."""

    newest: int = 0


class Drawer:
    """Draws grids of images. Safe to call from several threads.

    Attributes:
        finished: how many grids were drawn to their end.
    """

    def __init__(self) -> None:
        self._drawing = threading.Lock()
        self._counting = threading.Lock()
        self._panels: dict[tuple[str, str], _Panel] = {}
        self._closed = False
        self.finished = 0

    def close(self) -> None:
        """Give up what is being drawn, and draw nothing more."""
        self._closed = True

    def grid(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The images of a page's request.

        Args:
            asked: ``name``, ``settings``, ``page`` (a text that other pages do not send), ``panel``
                ("a" or "b") and ``turn``, which grows with every request: a browser may send them
                in another order than they were asked for.

        Returns:
            ``tiles`` (``png`` in base64, ``mask`` where there is one, ``key``, ``parameters``),
            ``brightened`` (by which factor), ``command``, ``yaml``, ``complete``.

        Raises:
            UsageError: if such images cannot be drawn.
            Superseded: if a newer request for this panel came.
        """
        panel, own = self._turn(asked)
        recipe, different = controls.recipe_from(asked)
        with self._drawing:
            found = []
            complete = True
            begun = 0.0
            for sample, drawn in self._drawn(recipe, panel, own):
                found.append((sample, drawn))
                begun = begun or time.monotonic()  # the first one may wait for the compiler
                if time.monotonic() - begun > _PATIENCE:
                    complete = False
                    break
            self.finished += 1
        shown, factor = brightened([drawn.image for _, drawn in found])
        return {
            "tiles": [tile_of(*one, small) for one, small in zip(found, shown, strict=True)],
            "brightened": factor,
            "command": controls.command_of(recipe.name, different, COLUMNS, rows_of(recipe)),
            "yaml": yaml.safe_dump(recipe.to_dict(defaults=False), sort_keys=False),
            "complete": complete,
        }

    def _turn(self, asked: dict[str, Any]) -> tuple[_Panel, int]:
        """The panel that is asked for, and the number of the request, from now on its newest."""
        name = str(asked.get("page", ""))[:40], asked.get("panel", "a")
        if name[1] not in ("a", "b"):
            raise UsageError("panel must be a or b")
        with self._counting:
            panel = self._panels.setdefault(name, _Panel())
            own = asked.get("turn", panel.newest + 1)
            if type(own) is not int or not 0 <= own < 2**53:
                raise UsageError("turn must be a whole number")
            while len(self._panels) > _MOST_PANELS:
                del self._panels[next(iter(self._panels))]
            if own < panel.newest:
                raise Superseded
            panel.newest = own
        return panel, own

    def _drawn(
        self, recipe: Recipe, panel: _Panel, own: int
    ) -> Iterator[tuple[SampleId, Rendered]]:
        samples = samples_of(recipe)
        images = recipe.variant.render(jobs_of(recipe, samples))
        for sample in samples:
            if panel.newest != own or self._closed:
                raise Superseded
            yield sample, next(iter(images))

    def sheet(self, asked: dict[str, Any]) -> bytes:
        """The grid as the PNG file that ``fdsl-gen preview`` writes."""
        recipe, _ = controls.recipe_from(asked)
        with self._drawing:
            return preview_png(recipe, draw_preview(recipe, rows_of(recipe), COLUMNS))

    def image(self, asked: dict[str, Any]) -> Tile:
        """One image in its own size: ``key`` says which."""
        recipe, _ = controls.recipe_from(asked)
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


def tile_of(sample: SampleId, drawn: Rendered, small: NDArray[np.uint8] | None = None) -> Tile:
    """An image for the page, and its mask in colors: small, or in their own size."""
    tile: Tile = {"key": sample.key, "parameters": dict(drawn.parameters)}
    tile["png"] = _base64(drawn.image if small is None else small)
    if drawn.mask is not None:
        mask = colored(drawn.mask)[0]
        tile["mask"] = _base64(mask if small is None else in_tile(mask, TILE))
    return tile


def _base64(image: NDArray[np.uint8]) -> str:
    return base64.b64encode(png.encode_any(image)).decode()
