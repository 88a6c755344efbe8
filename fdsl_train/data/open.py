"""From what ``--data`` says to samples: folders of images, shards, recipes, datasets by name."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fdsl_gen.core.errors import UsageError
from fdsl_train.data.holdout import HeldOut
from fdsl_train.data.locate.dataset import VALIDATION, DatasetLocation, location_of
from fdsl_train.data.locate.tar_sets import TarSet
from fdsl_train.data.sources.base import Source
from fdsl_train.data.sources.formula import FormulaData
from fdsl_train.data.sources.image_folder import is_flat, open_folder, open_folders
from fdsl_train.data.sources.mask_folder import MaskSpec, divide, part_of
from fdsl_train.data.sources.mask_layout import Layout, find_layout
from fdsl_train.data.sources.mask_named import find_named
from fdsl_train.data.sources.mixture import mix, mix_validation
from fdsl_train.data.sources.timm_named import is_timm_name, open_timm_dataset
from fdsl_train.data.sources.webdataset_tars import TarSource
from fdsl_train.data.tars import TarOptions, open_tars, shards_at, tars_at

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """Where images are.

    Attributes:
        place: a folder of class folders, a dataset of ours wherever it is, a recipe, or a name of
            timm's.
        data_dir: folder of the files of a named dataset.
        download: whether they may be fetched.
        tars: how tars of others are read.
        val_data: where the images to validate on are, if they are not beside the others.
        masks: how masks are read, where files of others have a class for every pixel; None: images
            have one class each.
    """

    place: DatasetLocation
    data_dir: Path | None = None
    download: bool = False
    tars: TarOptions = TarOptions()
    val_data: DatasetLocation | None = None
    masks: MaskSpec | None = None

    def __post_init__(self) -> None:
        if self.named is None and (self.data_dir is not None or self.download):
            flag = "--download" if self.data_dir is None else "--data-dir"
            raise UsageError(f"{flag} is for datasets by name, such as torch/cifar100")

    def __str__(self) -> str:
        return str(self.place)

    @property
    def named(self) -> Path | None:
        """timm's name, if that is what was given."""
        data = self.place.data
        return data if isinstance(data, Path) and is_timm_name(data) else None

    @property
    def may_hold_out(self) -> bool:
        """Whether a share may be held out of it: it has no part to validate on, or has a name."""
        if self.masks is not None:
            return self.layout is not None and self.layout.validation is None
        return self.named is not None or (self.tree is not None and is_flat(self.tree))

    @property
    def layout(self) -> Layout | None:
        """Where images and masks in files of others are; None for a dataset of ours."""
        if (data := self.named) is not None:
            return find_named(data, root=self.data_dir, download=self.download)
        return None if self.tree is None else find_layout(self.tree)

    @property
    def tree(self) -> Path | None:
        """The folder of class folders, if that is what was given."""
        data = self.place.data
        return data if isinstance(data, Path) and not self.place.is_ours else None


def data_spec(data: "str | Path | DatasetLocation | DataSpec") -> DataSpec:
    """A folder, a URL or a name as text, or what is one already."""
    return data if isinstance(data, DataSpec) else DataSpec(place=location_of(data))


@dataclass(frozen=True)
class TrainValData:
    """Training and validation samples, what the latter are called, and how they were chosen."""

    train: Source
    validation: Source
    label: str
    held_out: HeldOut | None = None


@dataclass(frozen=True)
class PretrainData:
    """Samples to pre-train on.

    Attributes:
        train: those.
        validation: others to measure on, if there are any.
        recipe: name of the training recipe that the data asks for, if it does.
    """

    train: Source
    validation: Source | None
    recipe: str | None


def open_pretrain(where: DataSpec) -> PretrainData:
    """The samples to pre-train on: a dataset of ours, a recipe, or tars of others.

    Raises:
        UsageError: if there is no such data.
    """
    if where.val_data is not None:
        opened = _with_val_data(where, where.val_data)
        return PretrainData(opened.train, opened.validation, None)
    place = where.place
    if (tars := shards_at(place)) is not None:
        train = open_tars(tars, tars.train(), place, where.tars)
        held = tars.held_out()
        return PretrainData(train, _other_tars(where, tars, held, train) if held else None, None)
    _refuse_tar_options(where)
    if place.recipe is not None:
        formula = FormulaData(place.recipe)
        drawn = formula.split(VALIDATION) if formula.has_validation else None
        return PretrainData(formula.split("train"), drawn, formula.train_recipe)
    manifest = place.manifest()
    recipe = manifest.recipe.get("train_recipe")
    validation = place.split(manifest, VALIDATION) if VALIDATION in manifest.splits else None
    return PretrainData(
        place.split(manifest, "train"), validation, recipe if isinstance(recipe, str) else None
    )


def open_pretrain_all(wheres: Sequence[DataSpec]) -> list[PretrainData]:
    """Several sets to pre-train on; how tars of others are read concerns those that are tars."""
    tars = [len(wheres) > 1 and tars_at(one.place) is not None for one in wheres]
    return [
        open_pretrain(replace(one, tars=TarOptions()) if any(tars) and not own else one)
        for one, own in zip(wheres, tars, strict=True)
    ]


def join_pretrain(opened: Sequence[PretrainData], weights: Sequence[float] | None) -> PretrainData:
    """Several sets as one, their classes side by side; a single one as it is.

    Args:
        opened: the sets.
        weights: of each, for its share of what is shown; None: by size.

    Raises:
        UsageError: if they cannot be trained on together.
    """
    if len(opened) == 1:
        if weights is not None:
            raise UsageError("data_weights: is for several sets; give --data several times")
        return opened[0]
    train = mix([one.train for one in opened], weights)
    validation = mix_validation(train, [one.validation for one in opened])
    return PretrainData(train, validation, recipe_named_by(opened))


def recipe_named_by(opened: Sequence[PretrainData]) -> str | None:
    """The training recipe that the sets ask for; None if they ask for none, or for several."""
    names = {one.recipe for one in opened if one.recipe is not None}
    return names.pop() if len(names) == 1 else None


def open_train_val(where: DataSpec, *, val_split: float | None, seed: int) -> TrainValData:
    """The samples to train on and those to validate on.

    Args:
        where: the data.
        val_split: share of every class to hold out, where there is no validation part.
        seed: chooses which.

    Raises:
        UsageError: if there is no such data, or no validation part.
    """
    if where.val_data is not None:
        if val_split is not None:
            raise UsageError("give --val-data or --val-split, not both")
        return _with_val_data(where, where.val_data)
    if (tars := _tars(where)) is not None:
        return _train_val_tars(where, tars, val_split, seed)
    if where.masks is not None and (layout := where.layout) is not None:
        pairs, held_pairs, label = divide(layout, where.masks, val_split=val_split, seed=seed)
        return TrainValData(pairs, held_pairs, label, _noted(val_split, seed, pairs))
    if (data := where.named) is not None:
        train = open_timm_dataset(data, "train", root=where.data_dir, download=where.download)
        if val_split is not None:
            kept, share = train.divided(val_split, seed)
            label = f"{100 * val_split:g} % held out"
            if train.unused_split is not None:
                label += f" of train, not its split {train.unused_split}"
            return TrainValData(kept, share, label, _noted(val_split, seed, kept))
        held = open_timm_dataset(data, None, root=where.data_dir, download=where.download)
        return TrainValData(train, held.with_classes_of(train), held.split)
    if (root := where.tree) is not None:
        files, validation, label = open_folders(root, val_split=val_split, seed=seed)
        return TrainValData(files, validation, label, _noted(val_split, seed, files))
    if val_split is not None:
        raise UsageError(
            "--val-split is for folders of images; give the dataset validation_instances"
        )
    if where.place.recipe is not None:
        formula = FormulaData(where.place.recipe)
        return TrainValData(formula.split("train"), formula.split(VALIDATION), VALIDATION)
    manifest = where.place.manifest()
    parts = [where.place.split(manifest, name) for name in ("train", VALIDATION)]
    return TrainValData(parts[0], parts[1], VALIDATION)


def _noted(val_split: float | None, seed: int, train: Source) -> HeldOut | None:
    if val_split is None:
        return None
    return HeldOut(share=val_split, seed=seed, data=train.digest)


def open_eval(
    where: DataSpec, split: str | None, held_out: HeldOut | None = None
) -> tuple[Source, str]:
    """The samples to measure on, and what they are called.

    Args:
        where: the data.
        split: a split or split folder; None takes the one to validate on. Of data that the model
            was trained on but for a share: that share, with ``train`` the rest, with ``all`` both.
        held_out: what the model was not trained on, if it was trained on a share of some data.

    Raises:
        UsageError: if there is no such data or split.
    """
    tars = _tars(where)
    may_hold_out = where.may_hold_out if tars is None else tars.held_out() is None
    if held_out is not None and split in (None, "train") and may_hold_out:
        parts = open_train_val(where, val_split=held_out.share, seed=held_out.seed)
        if parts.train.digest == held_out.data:
            if split is None:
                return parts.validation, f"{parts.label} by the run itself"
            return parts.train, "the training images"
        logger.warning(
            f"{where} is not what this model was trained on, or was changed since;"
            " images that it was trained on may be among those measured"
        )
    if split == "all" and may_hold_out and where.named is None:
        split = None
    if where.masks is not None and (layout := where.layout) is not None:
        return part_of(layout, where.masks, split)
    if (data := where.named) is not None:
        named = open_timm_dataset(data, split, root=where.data_dir, download=where.download)
        return named, named.split
    if tars is not None:
        chosen = tars.split(split)
        return open_tars(tars, chosen, where.place, where.tars), chosen or "all images"
    if (root := where.tree) is not None:
        return open_folder(root, split)
    label = split or VALIDATION
    return _ours(where.place, label), label


def _ours(place: DatasetLocation, split: str) -> Source:
    """A split of a dataset of ours, or of a recipe."""
    if place.recipe is not None:
        return FormulaData(place.recipe).split(split)
    return place.split(place.manifest(), split)


def _tars(where: DataSpec) -> TarSet | None:
    """The tars of others that the data is, if it is."""
    found = None if where.named is not None else tars_at(where.place)
    if found is None:
        _refuse_tar_options(where)
    return found


def _refuse_tar_options(where: DataSpec) -> None:
    if where.tars != TarOptions():
        flag = "--label-key" if where.tars.label_key is not None else "--skip-bad"
        raise UsageError(
            f"{flag} is for WebDataset shards of others, and {where} is something else"
        )


def _train_val_tars(
    where: DataSpec, tars: TarSet, val_split: float | None, seed: int
) -> TrainValData:
    train, held = open_tars(tars, tars.train(), where.place, where.tars), tars.held_out()
    if val_split is not None:
        if held is not None:
            raise UsageError(f"{where} has the split {held} to validate on; leave --val-split out")
        kept, share = train.divided(val_split, seed)
        label = f"{100 * val_split:g} % held out"
        return TrainValData(kept, share, label, _noted(val_split, seed, kept))
    if held is None:
        raise UsageError(
            f"{where} has no tars to validate on; name them with --val-data, or give --val-split"
            " 0.1 to hold out a tenth of the samples"
        )
    return TrainValData(train, _other_tars(where, tars, held, train), held)


def _other_tars(where: DataSpec, tars: TarSet, split: str, train: TarSource) -> TarSource:
    return open_tars(tars, split, where.place, where.tars, known=train.classes)


def _with_val_data(where: DataSpec, place: DatasetLocation) -> TrainValData:
    """Training samples of one place and validation samples of another."""
    tars = tars_at(where.place)
    train: Source
    if tars is not None:
        train = open_tars(tars, tars.train(), where.place, where.tars)
    elif where.tree is not None or where.named is not None:
        raise UsageError(
            "--val-data is for shards: a tree of images has a folder to validate on beside train,"
            " and a dataset by name has a split"
        )
    else:
        train = _ours(where.place, "train")
    others = tars_at(place)
    if others is not None and isinstance(train, TarSource):
        chosen = others.split(None)
        held: Source = open_tars(others, chosen, place, where.tars, known=train.classes)
        return TrainValData(train, held, chosen or str(place))
    beside = DataSpec(place=place, tars=where.tars if others is not None else TarOptions())
    held, label = open_eval(beside, None)
    if (train.class_names, train.num_classes) != (held.class_names, held.num_classes):
        raise UsageError(f"the classes of {train.name} and {held.name} differ")
    return TrainValData(train, held, label)
