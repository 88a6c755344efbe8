"""``fdsl-train finetune``: a pre-trained model on a set of real images."""

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from fdsl_gen.core.errors import UsageError
from fdsl_train.config import Resolved, TrainConfig, load_config
from fdsl_train.data.open import DataSpec, TrainValData, data_spec, open_train_val
from fdsl_train.data.pictures import open_pictures
from fdsl_train.data.sources.base import num_samples
from fdsl_train.data.sources.mask_folder import MaskSpec
from fdsl_train.distributed.device import choose_device
from fdsl_train.distributed.launch import find_process
from fdsl_train.models.adapt import build_from_pretrained, resize_note
from fdsl_train.models.architecture import Architecture, architecture_of, create_model, published
from fdsl_train.models.class_labels import ClassOrder, model_labels
from fdsl_train.models.hub import local_weights
from fdsl_train.models.pretrained import PretrainedWeights, read_pretrained
from fdsl_train.models.value_digest import value_digest
from fdsl_train.tasks import TASKS
from fdsl_train.training.chance import tell
from fdsl_train.training.result import RunResult
from fdsl_train.training.run import Run, train
from fdsl_train.training.trackers import check_installed

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class InitSpec:
    """What to start from.

    Attributes:
        checkpoint: a file or folder of weights; None starts from freshly drawn ones.
        keep_head: keep the trained classifier instead of drawing a new one.
        keep_decoder: keep the trained decoder.
        averaged: take the moving average of the weights that is kept in the file.
        class_order: how a head that is kept counts classes that its file does not name.
    """

    checkpoint: Path | None
    keep_head: bool = False
    keep_decoder: bool = False
    averaged: bool = False
    class_order: ClassOrder | None = None

    def __post_init__(self) -> None:
        given = {
            "--keep-head": self.keep_head,
            "--keep-decoder": self.keep_decoder,
            "--use-ema": self.averaged,
        }
        if self.checkpoint is None and any(given.values()):
            flag = next(flag for flag, is_given in given.items() if is_given)
            raise UsageError(f"{flag}: --from-scratch has nothing to take it from; leave it out")
        if self.class_order is not None and not self.keep_head:
            raise UsageError(
                "--class-order: says what a trained head means, and the head is new; leave it out,"
                " or keep the trained one with --keep-head"
            )


def finetune(
    data: str | Path | DataSpec,
    output: str | Path,
    *,
    checkpoint: str | Path | None,
    recipe: str | TrainConfig = "finetune-small",
    keep_head: bool = False,
    keep_decoder: bool = False,
    use_ema: bool = False,
    class_order: ClassOrder | None = None,
    val_split: float | None = None,
    resume: bool = False,
    **settings: Any,
) -> RunResult:
    """Fine-tune a model, with a new head unless asked otherwise.

    Args:
        data: the images: a tree of class folders, a dataset of ours or its URL, ``torch/NAME`` or
            ``hfds/NAME``; they need a validation part. With the setting ``task="segmentation"``
            images with masks.
        output: folder of the run.
        checkpoint: file or folder of weights to start from, or ``hf://OWNER/NAME``; None: freshly
            drawn ones, of the setting ``model``.
        recipe: name or path of a training recipe, or one that ``load_config`` has read.
        keep_head: keep the trained classifier instead of drawing a new one.
        keep_decoder: of a model trained on masks: keep its decoder, too.
        use_ema: start from the moving average of the weights that is kept in the file.
        class_order: how a kept head counts classes that its file does not name.
        val_split: share to hold out of images without a validation part.
        resume: continue what stands in ``output``, if anything does.
        settings: over those of a named recipe, by name.

    Returns:
        The finished run; in every process of a distributed one.

    Raises:
        UsageError: for anything that can be seen to be wrong before the first step, and for a
            sample that cannot be used.
        FdslError: if the loss is not finite, or a loader process died.

    Examples:
        >>> export = "runs/smoke/export"
        >>> finetune("photos/", "runs/photos", checkpoint=export, recipe="cpu-finetune").best
    """
    path = None if checkpoint is None else local_weights(checkpoint)
    start = InitSpec(
        checkpoint=path,
        keep_head=keep_head,
        keep_decoder=keep_decoder,
        averaged=use_ema,
        class_order=class_order,
    )
    where, output = data_spec(data), Path(output)
    process = find_process()
    if where.download and process.world_size > 1:
        raise UsageError(
            "--download: several processes would write the same files; fetch them with one, such as"
            " fdsl-train knn, and leave the flag out here"
        )
    config = load_config(recipe, "finetune", settings, process.world_size)
    check_installed(config.log_to)
    device = choose_device(config, process.local_rank)
    trained = None
    if start.checkpoint is not None:
        asked = dataclasses.asdict(architecture_of(config).classifier())
        trained = read_pretrained(start.checkpoint, asked, averaged=start.averaged)
    if config.task == "segmentation":
        spec = MaskSpec(num_classes=config.num_classes, reduce_zero_label=config.reduce_zero_label)
        where = dataclasses.replace(where, masks=spec)
    sources = open_train_val(where, val_split=val_split, seed=config.seed)
    pictures = None if config.pixmix is None else open_pictures(config.pixmix)
    _check_amount(sources, config)
    _check_task(sources, config)
    architecture = _architecture(config, trained, start, dense=sources.train.label_type.dense)
    resolved = dataclasses.replace(config, **dataclasses.asdict(architecture)).resolve(
        num_samples(sources.train)
    )
    labels = _kept_labels(trained, start, sources)
    model = _first_weights(resolved, trained, start, labels, sources)
    finished = train(
        Run(
            config=resolved,
            process=process,
            device=device,
            model=model,
            source=sources.train,
            validation=sources.validation,
            pictures=pictures,
            output=output,
            held_out=sources.held_out,
            start_name="" if trained is None else trained.name,
            start="" if trained is None else value_digest([trained.digest(), labels]),
        ),
        resume=resume,
    )
    label, step = sources.label, finished.best["step"]
    logger.info(f"last: {finished.in_words(finished.last)} on {label}")
    best = finished.in_words(finished.best)
    logger.info(f"best: {best} on {label} at step {step}, chosen by {label}")
    if process.rank == 0:
        train_data = sources.train
        tell(
            finished.standing, "finetune", train_data.class_names, dense=train_data.label_type.dense
        )
    return dataclasses.replace(finished, label=label)


def _check_amount(sources: TrainValData, config: TrainConfig) -> None:
    count = num_samples(sources.train)
    if count < config.global_batch_size:
        raise UsageError(
            f"{sources.train.name} has {count} training images, fewer than the"
            f" {config.global_batch_size} of a batch; give a smaller --batch-size"
        )


def _check_task(sources: TrainValData, config: TrainConfig) -> None:
    asked, label_type = config.task, sources.train.label_type
    if asked not in (None, TASKS[label_type.name].name):
        kind = "masks" if label_type.dense else "labels"
        raise UsageError(f"task: {sources.train.name} has {kind}, which is not for {asked}")


def _scratch(config: TrainConfig) -> Architecture:
    if config.model is None:
        if config.scratch_recipe is None:
            raise UsageError("--from-scratch needs --model, a name of timm's")
        like = load_config(config.scratch_recipe, "pretrain", {})
        given = {name: value for name, value in vars(architecture_of(config)).items() if value}
        return dataclasses.replace(architecture_of(like), **given)
    side = published(config.model).input_size[-1]
    return dataclasses.replace(architecture_of(config), img_size=config.img_size or side)


def _architecture(
    config: TrainConfig, trained: PretrainedWeights | None, start: InitSpec, *, dense: bool
) -> Architecture:
    """What to train: the trained model, at the size and with the decoder that are asked for."""
    base = _scratch(config) if trained is None else trained.architecture
    decoder, channels = config.decoder, config.decoder_channels
    if start.keep_head and dense and not start.keep_decoder:
        raise UsageError("--keep-head: the head belongs to its decoder; add --keep-decoder")
    if start.keep_decoder and (not dense or base.decoder is None):
        why = "the data have labels, not masks" if not dense else "what it starts from has none"
        raise UsageError(f"--keep-decoder: {why}; leave it out")
    if dense and decoder in (None, base.decoder):
        decoder, channels = base.decoder, channels or base.decoder_channels
    if start.keep_decoder and (decoder, channels) != (base.decoder, base.decoder_channels):
        raise UsageError(
            f"--keep-decoder: it is {base.decoder} of {base.decoder_channels} channels; leave"
            " --decoder and --decoder-channels out"
        )
    return dataclasses.replace(
        base,
        img_size=config.img_size or base.img_size,
        decoder=decoder,
        decoder_channels=channels,
    ).for_labels(dense=dense)


def _kept_labels(
    trained: PretrainedWeights | None, start: InitSpec, sources: TrainValData
) -> list[int] | None:
    """The label in the trained head for each label of the data; None for a new head."""
    if trained is None or not start.keep_head:
        return None
    classes = sources.train.num_classes
    if trained.num_classes != classes:
        width = (
            "is missing" if trained.num_classes is None else f"has {trained.num_classes} classes"
        )
        raise UsageError(
            f"--keep-head: the head of {trained.name} {width}, the data has {classes}; leave it out"
            " for a new head"
        )
    return model_labels(trained, sources.train, start.class_order)


def _first_weights(
    config: Resolved,
    trained: PretrainedWeights | None,
    start: InitSpec,
    labels: list[int] | None,
    sources: TrainValData,
) -> nn.Module:
    """The model before the first step, its head kept by ``labels``; says where it is from."""
    classes = sources.train.num_classes
    if trained is None:
        logger.info(f"from scratch: {config.model} with freshly drawn weights, {classes} classes")
        return create_model(
            architecture_of(config),
            num_classes=classes,
            drop_path=config.drop_path,
            seed=config.seed,
        )
    side = trained.architecture.img_size
    sizes = f", {side} px to {config.img_size} px" if side != config.img_size else ""
    head = "its own head kept" if labels is not None else f"new head for {classes} classes"
    if config.decoder is not None:
        head = f"{'its own' if start.keep_decoder else 'new'} decoder ({config.decoder}), {head}"
    alone = ", which alone is trained" if config.freeze == "backbone" else ""
    logger.info(f"start {trained.name}{sizes}, {head}{alone}")
    resized = resize_note(trained, config.img_size)
    for note in (*trained.notes, *([resized] if resized else [])):
        logger.info(note)
    return build_from_pretrained(
        trained,
        num_classes=classes if labels is None else None,
        img_size=config.img_size,
        drop_path=config.drop_path,
        seed=config.seed,
        labels=labels,
        architecture=architecture_of(config),
        keep_decoder=start.keep_decoder,
    )
