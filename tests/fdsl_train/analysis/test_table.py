"""Tables of runs: seeds are put together, other differences are not."""

from pathlib import Path

import pytest

from fdsl_gen.core.errors import UsageError
from fdsl_train.analysis.table import runs_table
from fdsl_train.config import load_config
from fdsl_train.training.run_dir import write_args
from tests.fdsl_train.conftest import run


def made(folder: Path, values: list[float], *, start: str = "", **settings: object) -> Path:
    """A run as far as its table looks."""
    folder.mkdir()
    config = load_config("cpu_pretrain", "pretrain", settings).resolve(100)
    write_args(folder, config, "photos", "0123456789abcdef", start)
    rows = "".join(f"{10 * (i + 1)},1,0.1,2.0,{value}\n" for i, value in enumerate(values))
    (folder / "summary.csv").write_text("step,epoch,lr,loss,val_top1\n" + rows)
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [
        made(tmp_path / "a_0", [10.0, 50.0, 40.0], seed=0, start="runs/formulas"),
        made(tmp_path / "a_1", [10.0, 60.0, 44.0], seed=1, start="runs/formulas", workers=2),
        made(tmp_path / "scratch", [10.0, 30.0, 31.0]),
    ]


def test_seeds_are_one_row_and_starts_are_not(runs: list[Path]) -> None:
    head, one, two = (line.split("  ") for line in runs_table(runs).splitlines())
    one, two = ([cell.strip() for cell in line if cell.strip()] for line in (one, two))
    assert one[0] == "a_0 +1" and one[1] == "photos" and one[2] == "0123456789ab"
    assert one[-2:] == ["42.00 ± 2.83 %", "55.00 ± 7.07 %"]
    assert two[0] == "scratch" and "from scratch" in two and two[-2:] == ["31.00 %", "31.00 %"]
    assert "seeds" in "".join(head)


def test_forms(runs: list[Path]) -> None:
    for flag, sign in (("--csv", "a_0 +1,photos,"), ("--md", "| a_0 +1 | photos |"),
                       ("--latex", r"a\_0 +1 & photos &")):  # fmt: skip
        done = run("table", flag, *runs)
        assert done.exit_code == 0 and sign in done.output
    assert r"42.00 $\pm$ 2.83 \%" in runs_table(runs, "latex")
    assert runs_table(runs, "latex").startswith("\\begin{tabular}{llllllllll}\n\\toprule\n")


def test_a_run_without_validation_shows_its_loss(tmp_path: Path) -> None:
    folder = made(tmp_path / "pre", [])
    (folder / "metrics.jsonl").write_text('{"step": 5, "loss": 2.5}\n{"step": 10, "loss": 1.25}\n')
    last = runs_table([folder]).splitlines()[-1].split()
    assert last[-3:] == ["loss", "1.25", "1.25"]


def test_folders_that_are_no_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a run of fdsl-train: it has no args"):
        runs_table([tmp_path])
    with pytest.raises(UsageError, match="has not logged anything yet"):
        runs_table([made(tmp_path / "empty", [])])
