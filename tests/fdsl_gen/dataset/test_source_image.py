"""Pictures of all kinds come in right, and a copy is kept beside the dataset."""

import io
import json
import shutil
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fdsl_gen import generate, open_dataset
from fdsl_gen.core.errors import UsageError
from fdsl_gen.dataset import verify
from fdsl_gen.dataset.contact_sheet import draw_preview
from fdsl_gen.dataset.store import open_for_writing
from fdsl_gen.geometry.source_image import read_source_image, to_gray
from fdsl_gen.recipe.jobs import jobs_of, render
from fdsl_gen.recipe.order import SampleId
from fdsl_gen.recipe.recipe import load_recipe
from tests import PHOTO
from tests.fdsl_gen.variants.contours import real

SIDE = 40


def saved(tmp_path, image: Image.Image, name: str, **options) -> str:
    path = tmp_path / name
    image.save(path, **options)
    return str(path)


def gradient(width: int = 30, height: int = 30) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return ((x * 5 + y * 3) % 256).astype(np.uint8)


def test_gray_pictures_keep_their_levels(tmp_path):
    path = saved(tmp_path, Image.fromarray(gradient()), "gray.png")
    assert np.array_equal(to_gray(read_source_image(path, 30)), gradient())


def test_a_wide_picture_is_cropped_in_the_middle(tmp_path):
    path = saved(tmp_path, Image.fromarray(gradient(50, 30)), "wide.png")
    assert np.array_equal(to_gray(read_source_image(path, 30)), gradient(50, 30)[:, 10:40])


def test_sixteen_bits(tmp_path):
    deep = gradient().astype(np.uint16) * 257
    path = saved(tmp_path, Image.fromarray(deep), "deep.png")
    assert np.array_equal(to_gray(read_source_image(path, 30)), gradient())


def test_thirty_two_bits(tmp_path):
    full = gradient().astype(np.int64) * (2**31 - 1) // 255
    path = saved(tmp_path, Image.fromarray(full.astype(np.int32)), "deep.tif")
    assert np.array_equal(to_gray(read_source_image(path, 30)), gradient())


def test_floating_point(tmp_path):
    levels = gradient().astype(np.float32)
    path = saved(tmp_path, Image.fromarray(levels / 255), "real.tif")
    assert np.array_equal(to_gray(read_source_image(path, 30)), gradient())
    wide = saved(tmp_path, Image.fromarray(levels), "wide.tif")
    with pytest.raises(UsageError, match=r"source: .*wide.tif: it has floating-point levels"):
        real(source=wide)


def test_cmyk(tmp_path):
    image = Image.fromarray(np.stack([gradient()] * 3, axis=2)).convert("CMYK")
    path = saved(tmp_path, image, "print.jpg", quality=95)
    assert np.abs(to_gray(read_source_image(path, 30)).astype(int) - gradient()).mean() < 12


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_black(tmp_path, mode):
    image = Image.new("RGBA", (30, 30), (200, 200, 200, 255))
    image.paste((200, 200, 200, 0), (0, 0, 15, 30))
    if mode == "P":
        image = image.convert("RGB").quantize(4)
        image.info["transparency"] = image.getpixel((0, 0))
        path = saved(tmp_path, image, "clear.png", transparency=image.getpixel((0, 0)))
        assert not read_source_image(path, 30).any()
        return
    path = saved(tmp_path, image.convert(mode), "clear.png")
    expected = np.zeros((30, 30), np.uint8)
    expected[:, 15:] = 200
    assert np.array_equal(to_gray(read_source_image(path, 30)), expected)


def test_half_transparent(tmp_path):
    path = saved(tmp_path, Image.new("RGBA", (20, 20), (200, 100, 50, 128)), "half.png")
    assert read_source_image(path, 20)[3, 3].tolist() == [100, 50, 25]


def test_exif_orientation(tmp_path):
    image = Image.fromarray(gradient())
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    path = saved(tmp_path, image, "turned.png", exif=exif)
    assert np.array_equal(to_gray(read_source_image(path, 30)), np.rot90(gradient(), -1))


def test_tiny_and_palette_pictures(tmp_path):
    path = saved(tmp_path, Image.new("RGB", (1, 1), (9, 8, 7)), "dot.png")
    assert np.all(read_source_image(path, 16) == (9, 8, 7))
    bits = saved(tmp_path, Image.new("1", (3, 2), 1), "bits.png")
    assert np.all(read_source_image(bits, 16) == 255)
    first = saved(tmp_path, Image.fromarray(gradient()).convert("P"), "first.gif")
    assert np.array_equal(to_gray(read_source_image(first, 30)), gradient())


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is huge."""
    buffer = io.BytesIO()
    Image.new("1", (1, 1)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


def test_a_large_picture_is_read_and_a_bomb_is_not(tmp_path, monkeypatch):
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(png_header(60_000, 60_000))
    with pytest.raises(UsageError, match=r"source: .*bomb.png: it has more than 67,108,864"):
        real(source=str(bomb))
    large = saved(tmp_path, Image.fromarray(gradient()), "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)  # Pillow warns above
    assert np.array_equal(to_gray(read_source_image(large, 30)), gradient())


def test_what_is_no_picture(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("not a picture")
    cut = tmp_path / "cut.png"
    cut.write_bytes(PHOTO.read_bytes()[:300])
    spoilt = tmp_path / "spoilt.png"
    spoilt.write_bytes(PHOTO.read_bytes()[:40] + b"x" * 100)
    for path in (text, cut, spoilt, tmp_path, tmp_path / "missing.png"):
        with pytest.raises(UsageError, match=f"source: cannot read the image {path}: .+") as caught:
            real(source=str(path))
        assert "\n" not in str(caught.value)


def test_a_picture_is_needed(tmp_path):
    recipe = load_recipe("real-1", num_categories=8)
    with pytest.raises(UsageError, match="source: say which image"):
        generate(recipe, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="source: say which image"):
        draw_preview(recipe)


def test_the_path_is_not_in_the_identity_and_the_pixels_are(tmp_path):
    elsewhere = tmp_path / "elsewhere.png"
    shutil.copy(PHOTO, elsewhere)
    recipe = real()
    assert real(source=str(elsewhere)).identity == recipe.identity
    assert (
        real(source=None, source_sha256=recipe.variant.source_image_sha256).identity
        == recipe.identity
    )
    other = saved(tmp_path, Image.fromarray(gradient()), "other.png")
    assert real(source=other).identity != recipe.identity
    assert real(image_size=SIDE + 1).identity != recipe.identity
    with pytest.raises(UsageError, match="not the image that this dataset was begun with"):
        real(source=other, source_sha256=recipe.variant.source_image_sha256)


def test_replacing_the_picture_replaces_its_digest(tmp_path):
    variant = real().variant
    other = saved(tmp_path, Image.fromarray(gradient()), "other.png")
    assert (
        replace(variant, source=other).source_image_sha256
        == real(source=other).variant.source_image_sha256
    )
    assert replace(variant, image_size=20).source_image_sha256 != variant.source_image_sha256


def test_a_picture_that_was_exchanged_is_read_again(tmp_path):
    path = tmp_path / "it.png"
    shutil.copy(PHOTO, path)
    recipe = real(source=str(path))
    first = render(recipe, 2)
    assert np.array_equal(first.image, render(real(), 2).image)
    Image.fromarray(gradient()).save(path)
    assert not np.array_equal(render(recipe, 2).image, first.image)


@pytest.fixture
def begun(tmp_path):
    """A finished dataset whose original picture is gone."""
    original = tmp_path / "original.png"
    shutil.copy(PHOTO, original)
    out = tmp_path / "out"
    generate(real(source=str(original), num_categories=8), out, workers=1)
    original.unlink()
    return out


def test_a_copy_is_kept_and_the_path_is_written_nowhere(begun):
    kept = begun / "__meta__" / "source.png"
    assert np.array_equal(np.asarray(Image.open(kept)), read_source_image(str(PHOTO), SIDE))
    for path in begun.rglob("*"):
        assert path.is_dir() or b"original.png" not in path.read_bytes(), path
    with Image.open(begun / "preview.png") as preview:
        assert len(set(preview.getpixel((50, 50)))) == 3  # colors: the picture stands first


def test_resuming_without_the_original(begun):
    manifest = open_dataset(begun).manifest
    shard = begun / manifest.splits["train"].shards[0].file
    bytes_before = shard.read_bytes()
    shard.unlink()
    (begun / "manifest.json").unlink()
    again = generate(load_recipe("real-1", image_size=SIDE, num_categories=8), begun, workers=2)
    assert shard.read_bytes() == bytes_before
    assert again.content_digest == manifest.content_digest
    assert verify.check_pixels(begun, 8, lambda count: None) == []


def test_moving_the_folder(begun, tmp_path):
    moved = begun.rename(tmp_path / "moved")
    assert verify.check_pixels(moved, 8, lambda count: None) == []
    folder = open_for_writing(moved)
    drawn_there = next(iter(folder.recipe.variant.render(jobs_of(folder.recipe, [SampleId(2, 0)]))))
    assert np.array_equal(drawn_there.image, render(real(), 2).image)


def test_another_picture_is_refused_in_a_folder(begun, tmp_path):
    other = saved(tmp_path, Image.fromarray(gradient()), "other.png")
    with pytest.raises(UsageError, match=r"different: variant.source_sha256"):
        generate(real(source=other, num_categories=8), begun, workers=1)


def test_a_damaged_copy_is_noticed(begun):
    shutil.copy(PHOTO, begun / "__meta__" / "source.png")
    Image.fromarray(gradient()).save(begun / "__meta__" / "source.png")
    with pytest.raises(UsageError, match="not the image that this dataset was begun with"):
        open_for_writing(begun)


def test_overwriting_deletes_the_copy_and_may_use_it(begun):
    recipe = load_recipe("real-1", image_size=SIDE, num_categories=8, delta=0.5)
    manifest = generate(recipe, begun, workers=1, overwrite=True)
    owner = json.loads((begun / "__meta__" / "recipe.json").read_text())
    assert owner["identity"] == manifest.identity
    assert manifest.identity == real(delta=0.5).identity
    generate(
        load_recipe("linedb-16", image_size=16, num_instances=1), begun, workers=1, overwrite=True
    )
    assert not (begun / "__meta__" / "source.png").exists()
