"""Metastable states of a Markov state model."""

import warnings

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.analysis.distributions import FloatArray
from openmm_trajgan.analysis.kinetics import Microstates
from openmm_trajgan.analysis.transition_matrix import symmetric, timescales_of

MOST_STATES = 5
LEAST_POPULATED = 0.01  # share of the frames that a metastable state holds at least
SEPARATED = 2.0  # ratio of timescales that sets slow processes apart from faster ones


def metastable_states(
    matrix: FloatArray,
    stationary: FloatArray,
    connected: NDArray[np.int64],
    microstates: Microstates,
    populations: NDArray[np.int64],
    lag: int,
) -> NDArray[np.int64]:
    """Put microstates into the metastable states that PCCA+ finds (Röblitz & Weber, Adv. Data Anal. Classif. 7, 147, 2013).

    As many processes are followed, at most four, as outlive the lag and are followed by one at least twice as fast; there is one
    metastable state more than processes, but states with less than 1 % of the frames lead to fewer.

    Parameters
    ----------
    matrix, stationary, connected
        From `transition_matrix`.
    microstates
        All of them.
    populations
        Frames in each microstate, ``(n_microstates,)``.
    lag
        Of the matrix, frames.

    Returns
    -------
    ndarray
        Metastable state of every microstate, numbered along the slowest process, ``(n_microstates,)``.
    """
    states = np.zeros(len(populations), dtype=np.int64)
    for n_states in range(1 + _separated(timescales_of(matrix, stationary, lag), lag), 1, -1):
        states = _pcca(matrix, stationary, n_states, connected, microstates)
        if np.bincount(states, populations, minlength=n_states).min() >= LEAST_POPULATED * populations.sum():
            break
    return _along_slowest(states, matrix, stationary, connected, microstates)


def _separated(timescales: FloatArray, lag: int) -> int:
    """Largest number of processes with a gap of a factor of two below them, at least one."""
    slow = np.append(timescales, 0)[:MOST_STATES]
    gaps = (slow[:-1] > lag) & (slow[:-1] >= SEPARATED * slow[1:])
    return int(np.flatnonzero(gaps).max(initial=0)) + 1


def _pcca(
    matrix: FloatArray, stationary: FloatArray, n_states: int, connected: NDArray[np.int64], microstates: Microstates
) -> NDArray[np.int64]:
    """Return the metastable state of every microstate; those outside the connected set are like the nearest one inside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deeptime's import
        from deeptime.markov import pcca

        flux = stationary[:, None] * matrix
        flux = (flux + flux.T) / 2  # detailed balance to the last digit, which pcca insists on
        stationary = flux.sum(axis=1)
        assignments = np.asarray(pcca(flux / stationary[:, None], n_states, stationary).assignments, dtype=np.int64)
    distances = ((microstates.centers[:, None] - microstates.centers[connected]) ** 2).sum(axis=2)
    return np.asarray(assignments[distances.argmin(axis=1)])


def _along_slowest(
    states: NDArray[np.int64],
    matrix: FloatArray,
    stationary: FloatArray,
    connected: NDArray[np.int64],
    microstates: Microstates,
) -> NDArray[np.int64]:
    """Give states numbers along the slowest process, in the direction in which the first feature rises (or its cosine).

    Numbers by population would bias free energies: the state that seems the most populated by chance would come first.
    """
    states = np.unique(states, return_inverse=True)[1]
    slowest = np.linalg.eigh(symmetric(matrix, stationary))[1][:, -2] / np.sqrt(stationary)
    slowest *= np.sign(np.sum(stationary * slowest * microstates.centers[connected, 0])) or 1.0
    weights = np.bincount(states[connected], stationary, minlength=int(states.max()) + 1)
    place = np.bincount(states[connected], stationary * slowest, minlength=len(weights)) / weights
    return np.asarray(np.argsort(np.argsort(place, kind="stable"))[states], dtype=np.int64)
