"""The commands of README run as they stand, one after the other, made small by further options."""

import shutil

import pytest
from click.testing import CliRunner

from fdsl_gen.cli.main import cli
from fdsl_train.cli.main import main
from tests.documents import ROOT, commands
from tests.test_docs import photo, prepared  # noqa: F401  # a fixture

PROGRAMS = {"fdsl-gen": cli, "fdsl-train": main}
RENDER = ["--num-categories=64", "--image-size=64", "--num-points=3000", "--workers=1"]
TRAIN = ["--workers=0", "--steps=2", "--decoded-cache=0"]
# What is put behind a command; the last of equal options holds.
SMALLER = {
    "fractal-1": RENDER,
    "preview": ["--image-size=32", "--num-points=300", "--filling-rate=0.01", "--out=p.png"],
    "pretrain": [*TRAIN, "--recipe=cpu_smoke", "--warmup-steps=0"],
    "finetune": [*TRAIN, "--recipe=cpu_finetune", "--warmup-steps=0"],
    "eval": ["--workers=0"],
    "knn": ["--workers=0", "--k=3"],
}
# These need a cloud, wait for a person, take minutes, or have tests of their own.
ELSEWHERE = {"upload", "explore", "trial", "run", "report"}


def script() -> list[tuple[str, list[str]]]:
    """Programs and words: datasets first, then training, in the order of the document."""
    found = [(name, words) for name in PROGRAMS for words in commands(ROOT / "README.md", name)]
    return [
        (name, words)
        for name, words in found
        if words[0] not in ELSEWHERE
        and not any(word.startswith(("recipe:", "s3:")) for word in words)
    ]


@pytest.mark.slow
@pytest.mark.train
def test_the_commands_of_readme_run(prepared, tmp_path, monkeypatch):  # noqa: F811
    here = tmp_path / "here"
    here.mkdir()
    for name in ("photos", "photo.jpg", "mine.yaml"):
        source = prepared / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, here / name)
    monkeypatch.chdir(here)
    done = set()
    for program, words in script():
        typed = [*words, *SMALLER.get(words[0], [])]
        if words[0] == "verify":
            typed = [word if word != "50" else "2" for word in words]
        result = CliRunner().invoke(PROGRAMS[program], typed)
        assert result.exit_code == 0, (program, typed, result.output, result.exception)
        done.add(words[0])
    assert {"fractal-1", "verify", "preview", "pretrain", "finetune", "eval", "table"} <= done
    assert (here / "curves.png").exists() and (here / "runs/photos/export").is_dir()
