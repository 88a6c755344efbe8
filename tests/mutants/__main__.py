"""Apply every mutant of the table to a copy of the checkout and run the tests that belong to it.

Tests run in forked processes that have the large libraries already: importing them takes longer
than most of the tests.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import click
import pytest

from tests import ROOT
from tests.mutants.table import Mutant, read_table

LIBRARIES = ("numba", "torch", "timm", "torchvision", "matplotlib.figure")
TIMEOUT = 600  # seconds for the tests of one mutant
PASSED, FAILED, STOPPED = 0, 1, -signal.SIGALRM  # pytest's exit codes, and that of a test that hung


def copy_checkout(folder: Path) -> Path:
    """What git knows or would add, in a folder of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    (folder / ".tmp").mkdir()
    return folder


def start_tests(folder: Path, tests: Iterable[str], seconds: int) -> int:
    """Run tests of a copy in a process of its own; its number. What it says is in ``.written``.

    It is ended after so many ``seconds``; 0: never.
    """
    number = os.fork()
    if number:
        return number
    try:
        os.setsid()
        signal.alarm(seconds)
        os.chdir(folder)
        with (folder / ".written").open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        # Machine code of changed kernels and temporary files stay with the copy. No byte code: a
        # file that changes twice in a second keeps the stamp that Python looks at.
        os.environ |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        os.environ |= {"XDG_CACHE_HOME": str(folder / ".cache"), "TMPDIR": str(folder / ".tmp")}
        sys.dont_write_bytecode = True
        tempfile.tempdir = None
        sys.path[:] = [str(folder), *(p for p in sys.path if Path(p or ROOT).resolve() != ROOT)]
        for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
            del sys.modules[name]
        # pytest would have liked to import the plugins among the libraries by itself.
        quiet = ["-p", "no:cacheprovider", "-W", "ignore:Module already imported"]
        code = int(pytest.main(["-x", "-q", *quiet, *tests]))
    except BaseException:
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    os._exit(code)


def wait_for_one() -> tuple[int, int]:
    """The next process that ends, and its exit code; nothing that it started is left."""
    number, status = os.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(number, signal.SIGKILL)
    return number, os.waitstatus_to_exitcode(status)


def verdict_of(code: int) -> str:
    """What the exit code of the tests says of a mutant."""
    if code in (FAILED, STOPPED):
        return "noticed" if code == FAILED else f"noticed, stopped after {TIMEOUT} s"
    return "UNNOTICED" if code == PASSED else f"NO VERDICT: the tests ended with {code}"


@click.command()
@click.option("--jobs", default=1, show_default=True, help="Mutants at a time.")
@click.option("--only", multiple=True, help="Mutants whose name or file contains this text.")
@click.option("--show", is_flag=True, help="Show what the tests wrote of mutants not noticed.")
def main(jobs: int, only: tuple[str, ...], show: bool) -> None:
    """Apply wrong changes to copies of the checkout; every one must be noticed by its tests."""
    wanted = [m for m in read_table() if not only or any(t in m.name or t in m.file for t in only)]
    if not wanted:
        raise click.UsageError("no mutant has this text in its name or file")
    if complaints := [f"{m.name}: {why}" for m in wanted if (why := m.complaint())]:
        raise click.ClickException("these cannot be applied:\n" + "\n".join(complaints))
    began = time.monotonic()
    for name in LIBRARIES:
        import_module(name)
    bad = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        free = [copy_checkout(Path(scratch).resolve() / str(number)) for number in range(jobs)]
        start_tests(free[0], sorted({test for mutant in wanted for test in mutant.tests}), 0)
        if wait_for_one()[1] != PASSED:
            click.echo((free[0] / ".written").read_text())
            raise click.ClickException("the tests fail without any change; mend that first")
        click.echo(f"the tests pass without a change ({time.monotonic() - began:.0f} s)")

        running: dict[int, tuple[Mutant, Path, str, float]] = {}
        todo = list(reversed(wanted))
        while todo or running:
            if todo and free:
                mutant, folder = todo.pop(), free.pop()
                original = (folder / mutant.file).read_text()
                (folder / mutant.file).write_text(original.replace(mutant.text, mutant.replacement))
                number = start_tests(folder, mutant.tests, TIMEOUT)
                running[number] = mutant, folder, original, time.monotonic()
                continue
            number, code = wait_for_one()
            mutant, folder, original, start = running.pop(number)
            (folder / mutant.file).write_text(original)
            free.append(folder)
            verdict = verdict_of(code)
            click.echo(f"{time.monotonic() - start:5.0f} s  {mutant.name}: {verdict}")
            if not verdict.startswith("noticed"):
                bad += 1
                click.echo(f"         {mutant.breaks} ({mutant.file})")
                if show:
                    click.echo((folder / ".written").read_text())
    minutes = (time.monotonic() - began) / 60
    click.echo(f"{len(wanted) - bad} of {len(wanted)} noticed, {minutes:.1f} minutes")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
