"""Signals at random moments of a command: the right code every time, the same bytes afterwards.

``python -m tests.fdsl_gen.core.signal_stress 200`` tells of every signal and how often each code
came;
``test_signal_stress.py`` sends a few.

Moments are spread over the whole time that a command takes, one in each of equal parts of it: from
the moment at which it handles signals (before that, Python itself starts) to its end. Where it has
ended before, it is given anew and the signal sent earlier: as many are sent as are asked for.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIGNALS = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
)
RENDER = ["fractal-1", "--image-size=64", "--num-points=3000", "--num-categories=120"]
RENDER += ["--filling-rate=0.03", "--num-shards=8", "--workers=2"]
SEARCH = ["fractaldb-1k", "--image-size=64", "--num-categories=12", "--num-instances=4"]
SEARCH += ["--workers=2"]
# Forty images to train on and ten to validate on, after every second epoch.
DATA = ["fractaldb-1k", "--image-size=32", "--num-categories=5", "--num-instances=10"]
DATA += ["--validation-instances=2", "--num-shards=2", "--workers=1"]
TRAIN = ["--recipe=cpu_smoke", "--img-size=32", "--patch-size=8", "--embed-dim=32", "--steps=16"]
TRAIN += ["--global-batch-size=20", "--warmup-steps=2", "--checkpoint-every=4", "--log-every=1"]
TRAIN += ["--eval-epochs=2", "--workers=1", "--resume=auto"]
_PATIENCE = 300  # seconds for a whole run on a busy machine
_TO_OBEY = 90  # seconds for the end of a command that was sent a signal
_CLOCK = ("images_per_s", "data_wait")


@dataclass(frozen=True)
class Command:
    """A command that can be interrupted and given again.

    Attributes:
        arguments: of Python, for a folder to write to.
        result: what must be the same however often the command was interrupted, by name.
    """

    arguments: Callable[[Path], list[str]]
    result: Callable[[Path], dict[str, Any]]

    def start(self, out: Path, cache: Path) -> "subprocess.Popen[str]":
        """The command as the leader of a group of its own."""
        return subprocess.Popen(
            [sys.executable, *self.arguments(out)],
            env=os.environ | {"XDG_CACHE_HOME": str(cache), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self, out: Path, cache: Path) -> float:
        """Run to the end; how many seconds that took."""
        process = self.start(out, cache)
        await_handlers(process)
        began = time.monotonic()
        _, errors = process.communicate(timeout=_PATIENCE)
        assert process.returncode == 0, errors
        return time.monotonic() - began


def render(out: Path) -> list[str]:
    """Arguments of a command that draws at once."""
    return ["-m", "fdsl_gen.cli", *RENDER, f"--out={out}"]


def search(out: Path) -> list[str]:
    """Arguments of a command that searches its categories first."""
    return ["-m", "fdsl_gen.cli", *SEARCH, f"--out={out}"]


def dataset(out: Path) -> dict[str, Any]:
    """The shards and the manifest of a dataset."""
    files = [*out.glob("*.tar"), out / "manifest.json"]
    return {path.name: path.read_bytes() for path in files}


def run(out: Path) -> dict[str, Any]:
    """What a run logged, but for the clock, and what it exported."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    logged = [{k: v for k, v in line.items() if k not in _CLOCK} for line in lines]
    exported = {path.name: path.read_bytes() for path in (out / "export").iterdir()}
    return {"logged": logged, "summary": (out / "summary.csv").read_text()} | exported


def commands(folder: Path) -> dict[str, Command]:
    """All commands; makes what they read in ``folder``."""
    data = folder / "data"
    made = subprocess.run(
        [sys.executable, "-m", "fdsl_gen.cli", *DATA, f"--out={data}"],
        capture_output=True, text=True, timeout=_PATIENCE,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr

    def train(out: Path) -> list[str]:
        return ["-m", "fdsl_train.cli", "pretrain", f"--data={data}", f"--output={out}", *TRAIN]

    return {
        "render": Command(render, dataset),
        "search": Command(search, dataset),
        "train": Command(train, run),
    }


def await_handlers(process: "subprocess.Popen[str]") -> None:
    """Wait until a process handles the last of our signals, or has ended."""
    last = 1 << (signal.SIGXCPU - 1)
    deadline = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        status = Path(f"/proc/{process.pid}/status").read_text()
        if int(status.partition("SigCgt:")[2].split()[0], 16) & last:
            return
        time.sleep(0.002)


def stress(
    command: Command,
    count: int,
    folder: Path,
    *,
    seed: int = 0,
    cold: int = 8,
    tell: Callable[[str], object] = str,
) -> Counter[str]:
    """Send signals to one command after another, all on one folder, and complete it.

    Args:
        command: to interrupt.
        count: of signals.
        folder: to work in.
        seed: of the moments, and with which signal to begin.
        cold: every so many signals, kernels are compiled anew.
        tell: is given a line on every signal.

    Returns:
        How often each signal gave which exit code.
    """
    draw, codes, cache = random.Random(seed), Counter[str](), folder / "cache"
    takes = {}
    for is_cold in (True, False):
        takes[is_cold] = command.finish(folder / "whole", cache)
        expected = command.result(folder / "whole")
        shutil.rmtree(folder / "whole")
    shares = [(part + draw.random()) / count for part in range(count)]  # of that time
    draw.shuffle(shares)
    waiting = deque(enumerate(shares))
    out = folder / "out"
    while waiting:
        number, share = waiting.popleft()
        is_cold = number % cold == cold - 1
        moment = share * takes[is_cold]
        if is_cold:
            shutil.rmtree(cache, ignore_errors=True)
        sent = SIGNALS[(number + 2 * seed) % len(SIGNALS)]
        process = command.start(out, cache)
        await_handlers(process)
        time.sleep(moment)
        ended = process.poll() is not None
        if ended:
            waiting.appendleft((number, share * draw.random()))
        else:
            to = draw.choice([os.kill, os.killpg])
            to(process.pid, sent)
        try:
            _, errors = process.communicate(timeout=_TO_OBEY)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        code = process.returncode
        codes[f"{'ended before' if ended else sent.name}: {code}"] += 1
        when = f"{'ended before' if ended else 'sent after'} {moment:.2f} s"
        case = f"signal {number}, {sent.name}, {when}: code {code}\n{errors}"
        tell(case)
        right = 130 if sent is signal.SIGINT else 75
        assert code in ({0} if ended else {right, 0}), case
        assert "Traceback" not in errors and "Exception ignored" not in errors, case
        if code == 0:
            assert command.result(out) == expected, case
            shutil.rmtree(out)
    command.finish(out, cache)
    assert command.result(out) == expected
    return codes


def main() -> None:
    """COUNT signals in all, a third of them for each command (or for each that is named)."""
    # A shell starts what it puts into the background with interrupts ignored, and so would be ours.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    count = int(sys.argv[1])

    def tell(line: str) -> None:
        sys.stdout.write(line.rstrip() + "\n")
        sys.stdout.flush()

    with tempfile.TemporaryDirectory() as folder:
        every = commands(Path(folder))
        names = sys.argv[2:] or list(every)
        for seed, name in enumerate(names):
            place = Path(folder) / name
            codes = stress(every[name], -(-count // len(names)), place, seed=seed, tell=tell)
            tell(f"{name}: {dict(sorted(codes.items()))}")


if __name__ == "__main__":
    main()
