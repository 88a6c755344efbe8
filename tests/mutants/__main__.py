"""Apply every mutant of the table to a copy of the checkout and run the tests that belong to it."""

import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from tests.mutants.table import ROOT, Mutant, read_table

TIMEOUT = 600  # seconds for the tests of one mutant
PASSED, FAILED = 0, 1  # exit codes of pytest; others mean that the tests did not run


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
    return folder


def run_tests(folder: Path, tests: Iterable[str]) -> tuple[int | None, str]:
    """pytest's exit code, None if the time was over, and what it wrote."""
    # No byte code: a file that changes twice in a second keeps the stamp that Python looks at.
    # Machine code of changed kernels is kept with the copy.
    own = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    own |= {"XDG_CACHE_HOME": str(folder / ".cache"), "TMPDIR": str(folder / ".tmp")}
    (folder / ".tmp").mkdir(exist_ok=True)
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            words, cwd=folder, env=os.environ | own, timeout=TIMEOUT,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None, f"not done after {TIMEOUT} s"
    return done.returncode, done.stdout


def try_mutant(mutant: Mutant, folder: Path) -> tuple[str, str]:
    """A verdict (noticed, UNNOTICED, or a reason why it is unknown), and what pytest wrote."""
    if complaint := mutant.complaint(folder):
        return f"COULD NOT APPLY: {complaint}", ""
    path = folder / mutant.file
    original = path.read_text()
    path.write_text(original.replace(mutant.text, mutant.replacement))
    try:
        code, written = run_tests(folder, mutant.tests)
    finally:
        path.write_text(original)
    if code == FAILED or code is None:
        return "noticed", written
    return ("UNNOTICED" if code == PASSED else f"NO VERDICT: pytest returned {code}"), written


@click.command()
@click.option("--jobs", default=1, show_default=True, help="Mutants at a time.")
@click.option("--only", multiple=True, help="Mutants whose name or file contains this text.")
@click.option("--show", is_flag=True, help="Show what pytest wrote of mutants not noticed.")
def main(jobs: int, only: tuple[str, ...], show: bool) -> None:
    """Apply wrong changes to copies of the checkout; every one must be noticed by its tests."""
    wanted = [m for m in read_table() if not only or any(t in m.name or t in m.file for t in only)]
    if not wanted:
        raise click.UsageError("no mutant has this text in its name or file")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for number in range(jobs):
            copies.put(copy_checkout(Path(scratch) / str(number)))
        code, written = run_tests(Path(scratch) / "0", sorted({t for m in wanted for t in m.tests}))
        if code != PASSED:
            click.echo(written)
            raise click.ClickException("the tests fail without any change; mend that first")
        click.echo(f"the tests pass without a change ({time.monotonic() - began:.0f} s)")

        def attempt(mutant: Mutant) -> tuple[Mutant, str, str, float]:
            folder, start = copies.get(), time.monotonic()
            try:
                return mutant, *try_mutant(mutant, folder), time.monotonic() - start
            finally:
                copies.put(folder)

        bad = 0
        with ThreadPoolExecutor(jobs) as pool:
            for mutant, verdict, written, seconds in pool.map(attempt, wanted):
                click.echo(f"{seconds:5.0f} s  {mutant.name}: {verdict}")
                if verdict != "noticed":
                    bad += 1
                    click.echo(f"         {mutant.breaks} ({mutant.file})")
                    if show:
                        click.echo(written)
    minutes = (time.monotonic() - began) / 60
    click.echo(f"{len(wanted) - bad} of {len(wanted)} noticed, {minutes:.1f} minutes")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
