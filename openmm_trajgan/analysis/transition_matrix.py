"""Transition matrices from counts, estimated by deeptime, and their timescales."""

import warnings

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.analysis.distributions import FloatArray

PRECISION = 1e-5  # of transition probabilities


def transition_matrix(counts: FloatArray) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    """Estimate the reversible model of transition counts on the connected set that has the most of them.

    Parameters
    ----------
    counts
        Shape ``(n_microstates, n_microstates)``.

    Returns
    -------
    matrix
        Transition probabilities, ``(n_connected, n_connected)``.
    stationary
        Stationary distribution, ``(n_connected,)``.
    connected
        Microstates in the set, ``(n_connected,)``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deeptime's import
        from deeptime.markov.tools import estimation

        sets = estimation.connected_sets(counts, directed=True)
        connected = np.sort(max(sets, key=lambda states: counts[np.ix_(states, states)].sum()))
        inside = np.ascontiguousarray(counts[np.ix_(connected, connected)])
        if len(connected) == 1:
            return np.ones((1, 1)), np.ones(1), connected
        matrix, stationary = estimation.transition_matrix(
            inside, reversible=True, return_statdist=True, maxerr=PRECISION, maxiter=100_000, method="dense"
        )
    return matrix, stationary, connected


def timescales_of(matrix: FloatArray, stationary: FloatArray, lag: int) -> FloatArray:
    """Return all implied timescales of a reversible matrix, slowest first, frames; almost 0 for what is too fast to be seen."""
    eigenvalues = np.linalg.eigvalsh(symmetric(matrix, stationary))[::-1]
    return np.asarray(-lag / np.log(np.clip(eigenvalues[1:], PRECISION, 1 - 1e-12)))


def symmetric(matrix: FloatArray, stationary: FloatArray) -> FloatArray:
    """Return the symmetric matrix of the same eigenvalues as a reversible one."""
    root = np.sqrt(stationary)
    scaled = root[:, None] * matrix / root
    return np.asarray((scaled + scaled.T) / 2)
