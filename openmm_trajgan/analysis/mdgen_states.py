"""Slow space, microstates and metastable states of a reference in the conventions of MDGen, see `mdgen_figures`."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import vq
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import jensenshannon
from scipy.stats import spearmanr

from openmm_trajgan.analysis.blocks import CHUNK, Blocks
from openmm_trajgan.analysis.distributions import FloatArray
from openmm_trajgan.analysis.kinetics import every, transitions
from openmm_trajgan.analysis.metric import Missing
from openmm_trajgan.analysis.transition_matrix import transition_matrix

LAG = 100.0  # ps, of TICA and of the Markov state models
LAG_TOLERANCE = 0.1  # relative difference between a whole number of frames and that lag
LEAST_LAGS = 10  # pairs of frames a lag apart in the reference, over the lag in frames
KINETIC_VARIANCE = 0.95  # held by the TICA coordinates that are clustered, PyEMMA's default
N_CENTERS = 100
N_STATES = 10
FITTED_FRAMES = 20_000  # k-means is fitted on at most so many, evenly spaced

_FAILURES = (ValueError, ArithmeticError, RuntimeError, np.linalg.LinAlgError)


def lag_in_frames(interval: float | None) -> int | Missing:
    """Return the lag of MDGen in frames."""
    if interval is None:
        return Missing(f"the time between frames is not known, so neither is the lag of {LAG:g} ps in frames")
    lag = max(round(LAG / interval), 1)
    if abs(lag * interval - LAG) > LAG_TOLERANCE * LAG:
        return Missing(f"with a frame every {interval:g} ps no whole number of frames is near the lag of {LAG:g} ps")
    return lag


def distance(p: FloatArray, q: FloatArray) -> float:
    """Return the Jensen-Shannon distance of counts; rounding below zero is zero."""
    with np.errstate(invalid="ignore"):
        return float(np.nan_to_num(jensenshannon(p, q)))


@dataclass(frozen=True, eq=False)
class SlowSpace:
    """TICA coordinates in the kinetic map, fitted on the reference.

    Parameters
    ----------
    mean
        Of sine and cosine of the torsions, ``(2 n_torsions,)``.
    vectors
        Coordinates in columns, slowest first, ``(2 n_torsions, n_coordinates)``.
    n_kept
        Coordinates that are clustered.
    lag
        Frames.
    correlation
        Of the slowest coordinate at the lag.
    """

    mean: FloatArray
    vectors: FloatArray
    n_kept: int
    lag: int
    correlation: float

    @property
    def description(self) -> str:
        """The lag, and how far TICA-0 is correlated over it."""
        return f"lag {LAG:g} ps ({self.lag} frames), where TICA-0 of the reference has the autocorrelation {self.correlation:.2f}"

    @classmethod
    def fit(cls, reference: Blocks, lag: int) -> "SlowSpace | Missing":
        """Fit on torsions in rad, for a lag in frames."""
        if reference.n_starts(lag) < LEAST_LAGS * lag:
            return Missing(f"the series of the reference are too short for the lag of {LAG:g} ps, {lag} frames")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deeptime's import; degenerate spectra are judged below
            from deeptime.decomposition import TICA

            covariances = TICA.covariance_estimator(lag)
            for series in reference.series:
                for start in range(0, len(series) - lag, CHUNK):
                    points = _encode(series[start : start + CHUNK + lag])
                    covariances.partial_fit((points[:-lag], points[lag:]))
            try:
                model = TICA(lagtime=lag, scaling="kinetic_map").fit_from_covariances(covariances).fetch_model()
            except _FAILURES:
                return Missing("the torsions of the reference do not move")
        variances = np.asarray(model.singular_values) ** 2
        kept = int(np.searchsorted(variances.cumsum() / variances.sum(), KINETIC_VARIANCE)) + 1
        vectors = np.asarray(model.instantaneous_coefficients)[:, : model.output_dimension]
        if not (vectors.size and np.isfinite(vectors).all()):
            return Missing("TICA finds no coordinate of the reference")
        return cls(np.asarray(model.mean_0), vectors, min(kept, vectors.shape[1]), lag, float(model.singular_values[0]))

    def project(self, frames: NDArray[np.float32], n_coordinates: int) -> FloatArray:
        """Return the first coordinates of frames, ``(n_frames, n_coordinates)``."""
        vectors = self.vectors[:, :n_coordinates]
        return np.asarray(_encode(frames) @ vectors - self.mean @ vectors)


@dataclass(frozen=True, eq=False)
class MetastableStates:
    """Metastable states of the reference, and the Markov state model between them.

    Parameters
    ----------
    centers
        Of the microstates in TICA coordinates, ``(n_centers, n_kept)``.
    states
        Metastable state of every centre, ``(n_centers,)``.
    occupancies
        Frames of the reference in each state, ``(n_states,)``.
    flux
        Of the reference between the states, ``(n_states, n_states)``.
    description
        How they were found.
    """

    centers: FloatArray
    states: NDArray[np.int64]
    occupancies: FloatArray
    flux: FloatArray
    description: str

    @classmethod
    def fit(cls, reference: Blocks, space: SlowSpace, seed: int) -> "MetastableStates | Missing":
        """Fit on torsions in rad; `seed` is of k-means, in [0, 2³²)."""
        frames = every(reference.trajectories, -(-reference.n_frames // FITTED_FRAMES))
        pooled = np.ascontiguousarray(space.project(frames, space.n_kept))
        n_centers = min(N_CENTERS, len(np.unique(pooled, axis=0)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deeptime's import, and k-means stopping before its last digits
            from deeptime.clustering import KMeans

            clusters = KMeans(n_centers, max_iter=100, fixed_seed=seed, n_jobs=1).fit_fetch(pooled)
        centers = np.asarray(clusters.cluster_centers, dtype=np.float64)
        labels = _nearest(reference, space, centers)
        model = _model(_transitions(reference, labels, space.lag, n_centers))
        if model is None:
            return Missing("the reference has too few transitions between microstates for a reversible Markov state model")
        matrix, stationary, connected = model
        states = _metastable(matrix, stationary)
        if states is None:
            return Missing("the reference has fewer than two metastable states between which it goes to and fro")
        nearest = connected[vq(centers, centers[connected])[0]] if len(connected) < n_centers else np.arange(n_centers)
        position = np.full(n_centers, -1)
        position[connected] = np.arange(len(connected))
        everywhere = states[position[nearest]]
        n_states = int(states.max()) + 1
        outside = n_centers - len(connected)
        description = (
            f"k-means with {n_centers} centres{_unlike(n_centers, N_CENTERS)}, fitted on {len(pooled)} frames of the reference in "
            f"{space.n_kept} TICA coordinates ({KINETIC_VARIANCE:.0%} of the kinetic variance); reversible MSM, "
            f"lag {space.lag} frames; "
            f"PCCA+ into {n_states} states{_unlike(n_states, N_STATES, ', empty ones are left out here')}."
            + (f" {outside} centres outside the connected set go with the nearest one inside." if outside else "")
        )
        flux = _flux(_transitions(reference, everywhere.astype(np.uint8)[labels], space.lag, n_states))
        if flux is None:
            return Missing("the reference has too few transitions between metastable states for a reversible Markov state model")
        return cls(centers, everywhere, _occupancies(labels, everywhere), flux, description)

    def compare(self, space: SlowSpace, data: Blocks) -> list[float | Missing]:
        """Return JS distances of occupancies and of stationary vectors, and the rank correlation of the fluxes."""
        labels = _nearest(data, space, self.centers)
        counts = _transitions(data, self.states.astype(np.uint8)[labels], space.lag, len(self.occupancies))
        near = distance(self.occupancies, _occupancies(labels, self.states))
        if not counts.any():
            return [near, *[Missing(f"has no series longer than the lag of {LAG:g} ps, {space.lag} frames")] * 2]
        flux = _flux(counts)
        if flux is None:
            return [near, *[Missing("has too few transitions for a reversible Markov state model")] * 2]
        stationary = distance(self.flux.sum(axis=1), flux.sum(axis=1))
        if not (np.ptp(flux) and np.ptp(self.flux)):
            return [near, stationary, Missing("all fluxes are the same")]
        return [near, stationary, float(spearmanr(self.flux.ravel(), flux.ravel()).statistic)]


def _encode(frames: NDArray[np.float32]) -> FloatArray:
    """Sine and cosine of torsions, ``(n_frames, 2 n_torsions)``."""
    return np.concatenate([np.sin(frames), np.cos(frames)], axis=1, dtype=np.float64)


def _unlike(found: int, usual: int, remark: str = "") -> str:
    return "" if found == usual else f" (MDGen: {usual}{remark})"


def _nearest(data: Blocks, space: SlowSpace, centers: FloatArray) -> NDArray[np.uint8]:
    """Return the nearest centre of every frame, ``(n_frames,)``."""
    labels = np.empty(data.n_frames, dtype=np.uint8)
    for first, last in data.chunks():
        labels[first:last] = vq(space.project(data.read(first, last), space.n_kept), centers)[0]
    return labels


def _occupancies(labels: NDArray[np.uint8], states: NDArray[np.int64]) -> FloatArray:
    """Return the number of frames in each metastable state, ``(n_states,)``, from the nearest centre of every frame."""
    return np.asarray(np.bincount(states, np.bincount(labels, minlength=len(states))), dtype=np.float64)


def _transitions(data: Blocks, labels: NDArray[np.uint8], lag: int, n_states: int) -> FloatArray:
    """Count transitions in a sliding window within each series, ``(n_states, n_states)``."""
    return np.asarray(transitions(data, labels, n_states, lag)[0].reshape(n_states, n_states))


def _model(counts: FloatArray) -> tuple[FloatArray, FloatArray, NDArray[np.intp]] | None:
    """Estimate the reversible model on the connected set of most states, of several such on that with most transitions.

    None where nothing returns to where it was, or so seldom that stationary probabilities fall to zero.
    """
    _, components = connected_components(counts > 0, directed=True, connection="strong")
    sizes = np.bincount(components)
    inside = np.bincount(components, (counts * (components[:, None] == components)).sum(axis=1))
    if not inside.any():
        return None
    best = max(np.flatnonzero(inside), key=lambda component: (sizes[component], inside[component]))
    members = np.flatnonzero(components == best)
    try:
        matrix, stationary, _ = transition_matrix(counts[np.ix_(members, members)])
    except _FAILURES:
        return None
    flux = stationary[:, None] * matrix
    flux = (flux + flux.T) / 2  # the estimate stops short of detailed balance by its precision, which PCCA+ would refuse
    stationary = flux.sum(axis=1)
    return flux / stationary[:, None], stationary, members


def _flux(counts: FloatArray) -> FloatArray | None:
    """Return the flux π_i T_ij of the model of transition counts, 0 outside its connected set; None where there is no model."""
    model = _model(counts)
    if model is None:
        return None
    matrix, stationary, connected = model
    flux = np.zeros_like(counts)
    flux[np.ix_(connected, connected)] = stationary[:, None] * matrix
    return flux


def _metastable(matrix: FloatArray, stationary: FloatArray) -> NDArray[np.int64] | None:
    """Return the PCCA+ state of every microstate, as many as MDGen has or as the model allows; None for fewer than two."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deeptime's import; a partition that does not exist is tried with fewer states
        from deeptime.markov import pcca

        for n_states in range(min(N_STATES, len(matrix)), 1, -1):
            try:
                model = pcca(matrix, n_states, stationary)
            except _FAILURES:
                continue
            found, states = np.unique(model.assignments, return_inverse=True)
            if np.isfinite(model.memberships).all() and len(found) > 1:
                return np.asarray(states, dtype=np.int64)
    return None
