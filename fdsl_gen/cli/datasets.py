"""Commands on datasets: status, finalize, verify, export."""

from pathlib import Path
from typing import Any

import click

from fdsl_gen.core.cli.paths import PATH
from fdsl_gen.core.errors import Mismatch, UsageError
from fdsl_gen.storage.flags import PLACE, take_storage, with_storage


@with_storage
@click.command()
@click.argument("folder", type=PLACE)
def status(folder: Path | str, **values: Any) -> None:
    """Tell how much of a dataset is done."""
    from fdsl_gen.dataset.store import open_for_writing
    from fdsl_gen.dataset.verify import status as status_of

    opened = open_for_writing(folder, take_storage(values))
    done, total, missing = status_of(opened)
    click.echo(f"{done} of {total} shards are done")
    for name in missing[:10]:
        click.echo(f"missing: {name}")
    if len(missing) > 10:
        click.echo(f"and {len(missing) - 10} more")
    if not missing:
        complete = opened.is_complete()
        click.echo("complete" if complete else f"next: fdsl-gen finalize {folder}")


@with_storage
@click.command("finalize")
@click.argument("folder", type=PLACE)
@click.option(
    "--repair",
    is_flag=True,
    help="first restore a damaged or lost recipe.json from the manifest",
)
@click.option("--overwrite", is_flag=True, help="replace a manifest that says something else")
def finalize_folder(folder: Path | str, repair: bool, overwrite: bool, **values: Any) -> None:
    """Write card, preview and manifest of a folder whose shards are all there."""
    from fdsl_gen.build.finalize import finalize
    from fdsl_gen.core.progress import Progress
    from fdsl_gen.dataset.repair import restore_recipe
    from fdsl_gen.dataset.store import open_for_writing
    from fdsl_gen.storage.open import store_at

    storage = take_storage(values)
    if repair:
        restore_recipe(store_at(folder, storage))
    with Progress() as progress:
        manifest = finalize(open_for_writing(folder, storage), progress, overwrite=overwrite)
    click.echo(f"{folder} is complete, content digest {manifest.content_digest}")


@with_storage
@click.command("verify")
@click.argument("folder", type=PLACE)
@click.option(
    "--render", "count", type=click.IntRange(min=1), help="draw this many samples again and compare"
)
def verify_folder(folder: Path | str, count: int | None, **values: Any) -> None:
    """Check every file of a dataset against its manifest."""
    from fdsl_gen.core.progress import Progress
    from fdsl_gen.dataset import verify
    from fdsl_gen.storage.manifest import read_manifest
    from fdsl_gen.storage.open import store_at

    storage = take_storage(values)
    place = store_at(folder, storage)
    manifest = read_manifest(place)
    samples = sum(split.num_samples for split in manifest.splits.values())
    with Progress() as progress:
        progress.begin(images=samples, done=0)
        problems = verify.check_files(place, lambda entry: progress.images(entry.samples))
    if count is not None and not problems:
        with Progress() as progress:
            progress.begin(images=min(count, samples), done=0)
            problems = verify.check_pixels(place, count, progress.images)
    if problems:
        raise Mismatch("; ".join(problems))
    shards = sum(len(split.shards) for split in manifest.splits.values())
    again = "" if count is None else f", {min(count, samples):,} drawn again and equal"
    click.echo(f"{folder} is intact: {shards} shards, {samples:,} samples{again}")


@click.command()
@click.argument("folder", type=PATH)
@click.option(
    "--imagefolder",
    "tree",
    type=PATH,
    help="new folder of OUT/split/category/*.png; of images and labels.csv for sets of several"
    " labels; of images and masks for segmentation, of images and annotations for instances",
)
@click.option(
    "--coco", type=PATH, help="new folder of OUT/images and OUT/annotations.json, for instances"
)
@click.option("--flat", type=PATH, help="new folder of OUT/*.png, images without labels")
def export(folder: Path, tree: Path | None, coco: Path | None, flat: Path | None) -> None:
    """Write a dataset as a tree of PNG files."""
    from fdsl_gen.core.progress import Progress
    from fdsl_gen.dataset.coco import export_coco
    from fdsl_gen.dataset.export import export_tree
    from fdsl_gen.storage import local
    from fdsl_gen.storage.manifest import read_manifest

    given = [place for place in (tree, coco, flat) if place is not None]
    if len(given) != 1:
        raise UsageError("give one of --imagefolder, --coco and --flat, and the folder to write")
    (out,) = given
    total = sum(split.num_samples for split in read_manifest(folder).splits.values())
    with Progress() as progress:
        progress.begin(images=total, done=0)
        with local.at_place_of_user(out):
            if coco is not None:
                count = export_coco(folder, out, progress.images)
            else:
                count = export_tree(folder, out, progress.images, flat=flat is not None)
    click.echo(f"{count:,} images in {out}")
