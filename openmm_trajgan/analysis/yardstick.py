"""The held-out reference, what is fitted on it (bins, relaxation times, microstates, a lag), and other data measured by it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from openmm_trajgan.analysis.distributions import BINS, Edges, FloatArray, bin_edges, divergence, histogram, uniform_edges
from openmm_trajgan.analysis.dynamics import (
    autocorrelation,
    constant_features,
    displacements,
    histogram_divergences,
    histograms,
    relaxation_time,
)
from openmm_trajgan.analysis.kinetics import ImpliedTimescales, Microstates, implied_timescales, lag_ladder
from openmm_trajgan.schema import FeatureTrajectories

Group = Literal["distribution", "dynamics", "kinetics"]
Unit = Literal["nat", "ratio"]
NOUNS: dict[Group, str] = {"distribution": "distributions", "dynamics": "dynamics", "kinetics": "kinetics"}

DISPLACEMENT_STEPS = (1, 4, 16, 64)
N_PAIRS = 3
SHOWN_RELAXATIONS = 5  # autocorrelations are kept up to so many times the slowest relaxation time of the reference


@dataclass(frozen=True)
class Score:
    """One figure of one data set against the reference.

    Parameters
    ----------
    name, group, unit, meaning
        What is measured; a divergence (``"nat"``, 0 is best) or a ratio to the reference (``"ratio"``, 1 is best).
    value
        The number, or None where the data do not support one.
    reason
        Why there is none.
    conclusive
        True if the missing number itself shows that the data are unlike the reference.
    """

    name: str
    group: Group
    unit: Unit
    meaning: str
    value: float | None
    reason: str = ""
    conclusive: bool = False


@dataclass(frozen=True, eq=False)
class Measurement:
    """All scores of one data set, and the curves behind them.

    Parameters
    ----------
    data
        What was measured.
    scores
        In the same order for every data set.
    autocorrelations
        Shape ``(n_lags, n_features)``, for lags of 0, 1, 2 … frames.
    timescales
        At the lags of the yardstick.
    """

    data: FeatureTrajectories
    scores: tuple[Score, ...]
    autocorrelations: FloatArray
    timescales: ImpliedTimescales


@dataclass(frozen=True, eq=False)
class Yardstick:
    """The reference and everything fitted on it, so that all data sets are measured by the same function.

    Parameters
    ----------
    reference
        Held-out MD.
    edges
        Bins of every feature ``(name,)`` and every chosen pair, over the union range of all sets.
    displacement_edges
        For each number of steps the bins of every feature. Steps for which the seams between the series of the reference cost
        more than half of the displacements are left out; where they do in other data there is no number.
    relaxation
        Relaxation times of the reference, shape ``(n_features,)``, frames; NaN where it has none.
    max_lag
        Longest lag of autocorrelations, frames: half of the longest series of the reference.
    microstates
        Fitted on the reference.
    timescales
        Of the reference.
    """

    reference: FeatureTrajectories
    edges: Mapping[tuple[str, ...], Edges]
    displacement_edges: Mapping[int, list[FloatArray]]
    relaxation: FloatArray
    max_lag: int
    microstates: Microstates
    timescales: ImpliedTimescales

    @classmethod
    def fit(
        cls,
        reference: FeatureTrajectories,
        others: Sequence[FeatureTrajectories],
        pairs: Sequence[tuple[str, str]] | None = None,
        *,
        seed: int = 0,
    ) -> "Yardstick":
        """Fit bins, relaxation times, microstates and timescales.

        Parameters
        ----------
        reference
            Held-out MD, at least one series of two frames and one feature that changes.
        others
            The sets that will be measured; bins span their range too.
        pairs
            Pairs of features to compare jointly; None for the first three pairs of consecutive features.
        seed
            Seed of k-means.
        """
        names = reference.schema.names
        chosen = list(pairwise(names))[:N_PAIRS] if pairs is None else [tuple(pair) for pair in pairs]
        everything = (reference, *others)
        longest = max(len(series) for series in reference)
        max_lag = max(longest // 2, 1)
        microstates = Microstates.fit(reference, seed=seed)
        return cls(
            reference=reference,
            edges={key: bin_edges(everything, key) for key in [*((name,) for name in names), *chosen]},
            displacement_edges={
                steps: _displacement_edges(everything, steps)
                for steps in DISPLACEMENT_STEPS
                if len(displacements(reference, steps)) >= reference.n_frames / 2
            },
            relaxation=relaxation_time(autocorrelation(reference, max_lag)),
            max_lag=max_lag,
            microstates=microstates,
            timescales=implied_timescales(reference, lag_ladder(longest), microstates=microstates),
        )

    @property
    def pairs(self) -> tuple[tuple[str, ...], ...]:
        """The pairs of features that are compared jointly."""
        return tuple(key for key in self.edges if len(key) == 2)

    @property
    def lag(self) -> int | None:
        """Lag at which timescales are compared, frames; None if the reference supports no timescale."""
        row = self.timescales.plateau()
        return None if row is None else int(self.timescales.lags[row])

    def measure(self, data: FeatureTrajectories) -> Measurement:
        """Compare a data set with the reference."""
        autocorrelations = autocorrelation(data, self.max_lag)
        autocorrelations[self._horizon(data) + 1 :] = np.nan  # too few pairs of frames so far apart
        timescales = implied_timescales(data, self.timescales.lags, microstates=self.microstates)
        scores = (
            *self._distributions(data),
            *self._displacements(data),
            *self._relaxations(data, relaxation_time(autocorrelations)),
            *self._timescale_ratios(data, timescales),
        )
        slowest = np.nanmax(self.relaxation) if np.isfinite(self.relaxation).any() else self.max_lag
        shown = min(self.max_lag, int(SHOWN_RELAXATIONS * slowest)) + 1
        return Measurement(data, scores, autocorrelations[:shown].copy(), timescales)

    def _horizon(self, data: FeatureTrajectories) -> int:
        """Longest lag at which autocorrelations are looked at: half of the longest series of the data and of the reference."""
        return min(self.max_lag, max(max(len(series) for series in data) // 2, 1))

    def _distributions(self, data: FeatureTrajectories) -> Iterator[Score]:
        for key, edges in self.edges.items():
            value = divergence(histogram(self.reference, key, edges), histogram(data, key, edges))
            meaning = (
                f"How far the distribution of {key[0]} is from that of held-out MD (0 same, 0.69 nothing in common)."
                if len(key) == 1
                else f"The same for {key[0]} and {key[1]} jointly, that is for their free-energy surface."
            )
            yield Score(f"JSD {', '.join(key)}", "distribution", "nat", meaning, value)

    def _displacements(self, data: FeatureTrajectories) -> Iterator[Score]:
        for steps, edges in self.displacement_edges.items():
            name = f"displacement JSD, k = {steps}"
            meaning = f"How far the distribution of changes over {steps} frame{'s' * (steps > 1)} is off, mean over features."
            sample = displacements(data, steps)
            if len(sample) >= data.n_frames / 2:
                expected = histograms(displacements(self.reference, steps), edges)
                value = float(histogram_divergences(expected, histograms(sample, edges)).mean())
                yield Score(name, "dynamics", "nat", meaning, value)
            else:
                yield Score(name, "dynamics", "nat", meaning, None, f"its series are shorter than {2 * steps} frames")

    def _relaxations(self, data: FeatureTrajectories, relaxation: FloatArray) -> Iterator[Score]:
        constant_there, constant_here = constant_features(self.reference), constant_features(data)
        horizon = self._horizon(data)
        for index, name in enumerate(self.reference.schema.names):
            expected, found = float(self.relaxation[index]), float(relaxation[index])
            value, reason, conclusive = None, "", False
            if constant_there[index]:
                reason = "constant in the reference"
            elif np.isnan(expected):
                reason = f"the reference does not relax within {self.max_lag} frames, half of its longest series"
            elif constant_here[index]:
                reason, conclusive = "constant", True
            elif np.isnan(found):
                reason = f"does not relax within {horizon} frames, the longest lag looked at"
                conclusive = horizon > 2 * expected
            else:
                value = found / expected
            meaning = f"Time in which {name} forgets where it was (autocorrelation 1/e), divided by that of held-out MD."
            yield Score(f"relaxation time ratio, {name}", "dynamics", "ratio", meaning, value, reason, conclusive)

    def _timescale_ratios(self, data: FeatureTrajectories, timescales: ImpliedTimescales) -> Iterator[Score]:
        row = self.timescales.plateau()
        for process, order in enumerate(("slowest", "second slowest")):
            name = f"timescale ratio t{process + 2}"
            meaning = f"Implied timescale of the {order} process, divided by that of held-out MD."
            if row is None:
                if process == 0:
                    reasons = _explained(self.timescales.reasons[0, 0], int(self.timescales.lags[0]))
                    yield Score(name, "kinetics", "ratio", meaning, None, f"the reference supports no timescale: it {reasons}")
                continue
            expected, found = self.timescales.values[row, process], timescales.values[row, process]
            if np.isnan(expected):
                continue
            code, lag = str(timescales.reasons[row, process]), int(timescales.lags[row])
            if code:
                as_long = data.n_frames >= self.reference.n_frames  # MD of that length does support the number
                conclusive = code == "fast" or (code in ("disconnected", "few") and as_long)
                yield Score(name, "kinetics", "ratio", meaning, None, _explained(code, lag), conclusive)
            else:
                yield Score(name, "kinetics", "ratio", meaning, float(found / expected))


def _explained(code: str, lag: int) -> str:
    return {
        "short": f"has no series longer than the lag of {lag} frames",
        "disconnected": f"is disconnected at the lag of {lag} frames: states are entered or left that never are again",
        "fast": f"has no process that outlives the lag of {lag} frames",
        "few": "is less than ten times longer than the process, which so happens too rarely to be timed",
    }[code]


def _displacement_edges(sets: Sequence[FeatureTrajectories], steps: int) -> list[FloatArray]:
    samples = [displacements(data, steps) for data in sets]
    return [uniform_edges((sample[:, column] for sample in samples), BINS[1]) for column in range(samples[0].shape[1])]
