"""Steps of power maps in space, for many orbits side by side.

The map is z -> power(z) + p. Each coordinate of the power is plus or minus r^n times the cosine or
sine of n phi or n theta, the polar angles of z. That needs no trigonometric function: with rho the
distance from the z axis, r^n (cos n theta + i sin n theta) is (z + i rho)^n, and
r^n (cos n phi + i sin n phi) is ((x + iy) r / rho)^n. At z = 0 all powers are 0; on the z axis phi
is 0.

A step is one loop over the lanes that the compiler turns into vector code, without a detour over
memory: it is compiled for each power of the published sets, which unrolls the powers. That takes
half to two thirds of the time of a loop for each squaring. Other powers take the same code one lane
at a time. All rows of the state lie in one array at constant places: loops over two arrays would
have to check whether they overlap.

Shapes: K numbers of a map, L lanes.
"""

import numpy as np

from fdsl_gen.core.jit import kernel

LANES = 64
BAILOUT = 16.0  # squared: an orbit ends beyond radius 4

# Rows of the lanes' state: orbit, its start, derivative, r squared before the next step, and the
# count of steps at which it began; then the smallest |z|, |x| + |y| + |z| and r squared of it.
X, Y, Z, PX, PY, PZ, DR, R2, BEGAN = (k * LANES for k in range(9))
TRAP_Z, TRAP_SUM, TRAP_R2 = (k * LANES for k in range(9, 12))
ORBIT_ROWS = 12


@kernel
def _squared(a, b):
    """(a + ib)^2."""
    return a * a - b * b, (a + a) * b


@kernel
def _times(c, d, x, y):
    """(c + id)(x + iy)."""
    return c * x - d * y, c * y + d * x


@kernel
def _chosen(source, phi_re, phi_im, theta_re, theta_im):
    """cos n phi, sin n phi, cos n theta or sin n theta."""
    theta = theta_im if source == 3 else theta_re
    phi = phi_im if source == 1 else phi_re
    return theta if source >= 2 else phi


def _step_of(fixed_power):
    """The step of maps of one power; of any power if that is 0."""
    fixed_squarings = fixed_power.bit_length() - 1

    @kernel
    def step(map_K, now, last_step, width, state):
        power, squarings = fixed_power, fixed_squarings
        if fixed_power == 0:
            power, squarings = map_K[0], 1
            while power >> (squarings + 1):
                squarings += 1
        n = np.float64(power)
        source_x, source_y, source_z = map_K[1], map_K[2], map_K[3]
        sign_x, sign_y, sign_z = np.float64(map_K[4]), np.float64(map_K[5]), np.float64(map_K[6])
        for i in range(width):
            x = state[X + i]
            y = state[Y + i]
            z = state[Z + i]
            r2 = state[R2 + i]
            rho2 = x * x + y * y
            rho = np.sqrt(rho2)
            r = np.sqrt(r2)
            stretch = r / rho
            axis = rho2 == 0.0
            ux = r if axis else x * stretch
            uy = 0.0 if axis else y * stretch
            a, b = ux, uy
            c, d = z, rho
            r_n = r2
            for k in range(squarings - 1, -1, -1):
                a, b = _squared(a, b)
                c, d = _squared(c, d)
                odd = power >> k & 1
                if k > 0:
                    r_n = r_n * r_n
                if odd:
                    a, b = _times(a, b, ux, uy)
                    c, d = _times(c, d, z, rho)
                    r_n = r_n * (r2 if k > 0 else r)
            x_new = sign_x * _chosen(source_x, a, b, c, d) + state[PX + i]
            y_new = sign_y * _chosen(source_y, a, b, c, d) + state[PY + i]
            z_new = sign_z * _chosen(source_z, a, b, c, d) + state[PZ + i]
            age = now - state[BEGAN + i]
            going = (not (r2 > BAILOUT)) & (age < last_step)
            state[X + i] = x_new if going else x
            state[Y + i] = y_new if going else y
            state[Z + i] = z_new if going else z
            slope = r_n * n * state[DR + i] + 1.0
            state[DR + i] = slope if going else state[DR + i]
            # The distance takes the radius before the last round's step.
            going = going & (age + 1.0 < last_step)
            square = x_new * x_new + y_new * y_new + z_new * z_new
            state[R2 + i] = square if going else r2

    return step


_step_2, _step_3, _step_4, _step_5, _step_6, _step_7 = map(_step_of, range(2, 8))
_step_8, _step_9, _step_10, _step_11, _step_12, _step_13 = map(_step_of, range(8, 14))
_step_14, _step_15, _step_16, _step_17, _step_18 = map(_step_of, range(14, 19))
_step_of_any = _step_of(0)


@kernel
def ended(i, now, last_step, state):
    """Whether the orbit of a lane has ended."""
    return (state[R2 + i] > BAILOUT) | (now - state[BEGAN + i] >= last_step)


@kernel
def _bend(now, last_step, width, state):
    """Turn points as an arccosine from four terms does.

    The released images were drawn by a GPU whose arccosine is
    sqrt(1 - x) (1.5707288 - 0.2121144 x + 0.074261 x^2 - 0.0187293 x^3), off by up to 6.8e-5
    (Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, formula 4.4.45; for x < 0
    by symmetry). Points are turned toward or from the z axis by the difference from that with eight
    terms (4.4.46), which is off by 2e-8.
    """
    for i in range(width):
        x = state[X + i]
        y = state[Y + i]
        z = state[Z + i]
        rho = np.sqrt(x * x + y * y)
        r = np.sqrt(state[R2 + i])
        a = abs(z) / r
        p = 0.0012624911 * a - 0.0066700901
        p = p * a + 0.0170881256
        p = p * a - 0.0308918810
        p = p * a + (0.0501743046 - 0.0187293)
        p = p * a - (0.0889789874 - 0.0742610)
        p = p * a + (0.2145988016 - 0.2121144)
        p = p * a - (1.5707963050 - 1.5707288)
        beside = 1.0 - a
        angle = np.sqrt(beside if beside > 0.0 else 0.0) * p
        angle = -angle if z < 0.0 else angle
        cosine = 1.0 - 0.5 * angle * angle
        out = cosine + angle * (z / rho)
        going = (rho > 0.0) & (not ended(i, now, last_step, state))
        state[X + i] = x * out if going else x
        state[Y + i] = y * out if going else y
        state[Z + i] = cosine * z - angle * rho if going else z


@kernel
def step(map_K, now, last_step, width, state):
    """One step of a map in every lane whose orbit has not ended.

    Args:
        map_K: int64, a row of :func:`fdsl_gen.geometry.power_map.row`.
        now: steps done by all lanes together; an orbit's own are ``now`` less its BEGAN.
        last_step: steps of an orbit at most.
        width: lanes in use.
        state: float64, the rows above.
    """
    power = map_K[0]
    if map_K[7]:
        _bend(now, last_step, width, state)
    if power == 2:
        _step_2(map_K, now, last_step, width, state)
    elif power == 3:
        _step_3(map_K, now, last_step, width, state)
    elif power == 4:
        _step_4(map_K, now, last_step, width, state)
    elif power == 5:
        _step_5(map_K, now, last_step, width, state)
    elif power == 6:
        _step_6(map_K, now, last_step, width, state)
    elif power == 7:
        _step_7(map_K, now, last_step, width, state)
    elif power == 8:
        _step_8(map_K, now, last_step, width, state)
    elif power == 9:
        _step_9(map_K, now, last_step, width, state)
    elif power == 10:
        _step_10(map_K, now, last_step, width, state)
    elif power == 11:
        _step_11(map_K, now, last_step, width, state)
    elif power == 12:
        _step_12(map_K, now, last_step, width, state)
    elif power == 13:
        _step_13(map_K, now, last_step, width, state)
    elif power == 14:
        _step_14(map_K, now, last_step, width, state)
    elif power == 15:
        _step_15(map_K, now, last_step, width, state)
    elif power == 16:
        _step_16(map_K, now, last_step, width, state)
    elif power == 17:
        _step_17(map_K, now, last_step, width, state)
    elif power == 18:
        _step_18(map_K, now, last_step, width, state)
    else:
        _step_of_any(map_K, now, last_step, width, state)


@kernel
def trap(width, state):
    """Keep the smallest values of every orbit."""
    for i in range(width):
        x = abs(state[X + i])
        y = abs(state[Y + i])
        z = abs(state[Z + i])
        state[TRAP_Z + i] = min(state[TRAP_Z + i], z)
        state[TRAP_SUM + i] = min(state[TRAP_SUM + i], x + y + z)
        state[TRAP_R2 + i] = min(state[TRAP_R2 + i], x * x + y * y + z * z)


@kernel
def begin(i, x, y, z, now, state):
    """Start the orbit of a point in a lane."""
    state[X + i] = x
    state[Y + i] = y
    state[Z + i] = z
    state[PX + i] = x
    state[PY + i] = y
    state[PZ + i] = z
    state[DR + i] = 1.0
    state[R2 + i] = x * x + y * y + z * z
    state[BEGAN + i] = now
    state[TRAP_Z + i] = np.inf
    state[TRAP_SUM + i] = np.inf
    state[TRAP_R2 + i] = np.inf
