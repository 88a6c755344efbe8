"""PNG files: any decoder reads them, and the short way back equals Pillow."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from isal import isal_zlib
from PIL import Image

from fdsl_gen.archive import png

gray = arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)))
color = arrays.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3)))


def by_pillow(data: bytes, mode: str) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return np.asarray(image.convert(mode))


@given(gray)
def test_gray8(image):
    data = png.encode(image, "gray8")
    assert np.array_equal(by_pillow(data, "L"), image)
    assert np.array_equal(png.decode(data), image)


@given(color)
def test_rgb8(image):
    data = png.encode(image, "rgb8")
    assert np.array_equal(by_pillow(data, "RGB"), image)
    assert np.array_equal(png.decode(data), image)


def by_hand(header: bytes, rows: list[bytes], *palette: bytes) -> bytes:
    """A file as the specification builds it, with filter 0 and ISA-L's level 1."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(kind + content)
        return len(content).to_bytes(4) + kind + content + crc.to_bytes(4)

    chunks = [chunk(b"IHDR", header), *(chunk(b"PLTE", colors) for colors in palette)]
    data = isal_zlib.compress(b"".join(b"\0" + row for row in rows), 1)
    return b"\x89PNG\r\n\x1a\n" + b"".join([*chunks, chunk(b"IDAT", data), chunk(b"IEND", b"")])


def test_the_bytes_of_a_file():
    """Equal pixels give equal files, so the way to compress them is part of the promise."""
    image = (np.add.outer(np.arange(40) ** 2, np.arange(50)) % 251).astype(np.uint8)
    size = (50).to_bytes(4) + (40).to_bytes(4)
    rows = [row.tobytes() for row in image]
    assert png.encode(image, "gray8") == by_hand(size + b"\x08\0\0\0\0", rows)
    tripled = [np.repeat(row, 3).tobytes() for row in image]
    assert png.encode(image, "rgb8") == by_hand(size + b"\x08\2\0\0\0", tripled)
    two = np.where(image > 100, 127, 0).astype(np.uint8)
    bits = [np.packbits(row > 0).tobytes() for row in two]
    levels = bytes([0, 0, 0, 127, 127, 127])
    assert png.encode(two, "compact", 127) == by_hand(size + b"\1\3\0\0\0", bits, levels)


@given(gray)
def test_rgb8_of_a_gray_image(image):
    data = png.encode(image, "rgb8")
    assert np.array_equal(by_pillow(data, "RGB"), np.repeat(image[:, :, None], 3, axis=2))


@given(gray, st.integers(1, 255))
def test_compact(image, white):
    two = (image > 100) * np.uint8(white)
    data = png.encode(two, "compact", white)
    assert np.array_equal(by_pillow(data, "L"), two)
    assert np.array_equal(by_pillow(data, "RGB")[:, :, 2], two)
    assert np.array_equal(png.decode(data), two)


@given(gray)
def test_files_of_others_are_decoded_too(image):
    for mode, options in (("L", {}), ("L", {"compress_level": 9}), ("1", {})):
        buffer = io.BytesIO()
        Image.fromarray(image).convert(mode).save(buffer, "PNG", **options)
        expected = np.asarray(Image.fromarray(image).convert(mode).convert("L"))
        assert np.array_equal(png.decode(buffer.getvalue()), expected)


def test_what_an_encoding_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="levels 0 and 127"):
        png.encode(np.arange(9, dtype=np.uint8).reshape(3, 3), "compact", 127)
    for encoding in ("gray8", "compact"):
        with pytest.raises(ValueError, match="gray images"):
            png.encode(np.zeros((3, 3, 3), np.uint8), encoding)


def test_a_file_without_an_image_is_damaged():
    with pytest.raises(ValueError, match="no image in it"):
        png.decode(b"\x89PNG\r\n\x1a\n" + png._IEND)


def test_every_damaged_byte_and_every_cut_is_noticed():
    image = (np.arange(30 * 31) % 7 * 30).astype(np.uint8).reshape(30, 31)
    data = png.encode(image, "gray8")
    for at in range(len(data)):
        with pytest.raises(ValueError):
            png.decode(data[:at])
        damaged = bytearray(data)
        damaged[at] ^= 1
        with pytest.raises(ValueError):
            png.decode(bytes(damaged))


def file_of(*chunks: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(png._chunk(*chunk) for chunk in chunks) + png._IEND


def header(width: int, height: int, depth: int = 8, color_type: int = 0) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)


def zeros(count: int) -> tuple[bytes, bytes]:
    return b"IDAT", zlib.compress(bytes(count))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (file_of(header(32_000, 32_000, 8, 2), zeros(9)), "says that it is 32000x32000 pixels"),
        (file_of(header(2**31 - 1, 2**31 - 1, 1, 3), zeros(9)), "says that it is"),
        (file_of(header(0, 9), zeros(9)), "says that it is 0x9 pixels"),
        (file_of(header(3, 3), zeros(11)), "wrong length"),
        (file_of(header(3, 3), zeros(13)), "wrong length"),
        (file_of(header(3, 3), (b"IDAT", zlib.compress(bytes(12))[:-1])), "wrong length"),
        (file_of(header(3, 3), (b"IDAT", zlib.compress(bytes(12))[:-1] + b"?")), "is damaged"),
        (file_of(header(3, 3), header(3, 3), zeros(12)), "wrong header"),
        (file_of((b"IHDR", b"short"), zeros(12)), "wrong header"),
        (file_of(header(3, 3, 1, 3), zeros(6)), "no palette of two colors"),
        (file_of(header(3, 3, 8, 9), zeros(12)), "damaged"),
        (file_of(header(3, 3, 8, 6), zeros(9)), "truncated"),
    ],
)
def test_what_a_file_says_is_not_believed(data, sentence):
    started = time.process_time()
    with pytest.raises(ValueError, match=sentence):
        png.decode(data)
    assert time.process_time() - started < 1


def test_no_more_is_inflated_than_the_header_says(monkeypatch):
    made = []
    plain = png.isal_zlib.decompressobj

    class Counting:
        def __init__(self):
            self.stream = plain()

        def __getattr__(self, name):
            return getattr(self.stream, name)

        def decompress(self, data, most):
            made.append(most)
            return self.stream.decompress(data, most)

    bomb = file_of(header(3, 3), zeros(50_000_000))
    monkeypatch.setattr(png.isal_zlib, "decompressobj", Counting)
    with pytest.raises(ValueError, match="wrong length"):
        png.decode(bomb)
    assert made == [12, 1]


def test_many_chunks_take_linear_time():
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 600)).astype(np.uint8)
    packed = zlib.compress(np.insert(pixels, 0, 0, axis=1).tobytes(), 0)
    pieces = (packed[i : i + 3] for i in range(0, len(packed), 3))
    data = file_of(header(600, 1000), *((b"IDAT", piece) for piece in pieces))
    started = time.process_time()
    assert np.array_equal(png.decode(data), pixels)
    assert time.process_time() - started < 2


def test_sixteen_bits_scale_by_their_range():
    row = np.arange(16, dtype=np.uint16)[None] * 4369
    buffer = io.BytesIO()
    Image.fromarray(row).save(buffer, "PNG")
    assert png.decode(buffer.getvalue()).tolist() == [[17 * i for i in range(16)]]


def test_the_size_stands_at_the_beginning():
    data = png.encode(np.zeros((3, 5), np.uint8), "gray8")
    assert png.size_of(data[:24]) == (3, 5)
    for other in (b"", data[:23], b"GIF89a" + bytes(30)):
        with pytest.raises(ValueError, match="not a PNG file"):
            png.size_of(other)
