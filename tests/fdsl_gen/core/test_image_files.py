"""Image files of users: deep gray, odd metadata, and files made to harm."""

import io
import os
import resource
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from fdsl_gen.core.errors import UsageError
from fdsl_gen.core.image_containers import orientation_of_exif
from fdsl_gen.core.image_files import decode_image, read_image

pytestmark = pytest.mark.usefixtures("cheaply")

ROW = np.arange(16, dtype=np.int64) * 4369  # 0, 4369, ... 65535
RIGHT = np.arange(16) * 17  # 0, 17, ... 255


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(pixels: np.ndarray, *, kind: int, white_is_zero: bool = False, more: tuple = ()) -> bytes:
    """A TIFF of one row in the byte order of ``pixels``; kind: 1 unsigned, 2 signed, 3 float."""
    order = ">" if pixels.dtype.byteorder == ">" else "<"
    raw = pixels.tobytes()
    bits, photometric = 8 * pixels.itemsize, int(not white_is_zero)
    short = {257: 1, 258: bits, 259: 1, 262: photometric, 277: 1, 278: 1, 339: kind}
    long = {256: pixels.size, 273: 8, 279: len(raw)}
    entries = [(tag, 3, 1, struct.pack(order + "HH", value, 0)) for tag, value in short.items()]
    entries += [(tag, 4, 1, struct.pack(order + "I", value)) for tag, value in long.items()]
    entries += [(tag, 7, count, struct.pack(order + "I", at)) for tag, count, at in more]
    directory = b"".join(
        struct.pack(order + "HHI", tag, form, count) + value
        for tag, form, count, value in sorted(entries)
    )
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(raw))
    return head + raw + struct.pack(order + "H", len(entries)) + directory + bytes(4)


def gray(data: bytes) -> np.ndarray:
    image = decode_image(io.BytesIO(data))
    assert image.mode == "L"
    return np.asarray(image)[0]


SIXTEEN = Image.fromarray(ROW.astype(np.uint16)[None])
THIRTY_TWO = Image.fromarray(ROW.astype(np.int32)[None])
FLOATS = Image.fromarray((ROW / 65535).astype(np.float32)[None])
DEEP = {
    "png": saved(SIXTEEN, "PNG"),
    "tiff": saved(SIXTEEN, "TIFF"),
    "tiff, compressed": saved(SIXTEEN, "TIFF", compression="tiff_lzw"),
    "pgm": saved(SIXTEEN, "PPM"),
    "pgm of 12 bits": b"P5\n16 1\n4095\n" + (ROW // 16).astype(">u2").tobytes(),
    "pgm in digits": b"P2\n16 1\n65535\n" + b" ".join(b"%d" % level for level in ROW.tolist()),
    "16 bits in 32": saved(THIRTY_TWO, "TIFF"),
    "floats": saved(FLOATS, "TIFF"),
    "floats as pfm": saved(FLOATS, "PPM"),
    "unsigned 32 bits": tiff((ROW * 65537).astype("<u4"), kind=1),
}
for order in "<>":
    DEEP |= {
        f"{order} unsigned 16": tiff(ROW.astype(order + "u2"), kind=1),
        f"{order} signed 16": tiff((ROW // 2).astype(order + "i2"), kind=2),
        f"{order} signed 32": tiff((ROW * 32768).astype(order + "i4"), kind=2),
        f"{order} floats": tiff((ROW / 65535).astype(order + "f4"), kind=3),
        f"{order} floats, white is 0": tiff(
            (1 - ROW / 65535).astype(order + "f4"), kind=3, white_is_zero=True
        ),
    }
DEEP["white is 0"] = tiff((65535 - ROW).astype("<u2"), kind=1, white_is_zero=True)


@pytest.mark.parametrize("name", DEEP)
def test_deep_gray_scales_by_the_range_of_its_type(name):
    assert gray(DEEP[name]).tolist() == RIGHT.tolist()


def test_twelve_bits_scale_by_theirs():
    levels = (np.arange(16) * 273).astype(np.uint32)  # 0 .. 4095, two in three bytes
    packed = b"".join(
        struct.pack(">I", int(a) << 12 | int(b))[1:] for a, b in levels.reshape(-1, 2)
    )
    data = bytearray(tiff(np.frombuffer(packed, np.uint8), kind=1))
    for tag, value in ((256, 16), (258, 12)):
        at = data.index(struct.pack("<H", tag), 8 + len(packed))
        data[at + 8 : at + 10] = struct.pack("<H", value)
    assert gray(bytes(data)).tolist() == RIGHT.tolist()


def test_signed_bytes():
    assert gray(tiff(np.array([0, 64, 127], np.int8), kind=2)).tolist() == [0, 129, 255]


def test_a_transparent_level_of_sixteen_bits():
    image = decode_image(io.BytesIO(saved(SIXTEEN, "PNG", transparency=4369)))
    assert image.mode == "LA"
    layers = np.asarray(image)[0]
    assert layers[:, 0].tolist() == RIGHT.tolist()
    assert layers[:, 1].tolist() == [255, 0, *[255] * 14]


def test_color_of_sixteen_bits_keeps_its_high_byte():
    raw = b"\0" + b"".join(struct.pack(">HHH", level, 0, 65535) for level in ROW.tolist())
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 16, 1, 16, 2, 0, 0, 0))]
    chunks += [(b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    pixels = np.asarray(decode_image(io.BytesIO(png(chunks))))
    assert pixels[0, :, 0].tolist() == RIGHT.tolist()
    assert pixels[0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (saved(Image.fromarray(np.float32([[0, 255]])), "TIFF"), "levels from 0 to 255; only"),
        (saved(Image.fromarray(np.float32([[np.nan, 1]])), "TIFF"), "levels from nan to nan"),
        (tiff(np.array([-5, 9], "<i2"), kind=2), "negative gray levels, down to -5"),
        (tiff(np.array([-5, 9], np.int8), kind=2), "negative gray levels, down to -5"),
        (saved(THIRTY_TWO.point(lambda level: level * 2), "TIFF"), "no level above 131070, which"),
    ],
)
def test_levels_without_a_plain_meaning_are_refused(data, sentence):
    with pytest.raises(ValueError, match=sentence):
        decode_image(io.BytesIO(data))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in chunks)


PIXELS = np.random.default_rng(0).integers(0, 256, (40, 24, 3)).astype(np.uint8)
PICTURE = Image.fromarray(PIXELS)
PLAIN = saved(PICTURE, "PNG")
PHOTO = saved(PICTURE, "JPEG", quality=95)


def inserted(*chunks: bytes) -> bytes:
    return PLAIN[:33] + b"".join(chunks) + PLAIN[33:]


def exif_of(orientation: int) -> bytes:
    """With a negative width in an unsigned place, which Pillow cannot write back."""
    entries = struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0)
    entries += struct.pack("<HHIi", 0x100, 9, 1, -5) + struct.pack("<HHII", 0x8769, 13, 1, 8)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 3) + entries + bytes(4)


def test_the_orientation_counts_beside_broken_metadata():
    for kind in ("JPEG", "PNG", "WEBP"):
        turned = decode_image(io.BytesIO(saved(PICTURE, kind, exif=exif_of(6))))
        assert turned.size == (40, 24), kind
    turned = decode_image(io.BytesIO(inserted(chunk(b"eXIf", exif_of(6)[6:]))))
    assert np.array_equal(np.asarray(turned), np.rot90(PIXELS, -1))
    exif = Image.Exif()
    exif[0x112] = 6
    for options in ({}, {"compression": "tiff_lzw"}):
        turned = decode_image(io.BytesIO(saved(PICTURE, "TIFF", exif=exif, **options)))
        assert np.array_equal(np.asarray(turned), np.rot90(PIXELS, -1))
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'
    segment = b"\xff\xe1" + struct.pack(">H", len(xmp) + 2) + xmp
    assert decode_image(io.BytesIO(PHOTO[:2] + segment + PHOTO[2:])).size == (40, 24)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_pillows(orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x112] = orientation
    data = saved(PICTURE, "PNG", exif=exif)
    with Image.open(io.BytesIO(data)) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    assert np.array_equal(np.asarray(decode_image(io.BytesIO(data))), expected)


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_blocks_that_cannot_be_understood(order):
    sound = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    sound += struct.pack(order + "HHHIHH", 1, 0x112, 3, 1, 8, 0)
    assert orientation_of_exif(sound) == 8
    for cut in range(len(sound)):
        assert orientation_of_exif(sound[:cut]) in (1, 8)
    far = sound[:4] + struct.pack(order + "I", 4_000_000_000)
    odd = sound[:18] + struct.pack(order + "HH", 77, 0)
    for block in (b"junk", far, odd):
        assert orientation_of_exif(block) == 1


HARMLESS = {
    "junk eXIf": inserted(chunk(b"eXIf", b"junk")),
    "text": inserted(chunk(b"tEXt", b"Comment\0" + b"x" * 70_000_000)),
    "compressed text": inserted(chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(9_000_000)))),
    "color profile": inserted(chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(9_000_000)))),
    "wrong checksum of a text": inserted(chunk(b"tEXt", b"a\0b")[:-1] + b"?"),
    "300,000 text chunks": inserted(chunk(b"tEXt", b"a\0b") * 300_000),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_metadata_do_not_stop_a_png(name):
    started = time.process_time()
    assert np.array_equal(np.asarray(decode_image(io.BytesIO(HARMLESS[name]))), PIXELS)
    assert time.process_time() - started < 2


def test_metadata_do_not_stop_a_jpeg():
    expected = np.asarray(decode_image(io.BytesIO(PHOTO)))
    exif = b"\xff\xe1\xff\xffExif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(65535 - 18)
    started = time.process_time()
    for more in (exif * 40, b"\xff\xfe\0\x03x" * 100_000, b"\xff" * 2_000_000, b"\xff\xe2\0\x04xx"):
        data = PHOTO[:2] + more + PHOTO[2:]
        assert np.array_equal(np.asarray(decode_image(io.BytesIO(data))), expected)
    assert time.process_time() - started < 4


def test_comments_of_a_gif_take_linear_time():
    plain = saved(PICTURE, "GIF")
    at = 13 + (3 << ((plain[10] & 7) + 1) if plain[10] & 0x80 else 0)
    comment = b"\x21\xfe" + (b"\xff" + b"x" * 255) * 40_000 + b"\0"
    started = time.process_time()
    found = decode_image(io.BytesIO(plain[:at] + comment + plain[at:]))
    assert time.process_time() - started < 2
    assert np.array_equal(np.asarray(found), np.asarray(decode_image(io.BytesIO(plain))))


def test_tags_of_a_tiff_that_all_mean_the_same_bytes():
    """Pillow would read nine terabytes."""
    more = tuple((40_000 + i, 3_000_000, 8) for i in range(20_000))
    pixels = np.zeros(3_000_000, np.uint8)
    started = time.process_time()
    assert decode_image(io.BytesIO(tiff(pixels, kind=1, more=more))).size == (3_000_000, 1)
    assert time.process_time() - started < 2


def test_300_000_chunks_of_pixels_take_linear_time():
    raw = b"".join(b"\0" + np.random.default_rng(i).bytes(900) for i in range(1000))
    packed = zlib.compress(raw, 0)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 300, 1000, 8, 2, 0, 0, 0))]
    chunks += [(b"IDAT", packed[i : i + 3]) for i in range(0, len(packed), 3)]
    data = png([*chunks, (b"IEND", b"")])
    started = time.process_time()
    assert decode_image(io.BytesIO(data)).size == (300, 1000)
    assert time.process_time() - started < 2


HUGE = struct.pack(">IIBBBBB", 32_000, 32_000, 8, 2, 0, 0, 0)
ANIMATED = struct.pack("<I", 10) + b"\2\0\0\0" + 2 * struct.pack("<I", 15_999)[:3]
REFUSED = {
    "bomb": png([(b"IHDR", HUGE), (b"IDAT", zlib.compress(bytes(1_000_000))), (b"IEND", b"")]),
    "large ppm": b"P6\n1000000 1000000\n255\n",
    "no pixels": png([(b"IHDR", bytes(8) + b"\x08\2\0\0\0"), (b"IDAT", b""), (b"IEND", b"")]),
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\nshowpage\n",
    "pdf": b"%PDF-1.4\n",
    "script": b"#!/bin/sh\ntouch here\n",
    "icon": saved(PICTURE, "ICO"),
    "empty": b"",
    "cut png": PLAIN[:200],
    "cut jpeg": PHOTO[:100],
    "cut tiff": saved(PICTURE, "TIFF")[:100],
    "cut gif": saved(PICTURE, "GIF")[:40],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name, tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(REFUSED[name])
    started = time.process_time()
    with pytest.raises(UsageError, match=r"cannot read the image .*x\.png: \w.+") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    assert time.process_time() - started < 1


def test_a_bomb_takes_little_memory(tmp_path):
    """3 MB that inflate to 3 GB, behind a header that says so and behind one that does not."""
    path = tmp_path / "bomb.png"
    packed = zlib.compressobj(9)
    head = packed.flush(zlib.Z_FULL_FLUSH)
    zeros = packed.compress(bytes(10_000_000)) + packed.flush(zlib.Z_FULL_FLUSH)
    data = head + zeros * 300
    program = (
        "import re, sys; from pathlib import Path;"
        "from fdsl_gen.core.image_files import read_image\n"
        "try: sys.stdout.write(str(read_image(Path(sys.argv[1])).size))\n"
        "except ValueError as error: sys.stdout.write(str(error))\n"
        "status = Path('/proc/self/status').read_text()\n"  # ru_maxrss begins with the parent's
        "sys.exit(int(re.search(r'VmHWM:\\s*(\\d+)', status)[1]) > 200_000)"
    )
    for header, answer in (
        (HUGE, "it has more than 67,108,864 pixels"),
        (struct.pack(">IIBBBBB", 30, 10, 8, 2, 0, 0, 0), "(30, 10)"),
    ):
        path.write_bytes(png([(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]))
        done = subprocess.run(
            [sys.executable, "-c", program, str(path)], capture_output=True, text=True
        )
        assert answer in done.stdout, done.stderr
        assert done.returncode == 0


@pytest.mark.parametrize("turned", [1, 6])
def test_a_picture_is_in_memory_twice_at_most(turned):
    exif = Image.Exif()
    exif[0x112] = turned
    file = io.BytesIO()
    Image.new("RGB", (4000, 3000)).save(file, "PNG", exif=exif)
    program = (
        "import io, sys; from PIL import Image; from tests.limits import _peak\n"
        "from fdsl_gen.core.image_files import decode_image\n"
        "Image.new('RGB', (4, 4)).save(io.BytesIO(), 'PNG')\n"
        "data, before = sys.stdin.buffer.read(), _peak()\n"
        "image = decode_image(io.BytesIO(data))\n"
        "print(image.width, (_peak() - before) / (4 * 4000 * 3000))\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, input=file.getvalue(), capture_output=True, check=True)
    width, copies = done.stdout.split()
    assert int(width) == (4000 if turned == 1 else 3000)
    assert float(copies) < 2.5


def test_only_regular_files_are_opened(tmp_path):
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    device = tmp_path / "zero.png"
    device.symlink_to("/dev/zero")
    nothing = tmp_path / "nothing.png"
    nothing.symlink_to(tmp_path / "away.png")
    folder = tmp_path / "folder.png"
    folder.mkdir()
    for path, reason in (
        (pipe, "it is not a regular file"),
        (device, "it is not a regular file"),
        (folder, "it is not a regular file"),
        (nothing, f"it is a link to {tmp_path}/away.png, which is not there"),
        (tmp_path / "missing.png", "No such file or directory"),
    ):
        with pytest.raises(UsageError, match=f"cannot read the image {path}: {reason}"):
            read_image(path)


def test_pillow_says_nothing_on_stderr(tmp_path, capfd, recwarn):
    """It logs broken metadata and warns of odd palettes; neither is for the user."""
    for data in (HARMLESS["junk eXIf"], saved(PICTURE, "JPEG", exif=exif_of(6))):
        decode_image(io.BytesIO(data))
    palette = Image.new("P", (4, 4))
    decode_image(io.BytesIO(saved(palette, "PNG", transparency=b"\0\x80\xff")))
    assert not recwarn.list
    assert capfd.readouterr().err == ""


def test_files_stay_closed(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(PLAIN)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    images = [read_image(path) for _ in range(min(limit, 1100))]
    assert np.array_equal(np.asarray(images[-1]), PIXELS)
