"""``fdsl-train finetune``: a pre-trained model on a set of real images."""

import dataclasses
from pathlib import Path
from typing import Any

from fdsl_gen.errors import UsageError
from fdsl_gen.manifest import MANIFEST, META
from fdsl_train.config import load_config
from fdsl_train.data.folder import open_folders
from fdsl_train.data.reader import ShardSource, read_dataset
from fdsl_train.data.source import Source, num_samples
from fdsl_train.device import choose_device
from fdsl_train.progress import Say
from fdsl_train.run import Run, train
from fdsl_train.weights import model_for, read_trained


def finetune(
    *,
    recipe: str,
    start: Path,
    data: Path,
    val_split: float | None,
    output: Path,
    resume: bool,
    overrides: dict[str, Any],
    say: Say,
) -> None:
    """Fine-tune all weights, with a new head.

    Args:
        recipe: name or path.
        start: checkpoint or exported folder to start from.
        data: a tree of image folders, or a dataset folder with a validation split.
        val_split: share to hold out of a tree without validation folder.
        output: folder of the run.
        resume: continue what stands in ``output``.
        overrides: settings by name, over the recipe's.
        say: takes lines for the user.

    Raises:
        UsageError: for anything that can be seen to be wrong before the first step, and for a
            sample that cannot be used.
        FdslError: if the loss is not finite, or a loader process died.
    """
    config = load_config(recipe, "finetune", overrides)
    device = choose_device(config)
    trained = read_trained(start)
    sources = _open(data, val_split=val_split, seed=config.seed)
    architecture = trained.architecture
    asked = {"model": config.model, "patch_size": config.patch_size, "depth": config.depth}
    asked |= {"embed_dim": config.embed_dim, "num_heads": config.num_heads}
    for name, value in asked.items():
        if value is not None and value != getattr(architecture, name):
            raise UsageError(
                f"{name}: {start} was trained with {getattr(architecture, name)}, not {value};"
                " leave it out"
            )
    settings = dataclasses.asdict(architecture)
    settings["img_size"] = config.img_size or architecture.img_size
    resolved = dataclasses.replace(config, **settings).resolve(num_samples(sources.train))
    model = model_for(
        trained,
        num_classes=sources.train.num_classes,
        img_size=resolved.img_size,
        drop_path=resolved.drop_path,
        seed=resolved.seed,
    )
    say(f"start {start}, new head for {sources.train.num_classes} classes")
    trainer = train(
        Run(
            config=resolved,
            device=device,
            model=model,
            source=sources.train,
            validation=sources.validation,
            output=output,
        ),
        resume=resume,
        say=say,
    )
    if trainer is None:
        return
    for name, values in (("last", trainer.latest), ("best", trainer.best)):
        at = f" at step {values['step']}, chosen by {sources.label}" if name == "best" else ""
        say(
            f"{name}: top-1 {values['val_top1']:.2f} %, top-5 {values['val_top5']:.2f} %"
            f" on {sources.label}{at}"
        )


@dataclasses.dataclass(frozen=True)
class _Sources:
    """Training and validation samples, and what the latter are called."""

    train: Source
    validation: Source
    label: str


def _open(data: Path, *, val_split: float | None, seed: int) -> _Sources:
    if not (data / MANIFEST).exists() and not (data / META).exists():
        kept, held_out, label = open_folders(data, val_split=val_split, seed=seed)
        return _Sources(kept, held_out, label)
    if val_split is not None:
        raise UsageError(
            "--val-split is for folders of images; render the dataset with validation_instances"
        )
    manifest = read_dataset(data)
    return _Sources(
        ShardSource(data, manifest, "train"),
        ShardSource(data, manifest, "validation"),
        "validation",
    )
