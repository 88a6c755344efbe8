"""A trained model, ready to use in a program."""

import dataclasses
from pathlib import Path
from typing import Any

from torch import nn

from fdsl_train.models.adapt import build_from_pretrained
from fdsl_train.models.architecture import Architecture, encoder_of
from fdsl_train.models.hub import local_weights
from fdsl_train.models.pretrained import read_pretrained


def load_model(
    path: str | Path,
    *,
    num_classes: int | None = None,
    img_size: int | None = None,
    use_ema: bool = False,
    model: str | None = None,
) -> nn.Module:
    """A trained model of timm's, with its decoder if it has one, to evaluate on the CPU.

    ``timm.data.resolve_model_data_config(model)`` gives the input it was made for; the names of its
    classes stand in ``model.pretrained_cfg["label_names"]``.

    Args:
        path: a run, one of its checkpoints, its ``export``, a file of others, or
            ``hf://OWNER/NAME``.
        num_classes: width of a new head, freshly drawn; None: the trained one. 0: no head, and no
            decoder: the encoder as timm has it.
        img_size: side of the input, pixels; None: as trained.
        use_ema: take the moving average in the checkpoint.
        model: timm's name, for files of others that do not say it.

    Returns:
        A model that maps images, float32 (B, 3, H, W), to logits, float32 (B, num_classes), or, if
        it was trained on masks, (B, num_classes, H, W).

    Raises:
        UsageError: if there are no such weights, or they do not fit the model.

    Examples:
        >>> import torch
        >>> model = load_model("runs/photos")
        >>> logits = model(torch.zeros(1, 3, 64, 64))  # float32 (1, num_classes)
    """
    asked = Architecture.of({"model": model, "img_size": img_size})
    trained = read_pretrained(local_weights(path), vars(asked), averaged=use_ema)
    wanted, architecture = num_classes, trained.architecture
    if num_classes == 0:
        wanted, architecture = 1, architecture.classifier()
    built = build_from_pretrained(
        trained, num_classes=wanted, img_size=img_size, architecture=architecture
    ).eval()
    if num_classes == 0:
        built.reset_classifier(0)  # type: ignore[operator]
    side = img_size or trained.architecture.img_size
    known = dataclasses.asdict(trained.inputs) | {"input_size": (3, side, side)}
    if trained.class_names is not None and num_classes is None:
        known["label_names"] = list(trained.class_names)
    usual: Any = encoder_of(built).pretrained_cfg
    built.pretrained_cfg = dict(usual) | known  # type: ignore[assignment]
    return built
