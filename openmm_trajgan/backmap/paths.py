"""The cheapest path through sets of candidates, one set per frame."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_FRAMES_AT_ONCE = 128  # the penalties of one block stay in the processor's cache


def cheapest_paths(
    costs: NDArray[np.float32],
    penalties: Callable[[int, int], NDArray[np.float32]],
    weights: NDArray[np.float32],
) -> NDArray[np.intp]:
    """Choose one candidate per frame such that costs plus weighted penalties of the steps are least.

    Exact, by dynamic programming: Viterbi, IEEE Trans. Inf. Theory 13, 260 (1967), doi:10.1109/TIT.1967.1054010.

    Parameters
    ----------
    costs
        Of each candidate, ``(n_frames, k)``.
    penalties
        Called with `start` and `stop`; returns those of the steps into frames `start` to `stop`,
        ``(stop - start, k, k)``, first the candidate stepped to, then the candidate come from. Frame 0 has none.
    weights
        Of the penalties, ``(n_weights,)``: one path is found for each.

    Returns
    -------
    NDArray[np.intp]
        Which candidate, ``(n_weights, n_frames)``.

    Examples
    --------
    >>> costs = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    >>> change = np.array([[[0, 1], [1, 0]]], dtype=np.float32)
    >>> cheapest_paths(costs, lambda start, stop: change.repeat(stop - start, axis=0), np.array([0.1, 1.0], dtype=np.float32))
    array([[0, 1, 0],
           [0, 0, 0]])
    """
    n_frames, k = costs.shape
    totals = np.repeat(costs[:1], len(weights), axis=0)
    came_from = np.empty((n_frames, len(weights), k), dtype=np.min_scalar_type(k))
    factors = weights[:, None, None]
    firsts = k * np.arange(len(weights) * k).reshape(len(weights), k)  # of each row of sums, flat
    for start in range(1, n_frames, _FRAMES_AT_ONCE):
        stop = min(start + _FRAMES_AT_ONCE, n_frames)
        block = penalties(start, stop)
        if len(weights) == 1:
            block *= weights[0]
        for frame in range(start, stop):
            steps = block[frame - start] if len(weights) == 1 else factors * block[frame - start]
            sums = totals[:, None, :] + steps
            best = sums.argmin(axis=2)
            came_from[frame] = best
            best += firsts
            totals = sums.ravel()[best]
            totals += costs[frame]
        totals -= totals.min(axis=1, keepdims=True)  # only differences matter, and they stay exact in single precision
    paths = np.empty((len(weights), n_frames), dtype=np.intp)
    chosen = totals.argmin(axis=1)
    which = np.arange(len(weights))
    for frame in range(n_frames - 1, -1, -1):
        paths[:, frame] = chosen
        chosen = came_from[frame, which, chosen]
    return paths
