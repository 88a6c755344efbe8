"""A signal at any moment: one sentence, the right exit code, and the same bytes afterwards."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fdsl_gen.core import signals
from fdsl_gen.core.errors import Stopped

pytestmark = pytest.mark.slow  # starts processes

HINT = "the same command goes on"


def watched() -> contextlib.AbstractContextManager[None]:
    return signals.handled("command", HINT)


def wait(seconds: float = 5.0) -> None:
    """Give an exception time to be raised."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.parametrize("number", signals.WALLTIME)
def test_signals_of_schedulers_raise_stopped(number: signal.Signals) -> None:
    with pytest.raises(Stopped, match=f"stopped by {number.name}; {HINT}"), watched():
        signal.raise_signal(number)
        wait()


def test_an_interrupt_is_a_keyboard_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt), watched():
        signal.raise_signal(signal.SIGINT)
        wait()


def test_an_interrupt_in_code_that_is_text_has_its_exit_code(tmp_path: Path) -> None:
    """As dataclasses and named tuples are made while a command is imported."""
    (tmp_path / "command.py").write_text(
        "from fdsl_gen.core import signals\n"
        "def load():\n"
        "    exec('import signal, time; signal.raise_signal(signal.SIGINT); time.sleep(60)')\n"
        "signals.run('command', 'go on', load)\n"
    )
    command = [sys.executable, "-m", "command"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "command: interrupted; go on\n")


def test_an_exception_that_a_callback_would_lose_is_raised_after_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """As LLVM calls Python while it compiles."""
    done = []

    @ctypes.CFUNCTYPE(None)
    def callback() -> None:
        signal.raise_signal(signal.SIGTERM)
        done.append("callback")

    with pytest.raises(Stopped), watched():
        callback()
        done.append("after it")
        wait()
    assert done == ["after it"]
    assert "Exception ignored" not in capfd.readouterr().err


def test_an_exception_that_somebody_swallows_is_raised_again() -> None:
    with pytest.raises(KeyboardInterrupt), watched():
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        wait()


def test_what_cleans_up_is_not_disturbed() -> None:
    cleaned = False
    with pytest.raises(Stopped), watched():
        try:
            signal.raise_signal(signal.SIGTERM)
            wait()
        finally:
            wait(0.5)
            signal.raise_signal(signal.SIGUSR1)
            cleaned = True
    assert cleaned


def test_nothing_is_raised_where_the_first_signal_is_only_noted() -> None:
    with watched(), signals.noted() as request:
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGTERM)  # the launcher tells of the same event
        wait(0.4)
        assert request.signal is signal.SIGUSR1
    with pytest.raises(KeyboardInterrupt), watched(), signals.noted() as request:
        assert not request.made
        signal.raise_signal(signal.SIGINT)
        wait(1.2)
        assert request.made
        signal.raise_signal(signal.SIGINT)
        wait()


def test_after_the_end_a_signal_changes_nothing() -> None:
    with watched():
        signals.over()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        wait(0.3)


def test_everything_is_as_before_afterwards() -> None:
    def now() -> list[object]:
        return [signal.getsignal(number) for number in (*signals.ALL, signal.SIGURG)]

    before = now()
    with watched(), signals.handled("inner", HINT):
        assert now() != before
    assert now() == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_signal_that_is_to_be_ignored_is() -> None:
    """``nohup`` lets a command begin with HUP ignored."""
    code = (
        "import os, signal; from fdsl_gen.core import signals\n"
        "with signals.handled('command', ''): os.kill(os.getpid(), signal.SIGHUP)\n"
    )
    begun = subprocess.run(["nohup", sys.executable, "-c", code], capture_output=True, timeout=60)
    assert begun.returncode == 0


def process(code: str) -> "subprocess.Popen[str]":
    """A process that is ready for signals once its first line is read."""
    started = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    return started


IN_C = """
import ctypes
from fdsl_gen.core import signals
def sleep_in_c():
    libc = ctypes.CDLL(None)
    print("ready", flush=True)
    while True:
        BODY
signals.run("command", "go on", lambda: sleep_in_c)
"""


@pytest.mark.parametrize(
    ("number", "code", "sentence"),
    [
        (signal.SIGINT, 130, "command: interrupted; go on\n"),
        (signal.SIGHUP, 75, "command: stopped by SIGHUP; go on\n"),
    ],
)
@pytest.mark.parametrize("loop", [True, False], ids=["in C for ever", "at once"])
def test_a_process_ends_with_one_sentence(
    number: signal.Signals, code: int, sentence: str, loop: bool
) -> None:
    # To wait for a thread is a call into C that no signal interrupts.
    body = "libc.pthread_join(MAIN, None)" if loop else "import time; time.sleep(0.01)"
    body = body.replace("MAIN", "ctypes.c_ulong(other.ident)")
    text = IN_C.replace("BODY", body)
    if loop:
        text = text.replace(
            "    while True:",
            "    import threading, time\n"
            "    other = threading.Thread(target=time.sleep, args=(60,), daemon=True)\n"
            "    other.start()\n    while True:",
        )
    started = process(text)
    time.sleep(0.3)
    began = time.monotonic()
    started.send_signal(number)
    _, errors = started.communicate(timeout=30)
    assert (started.returncode, errors) == (code, sentence)
    assert time.monotonic() - began < 15


def test_an_end_of_file_is_not_told_as_an_interrupt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fdsl_gen.cli import main as command

    def fail(*_: object) -> None:
        raise EOFError("Ran out of input")

    monkeypatch.setattr("fdsl_gen.core.recipe_files.recipe_names", fail)
    monkeypatch.setattr(sys, "argv", ["fdsl-gen", "list"])
    with pytest.raises(SystemExit) as end:
        command.main()
    assert end.value.code == 1
    errors = capsys.readouterr().err
    assert errors.splitlines()[-1] == "fdsl-gen: unexpected error, a bug in fdsl"
    assert "Ran out of input" in errors


def test_processes_start_deaf_to_what_goes_to_all() -> None:
    mask = "import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
    with watched(), signals.shielded():
        found = subprocess.run(
            [sys.executable, "-c", mask], capture_output=True, text=True, timeout=60
        ).stdout
    for number in signals.ALL:
        assert repr(number) in found
    assert not set(signals.ALL) & signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_no_process_is_lost_between_start_and_list() -> None:
    reached = False
    with pytest.raises(Stopped), watched():
        with signals.shielded():
            os.kill(os.getpid(), signal.SIGTERM)
            wait(0.3)
            reached = True
        wait()
    assert reached
