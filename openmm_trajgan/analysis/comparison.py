"""Both sets of an audit side by side, in the numbers that its pictures show: blocks, curves with bands, surfaces, stretches."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.analysis.axes import Coordinate, Curve, TimeAxis
from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.densities import Densities, Observable
from openmm_trajgan.analysis.distributions import FloatArray, columns
from openmm_trajgan.analysis.kinetics import LEAST_CONNECTED, LEAST_RELAXATIONS, transitions
from openmm_trajgan.analysis.metric import Metric
from openmm_trajgan.analysis.tables import reference_of, state_means
from openmm_trajgan.analysis.transition_matrix import timescales_of, transition_matrix
from openmm_trajgan.analysis.uncertainty import CONFIDENCE
from openmm_trajgan.schema import FeatureTrajectories

if TYPE_CHECKING:
    from openmm_trajgan.analysis.audit import Audit

STRETCH_RELAXATIONS = 20  # a stretch of time series is so many times the slowest process long, and at least 1000 frames
N_RESAMPLES = 100  # for bands
N_MODELS = 30  # the same for implied timescales, each of which costs a Markov state model

M = TypeVar("M", bound=Metric)
Evaluate = Callable[[FloatArray], FloatArray]


class Comparison:
    """Held-out MD and generated data of one audit.

    Parameters
    ----------
    audit
        What they come from.
    """

    def __init__(self, audit: "Audit") -> None:
        self.audit = audit
        self.yardstick = audit.yardstick
        self.schema = audit.reference.schema
        self.generated = Blocks.cut(audit.generated, self.yardstick.block_length)

    @cached_property
    def state_means(self) -> FloatArray:
        """Means of the features in each metastable state, ``(n_states, n_features)``."""
        return state_means(self.audit)

    def metric(self, kind: type[M]) -> M | None:
        """Return the metric of a kind, if there is one."""
        return next((one for one in self.yardstick.metrics if isinstance(one, kind)), None)

    def curve(self, tally: FloatArray, evaluate: Evaluate, n_resamples: int = N_RESAMPLES) -> Curve:
        """Return a function of summed tallies with its band."""
        values = evaluate(tally.sum(axis=0, keepdims=True))[0]
        if len(tally) < 3:
            nothing = np.full_like(values, np.nan)
            return Curve(values, nothing, nothing)
        rng = np.random.default_rng(self.yardstick.seed)
        weights = rng.multinomial(len(tally), np.full(len(tally), 1 / len(tally)), n_resamples).astype(np.float64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # nothing but NaN gives NaN
            low, high = np.nanquantile(evaluate(weights @ tally), ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2), axis=0)
        return Curve(values, low, high)

    def sets(self, metric: Metric) -> dict[str, Blocks]:
        """Return the blocks of both sets, of the reference those that a metric compares with."""
        return {"held-out MD": reference_of(self.yardstick, metric), "generated": self.generated}

    def observables(self, names: Iterable[str]) -> list[tuple[Observable, dict[str, Blocks]]]:
        """Return observables by name, each with the blocks of both sets."""
        wanted = set(names)
        densities = [one for one in self.yardstick.metrics if isinstance(one, Densities)]
        return [(one, self.sets(metric)) for metric in densities for one in metric.observables if one.name in wanted]

    def surfaces(self, observable: Observable, sets: dict[str, Blocks]) -> dict[str, FloatArray]:
        """Return free energies above the deepest point of the reference, ``(bins, bins)``, kT."""
        counts = {name: observable.tally(one).sum(axis=0) for name, one in sets.items()}
        shape = tuple(len(edges) - 1 for edges in observable.edges)
        deepest = np.log((counts["held-out MD"] / counts["held-out MD"].sum()).max())
        with np.errstate(divide="ignore"):
            return {name: (deepest - np.log(found / found.sum())).reshape(shape) for name, found in counts.items()}

    def marks(self, names: Sequence[str]) -> dict[str, tuple[float, float]]:
        """Return letters of the metastable states and their means in two features."""
        markov = self.yardstick.markov
        if markov is None:
            return {}
        x, y = (self.schema.names.index(name) for name in names)
        return {letter: (float(mean[x]), float(mean[y])) for letter, mean in zip(markov.names, self.state_means, strict=True)}

    def coordinates(self, names: Sequence[str]) -> tuple[Coordinate, Coordinate]:
        """Return two features as coordinates."""
        one, other = (Coordinate.of(self.schema, name) for name in names)
        return one, other

    def series(self, names: Sequence[str]) -> dict[str, NDArray[np.floating]]:
        """Return the beginning of the longest series of both sets, as many frames of each, ``(n_frames, n_features)``."""
        sets = {"held-out MD": self.audit.reference, "generated": self.audit.generated}
        longest = [max(map(len, data)) for data in sets.values()]
        stretch = min(*longest, max(1000, int(STRETCH_RELAXATIONS * self.yardstick.slowest)))
        return {
            title: columns(FeatureTrajectories([max(data, key=len)[:stretch]], self.schema), list(names))
            for title, data in sets.items()
        }

    def timescales(self, blocks: Blocks, lags: NDArray[np.int64], n_processes: int) -> Curve:
        """Return implied timescales at every lag, ``(n_lags, n_processes)``, frames; NaN where the data support none."""
        microstates = self.yardstick.microstates
        n_micro, labels = microstates.n_states, microstates.labels(blocks)
        parts = []
        for lag in lags.tolist():
            tally = transitions(blocks, labels, n_micro, lag)

            def evaluate(sums: FloatArray, lag: int = lag) -> FloatArray:
                return np.stack([_implied(one.reshape(n_micro, n_micro), lag, blocks.n_frames, n_processes) for one in sums])

            supported = np.isfinite(evaluate(tally.sum(axis=0, keepdims=True))).any()
            parts.append(self.curve(tally if supported else tally[:1], evaluate, N_MODELS))
        values, low, high = (np.stack([getattr(one, part) for one in parts]) for part in ("values", "low", "high"))
        found = np.isfinite(values)
        # a process that is seen again after it was faster than the lag is noise
        noise = np.maximum.accumulate(~found & np.maximum.accumulate(found, axis=0), axis=0)
        return Curve(*(np.where(noise | ~found, np.nan, part) for part in (values, low, high)))

    def time(self, n_frames: float) -> TimeAxis:
        """Return the axis of times up to a number of frames."""
        return TimeAxis.up_to(n_frames, self.audit.frame_interval)


def shares_of(sums: FloatArray) -> FloatArray:
    """Return the share of each bin in summed counts, ``(n_sums, n_bins)``; NaN where nothing was counted."""
    with np.errstate(invalid="ignore"):
        return np.asarray(sums / sums.sum(axis=1, keepdims=True))


def _implied(counts: FloatArray, lag: int, n_frames: int, n_processes: int) -> FloatArray:
    """Implied timescales by the rules of `implied_timescales`, ``(n_processes,)``, frames."""
    found = np.full(n_processes, np.nan)
    if not counts.any():
        return found
    matrix, stationary, connected = transition_matrix(counts)
    if counts[np.ix_(connected, connected)].sum() < LEAST_CONNECTED * counts.sum():
        return found
    times = timescales_of(matrix, stationary, lag)[:n_processes]
    found[: len(times)] = np.where((times >= lag) & (LEAST_RELAXATIONS * times <= n_frames), times, np.nan)
    return found
