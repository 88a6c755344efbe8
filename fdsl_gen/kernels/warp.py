"""Geometric transforms of an image: every output pixel looks up where it comes from.

Coordinates are in half-widths about the center, so that pixels of an image of side S lie at
``(column + .5 - S/2) / (S/2)``. Samples are bilinear; beyond the image everything is black.

Shapes: S side, C channels, G nodes of a displacement lattice along each axis.
"""

import numpy as np

from fdsl_gen.core.jit import kernel


@kernel
def _sample(u, v, source_SSC, out_C):
    """The image at (u, v), bilinear and rounded to the nearest level."""
    side, _, channels = source_SSC.shape
    half = 0.5 * side
    x = u * half + half - 0.5
    y = v * half + half - 0.5
    if not (-1.0 < x < side and -1.0 < y < side):
        out_C[:] = 0
        return
    column = int(np.floor(x))
    row = int(np.floor(y))
    right = x - column
    down = y - row
    for c in range(channels):
        total = 0.0
        for j in range(2):
            for i in range(2):
                if 0 <= row + j < side and 0 <= column + i < side:
                    weight = (right if i else 1.0 - right) * (down if j else 1.0 - down)
                    total += weight * source_SSC[row + j, column + i, c]
        out_C[c] = np.uint8(total + 0.5)


@kernel
def warp_rational(coefficient_36, source_SSC, out_SSC):
    """Look up (p/w, q/w), three polynomials of the second degree in the output's coordinates.

    Args:
        coefficient_36: of 1, u, v, u*u, u*v, v*v, for p, q and w, float64. Where w is not positive
            the output is black.
        source_SSC: uint8.
        out_SSC: output.
    """
    side = source_SSC.shape[0]
    half = 0.5 * side
    term = np.empty(6)
    value = np.empty(3)
    term[0] = 1.0
    for row in range(side):
        v = (row + 0.5 - half) / half
        for column in range(side):
            u = (column + 0.5 - half) / half
            term[1] = u
            term[2] = v
            term[3] = u * u
            term[4] = u * v
            term[5] = v * v
            for k in range(3):
                total = 0.0
                for m in range(6):
                    total += coefficient_36[k, m] * term[m]
                value[k] = total
            if value[2] > 0.0:
                u, v_from = value[0] / value[2], value[1] / value[2]
                _sample(u, v_from, source_SSC, out_SSC[row, column])
            else:
                out_SSC[row, column, :] = 0


@kernel
def _spline(t, weight_4):
    """Weights of the uniform cubic B-spline for the four nodes around a point, 0 <= t < 1."""
    s = 1.0 - t
    weight_4[0] = s * s * s / 6.0
    weight_4[1] = (3.0 * t * t * t - 6.0 * t * t + 4.0) / 6.0
    weight_4[2] = (3.0 * s * s * s - 6.0 * s * s + 4.0) / 6.0
    weight_4[3] = t * t * t / 6.0


@kernel
def warp_elastic(lattice_2GG, source_SSC, out_SSC):
    """Look up the place displaced by a smooth field, cubic B-splines over a lattice.

    Args:
        lattice_2GG: displacements of u and v, float64; the lattice has G - 3 cells across the
            image and one node more around it.
        source_SSC: uint8.
        out_SSC: output.
    """
    side = source_SSC.shape[0]
    half = 0.5 * side
    cells = lattice_2GG.shape[1] - 3
    across = np.empty(4)
    down = np.empty(4)
    moved = np.empty(2)
    for row in range(side):
        place = (row + 0.5) / side * cells
        top = int(place)
        _spline(place - top, down)
        for column in range(side):
            place = (column + 0.5) / side * cells
            left = int(place)
            _spline(place - left, across)
            for k in range(2):
                total = 0.0
                for j in range(4):
                    for i in range(4):
                        total += down[j] * across[i] * lattice_2GG[k, top + j, left + i]
                moved[k] = total
            u = (column + 0.5 - half) / half + moved[0]
            v = (row + 0.5 - half) / half + moved[1]
            _sample(u, v, source_SSC, out_SSC[row, column])
