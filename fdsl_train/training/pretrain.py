"""``fdsl-train pretrain``: a model from freshly drawn weights, on a dataset made by formulas."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fdsl_gen.core.errors import UsageError
from fdsl_train.config import TrainConfig, load_config
from fdsl_train.data.locate.dataset import VALIDATION, DatasetLocation
from fdsl_train.data.open import (
    DataSpec,
    data_spec,
    join_pretrain,
    open_pretrain_all,
    recipe_named_by,
)
from fdsl_train.data.sources.base import num_samples
from fdsl_train.distributed.device import choose_device
from fdsl_train.distributed.launch import find_process
from fdsl_train.models.architecture import architecture_of, create_model
from fdsl_train.tasks import TASKS
from fdsl_train.training.chance import tell
from fdsl_train.training.checkpoint import LAST
from fdsl_train.training.result import RunResult
from fdsl_train.training.run import Run, train
from fdsl_train.training.trackers import check_installed

logger = logging.getLogger(__name__)

Place = str | Path | DatasetLocation | DataSpec


def pretrain(
    data: Place | Sequence[Place],
    output: str | Path,
    *,
    recipe: str | TrainConfig | None = None,
    resume: bool = False,
    **settings: Any,
) -> RunResult:
    """Pre-train a model from freshly drawn weights on a dataset made by formulas.

    Args:
        data: folder of the dataset, its URL, or ``recipe:NAME?setting=value``; or WebDataset shards
            of others. Several in a list are trained on together, with the setting ``data_weights``
            in shares of one's own.
        output: folder of the run.
        recipe: name or path of a training recipe, or one that :func:`load_config` has read; None
            takes the one that the dataset names.
        resume: continue what stands in ``output``, if anything does.
        settings: over those of a named recipe, by name.

    Returns:
        The finished run; in every process of a distributed one.

    Raises:
        UsageError: for anything that can be seen to be wrong before the first step, and for a
            sample that cannot be used.
        FdslError: if the loss is not finite, or a loader process died.

    Examples:
        >>> pretrain("shards/", "runs/smoke", recipe="cpu-smoke", epochs=20).metrics["loss"][-1]
    """
    given = [data] if isinstance(data, str | Path | DatasetLocation | DataSpec) else data
    wheres, output = [data_spec(one) for one in given], Path(output)
    parts = open_pretrain_all(wheres)
    process = find_process()
    name = recipe or recipe_named_by(parts)
    if name is None:
        which = f"dataset {wheres[0]} names no" if len(parts) == 1 else "datasets name not the same"
        raise UsageError(f"the {which} training recipe; give one with --recipe")
    config = load_config(name, "pretrain", settings, process.world_size)
    check_installed(config.log_to)
    device = choose_device(config, process.local_rank)
    opened = join_pretrain(parts, config.data_weights)
    source = opened.train
    architecture = architecture_of(config).for_labels(dense=source.label_type.dense)
    config = dataclasses.replace(config, **dataclasses.asdict(architecture))
    resolved = config.resolve(num_samples(source))
    model = create_model(
        architecture_of(resolved),
        num_classes=source.num_classes,
        drop_path=resolved.drop_path,
        seed=resolved.seed,
    )
    finished = train(
        Run(
            config=resolved,
            process=process,
            device=device,
            model=model,
            source=source,
            validation=opened.validation,
            output=output,
        ),
        resume=resume,
    )
    if finished.last:
        logger.info(f"last: {finished.in_words(finished.last)} on the {VALIDATION} split")
    if process.rank == 0:
        tell(finished.standing, "pretrain", source.class_names, dense=source.label_type.dense)
    kind = TASKS[source.label_type.name].small_recipe
    small = f" --recipe {kind}" if device.type == "cpu" else ""
    logger.info(
        "next: fdsl-train finetune --data FOLDER_OF_IMAGES"
        f" --checkpoint {output / LAST} --output {output}-finetuned{small}"
    )
    return dataclasses.replace(finished, label=VALIDATION if opened.validation is not None else "")
