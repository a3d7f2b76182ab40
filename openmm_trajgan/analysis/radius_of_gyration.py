"""How large a chain is, how much its size varies and how fast it forgets it, from coordinates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_trajgan.analysis.dynamics import autocorrelation, relaxation_time
from openmm_trajgan.analysis.inputs import as_trajectories
from openmm_trajgan.arguments import require_positive
from openmm_trajgan.errors import InputError

N_BLOCKS = 20  # of the jackknife
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ChainSize:
    """The result of `chain_size`: value and standard error of each figure.

    Parameters
    ----------
    mean, deviation
        Mean and standard deviation of the radius of gyration, nm.
    relaxation
        Time in which its autocorrelation falls to 1/e, ps; NaN if it does not.
    """

    mean: tuple[float, float]
    deviation: tuple[float, float]
    relaxation: tuple[float, float]


def chain_size(trajectories: Sequence[ArrayLike], *, frame_interval: float) -> ChainSize:
    """Measure the radius of gyration, each bead with the same weight.

    Standard errors are from the jackknife over about 20 blocks of consecutive frames; these must be several relaxation times long.

    Parameters
    ----------
    trajectories
        Positions ``(n_frames, n_beads, 3)``, nm, one array for each independent trajectory.
    frame_interval
        Time between frames, ps.

    Raises
    ------
    InputError
        If an array has another shape, the interval is not positive, or there are fewer than 40 frames in all.

    Examples
    --------
    >>> beads = np.random.default_rng(0).normal(size=(500, 50, 3))
    >>> round(chain_size([beads], frame_interval=1.0).mean[0], 1)  # √3 for normal coordinates
    1.7
    """
    require_positive(frame_interval, "frame_interval", "ps")
    sizes = []
    for positions in map(np.asarray, trajectories):
        if positions.ndim != 3 or positions.shape[2] != 3:
            raise InputError(f"trajectories: expected arrays (n_frames, n_beads, 3), found {positions.shape}")
        sizes.append(radii_of_gyration(positions))
    n_frames = sum(map(len, sizes))
    if n_frames < 2 * N_BLOCKS:
        raise InputError(f"trajectories: expected at least {2 * N_BLOCKS} frames, found {n_frames}")
    blocks = [
        block
        for series in sizes
        if len(series)
        for block in np.array_split(series, max(round(N_BLOCKS * len(series) / n_frames), 1))
    ]
    figures = _figures(sizes)
    left_out = np.array([_figures(blocks[:index] + blocks[index + 1 :]) for index in range(len(blocks))])
    errors = np.sqrt((len(blocks) - 1) * left_out.var(axis=0))
    (mean, deviation, relaxation), (mean_error, deviation_error, relaxation_error) = figures.tolist(), errors.tolist()
    return ChainSize(
        (mean, mean_error),
        (deviation, deviation_error),
        (frame_interval * relaxation, frame_interval * relaxation_error),
    )


def radii_of_gyration(positions: NDArray[np.floating]) -> FloatArray:
    """Radius of gyration of every frame, ``(n_frames,)``, of ``(n_frames, n_beads, 3)``."""
    centred = positions - positions.mean(axis=1, keepdims=True)
    radii: FloatArray = np.sqrt(np.einsum("fbx,fbx->f", centred, centred, dtype=np.float64) / positions.shape[1])
    return radii


def _figures(series: list[FloatArray]) -> FloatArray:
    """Mean, standard deviation and relaxation time in frames, between two lags by interpolation."""
    values = np.concatenate(series)
    data = as_trajectories([each[:, None] for each in series])
    correlations = autocorrelation(data, max(map(len, series)) - 1)
    lag = relaxation_time(correlations)[0]
    if np.isfinite(lag) and lag > 0:
        before, after = correlations[int(lag) - 1 : int(lag) + 1, 0]
        lag += (after - np.exp(-1)) / (before - after)
    return np.array([values.mean(), values.std(), lag])
