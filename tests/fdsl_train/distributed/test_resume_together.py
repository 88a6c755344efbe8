"""Processes that resume read the checkpoint themselves, and none waits for one that failed."""

import textwrap
from pathlib import Path

import torch

from fdsl_train.training import checkpoint
from tests.fdsl_train.distributed.together import finish, start_all

# Every process says what it met, and all come to the end.
SCRIPT = """
    import sys
    from pathlib import Path
    import torch
    from fdsl_gen.core.errors import FdslError, Mismatch, UsageError
    from fdsl_train.distributed.group import process_group
    from fdsl_train.distributed.launch import find_process
    from fdsl_train.training.run import _read_same

    def fail(error):
        raise error

    first, second = map(Path, sys.argv[1:])
    process = find_process()
    with process_group(process, torch.device("cpu")) as group:
        def attempt(what):
            try:
                return what()
            except BaseException as error:
                return f"{type(error).__name__}: {error}"

        print(attempt(lambda: group.from_first(lambda: process.rank)))
        for error in (UsageError("a"), Mismatch("b"), OSError(28, "full"), KeyError("c"),
                      KeyboardInterrupt(), ValueError(lambda: "cannot travel")):
            print(attempt(lambda: group.from_first(lambda: fail(error))).partition("<")[0])
        for rank in (0, 1):
            print(attempt(lambda: group.on_all(
                lambda: fail(OSError("mine")) if process.rank == rank else rank)))
        digest = torch.load(first, weights_only=True)["digest"]
        saved = attempt(lambda: group.on_all(lambda: _read_same(first, digest)))
        print(saved["step"], saved["model"]["w"].sum().item())
        own = first if process.rank == 0 else second
        print(attempt(lambda: group.on_all(lambda: _read_same(own, digest))))
"""


def test_failures_reach_all_and_each_reads_for_itself(tmp_path: Path) -> None:
    paths = [tmp_path / "first.pth.tar", tmp_path / "second.pth.tar"]
    for step, path in enumerate(paths, 1):
        checkpoint.save(path, {"step": step, "config": {}, "model": {"w": torch.ones(5)}})
    words = ["-c", textwrap.dedent(SCRIPT), *map(str, paths)]
    (code, first, errors), (other, second, more) = finish(start_all(words, 2))
    assert code == other == 0, errors + more
    lost = "FdslError: another process of the run ended"
    assert first.splitlines() == [
        *("0", "UsageError: a", "Mismatch: b", "OSError: [Errno 28] full", "KeyError: 'c'"),
        *("KeyboardInterrupt: ", "ValueError: ", "OSError: mine", lost, "1 5.0", lost),
    ]
    assert second.splitlines() == [
        *("0", "UsageError: a", "Mismatch: b", lost, lost, lost, lost, lost, "OSError: mine"),
        "1 5.0",
        f"UsageError: {paths[1]} is another checkpoint here than for the first process; --output"
        " must be one folder, the same for all processes",
    ]
