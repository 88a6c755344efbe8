"""Signals at random moments of a command: the right code every time, the same bytes afterwards.

``python -m tests.signal_stress 200`` prints how often each code came; not part of the tests.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGXCPU)
COMMANDS = {
    "render": ["fractal-1", "--image-size=64", "--num-points=3000", "--num-categories=400"],
    "search": ["fractaldb-1k", "--image-size=64", "--num-categories=40", "--num-instances=10"],
}
COMMANDS["render"] += ["--filling-rate=0.03", "--num-shards=8"]
_FIRST = 0.15  # seconds in which Python itself starts


def start(kind: str, out: Path, cache: Path) -> "subprocess.Popen[str]":
    """The command as the leader of a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "fdsl_gen.cli", *COMMANDS[kind], f"--out={out}", "--workers=2"],
        env=os.environ | {"XDG_CACHE_HOME": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def tars(out: Path) -> dict[str, bytes]:
    """The shards of a dataset."""
    return {path.name: path.read_bytes() for path in out.glob("*.tar")}


def stress(kind: str, count: int, folder: Path, seed: int = 0) -> Counter[int]:
    """Send signals to one command after another, all on one dataset, and complete it.

    Returns:
        How often each exit code came.
    """
    draw, codes, cache, out = random.Random(seed), Counter[int](), folder / "cache", folder / "out"
    began = time.monotonic()
    whole = start(kind, folder / "whole", folder / "cold")
    _, errors = whole.communicate(timeout=300)
    assert whole.returncode == 0, errors
    seconds = time.monotonic() - began
    for number in range(count):
        if number % 8 == 7:
            shutil.rmtree(cache, ignore_errors=True)  # so that kernels are compiled, too
        process = start(kind, out, cache)
        time.sleep(draw.uniform(_FIRST, seconds))
        sent = draw.choice(SIGNALS)
        ended = process.poll() is not None
        if not ended:
            to = draw.choice([os.kill, os.killpg])
            to(process.pid, sent)
        _, errors = process.communicate(timeout=60)
        codes[process.returncode] += 1
        case = f"signal {number}, {sent.name}: code {process.returncode}\n{errors}"
        expected = 130 if sent is signal.SIGINT else 75
        assert process.returncode in ({0} if ended else {expected, 0}), case
        assert "Traceback" not in errors and "Exception ignored" not in errors, case
        if process.returncode == 0:
            assert tars(out) == tars(folder / "whole")
            shutil.rmtree(out)
    last = start(kind, out, cache)
    _, errors = last.communicate(timeout=300)
    assert last.returncode == 0, errors
    assert tars(out) == tars(folder / "whole")
    return codes


def main() -> None:
    """COUNT signals, half of them for each command."""
    count = int(sys.argv[1])
    for seed, kind in enumerate(COMMANDS):
        with tempfile.TemporaryDirectory() as folder:
            codes = stress(kind, count // 2, Path(folder), seed)
        sys.stdout.write(f"{kind}: {dict(codes)}\n")


if __name__ == "__main__":
    main()
