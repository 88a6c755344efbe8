"""What a training run is: one flat, frozen set of settings with timm's names.

A recipe (YAML) is read first, command flags override it, and the resolved result, with every number
filled in, is written beside the run as ``args.yaml``; that file is itself a recipe.
"""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fdsl_gen.core import recipe_files, settings
from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.keys import MAX_SEED
from fdsl_gen.core.settings import setting
from fdsl_train.input_spec import InputSpec

Purpose = Literal["pretrain", "finetune"]
Decoder = Literal["linear", "upernet", "dpt"]
Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio"]

# Setting one by a flag clears the other.
_RIVALS = {
    "steps": "epochs",
    "epochs": "steps",
    "warmup_steps": "warmup_epochs",
    "warmup_epochs": "warmup_steps",
}

# Setting pixmix by a flag turns these of the recipe off: both mix, and papers use one.
_REPLACED_BY_PIXMIX = ("mixup", "cutmix")

# The parts timm's rand_augment_transform knows; it passes over what it cannot read.
_RANDAUGMENT = re.compile(r"rand(-(m\d+|n\d+|mmax\d+|inc[01]|(mstd|p)\d+(\.\d+)?))*")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run. Read by :func:`load_config`; :meth:`resolve` fills in what data decides."""

    purpose: Purpose = setting(doc="which command the recipe is for")
    device: Literal["auto", "cpu"] = setting("auto", doc="auto: a GPU is needed; cpu: the CPU")
    threads: int | None = setting(
        None, doc="CPU threads of the model; fix it for runs equal to the last bit", low=1
    )
    seed: int = setting(0, doc="seed of everything random in the run", low=0, high=MAX_SEED - 1)

    # model
    model: str | None = setting(None, doc="timm model name; fine-tuning takes the checkpoint's")
    img_size: int | None = setting(None, doc="side of the input, pixels", low=1)
    patch_size: int | None = setting(None, doc="patch side, pixels; null: the model's own", low=1)
    embed_dim: int | None = setting(None, doc="width; null: the model's own", low=1)
    depth: int | None = setting(None, doc="number of blocks; null: the model's own", low=1)
    num_heads: int | None = setting(None, doc="attention heads; null: the model's own", low=1)
    scratch_recipe: str | None = setting(
        None, doc="--from-scratch without --model: that of this pre-training recipe"
    )
    drop_path: float = setting(0.0, doc="stochastic depth rate", low=0, high=1)
    freeze: Literal["none", "backbone"] = setting(
        "none", doc="backbone: train the head alone, a linear probe (or decoder and head)"
    )
    decoder: Decoder | None = setting(
        None, doc="of segmentation; null: dpt for plain vision transformers, else upernet"
    )
    decoder_channels: int | None = setting(None, doc="width of the decoder; null: 256", low=1)

    # segmentation data
    task: Literal["classification", "segmentation"] | None = setting(
        None, doc="what folders are labeled with; null: classes. Datasets of ours know it"
    )
    num_classes: int | None = setting(
        None, doc="classes of masks in folders; null: what is named or found there", low=2
    )
    reduce_zero_label: bool = setting(
        False, doc="masks in folders: 0 is no class but ignored, and 1 the first class"
    )

    # length and batch
    steps: int | None = setting(None, doc="optimizer steps (or say epochs)", low=1)
    epochs: float | None = setting(
        None, doc="passes over the data, rounded up to whole steps", low=0, above=True
    )
    global_batch_size: int = setting(doc="images per step over all processes", low=1)
    grad_accum_steps: int = setting(
        1, doc="parts of a process's share of a batch that pass the model one by one", low=1
    )

    # optimizer
    opt: str = setting("adamw", doc="timm optimizer; sgd is Nesterov's, momentum is plain SGD")
    momentum: float = setting(0.9, doc="of optimizers that have one", low=0, high=1)
    weight_decay: float = setting(0.05, doc="not applied to biases and norms", low=0)
    layer_decay: float | None = setting(
        None, doc="factor of the learning rate from a layer to the one below", low=0, above=True
    )
    clip_grad: float | None = setting(None, doc="limit of gradients", low=0, above=True)
    clip_mode: Literal["norm", "value", "agc"] = setting("norm", doc="what the limit is of")
    lr: float = setting(doc="peak learning rate, before scaling by the batch", low=0, above=True)
    lr_base_batch: int | None = setting(
        None, doc="peak is lr * global_batch_size / this; null: peak is lr", low=1
    )
    decoder_lr_scale: float = setting(
        1.0, doc="factor of the learning rate above the encoder", low=0, above=True
    )
    sched: Literal["cosine", "onecycle", "poly"] = setting(
        "cosine",
        doc="cosine: linear warm-up, half a cosine; onecycle: half a cosine both ways;"
        " poly: linear warm-up, a power of the share that is left",
    )
    poly_power: float = setting(1.0, doc="of poly", low=0, above=True)
    min_lr: float = setting(1.0e-5, doc="learning rate at the end", low=0)
    warmup_lr: float = setting(1.0e-6, doc="learning rate of the first warm-up step", low=0)
    warmup_steps: int | None = setting(None, doc="linear warm-up (or say warmup_epochs)", low=0)
    warmup_epochs: float | None = setting(
        None, doc="warm-up in passes over the data, rounded up to whole steps", low=0
    )
    amp: bool = setting(False, doc="mixed precision")
    amp_dtype: Literal["float16", "bfloat16"] = setting("bfloat16", doc="of mixed precision")
    model_ema: bool = setting(
        False, doc="keep a moving average of the weights; it is validated and exported"
    )
    model_ema_decay: float = setting(0.9998, doc="of the moving average", low=0, high=1)
    torchcompile: str | None = setting(None, doc="backend of torch.compile, such as inductor")
    grad_checkpointing: bool = setting(
        False, doc="compute activations again in the backward pass: a third more time, less memory"
    )
    channels_last: bool = setting(False, doc="memory layout that convolutions prefer")

    # loss
    smoothing: float = setting(0.1, doc="label smoothing", low=0, high=1)
    mixup: float = setting(0.0, doc="mixup alpha; 0: off", low=0)
    cutmix: float = setting(0.0, doc="cutmix alpha; 0: off", low=0)
    mixup_prob: float = setting(1.0, doc="share of batches that are mixed", low=0, high=1)
    mixup_switch_prob: float = setting(0.5, doc="share of them that take cutmix", low=0, high=1)
    dice: float = setting(0.0, doc="segmentation: weight of the Dice loss beside it", low=0)

    # augmentation
    scale: tuple[float, ...] = setting((0.08, 1.0), doc="area of random crops", low=0, above=True)
    ratio: tuple[float, ...] = setting(
        (0.75, 1.3333), doc="width / height of random crops", low=0, above=True
    )
    interpolation: Literal["bicubic", "bilinear"] = setting("bicubic", doc="of every resize")
    hflip: float = setting(0.0, doc="probability of a left-right flip", low=0, high=1)
    vflip: float = setting(0.0, doc="probability of an upside-down flip", low=0, high=1)
    aa: str | None = setting(None, doc="timm's RandAugment text, such as rand-m9-mstd0.5-inc1")
    reprob: float = setting(0.0, doc="probability of random erasing", low=0, high=1)
    remode: Literal["const", "rand", "pixel"] = setting("pixel", doc="filling of erased parts")
    pattern: float = setting(
        0.0, doc="probability of a random 3x3 patch at every point of a gray image", low=0, high=1
    )
    texture: float = setting(
        0.0, doc="probability of a random texture on a gray image", low=0, high=1
    )
    pixmix: str | None = setting(
        None, doc="pictures to mix into images: a folder, or a dataset of fdsl-gen; for fine-tuning"
    )
    pixmix_k: int = setting(4, doc="most rounds of mixing", low=0)
    pixmix_beta: float = setting(3.0, doc="the higher, the less of the pictures", low=0, above=True)
    pixmix_severity: float = setting(
        3.0, doc="of augmented copies; the paper's ImageNet runs have 1", low=0.1, high=10
    )
    aug_repeats: int = setting(
        1, doc="views of an image in neighboring places, each augmented anew", low=1
    )
    mean: tuple[float, ...] = setting((0.5, 0.5, 0.5), doc="subtracted, per channel, of 0..1")
    std: tuple[float, ...] = setting((0.5, 0.5, 0.5), doc="divided by", low=0, above=True)
    crop_pct: float = setting(
        0.875, doc="share of the image that validation sees", low=0, high=1, above=True
    )

    # augmentation of segmentation: image and mask together
    resize_ratio: tuple[float, ...] = setting(
        (0.5, 2.0), doc="factor of the random resize before the crop", low=0, above=True
    )
    short_side: int | None = setting(
        None, doc="of images at factor 1 and in windows, pixels; null: img_size", low=1
    )
    cat_max_ratio: float = setting(
        0.75, doc="a crop of which one class takes more is drawn anew", low=0, high=1, above=True
    )
    photometric: float = setting(
        0.0, doc="probability each of new brightness, contrast, saturation, hue", low=0, high=1
    )
    eval_mode: Literal["whole", "slide"] = setting(
        "whole", doc="validation: the image squeezed into img_size, or windows of that size"
    )
    eval_stride: int | None = setting(
        None, doc="pixels from a window to the next; null: two thirds of img_size", low=1
    )
    fresh_instances: bool = setting(
        False, doc="of recipes without files: every epoch shows images that none showed before"
    )
    data_weights: tuple[float, ...] | None = setting(
        None, doc="shares of several --data in what is shown; null: by size", low=0, above=True
    )

    # running
    workers: int | None = setting(
        None, doc="loader processes, at most one per CPU; null: as many, up to 16", low=0
    )
    decoded_cache: float = setting(
        4.0, doc="GB; smaller datasets are decoded once a machine, into a file; 0: never", low=0
    )
    log_every: int = setting(50, doc="steps between lines of metrics.jsonl", low=1)
    log_to: tuple[Tracker, ...] | None = setting(
        None, doc="trackers that get these lines too; null: tensorboard, if it is installed"
    )
    checkpoint_every: int = setting(1000, doc="steps between checkpoints", low=1)
    profile: int | None = setting(
        None, doc="steps to profile, after the first ten: a trace, the ten longest", low=1
    )
    eval_epochs: float = setting(
        1.0, doc="passes over the data between validations", low=0, above=True
    )

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise UsageError("steps: give exactly one of steps and epochs")
        if self.warmup_steps is not None and self.warmup_epochs is not None:
            raise UsageError("warmup_steps: give warmup_steps or warmup_epochs, not both")
        if self.purpose == "pretrain":
            for name in ("model", "img_size"):
                if getattr(self, name) is None:
                    raise UsageError(f"{name}: is missing; pre-training needs it")
            if self.pixmix is not None:
                raise UsageError("pixmix: is for fine-tuning; leave it out")
        if self.decoder is not None:
            for name in ("pixmix", "pattern", "texture"):
                if getattr(self, name):
                    raise UsageError(f"{name}: is for images without masks; leave it out")
        for name, count in {"scale": 2, "ratio": 2, "mean": 3, "std": 3, "resize_ratio": 2}.items():
            if len(getattr(self, name)) != count:
                raise UsageError(f"{name}: must be {count} numbers, not {getattr(self, name)}")
        for name in ("scale", "ratio", "resize_ratio"):
            low, high = getattr(self, name)
            if low > high:
                raise UsageError(f"{name}: the first number must not exceed the second")
        size = self.img_size or 0
        if self.eval_mode == "slide" and (self.short_side or size) < size:
            raise UsageError(
                f"short_side: images of {self.short_side} px are smaller than the windows of"
                f" --eval-mode slide, {size} px"
            )
        if self.min_lr > self.peak_lr:
            raise UsageError(
                f"min_lr: {self.min_lr:g} is above the peak learning rate, which is"
                f" {self.peak_lr:g} with this batch"
            )
        if self.aa is not None and not _RANDAUGMENT.fullmatch(self.aa):
            raise UsageError(f"aa: must look like rand-m9-mstd0.5-inc1, not {self.aa!r}")

    @property
    def mixes(self) -> bool:
        """Whether batches are mixed at all."""
        return self.mixup_prob > 0 and (self.mixup > 0 or self.cutmix > 0)

    @property
    def peak_lr(self) -> float:
        """Learning rate at the end of warm-up, after scaling by the batch."""
        if self.lr_base_batch is None:
            return self.lr
        return self.lr * self.global_batch_size / self.lr_base_batch

    def steps_for(self, epochs: float, num_samples: int) -> int:
        """Steps that show at least ``epochs * num_samples`` images."""
        return -int(-epochs * num_samples // self.global_batch_size)

    def batch_per_process(self, world_size: int) -> int:
        """Images that one of ``world_size`` processes passes through the model at once.

        Raises:
            UsageError: if the global batch cannot be shared out evenly.
        """
        parts = world_size * self.grad_accum_steps
        if self.global_batch_size % parts:
            raise UsageError(
                f"global_batch_size: {self.global_batch_size} images cannot be shared evenly by"
                f" {world_size} processes in {self.grad_accum_steps} parts"
            )
        share = self.global_batch_size // parts
        if self.decoder == "upernet" and share == 1:
            raise UsageError(
                "global_batch_size: the batch norms of upernet need two images at once in a process"
            )
        if self.mixes and share % 2:
            raise UsageError(
                "global_batch_size: mixup and cutmix pair images, so the share of a process must"
                f" be even, and it is {share}"
            )
        return share

    def resolve(self, num_samples: int) -> "Resolved":
        """The run with every length in steps.

        Raises:
            UsageError: if warm-up takes the whole run.
        """
        steps = self.steps or self.steps_for(self.epochs or 0, num_samples)
        warmup = self.warmup_steps or self.steps_for(self.warmup_epochs or 0, num_samples)
        if warmup >= steps:
            raise UsageError(
                f"warmup_steps: the warm-up of {warmup} steps must be shorter than the run of"
                f" {steps} steps"
            )
        lengths = {"steps": steps, "epochs": None, "warmup_steps": warmup, "warmup_epochs": None}
        return Resolved(**(vars(self) | lengths))

    def to_dict(self) -> dict[str, Any]:
        """All settings as they would stand in YAML."""
        return settings.to_dict(self, defaults=True)


@dataclass(frozen=True, kw_only=True)
class Resolved(TrainConfig):
    """A run whose lengths are in steps and whose model is known, ready to start."""

    steps: int = setting(doc="optimizer steps", low=1)
    warmup_steps: int = setting(doc="linear warm-up, steps", low=0)
    model: str = setting(doc="timm model name")
    img_size: int = setting(doc="side of the input, pixels", low=1)

    @property
    def input_spec(self) -> InputSpec:
        """What images the model takes."""
        return InputSpec.of(self.to_dict())


def training_recipes() -> Path:
    """The folder of the training recipes that came with the package."""
    return recipe_files.recipe_folder() / "train"


def load_config(
    name: str | TrainConfig, purpose: Purpose, overrides: dict[str, Any], world_size: int = 1
) -> TrainConfig:
    """Read a training recipe and replace some of its values.

    Args:
        name: a recipe that came with the package, a path if it has a ``/`` or ends in ``.yaml``,
            or what this function returned before, whose values are not replaced again.
        purpose: the command that asks.
        overrides: settings by name. ``steps`` takes back the recipe's ``epochs`` and the other
            way round, the same for warm-up; ``pixmix`` takes back its ``mixup`` and ``cutmix``.
            ``batch_size`` is timm's: images that one process passes through the model at once.
        world_size: processes of the run.

    Raises:
        UsageError: if there is no such recipe, it is for the other command, or a value cannot be.
    """
    if isinstance(name, TrainConfig):
        for key in overrides:
            raise UsageError(f"{key}: give it to load_config, which read this recipe")
        return _for_purpose(name, purpose, "it")
    file = recipe_files.find_recipe(name, training_recipes())
    data = settings.load_yaml(file)
    known = [field.name for field in dataclasses.fields(TrainConfig)]
    settings.check_keys(data, known, file.stem)
    overrides = dict(overrides)
    share = overrides.pop("batch_size", None)
    settings.check_keys(overrides, known, file.stem)
    merged = dict(data)
    if share is not None:
        parts = overrides.get("grad_accum_steps", data.get("grad_accum_steps", 1))
        overrides["global_batch_size"] = share * world_size * parts
    for key in overrides:
        if key in _RIVALS and _RIVALS[key] not in overrides:
            merged.pop(_RIVALS[key], None)
    if overrides.get("pixmix") is not None:
        merged |= dict.fromkeys(_REPLACED_BY_PIXMIX, 0.0)
    config = settings.from_dict(TrainConfig, merged | overrides, file.stem)
    return _for_purpose(config, purpose, file.stem)


def _for_purpose(config: TrainConfig, purpose: Purpose, name: str) -> TrainConfig:
    if config.purpose != purpose:
        raise UsageError(f"the recipe '{name}' is for fdsl-train {config.purpose}, not {purpose}")
    return config
