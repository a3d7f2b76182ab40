"""Populations, free energy and rates of two states along one feature, such as bound and unbound, folded and unfolded."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.constants import R

from openmm_trajgan.analysis.inputs import Source, as_trajectories
from openmm_trajgan.arguments import require_positive
from openmm_trajgan.errors import InputError


@dataclass(frozen=True)
class TwoStates:
    """The result of `two_state_kinetics`; errors are standard errors.

    Parameters
    ----------
    fraction, fraction_error
        Of the time in the first state.
    times, time_errors
        Mean times, ps, from entering the first state to entering the second, and back: the inverse rates. NaN if never left.
    n_events
        How often the first state was left for the second, and the second for the first.
    free_energy, free_energy_error
        Of the first state less that of the second, kJ/mol; infinite if one was never seen.
    """

    fraction: float
    fraction_error: float
    times: tuple[float, float]
    time_errors: tuple[float, float]
    n_events: tuple[int, int]
    free_energy: float
    free_energy_error: float


def two_state_kinetics(data: Source, feature: str, cores: tuple[float, float], *, temperature: float = 300.0) -> TwoStates:
    """Measure two states by their cores: between them a trajectory belongs to the core it was in last (milestoning).

    Frames before the first visit of a core are left out. Errors are those of a two-state Markov process: each time has the
    relative error 1/√events, and the logarithm of the ratio of populations the error √(1/events + 1/events back). They are right
    in the limit of many events and too small for data that start far from equilibrium.

    Parameters
    ----------
    data
        Trajectories or a buffer, with the frame interval set; no event is counted from one trajectory to the next.
    feature
        Name of the feature that tells the states apart.
    cores
        Where the core of the first and of the second state begin: the first lies below its number and the second above if the
        first number is the smaller one, else the other way round.
    temperature
        K, for the free energy.

    Raises
    ------
    InputError
        If there is no such feature, it is an angle, the cores overlap, a number is none or not positive, the frame interval is
        unknown or no core is ever visited.

    Examples
    --------
    >>> from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories
    >>> schema = FeatureSchema(names=("x",), units=("nm",), periods=(None,), frame_interval=2.0)
    >>> steps = FeatureTrajectories([[[0.0], [0.5], [0.0], [1.0], [0.5], [0.0]]], schema)
    >>> states = two_state_kinetics(steps, "x", (0.2, 0.8))
    >>> states.n_events, states.times, round(states.fraction, 2)
    ((1, 1), (8.0, 4.0), 0.67)
    """
    trajectories = as_trajectories(data)
    schema, interval = trajectories.schema, trajectories.schema.frame_interval
    if feature not in schema.names:
        raise InputError(f"feature: expected one of {', '.join(schema.names)}, found {feature!r}")
    column = schema.names.index(feature)
    if schema.periods[column] is not None:
        raise InputError(f"feature: expected a number on the line, found the angle {feature!r}; use a distance or a fraction")
    if np.shape(cores) != (2,) or not np.isfinite(cores).all() or cores[0] == cores[1]:
        raise InputError(f"cores: expected two different numbers, found {cores}; leave a gap between the states")
    require_positive(temperature, "temperature", "kelvin")
    if interval is None:
        raise InputError("the frame interval of the data is unknown; set it with schema.with_frame_interval(ps)")
    states = [last_core(series[:, column], cores) for series in trajectories]
    seen = np.concatenate(states)
    frames = [int((seen == state).sum()) for state in (0, 1)]
    if not sum(frames):
        raise InputError(f"cores: {feature} never is in either; choose cores {cores[0]:g} and {cores[1]:g} closer together")
    steps = [np.diff(series[series >= 0]) for series in states]
    n_events = int(sum((step == 1).sum() for step in steps)), int(sum((step == -1).sum() for step in steps))
    times = tuple(n * interval / k if k else math.nan for n, k in zip(frames, n_events, strict=True))
    errors = tuple(time / math.sqrt(k) if k else math.nan for time, k in zip(times, n_events, strict=True))
    fraction = frames[0] / sum(frames)
    odds_error = math.sqrt(sum(1 / k for k in n_events)) if all(n_events) else math.inf
    thermal = R / 1000 * temperature  # kJ/mol
    ratio = math.inf if not frames[1] else frames[0] / frames[1]
    return TwoStates(
        fraction,
        fraction * (1 - fraction) * odds_error if all(frames) else math.nan,
        (times[0], times[1]),
        (errors[0], errors[1]),
        n_events,
        -thermal * math.log(ratio) if ratio > 0 else math.inf,
        thermal * odds_error,
    )


def last_core(values: NDArray[np.floating], cores: tuple[float, float]) -> NDArray[np.intp]:
    """Which core a series ``(n_frames,)`` was in last, 0 or 1; -1 before the first. Cores are those of `two_state_kinetics`."""
    below, above = values < min(cores), values > max(cores)
    first, second = (below, above) if cores[0] < cores[1] else (above, below)
    visits = np.where(first, 0, np.where(second, 1, -1))
    newest = np.maximum.accumulate(np.where(visits >= 0, np.arange(len(visits)), -1))
    return np.where(newest >= 0, visits[newest], -1)


def measured(value: float, error: float) -> str:
    """Return a number and its standard error, both down to the second digit of the error.

    Examples
    --------
    >>> measured(11712.0, 5321.0), measured(-1.4286, 0.2), measured(251.3, 112.0)
    ('11,700 ± 5,300', '−1.43 ± 0.20', '250 ± 110')
    >>> measured(32.0, float("inf"))
    '32 ± inf'
    """
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return f"{value:.3g} ± {error:.2g}"
    digits = 1 - math.floor(math.log10(error))
    return " ± ".join(f"{round(each, digits):,.{max(digits, 0)}f}".replace("-", "−") for each in (value, error))
