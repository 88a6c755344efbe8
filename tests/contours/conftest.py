"""Small contour datasets, and their pixels in a process without the JIT."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fdsl_gen.build.sample import digest, jobs_of
from fdsl_gen.recipe.order import SampleId
from fdsl_gen.recipe.recipe import Recipe, load_recipe

ROOT = Path(__file__).parents[2]
PHOTO = Path(__file__).with_name("photo.png")  # 60x44, colours

# Settings that draw in milliseconds even without the JIT; the first word is the recipe.
TINY = {
    "rcdb-1k": {"image_size": 48, "num_vertices_max": 12, "num_contours_max": 5},
    "visualatom-1k": {
        "image_size": 48,
        "num_vertices_min": 8,
        "num_vertices_max": 16,
        "num_orbits_max": 5,
    },
    "linedb-16": {"image_size": 48, "shuffle_labels": True},
    "segrcdb": {
        "image_size": 48,
        "num_vertices_max": 12,
        "num_contours_max": 4,
        "num_objects": 5,
        "mask": "M2",
    },
    "real-1 edges": {
        "image_size": 32,
        "source": str(PHOTO),
        "representation": "canny",
        "transform": "elastic",
        "canny_low": 30,
        "canny_high": 90,
    },
    "real-1 colours": {
        "image_size": 32,
        "source": str(PHOTO),
        "representation": "rgb",
        "encoding": "rgb8",
        "transform": "homography",
    },
}


def tiny(name: str, **overrides: object) -> Recipe:
    return load_recipe(name.split()[0], **(TINY[name] | overrides))


def real(**settings: object) -> Recipe:
    """A small dataset from the photo, unless ``source`` is another picture."""
    return load_recipe("real-1", **({"source": str(PHOTO), "image_size": 40} | settings))


def samples(recipe: Recipe, count: int = 6) -> list[SampleId]:
    """Samples of different categories and, where there are some, instances."""
    if recipe.variant.SCENE:
        return [SampleId(-1, i) for i in range(count)]
    if recipe.variant.max_instances == 1:
        return [SampleId(c, 0) for c in range(count)]
    return [SampleId(k // 2, k % 2) for k in range(count)]


def digests(recipe: Recipe) -> list[int]:
    wanted = samples(recipe)
    drawn = recipe.variant.render(jobs_of(recipe, wanted))
    return [digest(recipe, sample, one) for sample, one in zip(wanted, drawn, strict=True)]


@pytest.fixture(scope="session")
def without_jit() -> dict[str, list[int]]:
    """Digests of the tiny datasets, computed by the same Python code uncompiled."""
    code = (
        "import json; from tests.contours.conftest import TINY, digests, tiny;"
        "print(json.dumps({name: digests(tiny(name)) for name in TINY}))"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)},
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, list[int]] = json.loads(run.stdout)
    return found
