"""Every kind of folder of images, and every kind of image in it."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fdsl_gen.core.errors import UsageError
from fdsl_train.data.sources.base import num_samples
from fdsl_train.data.sources.image_folder import open_folder, open_folders, read_image


def tree(root: Path, *files: str) -> Path:
    """A tree of 4x4 images, PNG whatever they are called."""
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(path, "png")
    return root


@pytest.mark.parametrize("train", ["train", "Training"])
@pytest.mark.parametrize("held_out", ["val", "valid", "VALIDATION", "test", "Testing"])
def test_names_of_splits(tmp_path: Path, train: str, held_out: str) -> None:
    files = (f"{train}/a/1.png", f"{train}/b/deep/2.jpg", f"{held_out}/b/3.png")
    kept, held, label = open_folders(tree(tmp_path, *files), val_split=None, seed=0)
    assert (num_samples(kept), num_samples(held), label) == (2, 1, held_out)
    assert kept.class_names == held.class_names == ("a", "b")
    assert held.read_sample(0, 0).label == 1


def test_a_share_of_every_class_is_held_out(tmp_path: Path) -> None:
    files = [f"{name}/{i}.png" for name in "abc" for i in range(20)]
    kept, held, _ = open_folders(tree(tmp_path, *files), val_split=0.1, seed=0)
    assert [held.read_sample(0, row).label for row in range(num_samples(held))] == [
        0,
        0,
        1,
        1,
        2,
        2,
    ]
    assert num_samples(kept) == 54
    again = open_folders(tmp_path, val_split=0.1, seed=0)[1]
    other = open_folders(tmp_path, val_split=0.1, seed=1)[1]
    assert again.digest == held.digest != other.digest


@pytest.mark.parametrize(
    ("files", "val_split", "sentence"),
    [
        (("a/1.png", "b/1.png"), None, "give --val-split 0.1"),
        (("a/1.png", "test/a/1.png"), None, "has a folder test but no folder train"),
        (("train/a/1.png", "train/c/1.png", "val/b/1.png"), None, "b is a class that"),
        (("train/a/1.png", "train/b/1.png", "val/a/1.png"), 0.1, "leave --val-split out"),
        (("Training/a/1.png", "Training/b/1.png", "Testing/a/1.png"), 0.1, "a folder Testing to"),
        (("train/a/1.png", "train/b/1.png", "valid/a/1.png"), 0.1, "a folder valid to validate on"),
        (("a/1.png", "b/1.png", "valid/1.png"), 0.1, "if valid is a class, rename it"),
        (("train/a/1.png", "Train/b/1.png", "val/a/1.png"), None, "folders Train and train, which"),
        (("train/a/1.png", "train/b/1.png", "val/a/1.png", "valid/a/1.png"), None, "val and valid"),
        (("a/1.png", "b/1.png", "b/2.png"), 0.5, "a has one image"),
        (("1.png",), 0.1, "holds no folders; images must be in one folder per class"),
        (("a/1.png", "a/2.png"), 0.5, "has one class only, a; a classifier needs two"),
        (("a/1.png", "b/notes.txt"), 0.5, r"/b holds no images \(PNG, JPEG, WebP"),
        (("train/a/1.png", "train/b/1.png", "val/c.png"), None, r"/val holds no folders"),
    ],
)
def test_trees_that_cannot_be_used(
    tmp_path: Path, files: tuple[str, ...], val_split: float | None, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        open_folders(tree(tmp_path, *files), val_split=val_split, seed=0)


def test_images_of_every_kind_become_gray_or_rgb(tmp_path: Path) -> None:
    corner = np.zeros((6, 4), np.uint8)
    corner[0, 0] = 200
    gray = Image.fromarray(corner)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK"):
        path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
        gray.convert(mode).save(path)
        image = read_image(path)
        wanted = "L" if mode in ("1", "L", "LA") else "RGB"
        assert (image.mode, image.size) == (wanted, (4, 6)), mode
        pixels = np.asarray(image.convert("RGB"))
        assert pixels[0, 0, 0] >= 190, mode
        assert pixels[5, 3, 0] <= 10, mode
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to the right to view
    gray.convert("RGB").save(tmp_path / "turned.png", exif=exif)
    turned = read_image(tmp_path / "turned.png")
    assert turned.size == (6, 4)
    assert turned.getpixel((5, 0)) == (200, 200, 200)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"nothing")
    with pytest.raises(UsageError, match=r"cannot read the image .*x\.png"):
        read_image(tmp_path / "x.png")


def test_capitals_and_hidden_files(tmp_path: Path) -> None:
    tree(tmp_path, "Train/a/1.PNG", "Train/b/2.JPEG", "Train/b/._2.jpg", "VAL/b/3.Png")
    kept, held, label = open_folders(tmp_path, val_split=None, seed=0)
    assert (num_samples(kept), num_samples(held), label) == (2, 1, "VAL")


def test_pictures_of_kinds_that_are_not_read_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tree(tmp_path, "train/a/1.png", "train/b/2.png", "val/b/3.png")
    for name in ("a/x.heic", "a/deep/y.HEIC", "b/z.avif", "b/notes.txt", "b/Thumbs.db"):
        path = tmp_path / "train" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    with caplog.at_level("INFO", "fdsl_train"):
        kept, _, _ = open_folders(tmp_path, val_split=None, seed=0)
    assert num_samples(kept) == 2
    assert caplog.messages == [
        f"{tmp_path / 'train'}: passed over 3 pictures of kinds that are not read (1 .avif, 2"
        " .heic); convert them to PNG or JPEG to use them"
    ]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    tree(tmp_path, *(f"{name}/{i}.png" for name in ("rocket", "train", "tulip") for i in range(2)))
    kept, held, _ = open_folders(tmp_path, val_split=0.5, seed=0)
    assert kept.class_names == ("rocket", "train", "tulip")
    assert num_samples(kept) == num_samples(held) == 3


def test_one_part_to_measure_on(tmp_path: Path) -> None:
    tree(tmp_path / "split", "train/a/1.png", "train/b/2.png", "train/b/3.png", "test/b/4.png")
    held, label = open_folder(tmp_path / "split", None)
    assert (label, held.class_names, num_samples(held)) == ("test", ("a", "b"), 1)
    assert held.read_sample(0, 0).label == 1
    kept, label = open_folder(tmp_path / "split", "train")
    assert (label, num_samples(kept)) == ("train", 3)
    with pytest.raises(UsageError, match="has no folder val; it has train, test"):
        open_folder(tmp_path / "split", "val")
    tree(tmp_path / "flat", "a/1.png", "b/2.png")
    flat, label = open_folder(tmp_path / "flat", None)
    assert (label, num_samples(flat)) == ("all images", 2)
    tree(tmp_path / "alone", "train/a/1.png", "train/b/2.png")
    with pytest.raises(UsageError, match="--split train measures on the training images"):
        open_folder(tmp_path / "alone", None)


def test_unlabeled_test_images_are_no_part_to_validate_on(tmp_path: Path) -> None:
    tree(tmp_path, *(f"train/{name}/{i}.png" for name in "ab" for i in range(4)), "test/1.png")
    kept, held, _ = open_folders(tmp_path, val_split=0.25, seed=0)
    assert (num_samples(kept), num_samples(held)) == (6, 2)
    with pytest.raises(UsageError, match="test holds no folders"):
        open_folders(tmp_path, val_split=None, seed=0)


def test_a_split_is_found_in_capitals_or_not(tmp_path: Path) -> None:
    tree(tmp_path, "Training/a/1.png", "Training/b/2.png", "Testing/b/4.png")
    held, label = open_folder(tmp_path, "testing")
    assert (label, num_samples(held)) == ("Testing", 1)


@pytest.mark.parametrize(
    "folder", [".ipynb_checkpoints", ".thumbnails", "@eaDir", "@EADIR", "__MACOSX", "#recycle"]
)
def test_folders_of_tools_hold_no_images(tmp_path: Path, folder: str) -> None:
    files = [f"{name}/{i}.png" for name in "ab" for i in range(4)]
    copies = [f"{name}/{folder}/{i}-copy.png" for name in "ab" for i in range(4)]
    tree(tmp_path, *files, *copies, f"{folder}/a/1.png", "a/deep/@eaDir.png")
    kept, held, _ = open_folders(tmp_path, val_split=0.25, seed=0)
    assert (num_samples(kept), num_samples(held)) == (7, 2)
    assert kept.class_names == ("a", "b")


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", "train/a/1.png", "train/b/2.png", "val/a/3.png")
    tree(tmp_path / "elsewhere", "4.png", "deep/5.png")
    (root / "train" / "a" / "more").symlink_to(tmp_path / "elsewhere")
    (root / "train" / "a" / "again").symlink_to("more")
    (tmp_path / "elsewhere" / "deep" / "back").symlink_to(tmp_path / "elsewhere")
    for up in (root / "train" / "a", root / "train", root, tmp_path):  # all of which hold b
        (root / "train" / "a" / f"to {up.name}").symlink_to(up)
    (root / "train" / "b" / "x.jpg").mkdir()
    (root / "val" / "b").symlink_to(tmp_path / "elsewhere")
    kept, held, _ = open_folders(root, val_split=None, seed=0)
    assert [kept.read_sample(0, row).label for row in range(num_samples(kept))] == [0, 0, 0, 1]
    assert [held.read_sample(0, row).label for row in range(num_samples(held))] == [0, 1, 1]


@pytest.mark.parametrize(
    "link", ["train/a/1.png", "train/a/folder", "train/c", "val/a/2.png", "train/a/loop.png"]
)
def test_links_to_nothing_are_named(tmp_path: Path, link: str) -> None:
    tree(tmp_path, "train/a/0.png", "train/b/2.png", "val/a/3.png")
    (tmp_path / link).symlink_to(link if "loop" in link else "/not/there")
    with pytest.raises(UsageError, match=f"{link} is a link to .*, which is not there"):
        open_folders(tmp_path, val_split=None, seed=0)


def test_links_to_nothing_that_are_no_images_do_not_matter(tmp_path: Path) -> None:
    tree(tmp_path, "a/0.png", "b/2.png")
    (tmp_path / "a" / "notes.txt").symlink_to("/not/there")
    (tmp_path / "a" / ".#lock").symlink_to("nobody@nowhere")
    assert num_samples(open_folder(tmp_path, None)[0]) == 2


def test_only_regular_files_are_images(tmp_path: Path) -> None:
    tree(tmp_path, "a/0.png", "b/2.png")
    os.mkfifo(tmp_path / "b" / "pipe")  # without the ending of an image
    assert num_samples(open_folder(tmp_path, None)[0]) == 2
    os.mkfifo(tmp_path / "b" / "pipe.png")
    with pytest.raises(UsageError, match=r"b/pipe\.png: it is not a regular file"):
        open_folder(tmp_path, None)


def test_deep_gray_keeps_its_levels(tmp_path: Path) -> None:
    row = np.arange(16, dtype=np.uint16) * 4369
    for ending in ("png", "tif", "pgm"):
        path = tmp_path / f"x.{ending}"
        Image.fromarray(row[None]).save(path)
        pixels = np.asarray(read_image(path))
        assert np.array_equal(pixels, np.arange(16)[None] * 17)
