"""A Dask scheduler to send tasks to: one that stands, or one of our own on this machine."""

import contextlib
import logging
import re
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path

import dask
import distributed

from fdsl_gen.core import signals
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.json_text import read_json
from fdsl_gen.executors.local import without_main

_ADDRESS = re.compile(r"(?:(?:tcp|tls|ws|wss|ucx)://)?[^\s/]+:\d+")
_MOST_BYTES = 1 << 20  # of a scheduler file
_PATIENCE = "distributed.comm.timeouts.connect"
# The executor says in its own words what these would log.
_LOGGERS = ("distributed", "distributed.client", "tornado.application")
_TO_ALL = tuple(number for number in signals.ALL if number != signal.SIGTERM)
_SILENT = logging.CRITICAL + 1


def mismatch(who: str, package: str, theirs: str, ours: str) -> str:
    """What to tell of two versions."""
    return (
        f"{who} runs {package} {theirs} and this command {ours};"
        " install the same version on all hosts"
    )


def check_address(address: str) -> None:
    """Refuse what cannot be the address of a scheduler.

    Raises:
        UsageError: if it is not like ``tcp://host:8786``.
    """
    if not _ADDRESS.fullmatch(address):
        raise UsageError(f"a Dask scheduler is named like tcp://host:8786, not '{address}'")


def address_in(file: Path) -> str:
    """The address that ``dask scheduler --scheduler-file`` writes, as soon as it is there.

    Raises:
        UsageError: if it is not, within the time that Dask waits for connections.
    """
    patience = dask.utils.parse_timedelta(dask.config.get(_PATIENCE))
    end = time.monotonic() + patience
    while True:
        try:
            address = read_json(file, _MOST_BYTES)["address"]
            check_address(address)
            return str(address)
        except (OSError, ValueError, KeyError, TypeError):
            if time.monotonic() > end:
                raise UsageError(
                    f"{file} does not tell the address of a Dask scheduler after {patience:g} s;"
                    f" start one with dask scheduler --scheduler-file {file}"
                ) from None
        time.sleep(0.1)


@contextlib.contextmanager
def local_cluster(workers: int) -> Iterator[str]:
    """A scheduler and worker processes of this process, on this machine; its address."""
    with (
        without_main(),  # also when a worker that died is started again
        _shielded() as open_again,
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,  # as without Dask: that is the machine's business
            dashboard_address=None,
            silence_logs=_SILENT,
        ) as cluster,
    ):
        open_again()
        yield cluster.scheduler_address


@contextlib.contextmanager
def _shielded() -> Iterator[Callable[[], None]]:
    """Keep signals that go to all processes of a job from those that are started here.

    This process decides what they mean. Threads and processes begin with the blocked signals of
    the thread that starts them, so what Dask's threads start later is shielded, too. This thread
    itself hears signals again once the function that it gets is called, or at the end.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _TO_ALL)
    resource_tracker.ensure_running()  # at its start it lets SIGINT through again
    signal.pthread_sigmask(signal.SIG_BLOCK, _TO_ALL)

    def open_again() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    try:
        yield open_again
    finally:
        open_again()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what Dask logs off the screen."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    try:
        for name in levels:
            logging.getLogger(name).setLevel(_SILENT)
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextlib.contextmanager
def connected(address: str) -> Iterator[distributed.Client]:
    """A client of the scheduler, of the same version of Dask as all its workers.

    Raises:
        UsageError: if there is none.
    """
    try:
        with warnings.catch_warnings():
            # Its text is a table; other versions are refused below in a sentence.
            warnings.simplefilter("ignore", distributed.versions.VersionMismatchWarning)
            client = distributed.Client(address, set_as_default=False)
    except (OSError, ImportError) as error:
        raise UsageError(f"cannot reach the Dask scheduler at {address}: {error}") from None
    with client:
        found = client.get_versions()
        ours = found["client"]["packages"]["distributed"]
        hosts = {f"the Dask scheduler at {address}": found["scheduler"]}
        hosts |= {f"the worker {name}": worker for name, worker in found["workers"].items()}
        for who, versions in hosts.items():
            theirs = versions["packages"]["distributed"]
            if theirs != ours:
                raise UsageError(mismatch(who, "Dask", theirs, ours))
        yield client
