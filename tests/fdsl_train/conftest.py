"""A small dataset folder, as ``fdsl_gen`` would write it, and ways to run the command."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

from fdsl_gen.archive import png, tar
from fdsl_gen.archive.manifest import ImageEntry, Manifest, ShardEntry, SplitEntry
from fdsl_gen.archive.paths import META
from fdsl_gen.archive.sample import digest_text, sample_digest
from fdsl_gen.core.keys import Key, permutation
from fdsl_gen.storage.local import write, write_new
from fdsl_train.cli.main import main
from tests import ROOT

SIDE = 64

# A model and a length that train in seconds; tests add what they are about.
TINY = {
    "purpose": "pretrain",
    "device": "cpu",
    "threads": 1,
    "model": "vit_tiny_patch16_224",
    "img_size": 32,
    "patch_size": 8,
    "embed_dim": 32,
    "depth": 2,
    "num_heads": 2,
    "drop_path": 0.1,
    "steps": 12,
    "global_batch_size": 16,
    "lr": 1.0e-3,
    "warmup_steps": 2,
    "mixup": 0.8,
    "cutmix": 1.0,
    "aa": "rand-m9-mstd0.5-inc1",
    "hflip": 0.5,
    "vflip": 0.5,
    "reprob": 0.5,
    "workers": 0,
    "log_every": 1,
    "checkpoint_every": 4,
}


# What changes of it for a fine-tuning on digits.
FINETUNE = {
    "purpose": "finetune",
    "opt": "adamw",
    "lr": 2e-3,
    "smoothing": 0,
    "epochs": 8,
    "steps": None,
    "warmup_steps": None,
    "warmup_epochs": 1,
    "global_batch_size": 16,
    "model": None,
    "img_size": None,
    "patch_size": None,
    "embed_dim": None,
    "depth": None,
    "num_heads": None,
    "mixup": 0,
    "cutmix": 0,
    "aa": None,
    "hflip": 0,
    "vflip": 0,
    "reprob": 0,
    "drop_path": 0,
    "scale": [0.9, 1.0],
    "mean": [0.3, 0.3, 0.3],  # of the digits, near enough
    "std": [0.35, 0.35, 0.35],
    "crop_pct": 1.0,
    "log_every": 20,
    "checkpoint_every": 60,
}


def pattern(label: int, instance: int) -> NDArray[np.uint8]:
    """A gray image, uint8 (64, 64): coarse blocks drawn by the label, plus a little noise."""
    blocks = np.random.default_rng([1, label]).random((8, 8)) > 0.5
    noise = np.random.default_rng([2, label, instance]).random((SIDE, SIDE))
    return (blocks.repeat(8, 0).repeat(8, 1) * 200 + noise * 40).astype(np.uint8)


def encoded(label: int, instance: int) -> tar.Encoded:
    """A sample as it stands in a shard."""
    image = png.encode(pattern(label, instance), "gray8")
    members = (("png", image), ("cls", str(label).encode()))
    return tar.Encoded(f"{label:05d}_{instance:05d}", members)


def _labels(sample: tar.Encoded) -> tuple[int, ...]:
    """The labels of a sample, none where a test has spoiled them."""
    text = dict(sample.members).get("cls", b"")
    return (int(text),) if text.isdigit() else ()


def build_dataset(
    folder: Path,
    *,
    num_classes: int = 8,
    num_instances: int = 4,
    num_shards: int = 3,
    validation: bool = False,
    train_recipe: str | None = None,
    views_per_sample: int = 1,
    edit: Callable[[list[tar.Encoded]], list[tar.Encoded]] = lambda samples: samples,
) -> Path:
    """Write a dataset of patterns; ``edit`` changes the samples of the first training shard."""
    splits = {}
    wanted = {"train": range(num_instances)}
    if validation:
        wanted["validation"] = range(num_instances, num_instances + 2)
    for split, instances in wanted.items():
        pairs = [(label, i) for i in instances for label in range(num_classes)]
        pairs = [pairs[i] for i in permutation(Key(0, split), len(pairs))]
        entries = []
        for s, part in enumerate(np.array_split(np.array(pairs), num_shards)):
            samples = [encoded(int(label), int(i)) for label, i in part]
            if split == "train" and s == 0:
                samples = edit(samples)
            stem = f"patterns-{split}-{s:06d}"
            sha256, size = write_new(folder / f"{stem}.tar", tar.tar_parts(samples))
            index = tar.index_of(samples, ("png", "cls"))
            write(folder / META / "index" / f"{stem}.npy", tar.index_bytes(index))
            digest = sum(
                sample_digest(x.key, _labels(x), pattern(*map(int, x.key.split("_"))))
                for x in samples
            )
            entries.append(
                ShardEntry(
                    file=f"{stem}.tar",
                    samples=len(samples),
                    bytes=size,
                    sha256=sha256,
                    content_digest=digest_text(digest),
                )
            )
        splits[split] = SplitEntry(num_samples=len(pairs), shards=tuple(entries))
    manifest = Manifest(
        format=1,
        recipe={"name": "patterns"} | ({"train_recipe": train_recipe} if train_recipe else {}),
        identity="0" * 64,
        recipe_digest="0" * 64,
        content_digest=digest_text(
            sum(int(e.content_digest, 16) for split in splits.values() for e in split.shards)
        ),
        task="single",
        num_classes=num_classes,
        image=ImageEntry(height=SIDE, width=SIDE, channels=1, levels=None),
        members=("png", "cls"),
        splits=splits,
        views_per_sample=views_per_sample,
    )
    write(folder / "manifest.json", manifest.to_json())
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Decoded datasets stay among the files of the tests."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", None)
        yield folder


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 patterns of 8 classes in 3 shards; do not change it."""
    return build_dataset(tmp_path_factory.mktemp("data") / "patterns")


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real handwritten digits, 8x8 gray: 70 of each to train on, 20 to test on."""
    from sklearn.datasets import load_digits  # takes seconds to import

    folder = tmp_path_factory.mktemp("digits")
    data = load_digits()
    for label in range(10):
        images = data.images[data.target == label]
        for i, image in enumerate(images[:90]):
            path = folder / ("train" if i < 70 else "test") / f"digit {label}" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image * 15.9).astype(np.uint8)).save(path)
    return folder


def write_recipe(path: Path, **changes: Any) -> Path:
    """A recipe file: the tiny settings with changes; None takes a setting out."""
    lines = [f"{key}: {value}" for key, value in (TINY | changes).items() if value is not None]
    path.write_text("\n".join(lines) + "\n")
    return path


def environment() -> dict[str, str]:
    """For a process that runs this checkout."""
    return os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}


def command(*arguments: str | Path) -> list[str]:
    """The command line of ``fdsl-train`` in a process of its own."""
    return [sys.executable, "-m", "fdsl_train.cli", *map(str, arguments)]


def start(*arguments: str | Path) -> "subprocess.Popen[str]":
    """Start ``fdsl-train`` as a process."""
    return subprocess.Popen(
        command(*arguments),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_lines(metrics: Path, count: int, *processes: "subprocess.Popen[str]") -> None:
    """Wait until so many steps are logged, or one of the processes has ended."""
    deadline = time.monotonic() + 240  # on a busy machine it takes a minute to start
    while all(process.poll() is None for process in processes):
        if metrics.exists() and metrics.read_text().count("\n") >= count:
            return
        assert time.monotonic() < deadline, f"no {count} lines in {metrics}"
        time.sleep(0.002)


def run(*arguments: str | Path) -> Result:
    """Run ``fdsl-train`` in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])
