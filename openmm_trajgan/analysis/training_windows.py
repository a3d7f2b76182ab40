"""All windows of the training data, embedded, and which of them is nearest."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.spatial import KDTree

from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.kinetics import encoded, scales
from openmm_trajgan.analysis.metric import FloatArray
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

COMPONENTS = 10  # of the embedding of a window; a search tree is fast in about so many dimensions
FITTED_WINDOWS = 1000  # principal components and the range of distances are fitted on so many, evenly spaced
CHUNK = 2**22  # numbers embedded at once
MOST_IN_TREE = 2**20  # windows in one search tree, some 300 MB; more are searched one tree after the other


@dataclass(frozen=True, eq=False)
class TrainingWindows:
    """All windows of consecutive frames of the training data, embedded by principal components, in search trees.

    Angles enter as sine and cosine, other features divided by their standard deviation. A copy has distance 0 in any projection,
    so every window is kept, at every offset. Everything is fitted on the training data: components fitted on held-out data would
    fit these better than generated data, and so put them further away.

    Parameters
    ----------
    schema
        What the features are.
    n_frames
        Length of a window.
    scale
        Standard deviation of every feature, ``(n_features,)``; 1 for angles.
    center
        Mean of every coordinate, ``(n_coordinates,)``.
    components
        Principal components, ``(n_coordinates * n_frames, n_components)``.
    blocks
        The training data.
    """

    schema: FeatureSchema
    n_frames: int
    scale: NDArray[np.float32]
    center: FloatArray
    components: FloatArray
    blocks: Blocks

    @classmethod
    def fit(cls, train: FeatureTrajectories, n_frames: int) -> "TrainingWindows":
        """Fit the embedding.

        Parameters
        ----------
        train
            The training data.
        n_frames
            Length of a window; reduced to the longest series.

        Raises
        ------
        InputError
            If `n_frames` is not positive or there is no frame.
        """
        n_frames = min(n_frames, max(map(len, train)))
        if n_frames < 1:
            raise InputError("expected windows of at least 1 frame and data that hold any, found none; give longer series")
        blocks = Blocks.cut(train, n_frames)
        scale = scales(blocks)
        chosen = evenly(blocks, n_frames, FITTED_WINDOWS)
        frames = np.concatenate([blocks.read(start, start + n_frames) for start in chosen.tolist()])
        coordinates = encoded(frames, scale, train.schema).astype(np.float64)
        center = coordinates.mean(axis=0)
        windows = coordinates.reshape(len(chosen), n_frames, -1).swapaxes(1, 2).reshape(len(chosen), -1)
        _, _, axes = np.linalg.svd(windows - windows.mean(axis=0), full_matrices=False)
        return cls(train.schema, n_frames, scale, center, axes[:COMPONENTS].T.copy(), blocks)

    def embed(self, blocks: Blocks, starts: NDArray[np.int64]) -> FloatArray:
        """Project windows on the principal components.

        Parameters
        ----------
        blocks
            The data.
        starts
            First frame of every window, ascending, ``(n_windows,)``.

        Returns
        -------
        ndarray
            Shape ``(n_windows, n_components)``.
        """
        length = max(CHUNK // len(self.components), 1)
        points = np.empty((len(starts), self.components.shape[1]))
        ends = np.searchsorted(starts, np.arange(0, blocks.n_frames + length, length))
        for first, last in pairwise(ends.tolist()):
            if first < last:
                chunk = starts[first:last]
                section = blocks.read(int(chunk[0]), int(chunk[-1]) + self.n_frames)
                coordinates = encoded(section, self.scale, self.schema) - self.center
                windows = sliding_window_view(coordinates, self.n_frames, axis=0)[chunk - chunk[0]]
                np.matmul(windows.reshape(len(chunk), -1), self.components, out=points[first:last])
        return points

    def distances(self, points: FloatArray) -> FloatArray:
        """Return the distance of embedded windows to the nearest one of the training data, ``(n_windows,)``."""
        parts = range(0, self.blocks.n_starts(self.n_frames - 1), MOST_IN_TREE)
        if len(parts) == 1:
            return np.asarray(self._first_tree.query(points)[0])
        return np.asarray(np.min([self._tree(part).query(points)[0] for part in parts], axis=0))  # one in memory at a time

    def along_first(self) -> FloatArray:
        """Return the first principal component of at most `MOST_IN_TREE` windows, evenly spaced, ``(n_windows,)``."""
        return replace(self, components=self.components[:, :1]).embed(
            self.blocks, evenly(self.blocks, self.n_frames, MOST_IN_TREE)
        )[:, 0]

    @cached_property
    def _first_tree(self) -> Any:
        return self._tree(0)

    def _tree(self, first: int) -> Any:
        lag = self.n_frames - 1
        numbers = np.arange(first, min(first + MOST_IN_TREE, self.blocks.n_starts(lag)))
        # the midpoint rule builds fast and copes with the many equal windows of discrete features
        return KDTree(self.embed(self.blocks, self.blocks.nth_starts(lag, numbers)), balanced_tree=False, compact_nodes=False)


def evenly(blocks: Blocks, length: int, most: int) -> NDArray[np.int64]:
    """Return the first frames of at most `most` windows of a length, evenly spaced, ``(n_windows,)``."""
    n_starts = blocks.n_starts(length - 1)
    return blocks.nth_starts(length - 1, np.arange(0, n_starts, max(-(-n_starts // most), 1)))
