"""Object storage on the command line: options, and the commands that move datasets."""

from pathlib import Path
from typing import Any

import click

from fdsl_gen.core.errors import Mismatch, UsageError
from fdsl_gen.store.options import S3Options
from fdsl_gen.store.url import is_remote, parse_hub, scheme_of


class Place(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """A folder, or ``s3://bucket/prefix`` as text."""

    name = "DIR|URL"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path | str:
        return value if isinstance(value, str) and is_remote(value) else Path(value)


PLACE = Place()
JOBS = 8  # files at a time
_PATH = click.Path(path_type=Path)


def storage_options() -> list[click.Parameter]:
    """Options that say how to reach object storage; the rest is in the AWS environment."""
    return [
        click.Option(["--endpoint-url"], metavar="URL", help="S3 service other than AWS"),
        click.Option(["--region"], help="of the bucket"),
        click.Option(["--profile"], help="section of the AWS configuration files"),
        click.Option(
            ["--addressing-style"],
            type=click.Choice(["auto", "path", "virtual"]),
            default="auto",
            help="place of the bucket in addresses",
        ),
        click.Option(
            ["--checksums"],
            type=click.Choice(["auto", "when_supported", "when_required"]),
            default="auto",
            help="checksums of requests  [auto: with AWS only]",
        ),
        click.Option(
            ["--retries"],
            type=click.IntRange(min=0, max=100),
            default=10,
            show_default=True,
            help="further attempts of a request",
        ),
        click.Option(
            ["--timeout"],
            type=click.FloatRange(min=0.1, max=3600),
            default=60,
            show_default=True,
            help="seconds to wait for an answer of the storage",
        ),
    ]


def with_storage(command: click.Command) -> click.Command:
    """Add the storage options to a command."""
    command.params += storage_options()
    return command


def take_storage(values: dict[str, Any]) -> S3Options:
    """The storage options, taken out of ``values``."""
    return S3Options(**{name: values.pop(name) for name in S3Options.__dataclass_fields__})


_jobs_option = click.option(
    "--jobs",
    type=click.IntRange(min=1, max=64),
    default=JOBS,
    show_default=True,
    help="files at a time",
)


@with_storage
@click.command()
@click.argument("folder", type=_PATH)
@click.argument("url")
@_jobs_option
@click.option("--cleanup", is_flag=True, help="first abort unfinished uploads under the prefix")
def upload(folder: Path, url: str, jobs: int, cleanup: bool, **values: Any) -> None:
    """Copy a finished dataset to s3://BUCKET/PREFIX or hf://datasets/OWNER/NAME.

    What is there already is not sent again, so the same command goes on after an interruption.
    """
    from fdsl_gen.archive.manifest import read_manifest
    from fdsl_gen.core.progress import Progress

    storage = take_storage(values)
    manifest = read_manifest(folder)
    samples = sum(split.num_samples for split in manifest.splits.values())
    if scheme_of(url) == "hf":
        from fdsl_gen.dataset.hub import upload_to_hub

        if cleanup:
            raise UsageError("--cleanup is for s3:// only")
        click.echo(f"{upload_to_hub(folder, parse_hub(url))} is complete")
        return
    from fdsl_gen.dataset.copy import upload as send
    from fdsl_gen.store.s3 import S3Store

    bucket = S3Store.at(url, storage)
    if cleanup:
        click.echo(f"{bucket.abort_unfinished()} unfinished uploads were aborted", err=True)
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
@click.argument("folder", type=_PATH)
@_jobs_option
def download(url: str, folder: Path, jobs: int, **values: Any) -> None:
    """Copy a finished dataset from s3://BUCKET/PREFIX to a folder.

    What is there already is checked and kept; the same command goes on after an interruption.
    """
    from fdsl_gen.archive.manifest import fetch_manifest
    from fdsl_gen.core.progress import Progress
    from fdsl_gen.dataset.copy import download as bring
    from fdsl_gen.store.s3 import S3Store

    bucket = S3Store.at(url, take_storage(values))
    manifest = fetch_manifest(bucket)
    with Progress() as progress:
        samples = sum(split.num_samples for split in manifest.splits.values())
        progress.begin(images=samples, done=0)
        got = bring(bucket, folder, jobs=jobs, watch=progress)
    click.echo(
        f"{folder} is complete: {got.files} files, {got.bytes / 1e6:,.1f} MB fetched,"
        f" {got.skipped} were there"
    )


def verify_remote(url: str, count: int | None, storage: S3Options) -> None:
    """``fdsl-gen verify URL``."""
    from fdsl_gen.archive.manifest import fetch_manifest
    from fdsl_gen.core.progress import Progress
    from fdsl_gen.dataset.copy import check_remote
    from fdsl_gen.store.s3 import S3Store

    if count is not None:
        raise UsageError("--render compares with a folder; fdsl-gen download the dataset first")
    bucket = S3Store.at(url, storage)
    manifest = fetch_manifest(bucket)
    samples = sum(split.num_samples for split in manifest.splits.values())
    with Progress() as progress:
        progress.begin(images=samples, done=0)
        problems = check_remote(
            bucket, jobs=JOBS, seen=lambda entry: progress.images(entry.samples)
        )
    if problems:
        raise Mismatch("; ".join(problems))
    shards = sum(len(split.shards) for split in manifest.splits.values())
    click.echo(f"{bucket.url} is intact: {shards} shards, {samples:,} samples")
