"""Slow twins of the contour datasets, written from their definitions.

Vertices are plain Python floats, drawing is Pillow's. From the package they take only the words of
keys and the sine and cosine that the definitions name; the noise is that of the package ``noise``.
"""

import math

import noise
import numpy as np
from PIL import Image, ImageDraw

from fdsl_gen.core.keys import Key, words
from fdsl_gen.kernels.elementary import cos, sin

GRAYS = 2**40


def units(key: Key, count: int, start: int = 0) -> list[float]:
    return [(w >> 11) * 2.0**-53 for w in words(key.words, count, start).tolist()]


def integers(key: Key, start: int, span: int, count: int) -> list[int]:
    """U{0..span}: the upper bits of one word after another, values above the span passed over."""
    shift = 64 - span.bit_length()
    found: list[int] = []
    while len(found) < count:
        values = [w >> shift for w in words(key.words, 100, start).tolist()]
        found += [value for value in values if value <= span]
        start += 100
    return found[:count]


class Figure:
    """A figure that grows: vertices, and what moves them."""

    def __init__(self, shape, key: Key, scale: float, radius: float, oval_rates, start):
        self.key, self.n = key, shape.num_vertices
        theta = [(2 * math.pi / self.n) * j for j in range(self.n)]
        self.cosine = [cos(t) for t in theta]
        self.sine = [sin(t) for t in theta]
        n1, n2 = shape.frequencies
        a1, a2 = (a * scale for a in shape.amplitudes)
        self.wave = [(a1 * sin(t * n1), a2 * sin(t * n2)) for t in theta]
        self.lam, self.l = shape.noise_coefficient * scale, shape.ring_offset * scale
        r = radius * scale
        self.x = [c * r * oval_rates[0] + start[0] for c in self.cosine]
        self.y = [s * r * oval_rates[1] + start[1] for s in self.sine]
        self.grown = 0

    def perlin(self, axis: int) -> list[float]:
        first = (2 * self.grown + axis) * self.n
        return [noise.pnoise1(u * 10_000.0) for u in units(self.key, self.n, first)]

    def grow_radially(self) -> None:
        """RCDB and SegRCDB: (2p) lambda - lambda, less l."""
        p, q = self.perlin(0), self.perlin(1)
        for j in range(self.n):
            self.x[j] -= self.cosine[j] * (((2 * p[j]) * self.lam - self.lam) - self.l)
            self.y[j] -= self.sine[j] * (((2 * q[j]) * self.lam - self.lam) - self.l)
        self.grown += 1

    def grow_waves(self) -> None:
        """VisualAtom: p lambda - lambda - .5 sin(theta n1) - .5 sin(theta n2), less l."""
        p, q = self.perlin(0), self.perlin(1)
        for j, (one, two) in enumerate(self.wave):
            reach_x = p[j] * self.lam - self.lam - one - two
            reach_y = q[j] * self.lam - self.lam - one - two
            self.x[j] -= self.cosine[j] * (reach_x - self.l)
            self.y[j] -= self.sine[j] * (reach_y - self.l)
        self.grown += 1

    def vertices(self, center=(0.0, 0.0)) -> list[tuple[float, float]]:
        return [(x + center[0], y + center[1]) for x, y in zip(self.x, self.y, strict=True)]


def outline(pen: ImageDraw.ImageDraw, points: list[tuple[float, float]], ink: int) -> None:
    for one, other in zip(points, points[1:] + points[:1], strict=True):
        pen.line((*one, *other), fill=ink, width=1)


def visualatom(atom, key: Key, side: int, center) -> np.ndarray:
    image = Image.new("L", (side, side))
    pen = ImageDraw.Draw(image)
    figure = Figure(atom.shape, key, side / 512, atom.radius, atom.oval_rates, center)
    for gray in integers(key, GRAYS, 255, atom.num_orbits):
        figure.grow_waves()
        outline(pen, figure.vertices(), gray)
    return np.asarray(image)


def rcdb(
    radial, key: Key, side: int, radius: int, oval_rates, center, background: int
) -> np.ndarray:
    image = Image.new("L", (side, side), background)
    pen = ImageDraw.Draw(image)
    figure = Figure(radial.shape, key, side / 512, radius, oval_rates, (0.0, 0.0))
    for gray in integers(key, GRAYS, 256, radial.num_contours):
        figure.grow_radially()
        outline(pen, figure.vertices(center), min(gray, 255))
    return np.asarray(image)


def segrcdb(objects, side: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask of ``objects``: tuples of a category, a key and a center."""
    image, mask = Image.new("L", (side, side)), Image.new("L", (side, side))
    pen, mark = ImageDraw.Draw(image), ImageDraw.Draw(mask)
    for category, key, center in objects:
        c = category.index + 1
        figure = Figure(
            category.shape, key, side / 512, category.radius, category.oval_rates, center
        )
        polygons = []
        for gray in integers(key, GRAYS, 255, category.num_contours):
            figure.grow_radially()
            polygons.append(figure.vertices())
            outline(pen, polygons[-1], gray)
            if kind == "M1":
                outline(mark, polygons[-1], c)
        if kind == "M2" and len(polygons) > 1:
            mark.polygon(polygons[-1], fill=c)
            mark.polygon(polygons[0], fill=0)
            outline(mark, polygons[-1], c)
            outline(mark, polygons[0], c)
        if kind == "M3":
            mark.polygon(polygons[-1], fill=c)
    return np.asarray(image), np.asarray(mask)


def inscore(objects, side: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Image, and the number of the object that each pixel shows, from 1 on; later ones on top.

    ``objects`` are tuples of a category, a key, a center, a radius and two oval rates.
    """
    image = np.zeros((side, side, channels), np.uint8)
    owner = np.zeros((side, side), int)
    for number, (category, key, center, radius, oval_rates) in enumerate(objects, 1):
        count = category.num_contours
        values = integers(key, GRAYS, 254, (count + 1) * channels)
        palette = np.array(values).reshape(count + 1, channels) + 1
        figure = Figure(category.shape, key, side / 512, radius, oval_rates, (0.0, 0.0))
        lines, area = Image.new("I", (side, side)), Image.new("L", (side, side))
        for k in range(1, count + 1):
            figure.grow_radially()
            outline(ImageDraw.Draw(lines), figure.vertices(center), k)
        whole = [(math.trunc(x), math.trunc(y)) for x, y in figure.vertices(center)]
        ImageDraw.Draw(area).polygon(whole, fill=1)
        mine = np.asarray(area) == 1
        image[mine] = palette[np.asarray(lines)[mine]]
        owner[mine] = number
    return image, owner
