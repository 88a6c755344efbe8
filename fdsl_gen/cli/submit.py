"""``fdsl-gen submit NAME --out DIR --slurm``: a dataset as jobs of a cluster."""

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fdsl_gen.cli.executor_options import given_options
from fdsl_gen.core import recipe_files
from fdsl_gen.core.cli.help import PagedCommand, in_group
from fdsl_gen.core.cli.paths import PATH
from fdsl_gen.core.errors import UsageError
from fdsl_gen.storage.flags import PLACE, storage_options, take_storage
from fdsl_gen.storage.options import StorageOptions

if TYPE_CHECKING:
    from fdsl_gen.recipe.recipe import RecipeFile


class _Line(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """A text of one line, matched by a pattern."""

    def __init__(self, name: str, pattern: str = r"[^\r\n\0]+") -> None:
        self.name = name
        self._pattern = pattern

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The text; fails where it would be something else in a script."""
        if not re.fullmatch(self._pattern, value):
            self.fail(f"{value!r} is no {self.name}", param, ctx)
        return value


_NAME = _Line("name", r"[^\s'\"#;&|<>$`\\]+")


def _options() -> list[click.Parameter]:
    count = click.IntRange(min=1)
    return [
        click.Option(["--slurm"], is_flag=True, help="the scheduler, the only one so far"),
        click.Option(["--cpus"], type=count, default=8, show_default=True, help="of a task"),
        click.Option(
            ["--tasks"],
            type=click.IntRange(min=1, max=1000),
            help="of an array  [default: a quarter of an hour each]",
        ),
        click.Option(
            ["--time"],
            type=_Line("time of SLURM", r"[0-9]+(-[0-9]+)?(:[0-9]+){0,2}"),
            help="limit of every job, as 01:30:00  [default: measured here, doubled]",
        ),
        click.Option(
            ["--mem", "memory"],
            type=_Line("memory of SLURM", r"[0-9]+[KMGT]?"),
            help="of every task, as 8G  [default: measured here]",
        ),
        click.Option(["--partition"], type=_NAME, help="of SLURM"),
        click.Option(["--account"], type=_NAME, help="of SLURM"),
        click.Option(
            ["--sbatch"],
            type=_Line("option of sbatch", r"-[^\r\n\0]+"),
            multiple=True,
            help="further option of sbatch, as --sbatch=--qos=long",
        ),
        click.Option(
            ["--before"],
            type=_Line("line of the shell"),
            multiple=True,
            help="line of the shell before the command, as 'module load python'",
        ),
        click.Option(
            ["--scripts"], type=PATH, help="folder of scripts and logs [default: NAME-slurm]"
        ),
        click.Option(["--dry-run"], is_flag=True, help="print the scripts, submit nothing"),
    ]


_OWN = {"slurm", "cpus", "tasks", "time", "memory", "partition", "account", "sbatch", "before"}
_OWN |= {"scripts", "dry_run", "out", "tmp_dir"}


def submit_command(name: str) -> click.Command:
    """``fdsl-gen submit NAME`` with an option for every setting of the recipe."""
    from fdsl_gen.cli.recipe_options import recipe_options
    from fdsl_gen.recipe.recipe import read_recipe_file

    file = read_recipe_file(name)
    params: list[click.Parameter] = [
        *in_group(
            "jobs",
            [
                click.Option(["--out"], type=PLACE, required=True, help="place that all nodes see"),
                *_options(),
            ],
        ),
        *recipe_options(file),
        *in_group(
            "storage",
            [
                click.Option(["--tmp-dir"], type=PATH, help="where shards for s3:// are built"),
                *storage_options(),
            ],
            common=(),
        ),
    ]

    def callback(**values: Any) -> None:
        _submit(name, file, **values)

    about = f"Render {recipe_files.headline(file.path)} as jobs of a cluster."
    return PagedCommand("submit", params=params, callback=callback, help=about)


def _submit(
    name: str,
    file: "RecipeFile",
    slurm: bool,
    out: Path | str,
    tmp_dir: Path | None,
    scripts: Path | None,
    dry_run: bool,
    **values: Any,
) -> None:
    from fdsl_gen.build.estimate import estimate
    from fdsl_gen.build.slurm import Request, jobs_for, script, submit
    from fdsl_gen.cli.estimate import duration, size
    from fdsl_gen.cli.recipe_options import recipe_with

    if not slurm:
        raise UsageError("say which scheduler: --slurm")
    take_storage(values)
    request = Request(**{key: values.pop(key) for key in Request.__dataclass_fields__})
    recipe = recipe_with(file, values)
    found = None if request.is_whole else estimate(recipe, seconds=5.0, workers=1)
    settings = given_options(without=_OWN | {*StorageOptions.__dataclass_fields__})
    reaching = given_options(only=StorageOptions.__dataclass_fields__)
    place = ["--out", str(out), *reaching]
    begin = [*_program(), *(["run"] if Path(name).suffix else []), name]
    temporary = [] if tmp_dir is None else ["--tmp-dir", str(tmp_dir)]
    jobs = jobs_for(
        recipe,
        request,
        found,
        search=[*_program(), "categories", name, *place, *settings],
        render=[*begin, *place, *temporary, *settings],
        last=[[*_program(), verb, str(out), *reaching] for verb in ("finalize", "verify")],
    )
    folder = Path(scripts or f"{recipe.name}-slurm").absolute()
    texts = {
        job.name: script(job, after, request, recipe.name, folder, found)
        for job, after in zip(jobs, [None, *jobs], strict=False)
    }
    if dry_run:
        click.echo("\n".join(texts.values()), nl=False)
        return
    if found is not None:
        cost = f"{size(found.bytes)}, {found.core_seconds / 3600:,.2g} core hours"
        click.echo(f"{recipe.name}: {recipe.num_samples:,} images, {cost}")
    numbers = submit(texts, folder)
    for number, job in zip(numbers, jobs, strict=True):
        tasks = f", {job.tasks} tasks" if job.tasks else ""
        took = "" if job.seconds is None or request.time else f", at most {duration(job.seconds)}"
        click.echo(f"job {number}: {folder / job.name}.sbatch{tasks}, {job.cpus} CPUs{took}")
    click.echo(f"look: squeue --jobs {','.join(numbers)}; fdsl-gen status {shlex.quote(str(out))}")
    click.echo("should a job fail, submit again: what is there is not made again")


def _program() -> list[str]:
    """The words that start this program, on a node as well."""
    command = Path(sys.executable).with_name("fdsl-gen")
    return [str(command)] if command.exists() else [sys.executable, "-m", "fdsl_gen.cli"]
