"""All windows of the training data, embedded, and which of them is nearest."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.spatial import KDTree

from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.kinetics import encoded
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
    frames
        The training data, ``(n_frames, n_features)``.
    starts
        First frame of every window, ascending, ``(n_windows,)``.
    """

    schema: FeatureSchema
    n_frames: int
    scale: NDArray[np.float32]
    center: FloatArray
    components: FloatArray
    frames: NDArray[np.float32]
    starts: NDArray[np.int64]

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
        starts = blocks.starts(n_frames - 1)
        spread = blocks.frames.std(axis=0, dtype=np.float64)
        scale = np.where(train.schema.periodic | (spread == 0), 1, spread).astype(np.float32)
        chosen = evenly(starts, FITTED_WINDOWS)
        frames = blocks.frames[(chosen[:, None] + np.arange(n_frames)).ravel()]
        coordinates = encoded(frames, scale, train.schema).astype(np.float64)
        center = coordinates.mean(axis=0)
        windows = coordinates.reshape(len(chosen), n_frames, -1).swapaxes(1, 2).reshape(len(chosen), -1)
        _, _, axes = np.linalg.svd(windows - windows.mean(axis=0), full_matrices=False)
        return cls(train.schema, n_frames, scale, center, axes[:COMPONENTS].T.copy(), blocks.frames, starts)

    def embed(self, frames: NDArray[np.float32], starts: NDArray[np.int64]) -> FloatArray:
        """Project windows on the principal components.

        Parameters
        ----------
        frames
            Shape ``(n_frames, n_features)``.
        starts
            First frame of every window, ascending, ``(n_windows,)``.

        Returns
        -------
        ndarray
            Shape ``(n_windows, n_components)``.
        """
        length = max(CHUNK // len(self.components), 1)
        points = [np.empty((0, self.components.shape[1]))]
        for chunk in np.split(starts, np.searchsorted(starts, np.arange(length, len(frames), length))):
            if chunk.size:
                section = frames[chunk[0] : chunk[-1] + self.n_frames]
                coordinates = encoded(section, self.scale, self.schema) - self.center
                windows = sliding_window_view(coordinates, self.n_frames, axis=0)[chunk - chunk[0]]
                points.append(windows.reshape(len(chunk), -1) @ self.components)
        return np.concatenate(points)

    def distances(self, points: FloatArray) -> FloatArray:
        """Return the distance of embedded windows to the nearest one of the training data, ``(n_windows,)``."""
        if len(self.starts) <= MOST_IN_TREE:
            return np.asarray(self._only_tree.query(points)[0])
        return np.asarray(np.min([self._tree(part).query(points)[0] for part in self._parts()], axis=0))  # one in memory at a time

    def along_first(self) -> FloatArray:
        """Return the first principal component of all windows, ``(n_windows,)``."""
        return np.concatenate([self.embed(self.frames, part)[:, 0].copy() for part in self._parts()])  # a view keeps the rest

    def _parts(self) -> list[NDArray[np.int64]]:
        return np.split(self.starts, range(MOST_IN_TREE, len(self.starts), MOST_IN_TREE))

    @cached_property
    def _only_tree(self) -> Any:
        return self._tree(self.starts)

    def _tree(self, starts: NDArray[np.int64]) -> Any:
        # the midpoint rule builds fast and copes with the many equal windows of discrete features
        return KDTree(self.embed(self.frames, starts), balanced_tree=False, compact_nodes=False)


def evenly(starts: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most `most` of the values, evenly spaced."""
    return starts[:: -(-len(starts) // most)]
