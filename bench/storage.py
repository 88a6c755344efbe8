"""Object storage beside plain boto3: ``python -m bench.storage``.

A moto server on this machine stands for the storage, so the figures tell what fdsl adds to a
request, not how fast a network is. Every run is a process of its own, runs alternate, and medians
are shown. What fdsl does besides: sha256 of every shard, the look whether it is there, claim and
manifest, and on the way back fsync and renaming.
"""

import contextlib
import multiprocessing
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import click

from fdsl_gen import load_recipe
from fdsl_gen.archive.manifest import ImageEntry, Manifest, ShardEntry, SplitEntry
from fdsl_gen.archive.paths import MANIFEST
from fdsl_gen.dataset.copy import download, upload
from fdsl_gen.executors import Silent
from fdsl_gen.storage import local
from fdsl_gen.storage.objects import ObjectStore
from fdsl_gen.storage.options import StorageOptions

BUCKET = "bench"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_DEFAULT_REGION": "us-east-1",
}
SIZES = ((32, 4 << 20), (4, 128 << 20))  # shards, bytes of each


def make_folder(folder: Path, count: int, size: int) -> None:
    """A dataset folder whose shards are noise: copying never looks inside."""
    recipe = load_recipe("fractal-1", num_categories=1000, num_shards=count)
    entries = []
    with Path("/dev/urandom").open("rb") as noise:
        for s in range(count):
            data = noise.read(size)
            name = f"fractal-1-train-{s:06d}.tar"
            (folder / name).write_bytes(data)
            entries.append(
                ShardEntry(
                    file=name,
                    samples=1,
                    bytes=size,
                    sha256=sha256(data).hexdigest(),
                    content_digest="0" * 32,
                )
            )
    manifest = Manifest(
        format=1,
        recipe=recipe.to_dict(),
        identity=recipe.identity,
        recipe_digest=recipe.recipe_digest,
        content_digest="0" * 32,
        task="single",
        num_classes=1000,
        image=ImageEntry(height=512, width=512, channels=1, levels=None),
        members=("png", "cls"),
        splits={"train": SplitEntry(num_samples=count, shards=tuple(entries))},
    )
    local.write(folder / MANIFEST, manifest.to_json())


def fdsl_upload(folder: Path, back: Path, bucket: ObjectStore, jobs: int) -> None:
    """``fdsl-gen upload``."""
    upload(folder, bucket, jobs=jobs, watch=Silent())


def fdsl_download(folder: Path, back: Path, bucket: ObjectStore, jobs: int) -> None:
    """``fdsl-gen download``."""
    download(bucket, back, jobs=jobs, watch=Silent())


def _put(client: Any, key: str, here: Path, back: Path) -> None:
    with here.open("rb") as file:
        client.put_object(Bucket=BUCKET, Key=key, Body=file)


def _upload(client: Any, key: str, here: Path, back: Path) -> None:
    client.upload_file(str(here), BUCKET, key)


def _get(client: Any, key: str, here: Path, back: Path) -> None:
    body = client.get_object(Bucket=BUCKET, Key=key)["Body"]
    with back.open("wb") as file:
        for chunk in body.iter_chunks(1 << 20):
            file.write(chunk)


def _get_checked(client: Any, key: str, here: Path, back: Path) -> None:
    """With the care that fdsl takes: hashed, and on the disk before it has its name."""
    hashed = sha256()
    body = client.get_object(Bucket=BUCKET, Key=key)["Body"]
    with back.with_suffix(".part").open("wb") as file:
        for chunk in body.iter_chunks(1 << 20):
            hashed.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    assert len(hashed.hexdigest()) == 64
    back.with_suffix(".part").rename(back)


def _download(client: Any, key: str, here: Path, back: Path) -> None:
    client.download_file(BUCKET, key, str(back))


def plain(
    call: Callable[[Any, str, Path, Path], None],
    folder: Path,
    back: Path,
    bucket: ObjectStore,
    jobs: int,
) -> None:
    """A call of boto3 for every shard, in as many threads."""
    client = boto3.client("s3", endpoint_url=bucket.options.endpoint_url)
    back.mkdir(exist_ok=True)
    with ThreadPoolExecutor(jobs) as pool:
        for _ in pool.map(
            lambda here: call(client, f"{bucket.prefix}/{here.name}", here, back / here.name),
            sorted(folder.glob("*.tar")),
        ):
            pass


WAYS: dict[str, Callable[[Path, Path, ObjectStore, int], None]] = {
    "fdsl upload": fdsl_upload,
    "put_object": partial(plain, _put),
    "upload_file": partial(plain, _upload),
    "fdsl download": fdsl_download,
    "get_object": partial(plain, _get),
    "get_object, checked": partial(plain, _get_checked),
    "download_file": partial(plain, _download),
}


def one_run(
    name: str, folder: Path, back: Path, bucket: ObjectStore, jobs: int, answer: Any
) -> None:
    """In a process of its own: seconds, and the peak of its memory in MB before and after."""
    if name.startswith("fdsl"):
        bucket.stat("connected")
    before = peak()
    began = time.perf_counter()
    WAYS[name](folder, back, bucket, jobs)
    seconds = time.perf_counter() - began
    answer.put((seconds, before, peak()))


def peak() -> float:
    """The most memory this process ever had, MB; unlike ru_maxrss not that of its parent."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def measured(*arguments: Any) -> tuple[float, float, float]:
    """:func:`one_run` in a new process."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=one_run, args=(*arguments, answer))
    process.start()
    result: tuple[float, float, float] = answer.get(timeout=600)
    process.join()
    return result


def clear(bucket: ObjectStore) -> None:
    """Delete everything under a prefix."""
    for name in bucket.list():
        bucket.delete(name)


def table(endpoint: str, count: int, size: int, runs: int, jobs: int) -> None:
    """Print the figures for one size of shards."""
    options = StorageOptions(endpoint_url=endpoint)
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "set"
        folder.mkdir()
        make_folder(folder, count, size)
        kept = ObjectStore("s3", BUCKET, "kept", options)
        fdsl_upload(folder, folder, kept, jobs)
        for run in range(runs):
            for name in (*WAYS,) if run % 2 else (*reversed(WAYS),):
                back = Path(temporary) / "back"
                up = name in list(WAYS)[:3]
                bucket = ObjectStore("s3", BUCKET, "sent", options) if up else kept
                found[name].append(measured(name, folder, back, bucket, jobs))
                shutil.rmtree(back, ignore_errors=True)
                if up:
                    clear(bucket)
        clear(kept)
    click.echo(f"\n{count} shards of {size / 2**20:.0f} MiB, {jobs} at a time, {runs} runs\n")
    click.echo("| way | MB/s | of plain | peak memory, MB | of it before the start |")
    click.echo("|---|---|---|---|---|")
    rates = {
        name: statistics.median(count * size / 1e6 / seconds for seconds, _, _ in results)
        for name, results in found.items()
    }
    for name, results in found.items():
        group = list(WAYS)[:3] if name in list(WAYS)[:3] else list(WAYS)[3:]
        best = max(rates[other] for other in group[1:])
        peak = statistics.median(peak for _, _, peak in results)
        before = statistics.median(before for _, before, _ in results)
        click.echo(
            f"| {name} | {rates[name]:,.0f} | {rates[name] / best:.2f} | {peak:,.0f} |"
            f" {before:,.0f} |"
        )


@contextlib.contextmanager
def storage() -> Iterator[str]:
    """The address of a moto server in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@click.command()
@click.option("--runs", default=5, show_default=True, help="of every way, alternating")
@click.option("--jobs", default=4, show_default=True, help="files at a time")
def main(runs: int, jobs: int) -> None:
    """Measure copies to object storage and back beside plain boto3."""
    os.environ.update(ENVIRONMENT)
    for count, size in SIZES:
        with storage() as endpoint:
            boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=BUCKET)
            table(endpoint, count, size, runs, jobs)


if __name__ == "__main__":
    main()
