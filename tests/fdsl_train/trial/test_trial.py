"""A trial: what is compared is divided well, fits its minutes, and its verdict follows the rule."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fdsl_gen.core.errors import FdslError, UsageError
from fdsl_train.cli.trial import read_labels
from fdsl_train.config import load_config
from fdsl_train.data.sources.image_folder import read_image
from fdsl_train.trial import trial as module
from fdsl_train.trial.arms import Arm, formula_sets
from fdsl_train.trial.budget import FINETUNE, PRETRAIN, Effort, choose_effort, refit
from fdsl_train.trial.draws import (
    Pictures,
    choosing_parts,
    parts_of,
    small_copies,
    write_parts,
)
from fdsl_train.trial.pieces import Piece
from fdsl_train.trial.report import conclusion, table_lines
from fdsl_train.trial.results import Row, is_clear, verdict
from tests.fdsl_train.conftest import run

SCRATCH = Arm(name="scratch")
LINES = Arm(
    name="lines",
    dataset="recipe:linedb-16?num_categories=3&num_instances=2&image_size=32&num_shards=2",
    full="linedb-16",
)


def photos(folder: Path, count: int = 12) -> Path:
    """Two classes of noise, one brighter, of two sizes."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(("bolt", "hex nut")):
        for i in range(count):
            home = folder / name / ("old" if i % 2 else ".")
            home.mkdir(parents=True, exist_ok=True)
            side = (120, 200) if i % 3 else (30, 40)
            gray = rng.integers(0, 100 + 100 * label, side).astype(np.uint8)
            Image.fromarray(gray).save(home / f"{i}.png")
    return folder


def pictures(counts: tuple[int, ...]) -> Pictures:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    return Pictures(Path("none"), labels, tuple("abcdefgh"[: len(counts)]))


@pytest.mark.parametrize("counts", [(5, 5), (40, 7, 23), (3000, 1200)])
def test_no_draw_reports_what_rates_were_chosen_on(counts: tuple[int, ...]) -> None:
    all_of = pictures(counts)
    aside = set(choosing_parts(all_of, None).val)
    assert aside
    drawn = [parts_of(all_of, draw, None) for draw in range(3)]
    for parts in drawn:
        assert not set(parts.val) & aside and not set(parts.train) & aside
        assert not set(parts.val) & set(parts.train)
        for part in (parts.train, parts.val):
            assert {all_of.labels[n] for n in part} == set(range(len(counts)))
        assert len(parts.val) <= 2000
    assert len({tuple(parts.val) for parts in drawn}) == 3


def test_few_labels_are_the_first_of_all() -> None:
    all_of = pictures((30, 30))
    whole, few = parts_of(all_of, 1, None), parts_of(all_of, 1, 5)
    assert few.val == whole.val
    assert len(few.train) == 10 and set(few.train) <= set(whole.train)


def test_copies_are_small_and_links_lead_to_them(tmp_path: Path) -> None:
    made = small_copies(photos(tmp_path / "photos"), tmp_path / "images", 96)
    sizes = {read_image(made.file(n)).size for n in range(len(made.labels))}
    assert sizes == {(160, 96), (40, 30)}
    parts = parts_of(made, 0, None)
    write_parts(tmp_path / "draws" / "0", made, parts)
    linked = list((tmp_path / "draws" / "0" / "train" / "hex nut").iterdir())
    assert linked and all(path.is_file() for path in linked)
    with pytest.raises(UsageError, match="the class bolt has 4 images; a trial needs 5 of each"):
        small_copies(photos(tmp_path / "few", 4), tmp_path / "x", 96)


def test_labels_are_numbers_or_all() -> None:
    assert read_labels("10, 50,all") == [10, 50, None]
    for wrong in ("0", "ten", "", "-1"):
        with pytest.raises(UsageError, match="--labels: must be numbers from 1 on, or all"):
            read_labels(wrong)


def test_an_unknown_set_is_named_before_anything_is_done(tmp_path: Path) -> None:
    done = run("trial", "--data", tmp_path, "--sets", "fractal-2", "--output", tmp_path / "out")
    assert done.exit_code == 2
    assert "no set 'fractal-2'; did you mean 'fractal-1'?; there are fractal-1," in done.stderr
    assert not (tmp_path / "out").exists()


def test_more_minutes_give_a_larger_trial() -> None:
    size: dict[str, Any] = {"sets": 3, "labels": 1, "measured": 400, "jobs": 2}
    found = [choose_effort(200.0, minutes=minutes, **size) for minutes in (5, 10, 20, 60)]
    amounts = [(e.sets, e.pretrain_steps, e.finetune_steps, e.draws) for e in found]
    assert amounts == sorted(amounts) and len(set(amounts)) > 2
    for effort, minutes in zip(found, (5, 10, 20, 60), strict=True):
        seconds = effort.seconds(200.0, labels=1, measured=400, jobs=2)
        assert seconds <= 60 * minutes
    with pytest.raises(UsageError, match=r"--minutes: 0\.1 are too few here; the smallest trial"):
        choose_effort(200.0, minutes=0.1, **size)


def test_a_slower_machine_gets_a_shorter_fine_tuning() -> None:
    planned = Effort(2, 1000, 400, 3)
    size = {"labels": 1, "measured": 400, "jobs": 2}
    assert refit(planned, 1e6, 1e6, **size) == planned
    slower = refit(planned, 50.0, 600.0, **size)
    assert slower.finetune_steps < 400 and slower.pretrain_steps == 1000
    much_slower = refit(planned, 1.0, 0.0, **size)
    assert much_slower.draws >= 2 and much_slower.sets == 1


def rows(scratch: list[float], formula: list[float]) -> list[Row]:
    gains = [a - b for a, b in zip(formula, scratch, strict=True)]
    return [Row(SCRATCH, None, scratch, []), Row(LINES, None, formula, gains)]


@pytest.mark.parametrize(
    ("scratch", "formula", "said"),
    [
        ([50, 54], [55, 59], "helps"),
        ([50, 54], [53, 57], "no clear difference"),
        ([50, 54], [63, 53], "no clear difference"),
        ([50, 54], [44, 48], "harms"),
        ([50, 54], [49, 53], "no clear difference"),
    ],
)
def test_a_verdict_goes_beyond_the_spread_of_draws(
    scratch: list[float], formula: list[float], said: str
) -> None:
    base, row = table = rows(scratch, formula)
    assert verdict(row, base) == said
    assert is_clear(row, base) == (said == "helps")
    sentence = conclusion([("all labels", table)])
    begin = {"helps": "Formula pre-training helps", "harms": "Formula pre-training harms"}
    assert sentence.startswith(begin.get(said, "No clear help"))
    assert {len(line) for line in table_lines(table)} == {len(table_lines(table)[0])}


def test_sets_and_recipes_fit() -> None:
    assert [arm.name for arm in formula_sets(("visualatom",))] == ["visualatom"]
    assert len(formula_sets()) == 3
    assert load_config(FINETUNE, "finetune", {}).scratch_recipe == PRETRAIN


def test_a_trial_uses_the_gpu_if_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(module, "has_gpu", lambda: True)
    monkeypatch.setattr(module, "default_workers", lambda: 32)
    monkeypatch.setattr(
        module, "measure_speed", lambda pool, jobs, device: seen.update(device=device) or 100.0
    )

    def first(pieces: list[Piece], *more: Any) -> None:
        seen["settings"] = pieces[0].settings
        raise FdslError("enough")

    monkeypatch.setattr(module, "run_pieces", first)
    for device, wanted in (("auto", "cuda"), ("cpu", "cpu")):
        with pytest.raises(FdslError, match="enough"):
            module.trial(photos(tmp_path / "p"), tmp_path / device, device=device)  # type: ignore[arg-type]
        assert seen["device"] == wanted
        assert load_config(PRETRAIN, "pretrain", seen["settings"]).device == device


@pytest.mark.slow
def test_a_trial_ends_with_a_verdict_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "formula_sets", lambda names: [LINES])
    monkeypatch.setattr(module, "measure_speed", lambda pool, jobs, device: 100.0)
    monkeypatch.setattr(module, "choose_effort", lambda speed, **size: Effort(1, 4, 2, 2))
    monkeypatch.setattr(module, "refit", lambda effort, *more, **size: effort)
    monkeypatch.setattr(module, "RATES", (1e-3,))
    data, out = photos(tmp_path / "photos"), tmp_path / "out"
    found = module.trial(data, out, labels=[2, None, 900], jobs=1)
    assert [name for name, _ in found.tables] == [
        "2 labels a class (4 images)", "all labels (10 images)",
    ]  # fmt: skip
    text = (out / "trial.md").read_text()
    assert conclusion(found.tables) in text
    assert "fdsl-gen linedb-16 --out linedb-16" in text
    assert f"--data {data} --val-split 0.2 --recipe cpu-finetune --output runs/small" in text
    for _, table in found.tables:
        for row in table:
            assert f"{row.mean:.1f} %" in text and len(row.top1) == 2
    assert (out / "trial.png").read_bytes().startswith(b"\x89PNG")
    assert f"--data={LINES.dataset}" in text and not (out / "sets").exists()
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.done.json")}
    assert len(kept) == 1 + 2 + 2 * 2 * 2
    (lost := out / "finetuned" / "lines-draw-1.done.json").unlink()
    again = module.trial(data, out, labels=[2, None, 900], jobs=1)
    assert again.tables == found.tables
    assert {path for path in kept if path.stat().st_mtime_ns != kept[path]} == {lost}
    with pytest.raises(UsageError, match="holds a trial with other labels"):
        module.trial(data, out, labels=[3], jobs=1)
    with pytest.raises(UsageError, match="is not empty and not a trial"):
        module.trial(data, data, jobs=1)


def test_a_piece_that_fails_is_named_with_its_log(tmp_path: Path) -> None:
    piece = Piece(
        name="wrong", purpose="pretrain", recipe="cpu_pretrain", data=tmp_path / "none",
        output=tmp_path / "run", settings={"steps": 10, "warmup_steps": 1},
    )  # fmt: skip
    with pytest.raises(FdslError, match=r"wrong failed: no such folder: .*none; see .*run\.log"):
        piece.run()
    assert piece.seconds() is None
    record = tmp_path / "run.done.json"
    record.write_text(json.dumps({"seconds": 1.0, "commands": [], "recipe": {}}))
    with pytest.raises(UsageError, match="was made with other settings"):
        piece.seconds()
