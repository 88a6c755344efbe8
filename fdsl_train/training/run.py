"""A run from its parts: what pre-training and fine-tuning have in common."""

import logging
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fdsl_gen import __version__
from fdsl_gen.core import settings
from fdsl_gen.core.errors import UsageError
from fdsl_train.config import Resolved
from fdsl_train.data.holdout import HeldOut
from fdsl_train.data.loader import Loader
from fdsl_train.data.sampler import Sequential
from fdsl_train.data.sources.base import Pictures, Source, num_samples, order_of
from fdsl_train.data.sources.decoded import decode_once, decoded_bytes
from fdsl_train.data.sources.formula import FormulaSource
from fdsl_train.data.sources.mixture import parts_of, show_fresh
from fdsl_train.data.sources.shards import ShardSource
from fdsl_train.data.workers import loader_processes
from fdsl_train.distributed.device import describe
from fdsl_train.distributed.group import Group, process_group
from fdsl_train.distributed.launch import Process
from fdsl_train.models.architecture import num_parameters
from fdsl_train.models.export import export
from fdsl_train.tasks import task_for
from fdsl_train.training import checkpoint
from fdsl_train.training.chance import guess_from, standing
from fdsl_train.training.checkpoint import LAST
from fdsl_train.training.data_record import write_data
from fdsl_train.training.presence import check_present
from fdsl_train.training.progress import Progress
from fdsl_train.training.result import RunResult
from fdsl_train.training.run_dir import EXPORT, FRESH, check_same_run, open_output, write_args
from fdsl_train.training.train_step import Learner
from fdsl_train.training.trainer import Trainer, Validation
from fdsl_train.training.utilization import peak_rate
from fdsl_train.transforms import transform_for_training, transform_for_validation

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything a run needs.

    Attributes:
        config: the resolved recipe.
        process: which of the processes of the run this is.
        device: where to compute.
        model: with its first weights, the same in all processes.
        source: training samples.
        validation: samples to measure on, if any.
        pictures: to mix into the training samples, if any.
        output: folder of the run.
        start: digest of the trained weights that the model has; empty for freshly drawn ones.
        start_name: what they came from, for people.
        held_out: how validation was chosen, if it is a share of the data.
    """

    config: Resolved
    process: Process = Process()
    device: torch.device
    model: nn.Module
    source: Source
    validation: Source | None = None
    pictures: Pictures | None = None
    output: Path
    start: str = ""
    start_name: str = ""
    held_out: HeldOut | None = None

    @property
    def data_digest(self) -> str:
        """Of all that is trained on: samples, and the pictures mixed into them."""
        if self.pictures is None:
            return self.source.digest
        return settings.digest([self.source.digest, self.pictures.digest])


def train(run: Run, *, resume: bool) -> RunResult:
    """Train to the end, and export the model.

    Args:
        run: what to do.
        resume: continue what stands in the output folder, if anything does.

    Returns:
        The finished run, also if it had been finished before.
    """
    config = run.config
    config.batch_per_process(run.process.world_size)
    if config.fresh_instances:
        show_fresh(run.source)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    with process_group(run.process, run.device) as group:
        trainer = _trainer(run, group)
        saved = _saved(run, group, resume)
        if saved is not None and saved["step"] == config.steps and (run.output / EXPORT).is_dir():
            logger.info(f"{run.output} is finished already: all {config.steps} steps are done")
            trainer.latest, trainer.best = saved["latest"], saved["best"]
            trainer.guess = guess_from(saved.get("guess"))
            return _result(trainer, group)
        if saved is not None:
            group.on_all(partial(trainer.restore, saved))
        _announce(run, trainer.step)
        _decode(config, run.source, config.steps * config.global_batch_size)
        progress = Progress(config.steps, trainer.step, quiet=not group.is_main)
        try:
            trainer.run(_batches(run, trainer.step), progress)
        finally:
            progress.close()
        if group.is_main:
            check_present(run.output)
            model = trainer.learner.best_model
            exported = export(run.output, model, config, run.source.class_names, run.held_out)
            logger.info(f"all {config.steps} steps done, after {progress.elapsed}")
            logger.info(f"checkpoint {run.output / LAST}, model for timm {exported}")
        return _result(trainer, group)


def _result(trainer: Trainer, group: Group) -> RunResult:
    """The finished run, the same in every process."""
    output, latest = trainer.output, trainer.latest
    found = group.from_first(
        lambda: standing(output, trainer.task.blind_loss(), latest, trainer.guess)
    )
    return RunResult(
        output=output,
        steps=trainer.config.steps,
        last=latest,
        best=trainer.best,
        standing=found,
    )


def _saved(run: Run, group: Group, resume: bool) -> dict[str, Any] | None:
    """The checkpoint to continue from, read by each process itself; the folder is ready then."""
    digest = group.from_first(lambda: _open(run, resume))
    if digest is None:
        return None
    return group.on_all(lambda: _read_same(run.output / LAST, digest))


def _open(run: Run, resume: bool) -> str | None:
    """Make the folder ready; the digest of the checkpoint in it, if it may be continued."""
    saved = open_output(run.output, resume=resume)
    if saved is not None:
        check_same_run(run.output, saved, run.config, run.data_digest, run.start)
    write_args(run.output, run.config, run.source.name, run.source.digest, run.start_name)
    write_data(run.output, run.source, run.start_name or FRESH)
    return None if saved is None else str(saved["digest"])


def _read_same(path: Path, digest: str) -> dict[str, Any]:
    """The checkpoint that the first process found, mapped from the file."""
    saved = checkpoint.load(path)
    if saved["digest"] != digest:
        raise UsageError(
            f"{path} is another checkpoint here than for the first process; --output must be one"
            " folder, the same for all processes"
        )
    return saved


def _decode(config: Resolved, source: Source, shown: int) -> None:
    """Decode small datasets once, those that are shown more than once."""
    room = config.decoded_cache * 1e9
    for part, share in parts_of(source):
        size = _worth_decoding(part, shown * share)
        if not 0 < size <= room:
            continue
        assert isinstance(part, ShardSource | FormulaSource)
        decoded = decode_once(part)
        if decoded is not None:
            part.use(decoded)
            room -= size
            logger.info(f"{size / 1e6:,.0f} MB of pixels, decoded once for this machine")


def _worth_decoding(source: Source, shown: Fraction) -> int:
    """Bytes of a set that is better decoded once, ``shown`` images of it being shown; else 0."""
    if not isinstance(source, ShardSource | FormulaSource) or shown < 2 * num_samples(source):
        return 0
    if isinstance(source, FormulaSource) and not source.is_fixed:
        return 0
    if isinstance(source, ShardSource) and source.has_points:
        return 0  # their digests are of the points, too, which training does not read
    return decoded_bytes(source)


def _batches(run: Run, start: int) -> Loader:
    config, source = run.config, run.source
    return Loader(
        source,
        order_of(
            source,
            seed=config.seed,
            batch_size=config.global_batch_size,
            repeats=config.aug_repeats,
        ),
        transform_for_training(config, run.pictures),
        seed=config.seed,
        batches=range(start, config.steps),
        workers=loader_processes(config.workers),
        rank=run.process.rank,
        world_size=run.process.world_size,
        device=run.device,
        channels_last=config.channels_last,
    )


def _trainer(run: Run, group: Group) -> Trainer:
    config, source = run.config, run.source
    samples = num_samples(source)
    validation = None
    if run.validation is not None:
        # Whole batches go to one process each: every sample is counted by exactly one.
        plan = Sequential(run.validation.shard_sizes, config.batch_per_process(group.world_size))
        loader = Loader(
            run.validation,
            plan,
            transform_for_validation(config.input_spec, dense=config.decoder is not None),
            seed=config.seed,
            batches=range(group.rank, plan.num_batches, group.world_size),
            workers=loader_processes(config.workers),
            device=run.device,
            channels_last=config.channels_last,
        )
        validation = Validation(loader, config.steps_for(config.eval_epochs, samples))
    task = task_for(config, source)
    return Trainer(
        config=config,
        task=task,
        learner=Learner(config, task, run.model, group),
        group=group,
        output=run.output,
        facts={
            "data": run.data_digest,
            "start": run.start,
            "num_classes": source.num_classes,
            "class_names": source.class_names,
            "held_out": None if run.held_out is None else vars(run.held_out),
        },
        num_samples=samples,
        about={
            "data": source.name,
            "data_digest": run.data_digest,
            "start": run.start_name or FRESH,
            "fdsl": __version__,
        },
        peak_rate=peak_rate(config, source.num_classes, group),
        validation=validation,
    )


def _announce(run: Run, start: int) -> None:
    """What is about to happen, in two lines."""
    config = run.config
    samples = num_samples(run.source)
    images = config.steps * config.global_batch_size
    logger.info(
        f"{config.model}, {num_parameters(run.model) / 1e6:.2f}M weights, {config.img_size} px,"
        f" {run.source.num_classes} classes, on {describe(run.device)}"
    )
    several = run.process.world_size
    share = config.batch_per_process(several)
    each = f" ({share} at once in each of {several} processes)" if several > 1 else ""
    begin = f"from step {start} to {config.steps}" if start else f"{config.steps} steps"
    logger.info(
        f"{begin} of {config.global_batch_size} images{each}: {images} images,"
        f" {images / samples:.4g} epochs of {samples}; peak lr {config.peak_lr:.3g}"
    )
    if run.pictures is not None:
        logger.info(f"PixMix with {run.pictures.count:,} pictures of {run.pictures.name}")
