"""Distance fields of power maps in space, and rays that march through them.

The distance is 0.5 ln(r) r / dr (J. C. Hart et al.: "Ray tracing deterministic 3-D fractals",
SIGGRAPH 1989), from the last r and derivative of the orbit of p.

Rays share a row of lanes. In a pass every lane does one step of its map; an orbit that has ended
stays as it is. After some passes the lanes whose orbit has ended take their distance and start the
next orbit, and the few whose ray is finished make room for another one. That costs about as much as
a pass, so the longer orbits are on average, the more passes are made at a time. What a ray meets
depends on nothing but the ray.

Outside some ball no distance is small. A ray that leaves the ball, or never meets it, is lost and
need not be followed.

Shapes: R rays (origin x y z, direction x y z), P points, F maps that take turns, K numbers of a
map, L lanes.
"""

import numpy as np

from fdsl_gen.core.jit import kernel
from fdsl_gen.kernels.elementary import log_of_normal
from fdsl_gen.kernels.power_step import (
    BAILOUT,
    BEGAN,
    DR,
    LANES,
    ORBIT_ROWS,
    PX,
    PY,
    PZ,
    R2,
    TRAP_R2,
    TRAP_SUM,
    TRAP_Z,
    X,
    Y,
    Z,
    begin,
    ended,
    step,
    trap,
)

# Finished rays that are replaced together. The processor waits when numbers that were written one
# by one are read as vectors right after: a ray cost some 300 ns when each was replaced at once.
_WAITING = 8
_BLOCK = 16  # lanes in use are rounded up to whole blocks: loops of fewer are no vector code

# Rows of a ray, after those of its orbit: origin, direction, length so far, distances taken,
# whether it is finished; then scratch.
_OX, _OY, _OZ, _VX, _VY, _VZ, _LENGTH, _TAKEN, _FINISHED, _DISTANCE = (
    k * LANES for k in range(ORBIT_ROWS, ORBIT_ROWS + 10)
)
_ROWS = ORBIT_ROWS + 10


@kernel
def _distance(square, derivative):
    """0.5 ln(r) r / dr."""
    return 0.25 * log_of_normal(square) * (np.sqrt(square) / derivative)


@kernel
def _passes(steps, orbits, maps):
    """Passes to make before a look at the lanes, from the steps made and orbits ended so far.

    A look costs about as much as a step, and an orbit waits half of the passes for it.
    """
    return max(1, int(np.sqrt(2.0 * steps / orbits) / maps + 0.5))


@kernel
def evaluate(map_FK, rounds, with_traps, point_3P, count, distance_P, trap_3P):
    """Distances of points from the surface.

    Args:
        map_FK: int64, rows of :func:`fdsl_gen.geometry.power_map.row`.
        rounds: of an orbit at most.
        with_traps: whether to fill ``trap_3P``.
        point_3P: float64.
        count: points in use.
        distance_P: output, float64.
        trap_3P: output, float64: the smallest |z|, |x| + |y| + |z| and r squared on the orbit.
    """
    maps = map_FK.shape[0]
    last_step = np.float64(rounds * maps)
    state = np.zeros(ORBIT_ROWS * LANES)
    square_P = np.empty(count)
    point_L = np.empty(LANES, np.int64)
    lanes = min(LANES, count)
    width = (lanes + _BLOCK - 1) // _BLOCK * _BLOCK
    now = 0.0
    for i in range(lanes):
        begin(i, point_3P[0, i], point_3P[1, i], point_3P[2, i], now, state)
        point_L[i] = i
    following = lanes
    left = count
    passes = 1
    steps = 0.0
    while left > 0:
        for _ in range(passes):
            for which in range(maps):
                step(map_FK[which], now, last_step, width, state)
                if with_traps:
                    trap(width, state)
                now += 1.0
        for i in range(lanes):
            p = point_L[i]
            if p < 0 or not ended(i, now, last_step, state):
                continue
            square_P[p] = state[R2 + i]
            distance_P[p] = state[DR + i]
            if with_traps:
                trap_3P[0, p] = state[TRAP_Z + i]
                trap_3P[1, p] = state[TRAP_SUM + i]
                trap_3P[2, p] = state[TRAP_R2 + i]
                square = state[PX + i] ** 2 + state[PY + i] ** 2 + state[PZ + i] ** 2
                if square > BAILOUT:  # no step was made
                    trap_3P[:, p] = np.inf
            left -= 1
            point_L[i] = -1
            if following < count:
                p = following
                begin(i, point_3P[0, p], point_3P[1, p], point_3P[2, p], now, state)
                point_L[i] = p
                following += 1
        steps += width * passes * maps
        passes = _passes(steps, count - left + 1.0, maps)
    for p in range(count):
        distance_P[p] = _distance(square_P[p], distance_P[p])


@kernel
def _move(now, last_step, limits_5, width, state):
    """Where an orbit has ended, take its distance and start another one further along the ray.

    Rays that end here are marked as finished; their orbits stay as they are.

    Returns:
        How many orbits have ended, how many rays wait as finished.
    """
    threshold, far, most, reach, detour = limits_5
    # A loop of its own: a logarithm is a long chain, of which a short loop has many under way.
    for i in range(width):
        state[_DISTANCE + i] = _distance(state[R2 + i], state[DR + i])
    count = 0
    waiting = 0
    for i in range(width):
        finished = state[_FINISHED + i] > 0.0
        over = ended(i, now, last_step, state) & (not finished)
        count += 1 if over else 0
        distance = state[_DISTANCE + i]
        going = over & (distance > threshold)
        length = state[_LENGTH + i] + (distance if going else 0.0)
        taken = state[_TAKEN + i] + (1.0 if over else 0.0)
        vx = state[_VX + i]
        vy = state[_VY + i]
        vz = state[_VZ + i]
        x = state[_OX + i] + length * vx
        y = state[_OY + i] + length * vy
        z = state[_OZ + i] + length * vz
        r2 = x * x + y * y + z * z
        leaves = (x * vx + y * vy + z * vz >= 0.0) & (r2 > reach) & (taken + detour < most)
        lost = going & (leaves | (length >= far))
        going = going & (not lost) & (taken < most)
        state[_LENGTH + i] = far if lost else length
        state[_TAKEN + i] = taken
        finished = finished | (over & (not going))
        waiting += 1 if finished else 0
        state[_FINISHED + i] = 1.0 if finished else 0.0
        state[X + i] = x if going else state[X + i]
        state[Y + i] = y if going else state[Y + i]
        state[Z + i] = z if going else state[Z + i]
        state[PX + i] = x if going else state[PX + i]
        state[PY + i] = y if going else state[PY + i]
        state[PZ + i] = z if going else state[PZ + i]
        state[DR + i] = 1.0 if going else state[DR + i]
        state[R2 + i] = r2 if going else state[R2 + i]
        state[BEGAN + i] = now if going else state[BEGAN + i]
    return count, waiting


@kernel
def _next(i, following, count, now, limits_5, ray_6R, length_R, state):
    """Give a lane the next ray that meets the ball; the ray after it, and whether there was one."""
    _, far, most, reach, detour = limits_5
    while following < count:
        x, y, z = ray_6R[0, following], ray_6R[1, following], ray_6R[2, following]
        vx, vy, vz = ray_6R[3, following], ray_6R[4, following], ray_6R[5, following]
        r2 = x * x + y * y + z * z
        along = x * vx + y * vy + z * vz
        nearest = r2 if along >= 0.0 else r2 - along * along
        if nearest > reach and detour < most:
            length_R[following] = far
            following += 1
            continue
        begin(i, x, y, z, now, state)
        state[_OX + i] = x
        state[_OY + i] = y
        state[_OZ + i] = z
        state[_VX + i] = vx
        state[_VY + i] = vy
        state[_VZ + i] = vz
        state[_LENGTH + i] = 0.0
        state[_TAKEN + i] = 0.0
        state[_FINISHED + i] = 0.0
        return following + 1, True
    return following, False


@kernel
def march(map_FK, rounds, limits_5, ray_6R, count, length_R):
    """Follow rays until the distance to the surface is small.

    ``length += distance`` while the distance is above the threshold. A NaN, of an orbit whose
    derivative has overflown, counts as small.

    Args:
        map_FK: int64, rows of :func:`fdsl_gen.geometry.power_map.row`.
        rounds: of an orbit at most.
        limits_5: float64: threshold of the distance; length at which a ray is lost; distances taken
            along a ray at most; squared radius of a ball outside of which distances are above the
            threshold, and the most distances that a ray may take there until it is lost, see
            :func:`fdsl_gen.geometry.power_map.ball`.
        ray_6R: origin and direction, float64.
        count: rays in use.
        length_R: output, float64: the length, or that at which a ray is lost.
    """
    maps = map_FK.shape[0]
    last_step = np.float64(rounds * maps)
    state = np.zeros(_ROWS * LANES)
    ray_L = np.empty(LANES, np.int64)
    following = 0
    lanes = 0
    passes = 1
    now = 0.0
    steps = 0.0
    orbits = 1.0
    waiting = 0
    while True:
        i = 0
        while i < lanes and (waiting >= _WAITING or following >= count):
            if state[_FINISHED + i] == 0.0:
                i += 1
                continue
            length_R[ray_L[i]] = state[_LENGTH + i]
            following, found = _next(i, following, count, now, limits_5, ray_6R, length_R, state)
            if found:
                ray_L[i] = following - 1
                continue
            lanes -= 1  # the last lane moves into this one, and is looked at next
            for k in range(_ROWS):
                state[k * LANES + i] = state[k * LANES + lanes]
            ray_L[i] = ray_L[lanes]
        while lanes < LANES and following < count:
            following, found = _next(
                lanes, following, count, now, limits_5, ray_6R, length_R, state
            )
            if found:
                ray_L[lanes] = following - 1
                lanes += 1
        if lanes == 0:
            return
        width = (lanes + _BLOCK - 1) // _BLOCK * _BLOCK
        for _ in range(passes):
            for which in range(maps):
                step(map_FK[which], now, last_step, width, state)
                now += 1.0
        moved, waiting = _move(now, last_step, limits_5, width, state)
        orbits += moved
        steps += width * passes * maps
        passes = _passes(steps, orbits, maps)
