"""Change bytes of every file of a small dataset and of a small run: an error, or the same content.

``python -m tests.fuzz_bytes 2000`` changes so many; the test changes fewer.
"""

import contextlib
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import torch
import yaml

from fdsl_gen import generate, load_recipe, open_dataset
from fdsl_gen.core.errors import FdslError
from fdsl_gen.dataset.export import export_tree
from fdsl_gen.dataset.verify import check_files
from fdsl_gen.recipe.recipe import Recipe
from fdsl_train import load_model, pretrain
from fdsl_train.analysis.plot import read_run
from fdsl_train.training import checkpoint
from fdsl_train.training.logs import Log
from fdsl_train.training.run_dir import open_output
from tests.conftest import SMALL
from tests.fdsl_train.conftest import TINY

SECONDS = 10  # for all checks of one changed byte
Check = Callable[[Path, Path], Any]  # of a folder, with room to write: what it says of the content


def small_recipe() -> Recipe:
    """A dataset of eight small images in two shards."""
    return load_recipe("fractal-1", **SMALL | {"num_categories": 8, "num_shards": 2})


def _stored(folder: Path, room: Path) -> Any:
    dataset = open_dataset(folder)
    return {key: (dataset[key].labels, dataset[key].image.tobytes()) for key in dataset}


def _verified(folder: Path, room: Path) -> Any:
    """The content of a dataset that is told to be intact."""
    if problems := check_files(folder, lambda entry: None):
        raise FdslError("; ".join(problems))
    return _stored(folder, room)


def _exported(folder: Path, room: Path) -> Any:
    export_tree(folder, room / "out", lambda count: None)
    out = room / "out"
    return {p.relative_to(out): p.read_bytes() for p in sorted(out.rglob("*.png"))}


def _generated_again(folder: Path, room: Path) -> Any:
    return generate(small_recipe(), folder, workers=1)


def _read_only(check: Check) -> Check:
    """A check of which errors matter alone: what it reads carries no digest."""

    def run(folder: Path, room: Path) -> Any:
        check(folder, room)

    return run


DATASET: dict[str, Check] = {
    "verify": _verified,
    "open_dataset": _read_only(_stored),
    "export": _exported,
    "generate": _generated_again,
}


def _weights(model: torch.nn.Module) -> Any:
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


def _resumed(folder: Path, room: Path) -> Any:
    saved = open_output(folder, resume=True)
    return None if saved is None else saved["digest"]


def _logged(folder: Path, room: Path) -> Any:
    Log(folder, 2).close()


RUN: dict[str, Check] = {
    "checkpoint": lambda folder, room: checkpoint.load(folder / checkpoint.LAST)["digest"],
    "weights of a run": lambda folder, room: _weights(load_model(folder)),
    "export": lambda folder, room: _weights(load_model(folder / "export")),
    "resume": _resumed,
    "plot": _read_only(lambda folder, room: read_run(folder, "x")),
    "logs": _logged,
}


def make_run(data: Path, output: Path) -> Path:
    """A finished run of two steps."""
    recipe = output.with_suffix(".yaml")
    settings = TINY | {"steps": 2, "warmup_steps": 1, "global_batch_size": 4, "mixup": 0.0}
    settings |= {"cutmix": 0.0, "aa": None, "depth": 1, "embed_dim": 16}
    recipe.write_text(yaml.safe_dump({k: v for k, v in settings.items() if v is not None}))
    pretrain(data, output, recipe=str(recipe))
    return output


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """An error, where a check does not end."""

    def stop(*_: object) -> None:
        raise AssertionError(f"it did not end within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def changed(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    """The content with another byte somewhere, or cut there; and what was done."""
    at = rng.randrange(len(content))
    if rng.random() < 0.1:
        return content[:at], f"cut at {at}"
    other = content[at] ^ rng.randrange(1, 256)
    return content[:at] + bytes([other]) + content[at + 1 :], f"byte {at} = {other}"


def fuzz(
    good: Path, checks: dict[str, Check], count: int, seed: int
) -> tuple[Counter[str], list[str]]:
    """Change a folder ``count`` times, each time one byte of one of its files.

    Returns:
        How often checks ended with an error or with the same content; and what else they did.
    """
    rng = random.Random(seed)
    names = [p.relative_to(good) for p in sorted(good.rglob("*")) if p.is_file()]
    ends: Counter[str] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        expected = {}
        for what, check in checks.items():
            folder = Path(shutil.copytree(good, scratch / "expected"))
            expected[what] = check(folder, _fresh(scratch / "room"))
            shutil.rmtree(folder)
        for number in range(count):
            name = names[number % len(names)]
            content, done = changed((good / name).read_bytes(), rng)
            for what, check in checks.items():
                folder = Path(shutil.copytree(good, scratch / "folder"))
                (folder / name).write_bytes(content)
                try:
                    with limited():
                        same = check(folder, _fresh(scratch / "room")) == expected[what]
                    ends["the same content"] += same
                    if not same:
                        faults.append(f"{what}: {name}, {done}: other content without a word")
                except FdslError as error:
                    ends["an error"] += 1
                    if "\n" in str(error):
                        faults.append(f"{what}: {name}, {done}: {error}")
                except Exception:
                    faults.append(f"{what}: {name}, {done}: {traceback.format_exc()}")
                shutil.rmtree(folder)
    return ends, faults


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def main(count: int) -> None:
    """Change ``count`` bytes, half of a dataset and half of a run; say what came of it."""
    with tempfile.TemporaryDirectory() as temporary:
        data, output = Path(temporary) / "data", Path(temporary) / "run"
        generate(small_recipe(), data, workers=1)
        make_run(data, output)
        bad = False
        for what, folder, checks in (("dataset", data, DATASET), ("run", output, RUN)):
            ends, faults = fuzz(folder, checks, count // 2, seed=count)
            click.echo(f"{what}: {count // 2} changes, {dict(ends)}, {len(faults)} faults")
            click.echo("\n".join(faults))
            bad = bad or bool(faults)
    sys.exit(bad)


if __name__ == "__main__":
    main(int(sys.argv[1]))
