"""The claims at toy size, the rule of verdicts, and the real sets."""

import gzip
import json
import pickle

import numpy as np
import pytest
from sklearn.datasets import load_digits

from experiments.hypotheses.__main__ import answer
from experiments.hypotheses.measure import Trial
from experiments.hypotheses.plan import (
    SCRATCH,
    Arm,
    Claim,
    Contrast,
    Plan,
    Scale,
    images_of,
    load_plan,
)
from experiments.hypotheses.real_sets import RealSet, _array, mnist, parts_of
from experiments.hypotheses.rules import judge, together
from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_gen.recipe.text import parse_recipe
from fdsl_train.config import load_config, training_recipes

TOY = {"embed_dim": 16, "depth": 1, "num_heads": 2, "patch_size": 14, "steps": 4}
TOY |= {"global_batch_size": 8, "warmup_steps": 1, "log_every": 1}
LINES = "recipe:linedb-16?num_categories=3&num_instances=4&image_size=32&num_shards=2"
SCENES = "recipe:multi-fractal?num_categories=3&num_images=8&image_size=32&num_shards=2"
SCENES += "&num_points=500&color=false&background=false"
NOISE = "recipe:real-1?source={work}/uniform.png&image_size=32"
NOTHING = "recipe:real-1?source={work}/nothing.png"


@pytest.mark.parametrize(
    ("effects", "kind", "verdict"),
    [
        ([2.0] * 17 + [-1.0], "above", "holds"),
        ([2.0] * 16 + [-1.0] * 2, "above", "cannot tell"),
        ([0.5] * 18, "above", "cannot tell"),
        ([3.0] * 6 + [-1.0] * 12, "above", "does not hold"),
        ([-3.0] * 18, "above", "does not hold"),
        ([-3.0] * 18, "not above", "holds"),
        ([0.9] * 18, "not above", "holds"),
        ([1.1] * 18, "not above", "does not hold"),
        ([9.0] * 10 + [-1.0] * 8, "not above", "cannot tell"),
        ([-0.9] * 18, "not below", "holds"),
        ([-1.1] * 18, "not below", "does not hold"),
        ([5.0] * 18, "not below", "holds"),
    ],
)
def test_verdicts_follow_the_rule(effects, kind, verdict):
    assert judge(effects, kind) == verdict


def test_a_claim_is_as_good_as_its_worst_sentence():
    assert together(["holds", "holds"]) == "holds"
    assert together(["holds", "cannot tell"]) == "cannot tell"
    assert together(["cannot tell", "does not hold"]) == "does not hold"


def test_the_plan_names_recipes_that_can_be(tmp_path):
    plan = load_plan()
    for arm in plan.arms:
        for text in (arm.data, arm.full):
            if "{work}" not in text:
                assert parse_recipe(text).num_samples
    for scale in (plan.cpu, plan.gpu):
        assert load_config(scale.pretrain, "pretrain", {}).purpose == "pretrain"
        assert load_config(scale.finetune, "finetune", {}).purpose == "finetune"
    assert [arm.name for arm in plan.arms_of(plan.only(("space",)))] == ["fractaldb", "exfractaldb"]
    with pytest.raises(UsageError, match="no claim 'spac'; did you mean 'space'"):
        plan.only(("spac",))


def test_an_arm_has_the_size_of_its_scale(tmp_path):
    plan = load_plan()
    arm = next(arm for arm in plan.arms if arm.name == "photo-affine")
    for scale, full in ((plan.cpu, False), (plan.gpu, True)):
        data = Trial(arm, 1, plan, scale, {}, tmp_path).data
        assert data.startswith(f"recipe:real-1?source={tmp_path}/photo.png")
        assert data.endswith("&seed=1")
        assert ("image_size=44" in data) != full


def test_the_cost_is_told_in_images():
    plan = load_plan()
    assert images_of(plan, plan.cpu, 1, 3) == (
        2 * 600 * 64,
        (2 * 2 * 9 + 9) * (250 * 32 + 2000),
    )
    first, second = images_of(plan, plan.gpu, 29, 3)
    assert first == 2 * 29 * 240_000 * 256
    assert second == (30 * 2 * 9 + 9) * (131 * 768 + 2000)


def test_parts_are_disjoint_and_balanced():
    plan, labels = load_plan(), mnist().labels
    first, second = (parts_of(labels, draw, plan) for draw in (0, 1))
    numbers = np.concatenate(first)
    assert len(set(numbers.tolist())) == len(numbers)
    for part, size in zip(first, (100, 200, 100, 10), strict=True):
        assert np.bincount(labels[part]).tolist() == [size] * 10
    for name in ("aside", "measured", "bank"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
    assert not np.array_equal(first.labeled, second.labeled)


def test_a_pickle_of_arrays_is_read_and_of_anything_else_refused():
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert np.array_equal(_array(pickle.dumps(array, protocol=4)), array)
    with pytest.raises(UsageError, match="should hold arrays alone"):
        _array(pickle.dumps(gzip.open))
    with pytest.raises(UsageError, match="something else than arrays"):
        _array(pickle.dumps([1]))


def toy_plan(folder):
    recipes = {}
    for purpose in ("pretrain", "finetune"):
        recipe = settings.load_yaml(training_recipes() / f"transfer-{purpose}.yaml") | TOY
        path = folder / f"toy-{purpose}.yaml"
        path.write_text(settings.canonical_json(recipe))  # JSON is YAML
        recipes[purpose] = str(path)
    scale = Scale(**recipes, img_size=28, rates=(1e-3, 2e-3))
    arms = (
        Arm(name="lines", data=LINES, full=LINES),
        Arm(name="noise", data=NOISE, full=NOISE),
        Arm(name="scenes", data=SCENES, full=SCENES),
        Arm(name="nothing", data=NOTHING, full=NOTHING),
    )
    contrasts = (
        Contrast(these=("lines",), those=(SCRATCH,), kind="above"),
        Contrast(these=("lines",), those=("noise",), kind="not below"),
    )
    about = {"claim": "Lines teach", "source": "nobody", "prediction": "who knows"}
    return Plan(
        labels=2,
        measured=5,
        bank=30,
        draws=2,
        seeds=1,
        cpu=scale,
        gpu=scale,
        arms=arms,
        claims=(
            Claim(
                name="lines",
                predicted="cannot tell",
                axis="lines",
                arms=("lines", "noise", "scenes"),
                contrasts=contrasts,
                **about,
            ),
            Claim(
                name="lost",
                predicted="holds",
                axis="points",
                arms=("nothing",),
                contrasts=(Contrast(these=("nothing",), those=(SCRATCH,), kind="above"),),
                **about,
            ),
        ),
    )


@pytest.mark.slow
def test_claims_are_tried_counted_and_kept(tmp_path):
    digits = load_digits()
    sets = (RealSet("digits", (15 * digits.images).astype(np.uint8), digits.target),)
    plan, work, docs = toy_plan(tmp_path), tmp_path / "work", tmp_path / "docs"
    said = []
    answer(plan, plan.claims, sets, work, docs, jobs=1, say=said.append)

    results = {path.stem: json.loads(path.read_text()) for path in (work / "results").iterdir()}
    assert set(results) == {"scratch-0", "lines-0", "noise-0", "scenes-0", "nothing-0"}
    chances = [results[f"{name}-0"]["chance"] for name in ("lines", "scenes")]
    assert chances == [round(np.log(3), 3), round(2 * np.log(2), 3)]
    top1, base = (results[name]["top1"]["digits"] for name in ("lines-0", "scratch-0"))
    effects = [one - other for one, other in zip(top1, base, strict=True)]
    text = (docs / "hypotheses.md").read_text()
    assert f"(mean {np.mean(effects):+.1f} points" in text
    assert "nothing.png" in results["nothing-0"]["failed"]
    assert f"- lines: `{LINES.removeprefix('recipe:')}`" in text
    assert "| [lost](#lost) | holds | **cannot tell** | an arm failed |" in text
    assert f"- nothing: {results['nothing-0']['failed']}" in text
    assert (docs / "hypotheses" / "lines.png").read_bytes().startswith(b"\x89PNG")
    gains = f"{np.mean(effects):+.1f} ({min(effects):+.1f} .. {max(effects):+.1f})"
    assert f"| lines | {gains} | {sum(gain > 0 for gain in effects)} of 2 |" in text
    assert (docs / "hypotheses" / "gains.png").read_bytes().startswith(b"\x89PNG")
    assert not any((work / "runs").iterdir())

    lost = work / "results" / "lines-0.json"
    before = {path: path.stat().st_mtime_ns for path in lost.parent.iterdir() if path != lost}
    lost.unlink()
    answer(plan, plan.claims, sets, work, docs, jobs=1, say=said.append)
    again = json.loads(lost.read_text()) | {"minutes": 0}
    assert again == results["lines-0"] | {"minutes": 0}
    assert before == {path: path.stat().st_mtime_ns for path in before}

    other = toy_plan(tmp_path / "work")
    with pytest.raises(UsageError, match="results of another plan"):
        answer(other, other.claims, sets, work, docs, jobs=1, say=said.append)
