"""From what ``--data`` says to samples: folders of images, datasets of ours, datasets by name."""

from dataclasses import dataclass
from pathlib import Path

from fdsl_gen.core.errors import UsageError
from fdsl_train.data.locate.dataset import VALIDATION, DatasetLocation, location_of
from fdsl_train.data.sources.base import Source
from fdsl_train.data.sources.image_folder import open_folder, open_folders
from fdsl_train.data.sources.timm_named import is_timm_name, open_timm_dataset


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """Where images are.

    Attributes:
        place: a folder of class folders, a dataset of ours wherever it is, or a name of timm's.
        data_dir: folder of the files of a named dataset.
        download: whether they may be fetched.
    """

    place: DatasetLocation
    data_dir: Path | None = None
    download: bool = False

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
    def tree(self) -> Path | None:
        """The folder of class folders, if that is what was given."""
        data = self.place.data
        return data if isinstance(data, Path) and not self.place.is_ours else None


def data_spec(data: "str | Path | DataSpec") -> DataSpec:
    """A folder, a URL or a name as text, or what is one already."""
    return data if isinstance(data, DataSpec) else DataSpec(place=location_of(data))


@dataclass(frozen=True)
class TrainValData:
    """Training and validation samples, and what the latter are called."""

    train: Source
    validation: Source
    label: str


def open_train_val(where: DataSpec, *, val_split: float | None, seed: int) -> TrainValData:
    """The samples to train on and those to validate on.

    Args:
        where: the data.
        val_split: share of every class to hold out, where there is no validation part.
        seed: chooses which.

    Raises:
        UsageError: if there is no such data, or no validation part.
    """
    if (data := where.named) is not None:
        train = open_timm_dataset(data, "train", root=where.data_dir, download=where.download)
        if val_split is not None:
            kept, share = train.divided(val_split, seed)
            label = f"{100 * val_split:g} % held out"
            if train.unused_split is not None:
                label += f" of train, not its split {train.unused_split}"
            return TrainValData(kept, share, label)
        held = open_timm_dataset(data, None, root=where.data_dir, download=where.download)
        return TrainValData(train, held.with_classes_of(train), held.split)
    if (root := where.tree) is not None:
        return TrainValData(*open_folders(root, val_split=val_split, seed=seed))
    if val_split is not None:
        raise UsageError(
            "--val-split is for folders of images; render the dataset with validation_instances"
        )
    manifest = where.place.manifest()
    parts = [where.place.split(manifest, name) for name in ("train", VALIDATION)]
    return TrainValData(parts[0], parts[1], VALIDATION)


def open_eval(where: DataSpec, split: str | None) -> tuple[Source, str]:
    """The samples to measure on, and what they are called.

    Args:
        where: the data.
        split: a split or split folder; None takes the one to validate on.

    Raises:
        UsageError: if there is no such data or split.
    """
    if (data := where.named) is not None:
        named = open_timm_dataset(data, split, root=where.data_dir, download=where.download)
        return named, named.split
    if (root := where.tree) is not None:
        return open_folder(root, split)
    label = split or VALIDATION
    return where.place.split(where.place.manifest(), label), label
