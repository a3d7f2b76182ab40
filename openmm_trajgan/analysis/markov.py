"""Metric of the audit: Markov state models of data and reference on the same states, estimated by deeptime."""

from dataclasses import dataclass
from itertools import pairwise, permutations

import numpy as np
from numpy.typing import NDArray
from scipy.constants import R
from scipy.stats import rankdata

from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.distributions import FloatArray, divergences
from openmm_trajgan.analysis.kinetics import ImpliedTimescales, Microstates, transitions
from openmm_trajgan.analysis.metastable import metastable_states
from openmm_trajgan.analysis.metric import Figure, Missing
from openmm_trajgan.analysis.transition_matrix import timescales_of, transition_matrix

LEAST_EVENTS = 10  # times that the reference must enter and leave a state for a lag or longer before passage times are compared
MULTIPLES = (1, 2, 4)  # of the lag, for the Chapman-Kolmogorov test


@dataclass(frozen=True, eq=False)
class MarkovModels:
    """Implied timescales, mean first-passage times, fluxes, populations and the Chapman-Kolmogorov test.

    Transitions are counted in a sliding window between k-means microstates; models are reversible maximum-likelihood ones on the
    largest connected set (Prinz et al., J. Chem. Phys. 134, 174105, 2011). Metastable states are those of the reference.

    Parameters
    ----------
    microstates
        Fitted on the reference.
    lag
        Frames.
    states
        Metastable state of every microstate, ``(n_microstates,)``.
    enough_events
        For each metastable state whether the reference enters and leaves it often enough, for a lag or longer.
    temperature
        K, for free energies.
    """

    microstates: Microstates
    lag: int
    states: NDArray[np.int64]
    enough_events: tuple[bool, ...]
    temperature: float

    @classmethod
    def fit(
        cls, reference: Blocks, microstates: Microstates, timescales: ImpliedTimescales, temperature: float
    ) -> "MarkovModels | None":
        """Choose lag, processes and metastable states from the reference.

        The lag is that of `ImpliedTimescales.plateau`, the states are those of `metastable_states`. A process is compared if the
        reference is at least ten times longer than its timescale.

        Returns
        -------
        MarkovModels or None
            None if the reference supports no timescale at any lag.
        """
        row = timescales.plateau()
        if row is None:
            return None
        lag = int(timescales.lags[row])
        labels, n_micro = microstates.labels(reference), microstates.n_states
        counts = transitions(reference, labels, n_micro, lag).sum(axis=0).reshape(n_micro, n_micro)
        visits = reference.tally(lambda first, last: labels[first:last], n_micro).sum(axis=0)
        matrix, stationary, connected = transition_matrix(counts)
        states = metastable_states(matrix, stationary, connected, microstates, visits, lag)
        membership = np.eye(int(states.max()) + 1)[states]
        jumps = membership.T @ counts @ membership / lag  # the border may be crossed to and fro many times in one of them
        np.fill_diagonal(jumps, 0)
        often = np.minimum(jumps.sum(axis=0), jumps.sum(axis=1)) >= LEAST_EVENTS  # entered and left
        return cls(microstates, lag, states, tuple(often.tolist()), temperature)

    @property
    def n_states(self) -> int:
        """Number of metastable states, A, B … along the slowest process."""
        return int(self.states.max()) + 1

    @property
    def n_processes(self) -> int:
        """Number of implied timescales that are compared."""
        return self.n_states - 1

    @property
    def names(self) -> str:
        """Letters of the metastable states."""
        return "ABCDEFGH"[: self.n_states]

    @property
    def passages(self) -> list[tuple[int, int]]:
        """Pairs of metastable states between which mean first-passage times are compared."""
        enough = [state for state in range(self.n_states) if self.enough_events[state]]
        return list(permutations(enough, 2))

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Timescales, passage times, transition matrices, fluxes, populations, Chapman-Kolmogorov test, free energies."""
        orders = ("slowest", "second slowest", "third slowest", "fourth slowest")
        timescales = [
            Figure(
                f"timescale ratio t{process + 2}",
                "kinetics",
                "ratio",
                f"Implied timescale of the {orders[process]} process, divided by that of held-out MD.",
            )
            for process in range(self.n_processes)
        ]
        passages = [
            Figure(
                f"MFPT ratio, {self.names[a]} to {self.names[b]}",
                "kinetics",
                "ratio",
                f"Mean time to get from state {self.names[a]} to {self.names[b]}, divided by that of held-out MD.",
            )
            for a, b in self.passages
        ]
        models = [
            Figure(
                "transition matrix JSD",
                "kinetics",
                "divergence",
                "How far the probabilities of where to go next from a metastable state are off, weighted by its population.",
                "nat",
            ),
            Figure(
                "flux JSD", "kinetics", "divergence", "How far the numbers of transitions between metastable states are off.", "nat"
            ),
            Figure(
                "flux rank correlation",
                "kinetics",
                "share",
                "Spearman's ρ of the fluxes between microstates (1 same order); for comparison with the literature.",
                judged=False,
            ),
            Figure(
                "occupancy JSD",
                "kinetics",
                "divergence",
                "How far the stationary populations of the metastable states are off.",
                "nat",
            ),
            Figure(
                "Chapman–Kolmogorov error",
                "kinetics",
                "divergence",
                "Mean difference between transition probabilities after two and four lags and those that the model at one lag "
                "predicts.",
                "probability",
            ),
        ]
        energies = [
            Figure(
                f"free energy, {one} to {other}",
                "distribution",
                "difference",
                f"Free energy of state {other} above state {one} at {self.temperature:g} K, minus that of held-out MD.",
                "kJ/mol",
            )
            for one, other in pairwise(self.names)
        ]
        return (*timescales, *passages, *models, *energies)

    def tally(self, blocks: Blocks) -> FloatArray:
        """Return transition counts between microstates at one, two and four lags, and frames in each, ``(n_blocks, 3 n² + n)``."""
        labels, n_micro = self.microstates.labels(blocks), self.microstates.n_states
        counts = [transitions(blocks, labels, n_micro, multiple * self.lag) for multiple in MULTIPLES]
        return np.concatenate([*counts, blocks.tally(lambda first, last: labels[first:last], n_micro)], axis=1)

    def evaluate(self, reference: FloatArray, data: FloatArray) -> FloatArray:
        """Return the figures, ``(n, n_figures)``, of sums of tallies ``(1 or n, 3 n² + n)``; NaN where a model lacks states."""
        here, there = ([self.summary(sums) for sums in rows] for rows in (reference, data))
        n = max(len(here), len(there))
        return np.array([self._compared(here[row % len(here)], there[row % len(there)]) for row in range(n)])

    def missing(self, index: int, reference: FloatArray, data: FloatArray) -> Missing:
        """Its series are too short, it never leaves one state, or it never reaches a state."""
        n_micro = self.microstates.n_states
        if not data[: n_micro**2].any():
            return Missing(f"has no series longer than the lag of {self.lag} frames")
        conclusive = data[-n_micro:].sum() >= reference[-n_micro:].sum()  # MD of that length does support the number
        return Missing("does not go to and fro between the states that this is about", bool(conclusive))

    def counts(self, sums: FloatArray) -> FloatArray:
        """Return transition counts at multiples of the lag, ``(3, n_microstates, n_microstates)``, of a sum of tallies."""
        n_micro = self.microstates.n_states
        return sums[:-n_micro].reshape(len(MULTIPLES), n_micro, n_micro)

    def summary(self, sums: FloatArray) -> "ModelSummary":
        """Estimate the model of one data set from the sum of its tallies, ``(3 n_microstates² + n_microstates,)``."""
        n_states = self.n_states
        counts = self.counts(sums)
        populations = np.bincount(self.states, sums[-self.microstates.n_states :], minlength=n_states)
        populations = populations / max(populations.sum(), 1)
        timescales = np.full(self.n_processes, np.nan)
        passage = np.full((n_states, n_states), np.nan)
        flux = np.zeros_like(counts[0])
        error = np.nan
        if counts[0].any():
            matrix, stationary, connected = transition_matrix(counts[0])
            states = self.states[connected]
            flux[np.ix_(connected, connected)] = stationary[:, None] * matrix
            found = timescales_of(matrix, stationary, self.lag)[: self.n_processes]
            timescales[: len(found)] = found
            passage = self._passage_times(matrix, stationary, states)
            error = self._chapman_kolmogorov(counts, connected, matrix)
        membership = np.eye(n_states)[self.states]
        return ModelSummary(timescales, passage, flux, membership.T @ flux @ membership, populations, error)

    def _passage_times(self, matrix: FloatArray, stationary: FloatArray, states: NDArray[np.int64]) -> FloatArray:
        """Mean first-passage times from each metastable state at equilibrium, ``(n_states, n_states)``, frames."""
        from deeptime.markov.tools.analysis import mfpt

        weights = np.eye(self.n_states)[states].T * stationary
        with np.errstate(invalid="ignore"):
            weights /= weights.sum(axis=1, keepdims=True)
        times = np.full((self.n_states, self.n_states), np.nan)
        for target in sorted({b for _, b in self.passages}):
            inside = np.flatnonzero(states == target)
            if inside.size and inside.size < len(states):
                times[:, target] = weights @ mfpt(matrix, inside, tau=self.lag)
        return times

    def _chapman_kolmogorov(self, counts: FloatArray, connected: NDArray[np.int64], matrix: FloatArray) -> float:
        """Mean difference between observed and predicted probabilities of being in a metastable state some lags later."""
        membership = np.eye(self.n_states)[self.states[connected]]
        errors = []
        for multiple, later in zip(MULTIPLES[1:], counts[1:], strict=True):
            observed = later[np.ix_(connected, connected)]
            started = observed.sum(axis=1)
            here = membership.T @ started
            if not (here > 0).all():
                continue
            predicted = np.linalg.matrix_power(matrix, multiple) @ membership
            difference = membership.T @ (observed @ membership - started[:, None] * predicted)
            errors.append(np.abs(difference / here[:, None]).mean())
        return float(np.mean(errors)) if errors else np.nan

    def _compared(self, reference: "ModelSummary", data: "ModelSummary") -> FloatArray:
        if not data.coarse.any() or not reference.coarse.any():
            return np.full(len(self.figures), np.nan)
        passages = tuple(np.array(self.passages, dtype=np.int64).reshape(-1, 2).T)
        rows = [_normalised(one.coarse) for one in (reference, data)]
        leaving = reference.coarse.sum(axis=1)
        fluxes = [one.coarse.reshape(1, -1) for one in (reference, data)]
        stationary = [one.coarse.sum(axis=1)[None] for one in (reference, data)]
        energies = [-R * self.temperature / 1000 * np.log(_positive(one.populations)) for one in (reference, data)]
        differences = np.diff(energies[1]) - np.diff(energies[0])
        models = [
            float(leaving @ np.nan_to_num(divergences(*rows), nan=np.log(2))),  # a state that is never left: nothing in common
            float(divergences(*fluxes)[0]),
            _rank_correlation(reference.flux, data.flux),
            float(divergences(*stationary)[0]),
            data.error,
        ]
        ratios = [data.timescales / reference.timescales, data.passage[passages] / reference.passage[passages]]
        return np.concatenate([*ratios, models, differences])


@dataclass(frozen=True, eq=False)
class ModelSummary:
    """What is compared of the Markov state model of one data set.

    Parameters
    ----------
    timescales
        Implied timescales, slowest first, frames.
    passage
        Mean first-passage times between metastable states, ``(n_states, n_states)``, frames; NaN where there is none.
    flux
        Stationary probability of each transition between microstates within a lag, ``(n_microstates, n_microstates)``.
    coarse
        The same between metastable states, ``(n_states, n_states)``.
    populations
        Shares of the frames in each metastable state, ``(n_states,)``.
    error
        Chapman-Kolmogorov error.
    """

    timescales: FloatArray
    passage: FloatArray
    flux: FloatArray
    coarse: FloatArray
    populations: FloatArray
    error: float


def _normalised(flux: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(flux / flux.sum(axis=1, keepdims=True))


def _positive(populations: FloatArray) -> FloatArray:
    """Count an empty state as one that holds a millionth, so that its free energy stays a number."""
    return np.maximum(populations, 1e-6)


def _rank_correlation(reference: FloatArray, data: FloatArray) -> float:
    one, other = (rankdata(flux.ravel()) for flux in (reference, data))
    return float(np.corrcoef(one, other)[0, 1]) if data.any() else np.nan
