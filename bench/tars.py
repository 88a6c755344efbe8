"""How long the headers of other people's WebDataset shards take, beside reading all their bytes.

    python -m bench.tars --tars 1000 --samples 1000 --bytes 10000 --folder FOLDER

The tars are made first, and deleted afterwards. Before each figure that says "from the disk" the
system is asked to forget what it holds of them in memory.
"""

import argparse
import io
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from fdsl_gen.core.user_dirs import cache_folder
from fdsl_gen.storage.threads import map_threads
from fdsl_train.data.locate.dataset import DatasetLocation
from fdsl_train.data.open import DataSpec, open_pretrain


def make_tars(folder: Path, tars: int, samples: int, size: int) -> None:
    """Tars of ``samples`` images of ``size`` random bytes and their labels, all alike."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number in range(samples):
            for ending, content in (("jpg", os.urandom(size)), ("cls", b"%d" % (number % 1000))):
                member = tarfile.TarInfo(f"n{number % 1000:08d}/{number:08d}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    for number in range(tars):
        (folder / f"train-{number:06d}.tar").write_bytes(buffer.getbuffer())


def forget(folder: Path) -> None:
    """Have no byte of the tars in memory."""
    os.sync()
    for path in folder.glob("*.tar"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_whole(path: Path) -> None:
    """Every byte of a file."""
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 22):
            pass


def seconds(what: str, work: Callable[[], object], count: int) -> None:
    """Print how long something took."""
    began, busy = time.perf_counter(), time.process_time()
    work()
    took, busy = time.perf_counter() - began, time.process_time() - busy
    rate = f"{count / took:12,.0f} samples/s"
    print(f"{what:36} {took:8.1f} s, of the CPU {busy:6.1f} s {rate}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tars", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--bytes", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    given = parser.parse_args()
    count = given.tars * given.samples
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name) / "tars"
        folder.mkdir()
        os.environ["XDG_CACHE_HOME"] = str(Path(name) / "cache")
        make_tars(folder, given.tars, given.samples, given.bytes)
        total = sum(path.stat().st_size for path in folder.glob("*.tar"))
        print(f"{given.tars:,} tars, {count:,} samples, {total / 1e9:.1f} GB", flush=True)
        where = DataSpec(place=DatasetLocation(data=folder))

        def whole() -> None:
            for _ in map_threads(read_whole, sorted(folder.glob("*.tar")), 8):
                pass

        forget(folder)
        seconds("all bytes, from the disk", whole, count)
        forget(folder)
        seconds("headers and labels, from the disk", lambda: open_pretrain(where), count)
        seconds("what was kept", lambda: open_pretrain(where), count)
        shutil.rmtree(cache_folder("tars") or "")
        seconds("headers and labels, from memory", lambda: open_pretrain(where), count)


if __name__ == "__main__":
    main()
