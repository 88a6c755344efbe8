"""sin, cos, exp and log within 1 ulp of mpmath, on a million arguments together."""

import math

import mpmath
import numpy as np
import pytest

from fdsl_gen.core.keys import Key, uniforms
from fdsl_gen.kernels import elementary

COUNT = 125_000  # two groups of arguments for each of four functions: a million


def drawn(role: str, low: float, high: float) -> np.ndarray:
    return uniforms(Key(1, role).words, COUNT, low, high)


def near_multiples_of_half_pi() -> np.ndarray:
    k = np.floor(drawn("k", -60_000, 60_000))
    return k * (np.pi / 2) * (1 + drawn("near", -1e-12, 1e-12))


ARGUMENTS = {
    "sin": [drawn("sin", -400, 400), near_multiples_of_half_pi()],
    "cos": [drawn("cos", -1e5, 1e5), near_multiples_of_half_pi()],
    "exp": [drawn("exp", -1, 1), drawn("exp wide", -700, 700)],
    "log": [drawn("log", 1e-300, 4), 2.0 ** drawn("log wide", -1000, 1000)],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ARGUMENTS)
def test_within_one_ulp(name):
    function, exact = getattr(elementary, name), getattr(mpmath, name)
    with mpmath.workprec(90):
        for x in np.concatenate(ARGUMENTS[name]).tolist():
            value = function(x)
            true = exact(mpmath.mpf(x))
            assert abs(value - true) <= math.ulp(value), x


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("sin", 0.0, 0.0),
        ("cos", 0.0, 1.0),
        ("exp", 0.0, 1.0),
        ("exp", 1000.0, math.inf),
        ("exp", -1000.0, 0.0),
        ("exp", -math.inf, 0.0),
        ("log", 1.0, 0.0),
        ("log", 0.0, -math.inf),
        ("log", math.inf, math.inf),
    ],
)
def test_special_values(name, x, expected):
    assert getattr(elementary, name)(x) == expected


@pytest.mark.parametrize(
    ("name", "x"),
    [("sin", 2e5), ("cos", math.inf), ("sin", math.nan), ("exp", math.nan), ("log", -1.0)],
)
def test_outside_their_domain_they_say_nan(name, x):
    assert math.isnan(getattr(elementary, name)(x))


def test_log_close_to_one():
    with mpmath.workprec(90):
        for k in range(1, 53):
            for x in (1 + 2.0**-k, 1 - 2.0**-k):
                value = elementary.log(x)
                assert abs(value - mpmath.log(mpmath.mpf(x))) <= math.ulp(value)
