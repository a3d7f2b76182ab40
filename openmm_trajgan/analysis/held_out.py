"""Whether the reference is held out: no part of it may stand in the training data."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureTrajectories

N_FRAMES = 16  # in a row that tell a part of a trajectory; none repeats another trajectory so long by chance
_FACTOR = 0x9E3779B97F4A7C15  # 2⁶⁴ divided by the golden ratio, odd: neighbouring numbers go far apart


def require_held_out(reference: FeatureTrajectories, train: FeatureTrajectories | None) -> None:
    """Refuse a reference that is part of the training data, or that holds part of them.

    Series are compared as a whole, and by every sixteen frames in a row that all differ from one another; states of a molecule that
    are counted in whole numbers may stand still together in any two trajectories.

    Raises
    ------
    InputError
        Naming the series.
    """
    if train is None:
        return
    known = {hashlib.sha256(series.data).digest() for series in train}
    known_runs = np.concatenate([_runs(_hashed(series)) for series in train])
    for name, series in zip(reference.replicas, reference, strict=True):
        frames = _hashed(series)[: len(series) // N_FRAMES * N_FRAMES].reshape(-1, N_FRAMES)
        moving = (np.diff(np.sort(frames, axis=1), axis=1) > 0).all(axis=1)
        shared = np.isin(_runs(frames[moving].ravel())[::N_FRAMES], known_runs)
        if hashlib.sha256(series.data).digest() in known or shared.any():
            of_it = f"{shared.mean():.0%} of " if shared.any() and not shared.all() else ""
            raise InputError(
                f"reference: {of_it}series {name!r} is in the training data too; judge by trajectories the model never saw"
            )


def _hashed(series: NDArray[np.float32]) -> NDArray[np.uint64]:
    """One number for each frame, ``(n_frames,)``."""
    words = np.ascontiguousarray(series).view(np.uint32).astype(np.uint64)
    hashed = np.zeros(len(words), np.uint64)
    for column in words.T:
        hashed = (hashed ^ column) * np.uint64(_FACTOR)
        hashed ^= hashed >> np.uint64(29)
    return hashed


def _runs(frames: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One number for each `N_FRAMES` frames in a row, ``(n_frames - N_FRAMES + 1,)``."""
    n_runs = max(len(frames) - N_FRAMES + 1, 0)
    hashed = np.zeros(n_runs, np.uint64)
    for start in range(N_FRAMES):
        hashed = (hashed ^ frames[start : start + n_runs]) * np.uint64(_FACTOR)
        hashed ^= hashed >> np.uint64(29)
    return hashed
