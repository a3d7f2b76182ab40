"""Generated data with known defects, made from MD: what the audit must flag, and what it must let pass.

Each control is a function of `md` (independent MD, neither the reference of the audit nor what the model learned from), `train`
(what the model learned from) and `rng`. Except for the one mode and the dropped frames it has as many frames as `md`, up to
incomplete windows; series keep the replica names of `md`.
"""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.analysis.kinetics import Microstates
from openmm_trajgan.analysis.metric import Group
from openmm_trajgan.schema import FeatureTrajectories

WINDOW = 64  # frames
REPLAYED_SHARE = 0.1
N_MODES = 3
N_MICROSTATES = 50
MODE_LAG = 10  # frames
SEAM_BINS = 72


def independent(md: FeatureTrajectories, train: FeatureTrajectories, rng: np.random.Generator) -> FeatureTrajectories:
    """Independent MD as it is."""
    return md


def replayed_windows(md: FeatureTrajectories, train: FeatureTrajectories, rng: np.random.Generator) -> FeatureTrajectories:
    """Glue windows of the training data; none comes twice before all have come. They start at a random frame of each series."""
    windows = _windows([series[rng.integers(min(WINDOW, len(series) - WINDOW + 1)) :] for series in train])
    needed = [-(-len(series) // WINDOW) for series in md]
    rounds = -(-sum(needed) // len(windows))
    order = np.concatenate([rng.permutation(len(windows)) for _ in range(rounds)])[: sum(needed)]
    pieces = np.split(windows[order], np.cumsum(needed)[:-1])
    return _control(md, (_joined(piece)[: len(series)] for piece, series in zip(pieces, md, strict=True)))


def ten_percent_replayed(md: FeatureTrajectories, train: FeatureTrajectories, rng: np.random.Generator) -> FeatureTrajectories:
    """Replace a tenth of the windows of MD, aligned to the start of each series, by windows of the training data."""
    places = [(number, start) for number, series in enumerate(md) for start in range(0, len(series) - WINDOW + 1, WINDOW)]
    windows = _windows([series[rng.integers(min(WINDOW, len(series) - WINDOW + 1)) :] for series in train])
    chosen = rng.choice(len(places), round(REPLAYED_SHARE * len(places)), replace=False)
    sources = rng.choice(len(windows), len(chosen), replace=len(chosen) > len(windows))
    values = [series.copy() for series in md]
    for place, source in zip(chosen, sources, strict=True):
        number, start = places[place]
        values[number][start : start + WINDOW] = windows[source]
    return _control(md, values)


def time_shuffled(md: FeatureTrajectories, train: FeatureTrajectories, rng: np.random.Generator) -> FeatureTrajectories:
    """Permute the frames of all series: the densities of MD and no dynamics."""
    frames = rng.permutation(np.concatenate(md.values))
    return _control(md, np.split(frames, np.cumsum([len(series) for series in md])[:-1]))


def glued_windows(md: FeatureTrajectories, train: FeatureTrajectories, rng: np.random.Generator) -> FeatureTrajectories:
    """Permute the windows of all series: right within a window, with a seam every 64 frames."""
    whole = [len(series) // WINDOW for series in md]
    pieces = np.split(rng.permutation(_windows(md)), np.cumsum(whole)[:-1])
    return _control(md, (_joined(piece) for piece in pieces))


def one_mode(md: FeatureTrajectories, train: FeatureTrajectories, rng: np.random.Generator) -> FeatureTrajectories:
    """Cut out all that is not in the most populated of three metastable sets and join the rest of each series.

    The sets are those of PCCA+ (Röblitz & Weber, Adv. Data Anal. Classif. 7, 147, 2013) on 50 microstates of `md`, so the control
    is shorter than `md` by what they leave out. Series that never visit the set are left out.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deeptime's import
        from deeptime.markov import TransitionCountEstimator
        from deeptime.markov.msm import MaximumLikelihoodMSM
    microstates = Microstates.fit(md, N_MICROSTATES, seed=int(rng.integers(2**31)))
    states = microstates.assign(md)
    counts = TransitionCountEstimator(MODE_LAG, "sliding", n_states=N_MICROSTATES).fit_fetch(states).submodel_largest()
    sets = MaximumLikelihoodMSM().fit_fetch(counts).pcca(N_MODES)
    largest = int(np.argmax(sets.coarse_grained_stationary_probability))
    inside = np.isin(np.arange(N_MICROSTATES), counts.state_symbols[sets.assignments == largest])
    kept = [(name, series[inside[path]]) for name, series, path in zip(md.replicas, md, states, strict=True)]
    kept = [(name, series) for name, series in kept if len(series)]
    return FeatureTrajectories([series for _, series in kept], md.schema, [name for name, _ in kept])


def phase_randomised(md: FeatureTrajectories, train: FeatureTrajectories, rng: np.random.Generator) -> FeatureTrajectories:
    """Give every frequency a random phase: a Gaussian process with the spectra and cross spectra of each series.

    Surrogate of Prichard & Theiler (Phys. Rev. Lett. 73, 951, 1994), with the same phases for all features. Angles enter as values
    within one period whose ends lie where frames are rarest, and are wrapped to (-period/2, period/2] at the end.
    """
    frames = np.concatenate(md.values)
    seams = [_rarest(frames[:, column], period) for column, period in enumerate(md.schema.periods)]
    return _control(md, (_surrogate(series, seams, md.schema.periods, rng) for series in md))


def stretched_dropped(md: FeatureTrajectories, train: FeatureTrajectories, rng: np.random.Generator) -> FeatureTrajectories:
    """Leave out 3 of 13 frames: every timescale is shorter by 1.3, and so is the trajectory."""
    return _control(md, (series[np.arange(-(-len(series) * 10 // 13)) * 13 // 10] for series in md))


def stretched_duplicated(md: FeatureTrajectories, train: FeatureTrajectories, rng: np.random.Generator) -> FeatureTrajectories:
    """Repeat 3 of 10 frames: every timescale is longer by 1.3; cut at the length of the series."""
    return _control(md, (series[np.arange(len(series)) * 10 // 13] for series in md))


@dataclass(frozen=True)
class Control:
    """A control and what the audit must say of it.

    Parameters
    ----------
    make
        Function of independent MD, training data and a generator.
    flagged_by
        Groups that must flag it.
    passes
        Groups that must not. Groups in neither are free: they may see a side effect.
    """

    make: Callable[[FeatureTrajectories, FeatureTrajectories, np.random.Generator], FeatureTrajectories]
    flagged_by: tuple[Group, ...]
    passes: tuple[Group, ...]


CONTROLS = {
    "independent": Control(independent, (), ("distribution", "dynamics", "kinetics", "copying", "coverage")),
    "replayed_windows": Control(replayed_windows, ("copying",), ("distribution",)),
    "ten_percent_replayed": Control(ten_percent_replayed, ("copying",), ("distribution",)),
    "time_shuffled": Control(time_shuffled, ("dynamics", "kinetics"), ("distribution",)),
    "glued_windows": Control(glued_windows, ("dynamics", "kinetics"), ("distribution",)),
    "one_mode": Control(one_mode, ("distribution", "coverage"), ()),
    "phase_randomised": Control(phase_randomised, ("distribution", "kinetics"), ()),
    "stretched_dropped": Control(stretched_dropped, ("dynamics", "kinetics"), ("distribution", "copying")),
    "stretched_duplicated": Control(stretched_duplicated, ("dynamics", "kinetics"), ("distribution", "copying")),
}

# What must flag the controls that a process makes with the arguments of `processes.defects`.
PROCESS_CONTROLS: dict[str, tuple[Group, ...]] = {
    "hotter": ("distribution",),
    "overpopulated": ("distribution",),
    "collapsed": ("distribution", "coverage"),
}


def _control(md: FeatureTrajectories, values: Iterable[NDArray[np.floating]]) -> FeatureTrajectories:
    return FeatureTrajectories(values, md.schema, md.replicas)


def _windows(values: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the complete windows of all series, shape ``(n_windows, WINDOW, n_features)``."""
    return np.concatenate([series[: len(series) // WINDOW * WINDOW].reshape(-1, WINDOW, series.shape[1]) for series in values])


def _joined(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    return windows.reshape(-1, windows.shape[2])


def _rarest(angles: NDArray[np.float32], period: float | None) -> float:
    """Return the value at which to cut the circle; 0 for a feature on the line."""
    if period is None:
        return 0.0
    counts = np.bincount(np.minimum((angles % period) / period * SEAM_BINS, SEAM_BINS - 1).astype(int), minlength=SEAM_BINS)
    return float((counts.argmin() + 0.5) * period / SEAM_BINS)


def _surrogate(
    series: NDArray[np.float32], seams: list[float], periods: tuple[float | None, ...], rng: np.random.Generator
) -> NDArray[np.float64]:
    n_frames = len(series)
    columns = [
        values.astype(np.float64) if period is None else (values.astype(np.float64) - seam) % period
        for values, seam, period in zip(series.T, seams, periods, strict=True)
    ]
    spectrum = np.fft.rfft(columns, axis=1)
    free = slice(1, (n_frames + 1) // 2)  # neither the mean nor the Nyquist frequency has a phase
    spectrum[:, free] *= np.exp(2j * np.pi * rng.random(spectrum[:, free].shape[1]))
    surrogate = np.fft.irfft(spectrum, n_frames, axis=1)
    for column, (seam, period) in enumerate(zip(seams, periods, strict=True)):
        if period is not None:
            surrogate[column] = period / 2 - (period / 2 - surrogate[column] - seam) % period
    return surrogate.T
