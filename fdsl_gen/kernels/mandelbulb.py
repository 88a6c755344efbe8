"""Distance fields of power maps in space, and rays that march through them.

The map is z -> power(z) + p. Each coordinate of the power is plus or minus r^n times the cosine or
sine of n phi or n theta, the polar angles of z. That needs no trigonometric function: with rho the
distance from the z axis, r^n (cos n theta + i sin n theta) is (z + i rho)^n, and
r^n (cos n phi + i sin n phi) is ((x + iy) r / rho)^n. At z = 0 all powers are 0; on the z axis phi
is 0. The distance is 0.5 ln(r) r / dr (J. C. Hart et al.: "Ray tracing deterministic 3-D fractals",
SIGGRAPH 1989), from the last r and derivative of the orbit of p.

Rays share a row of lanes. In a pass every lane does one step of its map, in loops that the compiler
turns into vector code; an orbit that has ended stays as it is. After some passes the lanes whose
orbit has ended take their distance and start the next orbit, and the few whose ray is finished make
room for another one. That costs about as much as a pass, so the longer orbits are on average, the
more passes are made at a time. What a ray meets depends on nothing but the ray. All rows of the
state lie in one array at constant places: loops over two arrays would have to check whether they
overlap.

Shapes: R rays (origin x y z, direction x y z), F maps that take turns, K numbers of a map, L lanes.
"""

import numpy as np

from fdsl_gen.core.jit import kernel
from fdsl_gen.kernels.elementary import log, log_lanes

LANES = 64
BAILOUT = 16.0  # squared: an orbit ends beyond radius 4
_BLOCK = 16  # lanes in use are rounded up to whole blocks: loops of fewer are no vector code

# Rows of the lanes' state: orbit, its start, derivative, r squared before the next step, steps
# done, r squared to stop at; then what a step needs on the way; then the smallest |z|,
# |x| + |y| + |z| and r squared of the orbit; then the ray: origin, direction, length so far,
# distances taken; then whether the lane needs a look, and scratch; then the powers, real and
# imaginary part for phi and for theta.
_X, _Y, _Z, _PX, _PY, _PZ, _DR, _R2, _DONE, _STOP = (k * LANES for k in range(10))
_RHO, _UX, _UY, _R, _RN = (k * LANES for k in range(10, 15))
_TRAP_Z, _TRAP_SUM, _TRAP_R2 = (k * LANES for k in range(15, 18))
_OX, _OY, _OZ, _VX, _VY, _VZ, _LENGTH, _TAKEN = (k * LANES for k in range(18, 26))
_SEEN, _SQUARE, _LOG = (k * LANES for k in range(26, 29))
_PHI_RE, _PHI_IM, _THETA_RE, _THETA_IM = (k * LANES for k in range(29, 33))
_ROWS = 33
_ORBIT_ROWS = 29  # that a ray takes along when it changes lanes


@kernel
def _squared(a, b):
    """(a + ib)^2."""
    return a * a - b * b, (a + a) * b


@kernel
def _times(c, d, x, y):
    """(c + id)(x + iy)."""
    return c * x - d * y, c * y + d * x


@kernel
def _raise_complexes(power, width, state):
    """The powers of (x + iy) r / rho, for phi, and of z + i rho, for theta, by squaring.

    Both in one loop, from constant rows to constant rows: 79 ns for 64 lanes and the power 9. One
    at a time, with the rows as arguments, it took 340 ns, because such loops are not vectorized.
    """
    bit = 1
    while 2 * bit <= power:
        bit *= 2
    bit //= 2
    if power & bit:
        for i in range(width):
            x = state[_UX + i]
            y = state[_UY + i]
            c, d = _squared(x, y)
            state[_PHI_RE + i], state[_PHI_IM + i] = _times(c, d, x, y)
            x = state[_Z + i]
            y = state[_RHO + i]
            c, d = _squared(x, y)
            state[_THETA_RE + i], state[_THETA_IM + i] = _times(c, d, x, y)
    else:
        for i in range(width):
            c, d = _squared(state[_UX + i], state[_UY + i])
            state[_PHI_RE + i] = c
            state[_PHI_IM + i] = d
            c, d = _squared(state[_Z + i], state[_RHO + i])
            state[_THETA_RE + i] = c
            state[_THETA_IM + i] = d
    bit //= 2
    while bit > 0:
        if power & bit:
            for i in range(width):
                c, d = _squared(state[_PHI_RE + i], state[_PHI_IM + i])
                c, d = _times(c, d, state[_UX + i], state[_UY + i])
                state[_PHI_RE + i] = c
                state[_PHI_IM + i] = d
                c, d = _squared(state[_THETA_RE + i], state[_THETA_IM + i])
                c, d = _times(c, d, state[_Z + i], state[_RHO + i])
                state[_THETA_RE + i] = c
                state[_THETA_IM + i] = d
        else:
            for i in range(width):
                c, d = _squared(state[_PHI_RE + i], state[_PHI_IM + i])
                state[_PHI_RE + i] = c
                state[_PHI_IM + i] = d
                c, d = _squared(state[_THETA_RE + i], state[_THETA_IM + i])
                state[_THETA_RE + i] = c
                state[_THETA_IM + i] = d
        bit //= 2


@kernel
def _raise_radius(power, width, state):
    """state[_RN] = r ** power, from r squared and, if the power is odd, r."""
    half = power // 2
    for i in range(width):
        state[_RN + i] = state[_R2 + i]
    bit = 1
    while 2 * bit <= half:
        bit *= 2
    bit //= 2
    while bit > 0:
        if half & bit:
            for i in range(width):
                a = state[_RN + i]
                state[_RN + i] = a * a * state[_R2 + i]
        else:
            for i in range(width):
                a = state[_RN + i]
                state[_RN + i] = a * a
        bit //= 2
    if power & 1:
        for i in range(width):
            state[_RN + i] = state[_RN + i] * state[_R + i]


@kernel
def _step(map_K, last_step, width, state):
    """One step of a map in every lane whose orbit has not ended."""
    power = map_K[0]
    for i in range(width):
        x = state[_X + i]
        y = state[_Y + i]
        rho2 = x * x + y * y
        rho = np.sqrt(rho2)
        r = np.sqrt(state[_R2 + i])
        stretch = r / rho
        axis = rho2 == 0.0
        state[_RHO + i] = rho
        state[_R + i] = r
        state[_UX + i] = r if axis else x * stretch
        state[_UY + i] = 0.0 if axis else y * stretch
    _raise_complexes(power, width, state)
    _raise_radius(power, width, state)
    polar_x, sine_x = map_K[1] >= 2, map_K[1] % 2 == 1
    polar_y, sine_y = map_K[2] >= 2, map_K[2] % 2 == 1
    polar_z, sine_z = map_K[3] >= 2, map_K[3] % 2 == 1
    sign_x, sign_y, sign_z = np.float64(map_K[4]), np.float64(map_K[5]), np.float64(map_K[6])
    n = np.float64(power)
    for i in range(width):
        going = not (state[_STOP + i] > BAILOUT)
        a, b = state[_PHI_RE + i], state[_PHI_IM + i]
        c, d = state[_THETA_RE + i], state[_THETA_IM + i]
        x = (d if sine_x else c) if polar_x else (b if sine_x else a)
        y = (d if sine_y else c) if polar_y else (b if sine_y else a)
        z = (d if sine_z else c) if polar_z else (b if sine_z else a)
        x = sign_x * x + state[_PX + i]
        y = sign_y * y + state[_PY + i]
        z = sign_z * z + state[_PZ + i]
        r2 = x * x + y * y + z * z
        slope = state[_RN + i] * n * state[_DR + i] + 1.0
        done = state[_DONE + i] + 1.0
        last = done >= last_step
        state[_X + i] = x if going else state[_X + i]
        state[_Y + i] = y if going else state[_Y + i]
        state[_Z + i] = z if going else state[_Z + i]
        state[_DR + i] = slope if going else state[_DR + i]
        state[_DONE + i] = done if going else state[_DONE + i]
        state[_R2 + i] = r2 if going & (not last) else state[_R2 + i]
        stop = np.inf if last else r2
        state[_STOP + i] = stop if going else state[_STOP + i]


@kernel
def _trap(width, state):
    """Keep the smallest values of every orbit."""
    for i in range(width):
        x = abs(state[_X + i])
        y = abs(state[_Y + i])
        z = abs(state[_Z + i])
        state[_TRAP_Z + i] = min(state[_TRAP_Z + i], z)
        state[_TRAP_SUM + i] = min(state[_TRAP_SUM + i], x + y + z)
        state[_TRAP_R2 + i] = min(state[_TRAP_R2 + i], x * x + y * y + z * z)


@kernel
def _move(width, threshold, far, most, state):
    """Where an orbit has ended, take its distance and start another one further along the ray.

    Returns how many have ended.

    state[_SEEN] says which lanes need a look: those whose ray is finished, and those that have left
    the ball in which there are orbits. The orbits of finished rays stay as they are.
    """
    count = 0
    for i in range(width):
        state[_SQUARE + i] = state[_R2 + i]
    log_lanes(state[_SQUARE : _SQUARE + width], state[_LOG : _LOG + width])
    for i in range(width):
        ended = state[_STOP + i] > BAILOUT
        count += 1 if ended else 0
        distance = 0.25 * state[_LOG + i] * (np.sqrt(state[_R2 + i]) / state[_DR + i])
        going = ended & (distance > threshold)
        length = state[_LENGTH + i] + (distance if going else 0.0)
        taken = state[_TAKEN + i] + (1.0 if ended else 0.0)
        going = going & (length < far) & (taken < most)
        x = state[_OX + i] + length * state[_VX + i]
        y = state[_OY + i] + length * state[_VY + i]
        z = state[_OZ + i] + length * state[_VZ + i]
        r2 = x * x + y * y + z * z
        state[_LENGTH + i] = length
        state[_TAKEN + i] = taken
        state[_X + i] = x if going else state[_X + i]
        state[_Y + i] = y if going else state[_Y + i]
        state[_Z + i] = z if going else state[_Z + i]
        state[_PX + i] = x if going else state[_PX + i]
        state[_PY + i] = y if going else state[_PY + i]
        state[_PZ + i] = z if going else state[_PZ + i]
        state[_DR + i] = 1.0 if going else state[_DR + i]
        state[_R2 + i] = r2 if going else state[_R2 + i]
        state[_DONE + i] = 0.0 if going else state[_DONE + i]
        state[_STOP + i] = r2 if going else state[_STOP + i]
        state[_TRAP_Z + i] = np.inf if going else state[_TRAP_Z + i]
        state[_TRAP_SUM + i] = np.inf if going else state[_TRAP_SUM + i]
        state[_TRAP_R2 + i] = np.inf if going else state[_TRAP_R2 + i]
        state[_SEEN + i] = 1.0 if ended & ((not going) | (r2 > BAILOUT)) else 0.0
    return count


@kernel
def _enter(i, far, most, state):
    """Go on with the ray of a lane; whether there is an orbit where it is now.

    Outside the ball of radius 4 there is none, and the distance is known at once. A ray that moves
    away out there never comes back.
    """
    while True:
        length = state[_LENGTH + i]
        x = state[_OX + i] + length * state[_VX + i]
        y = state[_OY + i] + length * state[_VY + i]
        z = state[_OZ + i] + length * state[_VZ + i]
        r2 = x * x + y * y + z * z
        if r2 <= BAILOUT:
            break
        state[_LENGTH + i] = length + 0.25 * log(r2) * np.sqrt(r2)
        state[_TAKEN + i] += 1.0
        if state[_LENGTH + i] >= far or state[_TAKEN + i] >= most:
            return False
        if x * state[_VX + i] + y * state[_VY + i] + z * state[_VZ + i] >= 0.0:
            state[_LENGTH + i] = far
            return False
    state[_X + i] = x
    state[_Y + i] = y
    state[_Z + i] = z
    state[_PX + i] = x
    state[_PY + i] = y
    state[_PZ + i] = z
    state[_DR + i] = 1.0
    state[_R2 + i] = r2
    state[_DONE + i] = 0.0
    state[_STOP + i] = r2
    state[_TRAP_Z + i] = np.inf
    state[_TRAP_SUM + i] = np.inf
    state[_TRAP_R2 + i] = np.inf
    return True


@kernel
def _next(i, following, count, far, most, ray_6R, length_R, state):
    """Give a lane the next ray that has an orbit; the ray after it, and whether there was one."""
    while following < count:
        for k in range(6):
            state[_OX + k * LANES + i] = ray_6R[k, following]
        state[_LENGTH + i] = 0.0
        state[_TAKEN + i] = 0.0
        state[_SEEN + i] = 0.0
        if _enter(i, far, most, state):
            return following + 1, True
        length_R[following] = state[_LENGTH + i]
        following += 1
    return following, False


@kernel
def march(map_FK, limits_4, with_traps, ray_6R, count, length_R, trap_3R):
    """Follow rays until the distance to the surface is small.

    ``length += distance`` while the distance is above the threshold. A NaN, of an orbit whose
    derivative has overflown, counts as small.

    Args:
        map_FK: int64, rows of :func:`fdsl_gen.geometry.power_map.row`.
        limits_4: float64: rounds of an orbit at most; threshold of the distance; length at which a
            ray is lost; distances taken along a ray at most.
        with_traps: whether to fill ``trap_3R``.
        ray_6R: origin and direction, float64. With one distance and a threshold of minus infinity,
            lengths are the distances at the origins.
        count: rays in use.
        length_R: output, float64.
        trap_3R: output, float64: the smallest |z|, |x| + |y| + |z| and r squared on the orbit of
            the last distance taken; unless it was taken outside the ball of radius 4.
    """
    rounds, threshold, far, most = limits_4
    maps = map_FK.shape[0]
    last_step = rounds * maps
    state = np.zeros(_ROWS * LANES)
    ray_L = np.empty(LANES, np.int64)
    following = 0
    lanes = 0
    passes = 1  # of all maps, before orbits that have ended are looked for
    steps = 0.0
    ended = 1.0
    while True:
        i = 0
        while i < lanes:
            if state[_SEEN + i] == 0.0:
                i += 1
                continue
            state[_SEEN + i] = 0.0
            if state[_DONE + i] == 0.0 and _enter(i, far, most, state):
                continue
            length_R[ray_L[i]] = state[_LENGTH + i]
            trap_3R[0, ray_L[i]] = state[_TRAP_Z + i]
            trap_3R[1, ray_L[i]] = state[_TRAP_SUM + i]
            trap_3R[2, ray_L[i]] = state[_TRAP_R2 + i]
            following, found = _next(i, following, count, far, most, ray_6R, length_R, state)
            if found:
                ray_L[i] = following - 1
                continue
            lanes -= 1  # the last lane moves into this one, and is looked at next
            for k in range(_ORBIT_ROWS):
                state[k * LANES + i] = state[k * LANES + lanes]
                state[k * LANES + lanes] = 0.0
            ray_L[i] = ray_L[lanes]
        while lanes < LANES and following < count:
            following, found = _next(lanes, following, count, far, most, ray_6R, length_R, state)
            if found:
                ray_L[lanes] = following - 1
                lanes += 1
        if lanes == 0:
            return
        width = (lanes + _BLOCK - 1) // _BLOCK * _BLOCK
        for _ in range(passes):
            for which in range(maps):
                _step(map_FK[which], last_step, width, state)
                if with_traps:
                    _trap(width, state)
        ended += _move(width, threshold, far, most, state)
        steps += width * passes * maps
        # Looking costs about as much as a step, and an orbit waits half of the passes for it.
        passes = max(1, int(np.sqrt(2.0 * steps / ended) / maps + 0.5))
