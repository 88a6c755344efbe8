"""The commands that move datasets to object storage and back."""

from pathlib import Path
from typing import Any

import click

from fdsl_gen.core.cli.paths import PATH
from fdsl_gen.storage.flags import take_storage, with_storage
from fdsl_gen.storage.url import parse_hub, scheme_of

JOBS = 8  # files at a time
_jobs_option = click.option(
    "--jobs",
    type=click.IntRange(min=1, max=64),
    default=JOBS,
    show_default=True,
    help="files at a time",
)


@with_storage
@click.command()
@click.argument("folder", type=PATH)
@click.argument("url")
@_jobs_option
def upload(folder: Path, url: str, jobs: int, **values: Any) -> None:
    """Copy a finished dataset to s3://BUCKET/PREFIX (gs, az) or hf://datasets/OWNER/NAME.

    What is there already is not sent again, so the same command goes on after an interruption.
    """
    from fdsl_gen.core.progress import Progress
    from fdsl_gen.storage.manifest import read_manifest

    storage = take_storage(values)
    manifest = read_manifest(folder)
    samples = sum(split.num_samples for split in manifest.splits.values())
    if scheme_of(url) == "hf":
        from fdsl_gen.dataset.hub import upload_to_hub

        click.echo(f"{upload_to_hub(folder, parse_hub(url))} is complete")
        return
    from fdsl_gen.dataset.copy import upload as send
    from fdsl_gen.storage.objects import ObjectStore

    bucket = ObjectStore.at(url, storage)
    with Progress() as progress:
        progress.begin(images=samples, done=0)
        sent = send(folder, bucket, jobs=jobs, watch=progress)
    click.echo(
        f"{bucket.url} is complete: {sent.files} files, {sent.bytes / 1e6:,.1f} MB sent,"
        f" {sent.skipped} were there"
    )


@with_storage
@click.command()
@click.argument("url")
@click.argument("folder", type=PATH)
@_jobs_option
def download(url: str, folder: Path, jobs: int, **values: Any) -> None:
    """Copy a finished dataset from s3://BUCKET/PREFIX (gs, az) to a folder.

    What is there already is checked and kept; the same command goes on after an interruption.
    """
    from fdsl_gen.core.progress import Progress
    from fdsl_gen.dataset.copy import download as bring
    from fdsl_gen.storage.manifest import read_manifest
    from fdsl_gen.storage.objects import ObjectStore

    bucket = ObjectStore.at(url, take_storage(values))
    manifest = read_manifest(bucket)
    with Progress() as progress:
        samples = sum(split.num_samples for split in manifest.splits.values())
        progress.begin(images=samples, done=0)
        got = bring(bucket, folder, jobs=jobs, watch=progress)
    click.echo(
        f"{folder} is complete: {got.files} files, {got.bytes / 1e6:,.1f} MB fetched,"
        f" {got.skipped} were there"
    )
