"""Whether the reference is held out: no part of it may stand in the training data."""

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureTrajectories

N_FRAMES = 16  # in a row that tell a part of a trajectory; none repeats another trajectory so long by chance
PIECE = 2**20  # frames looked at together
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ divided by the golden ratio, odd: neighbouring numbers go far apart
_SHIFT = np.uint64(29)


def require_held_out(reference: FeatureTrajectories, train: FeatureTrajectories | None) -> None:
    """Refuse a reference that is part of the training data, or that holds part of them.

    Series are compared as a whole, and by sixteen frames at a time that all differ from one another, anywhere in the training data:
    stretches of 31 frames are found wherever they are. States of a molecule that are counted in whole numbers may stand still
    together in any two trajectories, and do not count.

    Raises
    ------
    InputError
        Naming the series.
    """
    if train is None:
        return
    digests = {hashlib.sha256(series.data).digest() for series in train if len(series)}
    wanted = [_chunks(series) for series in reference]
    shared = [np.zeros(len(chunks), bool) for chunks in wanted]
    for piece in _pieces(train):
        known = _mixed(sliding_window_view(_mixed(piece.view(np.uint32).T), N_FRAMES).T)
        for found, chunks in zip(shared, wanted, strict=True):
            found |= np.isin(chunks, known)
    for name, series, found in zip(reference.replicas, reference, shared, strict=True):
        if hashlib.sha256(series.data).digest() in digests or found.any():
            of_it = "a part of " if found.any() and not found.all() else ""
            raise InputError(
                f"reference: {of_it}series {name!r} is in the training data too; judge by trajectories the model never saw"
            )


def _chunks(series: NDArray[np.float32]) -> NDArray[np.uint64]:
    """One number for every sixteen frames that all differ from one another."""
    mixed = [np.zeros(0, np.uint64)]
    end = len(series) // N_FRAMES * N_FRAMES
    for start in range(0, end, PIECE):
        frames = _mixed(series[start : min(start + PIECE, end)].view(np.uint32).T).reshape(-1, N_FRAMES)
        moving = (np.diff(np.sort(frames, axis=1), axis=1) > 0).all(axis=1)
        mixed.append(_mixed(frames[moving].T))
    return np.concatenate(mixed)


def _pieces(train: FeatureTrajectories) -> Iterator[NDArray[np.float32]]:
    """Yield stretches of the training data that hold every run of frames."""
    for series in train:
        for start in range(0, len(series) - N_FRAMES + 1, PIECE):
            yield series[start : start + PIECE + N_FRAMES - 1]


def _mixed(numbers: NDArray[np.unsignedinteger]) -> NDArray[np.uint64]:
    """One number for each column, ``(n,)``, that depends on all of ``(n_numbers, n)`` and their order."""
    mixed = np.zeros(numbers.shape[1], np.uint64)
    for row in numbers:
        mixed = (mixed ^ row) * _FACTOR
        mixed ^= mixed >> _SHIFT
    return mixed
