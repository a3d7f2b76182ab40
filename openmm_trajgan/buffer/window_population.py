"""All windows of one length, to draw from."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.buffer.base import FrameRows, Segment
from openmm_trajgan.schema import FeatureTrajectories


class Windows:
    """Every window of one length that the frames of a buffer hold, as a population to draw from.

    A snapshot: frames appended later are not in it.

    Parameters
    ----------
    segments
        Where windows may be cut, each without a gap.
    length
        Frames per window.
    n_features
        Features per frame.

    Attributes
    ----------
    streams : tuple of str
        Stream of every segment, also of those that are shorter than a window.
    """

    def __init__(self, segments: Iterable[tuple[str, Segment]], length: int, n_features: int) -> None:
        pairs = list(segments)
        self.streams = tuple(stream for stream, _ in pairs)
        self.length = length
        self.n_features = n_features
        self._segments = [segment for _, segment in pairs]
        self._ends = np.cumsum([max(segment.n_frames - length + 1, 0) for segment in self._segments])

    @classmethod
    def of(cls, trajectories: FeatureTrajectories, length: int) -> Self:
        """Return the windows of time series in memory, which are not copied; streams are their replicas, sorted as in a buffer."""
        pairs = sorted(zip(trajectories.replicas, trajectories, strict=True), key=lambda pair: pair[0])
        return cls(((name, _Series(series)) for name, series in pairs), length, trajectories.schema.n_features)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw `n` windows with replacement, each window of the population equally likely.

        Returns
        -------
        numpy.ndarray
            ``(n, length, n_features)``, units of the schema.
        """
        return self.draw(n, rng)[0]

    def draw(self, n: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Draw windows as `sample` does, and return the numbers of their segments too, ``(n,)``, as in `streams`."""
        chosen = rng.integers(len(self), size=n)
        indices = np.searchsorted(self._ends, chosen, side="right")
        windows = np.empty((n, self.length, self.n_features), np.float32)
        for row, (index, window) in enumerate(zip(indices.tolist(), chosen.tolist(), strict=True)):
            segment = self._segments[index]
            start = window - (int(self._ends[index - 1]) if index else 0)
            windows[row] = segment.read(start, start + self.length)["features"]
        return windows, indices


@dataclass(frozen=True, eq=False)
class _Series:
    """A time series ``(n_frames, n_features)`` as a segment without steps and times."""

    values: NDArray[np.float32]
    number: int = 0

    @property
    def n_frames(self) -> int:
        return len(self.values)

    def read(self, start: int, stop: int) -> FrameRows:
        rows = self.values[start:stop].view([("features", np.float32, self.values.shape[1:])])
        return rows[:, 0]
