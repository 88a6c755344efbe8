"""Random valid settings of every kind of dataset, and what they draw.

Settings come from the dataclass fields themselves, so that a new kind or a new setting takes part
at once. Run as a program, it prints what is drawn as JSON: a process without the JIT must print the
same.
"""

import contextlib
import dataclasses
import json
import sys
import tempfile
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Literal
from unittest.mock import patch

from fdsl_gen.core.errors import FdslError, UsageError
from fdsl_gen.core.settings import Bounds
from fdsl_gen.geometry.category_table import Column, TableLayout, table_text
from fdsl_gen.recipe.jobs import jobs_of, sample_of
from fdsl_gen.recipe.order import SampleId
from fdsl_gen.recipe.recipe import Recipe
from fdsl_gen.variants import exfractaldb, fractal_1, fractaldb, kinds, variant_class
from fdsl_gen.variants._parametric import Parametric
from tests import PHOTO

NUM_CATEGORIES = 5
FEW = 20  # candidates of a search, so that one without success ends soon
# What is counted or looped over is kept this small; everything else may be as large as allowed.
MOST = {
    "image_size": 40,
    "search_size": 40,
    "object_canvas": 24,
    "num_points": 300,
    "search_points": 300,
    "num_vertices": 14,
    "num_contours": 5,
    "num_orbits": 5,
    "num_objects": 4,
    "num_maps": 6,
    "num_weights": 25,
    "lines": 9,
    "broken_contours": 6,
    "broken_thickness": 60,
    "elastic_cells": 12,
    "filling_rate": 0.1,
    "variance": 0.1,
    "object_size": 2.0,
    "leaves": 200,
    "points": 200,
    "supersampling": 2,
    "iterations": 3,
    "ray_steps": 5,
    "light_steps": 5,
}
_UNBOUNDED = 300.0


def files(folder: Path) -> dict[str, str]:
    """Values of the settings that name a file."""
    rng = Random(4)
    for kind in kinds():
        cls = variant_class(kind, "fuzz")
        if issubclass(cls, Parametric):
            count = 1 if cls.TABLE.shared else NUM_CATEGORIES
            entries = [_rows(cls.TABLE, rng) for _ in range(count)]
            (folder / f"{kind}.csv").write_text(table_text(cls.TABLE, entries))
    return {"source": str(PHOTO), "categories_from": str(folder)}


def _rows(layout: TableLayout, rng: Random) -> list[dict[str, int | float]]:
    """Random rows of a category."""
    count = rng.randint(1, min(3, layout.most_parts)) if layout.part else 1
    return [{column.name: _cell(column, rng) for column in layout.columns} for _ in range(count)]


def _cell(column: Column, rng: Random) -> int | float:
    low, high = column.low or 0.0, column.high or 1.0
    if column.kind == "int":
        return rng.randint(int(low), int(min(high, low + 6)))
    low = max(low, -0.6)
    return rng.uniform(low, min(high, low + 1.2))


def _bounds(field: dataclasses.Field[Any]) -> tuple[float, float]:
    """Least and greatest value that is tried."""
    bounds: Bounds = field.metadata["bounds"]
    low = -_UNBOUNDED if bounds.low is None else bounds.low
    high = max(_UNBOUNDED, 2 * low) if bounds.high is None else bounds.high
    stem = field.name.removesuffix("_min").removesuffix("_max").removesuffix("_step")
    most = MOST.get(field.name, MOST.get(stem))
    return low, high if most is None else min(high, max(low, most))


def _number(field: dataclasses.Field[Any], wanted: type, rng: Random) -> Any:
    low, high = _bounds(field)
    smallest = (field.metadata["bounds"].above or wanted is float) and low == 0
    values = [low + 1e-3 if field.metadata["bounds"].above else low, high, rng.uniform(low, high)]
    if isinstance(field.default, wanted) and low <= field.default <= high:
        values += 2 * [field.default]
    values.append(low + (high - low) * rng.random() ** 4)
    if smallest:
        values.append(10.0 ** rng.uniform(-6, 0))
    return wanted(min(rng.choice(values), high))


def _value(
    field: dataclasses.Field[Any], annotation: Any, known: dict[str, str], rng: Random
) -> Any:
    choices = typing.get_args(annotation)
    if typing.get_origin(annotation) is Literal:
        return rng.choice(choices)
    if annotation is bool:
        return rng.random() < 0.5
    if annotation in (int, float):
        return _number(field, annotation, rng)
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        if field.name in known and (field.name == "source" or rng.random() < 0.3):
            return known[field.name]
        if rng.random() < 0.5 or str in choices:
            return None
        return _value(field, choices[0], known, rng)
    if typing.get_origin(annotation) is tuple:  # maps of a system
        return tuple(
            tuple(rng.uniform(-0.9, 0.9) for _ in range(6)) for _ in range(rng.randint(1, 4))
        )
    raise TypeError(f"{field.name}: the fuzz does not know values of {annotation}")


def draw_variant(kind: str, known: dict[str, str], rng: Random) -> Any:
    """A variant with random settings, half of them at their default; drawn until they are valid."""
    cls = variant_class(kind, "fuzz")
    annotations = typing.get_type_hints(cls)
    known = known | {"categories_from": f"{known['categories_from']}/{kind}.csv"}
    while True:
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]
            value = _value(field, annotations[field.name], known, rng)
            small = field.name in MOST or field.name.rpartition("_")[0] in MOST
            if small or field.name in known or rng.random() < 0.5:
                values[field.name] = value
            least = field.name.removesuffix("_max") + "_min"
            ranges = field.name.endswith("_max") and least in annotations
            if ranges and rng.random() < 0.3:  # a range of one value
                values[field.name] = values.get(least, cls.__dataclass_fields__[least].default)
        try:
            return cls(**values)
        except UsageError:
            continue


def changed(variant: Any, name: str, rng: Random) -> Any:
    """The same variant with another value of one setting; None if no try gave a valid one."""
    annotation = typing.get_type_hints(type(variant))[name]
    field = type(variant).__dataclass_fields__[name]
    for _ in range(20):
        value = "0" * 64 if name.endswith("sha256") else _value(field, annotation, {}, rng)
        with contextlib.suppress(UsageError):
            other = dataclasses.replace(variant, **{name: value})
            if getattr(other, name) != getattr(variant, name):
                return other
    return None


def draw_recipe(kind: str, known: dict[str, str], rng: Random) -> Recipe:
    """A small recipe of a kind with random settings."""
    variant = draw_variant(kind, known, rng)
    return Recipe(
        name="fuzz",
        variant=variant,
        seed=rng.choice([0, 1, 2**63 - 1]),
        num_categories=NUM_CATEGORIES,
        num_images=20 if variant.SCENE else 0,
        encoding="rgb8" if variant.image.channels == 3 else "gray8",
    )


def draw(made: Recipe, wanted: list[SampleId]) -> list[str]:
    """Digests of samples of a recipe, or the sentence that says why there is none."""
    try:
        drawn = list(made.variant.render(jobs_of(made, wanted)))
    except FdslError as error:
        return [str(error)]
    return [
        f"{sample_of(made, sample, one).digest():032x}"
        for sample, one in zip(wanted, drawn, strict=True)
    ]


def some_samples(made: Recipe, rng: Random) -> list[SampleId]:
    """Two samples, which may be of one category."""
    most = made.variant.max_instances or 10_000
    return [
        SampleId(-1 if made.variant.SCENE else rng.randrange(NUM_CATEGORIES), rng.randrange(most))
        for _ in range(2)
    ]


@contextlib.contextmanager
def short_searches() -> Iterator[None]:
    """Searches that give up soon."""
    with (
        patch.multiple(fractal_1, MAX_BASES=FEW, MAX_ATTEMPTS=FEW),
        patch.object(fractaldb, "MAX_CANDIDATES", FEW),
        patch.object(exfractaldb, "MAX_CANDIDATES", FEW),
    ):
        yield


def draw_all(seed: int, count: int, only: list[str]) -> dict[str, list[str]]:
    """What ``count`` random settings of each kind draw."""
    found = {}
    with tempfile.TemporaryDirectory() as folder, short_searches():
        known = files(Path(folder))
        for kind in only:
            rng = Random(f"{kind} {seed}")
            found[kind] = []
            for _ in range(count):
                made = draw_recipe(kind, known, rng)
                settings = json.dumps(made.to_dict()["variant"])
                drawn = " ".join(draw(made, some_samples(made, rng)))
                found[kind].append(f"{settings} seed {made.seed}: {drawn}")
    return found


if __name__ == "__main__":
    json.dump(draw_all(int(sys.argv[1]), int(sys.argv[2]), kinds()), sys.stdout)
