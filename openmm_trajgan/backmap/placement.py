"""Placing atoms in a compiled loop, where numba is installed."""

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Placement = Callable[[Array, NDArray[np.intp], NDArray[np.intp], Array], None]


@cache
def compiled() -> Placement | None:
    """`place` compiled by numba, which takes a second at its first call; None without numba."""
    try:
        from numba import njit
    except ImportError:
        return None
    placement: Placement = njit(nogil=True, error_model="numpy")(place)
    return placement


def place(arms: Array, references: NDArray[np.intp], pivot_of_row: NDArray[np.intp], positions: Array) -> None:
    """Fill in the positions of all rows after the root.

    Parameters
    ----------
    arms
        Turned by their torsions, ``(n_rows, 3, n_frames)``, nm.
    references
        Rows of the atoms i, j, k of each pivot, in the order of placement, ``(n_pivots, 3)``.
    pivot_of_row
        ``(n_rows - 3,)``.
    positions
        ``(n_rows, 3, n_frames)``, nm; those of the root are given.
    """
    n_rows, _, n_frames = arms.shape
    axes = np.empty((3, 3, n_frames))
    along, across, normal = axes
    for pivot in range(len(references)):
        i, j, k = references[pivot]
        for frame in range(n_frames):
            ahead_x = positions[k, 0, frame] - positions[j, 0, frame]
            ahead_y = positions[k, 1, frame] - positions[j, 1, frame]
            ahead_z = positions[k, 2, frame] - positions[j, 2, frame]
            inverse = 1 / np.sqrt(ahead_x * ahead_x + ahead_y * ahead_y + ahead_z * ahead_z)
            ahead_x *= inverse
            ahead_y *= inverse
            ahead_z *= inverse
            aside_x = positions[i, 0, frame] - positions[j, 0, frame]
            aside_y = positions[i, 1, frame] - positions[j, 1, frame]
            aside_z = positions[i, 2, frame] - positions[j, 2, frame]
            offset = ahead_x * aside_x + ahead_y * aside_y + ahead_z * aside_z
            aside_x -= offset * ahead_x
            aside_y -= offset * ahead_y
            aside_z -= offset * ahead_z
            inverse = 1 / np.sqrt(aside_x * aside_x + aside_y * aside_y + aside_z * aside_z)
            aside_x *= inverse
            aside_y *= inverse
            aside_z *= inverse
            along[0, frame], along[1, frame], along[2, frame] = ahead_x, ahead_y, ahead_z
            across[0, frame], across[1, frame], across[2, frame] = aside_x, aside_y, aside_z
            normal[0, frame] = ahead_y * aside_z - ahead_z * aside_y
            normal[1, frame] = ahead_z * aside_x - ahead_x * aside_z
            normal[2, frame] = ahead_x * aside_y - ahead_y * aside_x
        for row in range(3, n_rows):
            if pivot_of_row[row - 3] == pivot:
                for x in range(3):
                    for frame in range(n_frames):
                        positions[row, x, frame] = (
                            positions[k, x, frame]
                            + along[x, frame] * arms[row, 0, frame]
                            + across[x, frame] * arms[row, 1, frame]
                            + normal[x, frame] * arms[row, 2, frame]
                        )
