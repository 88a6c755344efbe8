"""Images with masks in files of others: where they may be, and what their numbers mean."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fdsl_gen.core import image_files
from fdsl_gen.core.errors import UsageError
from fdsl_train.data.open import DataSpec, location_of, open_eval, open_train_val
from fdsl_train.data.sources.base import Sample
from fdsl_train.data.sources.mask_folder import MaskSource, MaskSpec
from tests.fdsl_train.scenes import write_pair, write_scenes


def spec_of(root: Path, **how: object) -> DataSpec:
    return DataSpec(place=location_of(root), masks=MaskSpec(**how))  # type: ignore[arg-type]


def parts(
    root: Path, val_split: float | None = None, **how: object
) -> tuple[MaskSource, MaskSource, str]:
    found = open_train_val(spec_of(root, **how), val_split=val_split, seed=0)
    assert isinstance(found.train, MaskSource) and isinstance(found.validation, MaskSource)
    return found.train, found.validation, found.label


def split_below(root: Path) -> Path:
    """``train/images`` and ``train/masks``, as fdsl-gen exports them."""
    for part, count in (("train", 3), ("validation", 2)):
        for i in range(count):
            write_pair(root / part / "images" / f"{i}.png", root / part / "masks" / f"{i}.png", i)
    return root


def voc(root: Path) -> Path:
    names = {"train": ["2007_000032", "2007_000039"], "val": ["2008_000001"], "trainval": []}
    for part, members in names.items():
        for i, name in enumerate(members):
            mask = root / "SegmentationClass" / f"{name}.png"
            write_pair(root / "JPEGImages" / f"{name}.jpg", mask, i)
            palette = Image.open(mask)
            palette.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [7] * 759)
            palette.save(mask)
        listed = root / "ImageSets" / "Segmentation" / f"{part}.txt"
        listed.parent.mkdir(parents=True, exist_ok=True)
        listed.write_text("\n".join(members) + "\n")
    return root


def cityscapes(root: Path, kind: str = "labelTrainIds") -> Path:
    for part, count in (("train", 2), ("val", 1)):
        for i in range(count):
            stem = f"bochum_{i:06d}_000019"
            image = root / "leftImg8bit" / part / "bochum" / f"{stem}_leftImg8bit.png"
            write_pair(image, root / "gtFine" / part / "bochum" / f"{stem}_gtFine_{kind}.png", i)
    return root


LAYOUTS: dict[str, tuple[Callable[[Path], Path], int, int, int]] = {
    "ade20k": (write_scenes, 16, 6, 4),
    "split below": (split_below, 3, 2, 4),
    "voc": (voc, 2, 1, 21),
    "cityscapes": (cityscapes, 2, 1, 19),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_found(tmp_path: Path, layout: str) -> None:
    make, train, held, classes = LAYOUTS[layout]
    first, second, _ = parts(make(tmp_path / "data"))
    assert (first.shard_sizes, second.shard_sizes) == ((train,), (held,))
    assert first.num_classes == second.num_classes == classes
    sample = first.read_sample(0, 0)
    assert isinstance(sample.label, np.ndarray) and set(np.unique(sample.label)) <= {0, 1, 2, 3}
    assert first.digest != second.digest


def test_named_sets_of_torchvision(tmp_path: Path) -> None:
    voc(tmp_path / "v" / "VOCdevkit" / "VOC2012")
    cityscapes(tmp_path / "c", "labelIds")
    for part in ("train", "val"):  # torchvision looks for all kinds of labels
        (tmp_path / "c" / "gtFine" / part).mkdir(exist_ok=True)
    for name, root, classes in (("voc_segmentation", "v", 21), ("cityscapes", "c", 19)):
        where = DataSpec(
            place=location_of(f"torch/{name}"), data_dir=tmp_path / root, masks=MaskSpec()
        )
        found = open_train_val(where, val_split=None, seed=0)
        assert found.train.num_classes == classes and found.label == "val"
        mask = np.asarray(found.train.read_sample(0, 0).label)
        # Of Cityscapes' 34 numbers 0 to 3 are none of the 19 classes.
        assert set(np.unique(mask)) == ({255} if name == "cityscapes" else {0, 1, 2, 3})
    with pytest.raises(UsageError, match="cannot be fetched"):
        open_train_val(
            DataSpec(
                place=location_of("torch/cityscapes"),
                data_dir=tmp_path / "c",
                download=True,
                masks=MaskSpec(),
            ),
            val_split=None,
            seed=0,
        )


def test_a_flat_folder_is_divided(tmp_path: Path) -> None:
    for i in range(10):
        write_pair(tmp_path / "images" / f"{i}.jpg", tmp_path / "masks" / f"{i}.png", i)
    train, held, label = parts(tmp_path, val_split=0.2)
    assert (train.shard_sizes, held.shard_sizes, label) == ((8,), (2,), "20 % held out")
    with pytest.raises(UsageError, match=r"give --val-split 0\.1"):
        parts(tmp_path)
    everything, _ = open_eval(spec_of(tmp_path, num_classes=4), None)
    assert everything.shard_sizes == (10,)


def save(path: Path, levels: np.ndarray, mode: str | None = None) -> None:
    image = Image.fromarray(levels)
    (image if mode is None else image.convert(mode)).save(path)


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """A folder with an image to train on, and one to validate on."""
    return write_scenes(tmp_path / "one", train=1, val=1)


def train_sample(root: Path, **how: object) -> Sample:
    train, _, _ = parts(root, **how)
    return train.read_sample(0, 0)


def test_numbers_of_all_depths_are_read(one: Path) -> None:
    path = one / "annotations" / "training" / "0.png"
    levels = np.asarray(Image.open(path))
    for stored in (levels, levels.astype(np.uint16)):
        save(path, stored)
        assert np.array_equal(np.asarray(train_sample(one).label), levels)
    save(path, (levels > 1).astype(np.uint8) * 255, "1")
    assert np.array_equal(np.asarray(train_sample(one).label), levels > 1)
    save(path, np.where(levels == 3, 300, levels.astype(np.uint16)))
    assert np.asarray(train_sample(one, num_classes=301).label).max() == 300


def test_the_zero_of_ade20k_is_no_class(one: Path) -> None:
    (one / "classes.txt").unlink()
    path = one / "annotations" / "training" / "0.png"
    levels = np.asarray(Image.open(path)).copy()
    levels[0, 0] = 255
    save(path, levels)
    train, _, _ = parts(one, reduce_zero_label=True)
    mask = np.asarray(train.read_sample(0, 0).label)
    assert train.num_classes == 3
    assert (mask == 255).sum() == (levels == 0).sum() + 1
    assert np.array_equal(
        mask[(levels > 0) & (levels < 255)], levels[(levels > 0) & (levels < 255)] - 1
    )
    table = "Idx\tRatio\tTrain\tVal\tName\n" + "".join(
        f"{i}\t0\t1\t1\tn{i}, m\n" for i in (1, 2, 3)
    )
    (one / "objectInfo150.txt").write_text(table)
    assert parts(one, reduce_zero_label=True)[0].class_names == ("n1", "n2", "n3")


def broken(one: Path, how: str) -> None:
    image = one / "images" / "training" / "0.png"
    mask = one / "annotations" / "training" / "0.png"
    if how == "size":
        save(mask, np.zeros((20, 30), np.uint8))
    elif how == "class":
        save(mask, np.full((48, 48), 7, np.uint8))
    elif how == "colors":
        save(mask, np.zeros((48, 48, 3), np.uint8))
    elif how == "jpeg":
        save(mask.with_suffix(".jpg"), np.zeros((48, 48), np.uint8))
        mask.unlink()
    elif how == "cut":
        mask.write_bytes(mask.read_bytes()[:60])
    elif how == "no mask":
        mask.unlink()
    elif how == "no image":
        image.unlink()
        write_pair(image.with_name("1.png"), mask.with_name("1.png"), 1)
    elif how == "twice":
        save(image.with_suffix(".jpg"), np.zeros((48, 48, 3), np.uint8))


SENTENCES = {
    "size": r"the mask \S+/0.png has 30x20 pixels, its image \S+/0.png 48x48",
    "class": r"the mask \S+/0.png: it has the class 7, and the classes are 0 to 3",
    "colors": r"cannot read the mask \S+/0.png: its mode is RGB; masks are palette or gray",
    "jpeg": r"cannot read the mask \S+/0.jpg: JPEG changes the numbers of pixels",
    "cut": r"cannot read the mask \S+/0.png: ",
    "no mask": r"\S+/images/training/0.png has no mask 0.\* in \S+/annotations/training",
    "no image": r"\S+/annotations/training/0.png has no image 0.\* in \S+ \(1 of 2 have none\)",
    "twice": r"\S+/0.png and \S+/0.jpg have one name; delete one",
}


@pytest.mark.parametrize("how", SENTENCES)
def test_what_is_wrong_is_told_with_the_file(one: Path, how: str) -> None:
    broken(one, how)
    with pytest.raises(UsageError, match=SENTENCES[how]):
        train_sample(one)


def test_lists_of_voc_lead_nowhere_else(tmp_path: Path) -> None:
    voc(tmp_path)
    (tmp_path / "ImageSets" / "Segmentation" / "train.txt").write_text("../../secret\n")
    with pytest.raises(UsageError, match="is no name of an image"):
        parts(tmp_path)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    with pytest.raises(UsageError, match="holds no images with masks: neither images/ and"):
        parts(tmp_path)
    write_pair(tmp_path / "images" / "0.png", tmp_path / "masks" / "0.png", 0)
    with pytest.raises(UsageError, match="has no part test; it has all"):
        open_eval(spec_of(tmp_path, num_classes=4), "test")


def test_levels_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "deep.tif"
    save(path, np.full((2, 2), 70000, np.int32))
    with pytest.raises(UsageError, match=r"not within 0\.\.65535"):
        image_files.read_levels(path)
