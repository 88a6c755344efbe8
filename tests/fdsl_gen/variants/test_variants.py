"""What a kind of dataset must say itself, and what it has by default."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from fdsl_gen import variants
from fdsl_gen.archive.paths import SHARED
from fdsl_gen.core.settings import setting
from fdsl_gen.recipe.jobs import Categories, render
from fdsl_gen.recipe.recipe import Recipe, load_recipe
from fdsl_gen.variants import fractal_1
from fdsl_gen.variants.base import ImageSpec, Job, Rendered, Variant


@dataclass(frozen=True, kw_only=True)
class Plain(Variant):
    """Images of one value, the category: all that a kind must say."""

    KIND: ClassVar[str] = "plain"
    CITATION: ClassVar[str] = ""

    image_size: int = setting(8, doc="side of the image, pixels")

    @property
    def image(self) -> ImageSpec:
        return ImageSpec(height=self.image_size, width=self.image_size)

    def nominal_bytes(self, num_categories: int) -> int:
        return 1_600

    def render_one(self, job: Job) -> Rendered:
        return Rendered(np.full((self.image_size, self.image_size), job.category.index, np.uint8))


def test_a_kind_says_only_what_is_its_own() -> None:
    recipe = Recipe(name="plain", variant=Plain(), num_categories=3, num_instances=4)
    assert np.array_equal(render(recipe, 2, 3).image, np.full((8, 8), 2))
    assert not (Plain.SCENE or Plain.SEARCHED or Plain().uses_num_categories)
    assert (Plain.LABEL_TYPE.name, Plain.REVISION, Plain().max_instances) == ("single", 1, None)
    assert [Plain().work_group(i) for i in range(3)] == [0, 1, 2]
    assert Plain().shared_parameters(0) == {}


@pytest.mark.parametrize("kind", variants.kinds())
def test_every_kind_is_a_variant_with_its_name_and_paper(kind: str) -> None:
    cls = variants.variant_class(kind, "kind")
    assert issubclass(cls, Variant)
    assert kind == cls.KIND
    assert cls.CITATION.startswith("@")


def test_modules_that_are_no_kind_are_marked() -> None:
    modules = {path.stem for path in Path(variants.__file__).parent.glob("*.py")}
    public = {name for name in modules if not name.startswith("_")} - {"base"}
    assert public == {kind.replace("-", "_") for kind in variants.kinds()}
    for kind in variants.kinds():
        assert kind == variants.variant_class(kind, "test").KIND


def stored_base(number: int, **changes: Any) -> str:
    """What a dataset keeps of its base: a sampled one, accepted or not."""
    recipe = load_recipe("fractal-1", image_size=64, num_points=2000)
    base = fractal_1._candidate(recipe.variant, recipe.seed, number)
    return json.dumps({"base": base.affine_N6.tolist(), "rejected_bases": number} | changes)


@pytest.mark.parametrize(
    ("stored", "taken"),
    [
        (stored_base(41), True),
        (stored_base(41)[:-3], False),
        (stored_base(40, rejected_bases=41), False),
        (stored_base(41, rejected_bases=10**30), False),
        (stored_base(41, rejected_bases="41"), False),
        ("[]", False),
    ],
)
def test_shared_parameters_are_taken_from_the_cache_unless_damaged(
    stored: str, taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fractal_1, "_BASES", {})
    recipe = load_recipe("fractal-1", image_size=64, num_points=2000)
    (tmp_path / Path(SHARED).name).write_text(stored)
    Categories(recipe, tmp_path)
    assert (recipe.variant.shared_parameters(recipe.seed)["rejected_bases"] == 41) == taken
