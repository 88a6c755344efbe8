"""Whatever is wrong with a sample: one line on standard error, in every command that reads samples.

With any number of loader processes, and after Python has exited: PyTorch tells of processes that
ended while their errors are told, and again of their end. So every command runs in a process of its
own, forked from one that has the large libraries already.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from fdsl_gen.archive.tar import Encoded
from tests.fdsl_train.conftest import FINETUNE, build_dataset, environment, run, write_recipe

SCRIPT = """
import json, os, sys
import timm, torch, torchvision
import fdsl_train.cli.main
import fdsl_train.training.finetune, fdsl_train.training.pretrain
import fdsl_train.analysis.knn, fdsl_train.analysis.evaluate, fdsl_train.analysis.attention
from fdsl_train.cli.__main__ import run

found = {}
for name, words in json.load(open(sys.argv[1])).items():
    pid = os.fork()
    if pid == 0:
        with open(sys.argv[2], "wb") as errors, open(os.devnull, "wb") as nothing:
            os.dup2(errors.fileno(), 2)
            os.dup2(nothing.fileno(), 1)
        sys.argv = ["fdsl-train", *words]
        run()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    found[name] = code, open(sys.argv[2]).read()
print(json.dumps(found))
"""
WORKERS = (0, 1, 4)


def tree(root: Path, bad: str) -> Path:
    """Two classes of images, one of which is cut."""
    for split, count in (("train", 6), ("val", 3)):
        for shade, name in enumerate("ab"):
            for i in range(count):
                path = root / split / name / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (40, 40), (100 * shade, i, 0)).save(path)
    whole = (root / bad).read_bytes()
    (root / bad).write_bytes(whole[: len(whole) // 2])
    return root


@pytest.fixture(scope="module")
def said(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Exit code and errors of every command, by its name and the number of workers."""
    folder = tmp_path_factory.mktemp("bad")

    def spoil(samples: list[Encoded]) -> list[Encoded]:
        samples[3] = Encoded(samples[3].key, (("png", b"not a PNG"), samples[3].members[1]))
        return samples

    shards = build_dataset(folder / "shards", edit=spoil)
    recipe = write_recipe(folder / "r.yaml", decoded_cache=0, steps=4, warmup_steps=0)
    tune = FINETUNE | {"global_batch_size": 4, "epochs": 1, "warmup_epochs": 0}
    finetune = write_recipe(folder / "f.yaml", **tune)
    made = run("pretrain", "--recipe", recipe, "--data", dataset, "--output", folder / "run")
    assert made.exit_code == 0, made.output
    weights = folder / "run" / "export"
    train, val = tree(folder / "t", "train/b/1.png"), tree(folder / "v", "val/b/1.png")
    commands = {
        "pretrain": ["pretrain", "--recipe", recipe, "--data", shards],
        "finetune, train": ["finetune", "--recipe", finetune, "--data", train],
        "finetune, val": ["finetune", "--recipe", finetune, "--data", val],
        "eval": ["eval", weights, "--data", shards, "--split", "train"],
        "knn, train": ["knn", weights, "--data", train, "--k", 1],
        "knn, val": ["knn", weights, "--data", val, "--k", 1],
    }
    wanted = {}
    for name, words in commands.items():
        for workers in WORKERS:
            more = ["--workers", workers]
            if words[0] == "finetune":
                more += ["--checkpoint", weights]
            if words[0] in ("pretrain", "finetune"):
                more += ["--output", folder / f"{name} {workers}"]
            wanted[f"{name} {workers}"] = [str(word) for word in [*words, *more]]
    wanted["attention"] = ["attention", str(weights), str(train / "train/b/1.png")]
    (folder / "wanted.json").write_text(json.dumps(wanted))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, folder / "wanted.json", folder / "errors"],
        env=environment() | {"PYTHONWARNINGS": "default", "OMP_NUM_THREADS": "1"},
        cwd=folder, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {name: (code, errors) for name, (code, errors) in json.loads(done.stdout).items()}


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("pretrain", "the image is damaged: not a PNG file"),
        ("finetune, train", "t/train/b/1.png"),
        ("finetune, val", "v/val/b/1.png"),
        ("eval", "the image is damaged: not a PNG file"),
        ("knn, train", "t/train/b/1.png"),
        ("knn, val", "v/val/b/1.png"),
    ],
)
def test_a_damaged_sample_is_one_line(
    said: dict[str, tuple[int, str]], command: str, sentence: str, workers: int
) -> None:
    code, errors = said[f"{command} {workers}"]
    assert code == 2, errors
    assert len(errors.splitlines()) == 1, errors
    assert errors.startswith("fdsl-train: ") and sentence in errors


def test_a_damaged_picture_to_look_at_is_one_line(said: dict[str, tuple[int, str]]) -> None:
    code, errors = said["attention"]
    assert code == 2, errors
    assert len(errors.splitlines()) == 1, errors
    assert "t/train/b/1.png" in errors
