"""A data set cut into blocks: the units that errors, floors and tests resample, never single frames."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

CHUNK = 2**18  # numbers looked at in one go: what fits into the cache, and all that is ever copied

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Blocks:
    """All frames of a data set one after the other, and where blocks of consecutive ones begin; nothing is copied.

    Blocks are equal parts of a series; series shorter than a block are taken together whole. What is counted over pairs of
    frames (displacements, transitions) belongs to the block of the first frame, so no pair is lost where two blocks meet.

    Parameters
    ----------
    trajectories
        The data.
    series
        Those that hold frames, in the order in which frames are counted.
    bounds
        First frame of every block and the number of frames, ``(n_blocks + 1,)``.
    columns
        Features that are looked at; None for all.

    Examples
    --------
    >>> from openmm_trajgan.schema import FeatureSchema
    >>> schema = FeatureSchema(names=("x",), units=("nm",), periods=(None,))
    >>> blocks = Blocks.cut(FeatureTrajectories([np.zeros((7, 1)), np.zeros((2, 1)), np.zeros((1, 1))], schema), 3)
    >>> blocks.bounds.tolist(), blocks.starts(2).tolist()
    ([0, 4, 7, 10], [0, 1, 2, 3, 4])
    """

    trajectories: FeatureTrajectories
    series: tuple[NDArray[np.float32], ...]
    bounds: IntArray
    columns: tuple[int, ...] | None = None

    @classmethod
    def cut(cls, trajectories: FeatureTrajectories, length: int) -> "Blocks":
        """Cut series into blocks of at least `length` frames each, as near to it as equal parts allow; short series come last."""
        long = [series for series in trajectories if len(series) >= length]
        short = [series for series in trajectories if 0 < len(series) < length]
        bounds, end = [np.zeros(1, dtype=np.int64)], 0
        for series in long:
            n_parts = len(series) // length
            bounds.append(end - (-np.arange(1, n_parts + 1) * len(series) // n_parts))  # rounded up
            end += len(series)
        begun = 0  # frames in the block that is being filled
        for series in short:
            begun += len(series)
            if begun >= length:
                end, begun = end + begun, 0
                bounds.append(np.array([end]))
        if begun and len(bounds) > 1:  # too few for a block of their own
            bounds[-1][-1] += begun
        elif begun:
            bounds.append(np.array([begun]))
        return cls(trajectories, (*long, *short), np.concatenate(bounds))

    @classmethod
    def whole(cls, trajectories: FeatureTrajectories) -> "Blocks":
        """Take everything as one block, series in their order."""
        series = tuple(one for one in trajectories if len(one))
        return cls(trajectories, series, np.array([0, trajectories.n_frames]))

    def part(self, columns: Sequence[int]) -> "Blocks":
        """Return the same blocks of some features."""
        return replace(self, columns=tuple(columns))

    @property
    def schema(self) -> FeatureSchema:
        """What the features are that are looked at."""
        schema = self.trajectories.schema
        if self.columns is None:
            return schema
        chosen = {key: [getattr(schema, key)[index] for index in self.columns] for key in ("names", "units", "periods", "kinds")}
        return FeatureSchema.model_validate({**chosen, "frame_interval": schema.frame_interval})

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return int(self.bounds[-1])

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return len(self.bounds) - 1

    @property
    def sizes(self) -> IntArray:
        """Frames in each block, ``(n_blocks,)``."""
        return np.diff(self.bounds)

    @cached_property
    def _ends(self) -> IntArray:
        """First frame of every series and the number of frames, ``(n_series + 1,)``."""
        return np.cumsum([0, *map(len, self.series)])

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Go through all frames in parts that fit into memory: the first frame of each, and the first behind it."""
        n_features = self.trajectories.schema.n_features if self.columns is None else len(self.columns)
        size = max(CHUNK // n_features, 1)
        return ((first, min(first + size, self.n_frames)) for first in range(0, self.n_frames, size))

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        """Return frames `first` up to `last`, which is not among them, ``(n_frames, n_features)``."""
        parts = []
        index = int(np.searchsorted(self._ends, first, side="right")) - 1
        while first < min(last, self.n_frames):
            begin = first - int(self._ends[index])
            parts.append(self.series[index][begin : begin + last - first])
            first, index = first + len(parts[-1]), index + 1
        frames: NDArray[np.float32] = parts[0] if len(parts) == 1 else np.concatenate([self.series[0][:0], *parts])
        return self.chosen(frames)

    def chosen(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the features that are looked at of frames ``(n_frames, n_features)``, ``(n_frames, n_columns)``."""
        return frames if self.columns is None else np.asarray(frames[:, self.columns])

    def take(self, chosen: IntArray) -> NDArray[np.float32]:
        """Return frames that are near each other, ``(n_chosen, n_features)``, by their numbers, ascending, ``(n_chosen,)``."""
        return np.asarray(self.read(int(chosen[0]), int(chosen[-1]) + 1)[chosen - chosen[0]])

    def labels(self, first: int, last: int) -> IntArray:
        """Return the block of each of some consecutive frames, ``(last - first,)``."""
        numbers, lengths = _parts(self.bounds, first, last)
        return np.repeat(numbers, lengths)

    def remaining(self, first: int, last: int) -> IntArray:
        """Return how many frames follow each of some consecutive ones in its series, ``(last - first,)``."""
        numbers, lengths = _parts(self._ends, first, last)
        return np.repeat(self._ends[numbers + 1], lengths) - np.arange(first, last) - 1

    def starts(self, lag: int, first: int = 0, last: int | None = None) -> IntArray:
        """Return the frames, all or of some consecutive, that have another `lag` frames later in their series, ``(n_starts,)``."""
        last = self.n_frames if last is None else last
        return first + np.flatnonzero(self.remaining(first, last) >= lag)

    def n_starts(self, lag: int) -> int:
        """Return how many frames have another one `lag` frames later in the same series."""
        return int(np.maximum(np.diff(self._ends) - lag, 0).sum())

    def nth_starts(self, lag: int, numbers: IntArray) -> IntArray:
        """Return some of `starts`, ``(n,)``, by their numbers ``(n,)``, without making a list of all of them."""
        found = np.maximum(np.diff(self._ends) - lag, 0).cumsum()
        series = np.searchsorted(found, numbers, side="right")
        return np.asarray(self._ends[1:][series] - lag - (found[series] - numbers))

    def tally(self, bins: Callable[[int, int], NDArray[np.integer]], n_bins: int) -> FloatArray:
        """Count how often each bin occurs in each block.

        Parameters
        ----------
        bins
            Bins of the frames from a first one up to a last one, ``(last - first,)``.
        n_bins
            Number of bins.

        Returns
        -------
        ndarray
            Shape ``(n_blocks, n_bins)``.
        """
        counts = np.zeros((self.n_blocks, n_bins))
        for first, last in self.chunks():
            _count(counts, self.labels(first, last), bins(first, last))
        return counts

    def tally_pairs(self, bins: Callable[[IntArray], NDArray[np.integer]], n_bins: int, lag: int, n_columns: int = 1) -> FloatArray:
        """Count how often each bin occurs in each block among pairs of frames `lag` apart in a series.

        Parameters
        ----------
        bins
            Bins of pairs by their first frames, ``(n_pairs,)``, or of several things that are counted each for itself,
            ``(n_pairs, n_columns)``.
        n_bins
            Number of bins.
        lag
            Frames.
        n_columns
            Number of things.

        Returns
        -------
        ndarray
            Shape ``(n_blocks, n_columns * n_bins)``.
        """
        counts = np.zeros((self.n_blocks, n_columns, n_bins))
        for first, last in self.chunks():
            starts = self.starts(lag, first, last)
            if starts.size:
                labels, found = self.labels(first, last)[starts - first], bins(starts).reshape(len(starts), n_columns)
                for column in range(n_columns):
                    _count(counts[:, column], labels, found[:, column])
        return counts.reshape(self.n_blocks, -1)

    def pairs(self, lag: int) -> FloatArray:
        """Return how many frames of each block have another one `lag` frames later in the same series, ``(n_blocks,)``."""
        return self.tally_pairs(np.zeros_like, 1, lag)[:, 0]

    def extremes(self, values: Callable[[NDArray[np.float32]], NDArray[np.floating]]) -> tuple[FloatArray, FloatArray]:
        """Return the smallest and largest of some values of the frames, ``(n_values,)`` each."""
        found = [(part.min(axis=0), part.max(axis=0)) for part in (values(self.read(*chunk)) for chunk in self.chunks())]
        low, high = zip(*found, strict=True)
        return np.min(low, axis=0), np.max(high, axis=0)

    def mean(self) -> FloatArray:
        """Return the mean of every feature, ``(n_features,)``."""
        return np.asarray(sum(self.read(*chunk).sum(axis=0, dtype=np.float64) for chunk in self.chunks()) / self.n_frames)

    def spread(self) -> FloatArray:
        """Return the standard deviation of every feature, ``(n_features,)``."""
        mean = self.mean()
        squares = sum(((self.read(*chunk) - mean) ** 2).sum(axis=0) for chunk in self.chunks())
        return np.asarray(np.sqrt(squares / self.n_frames))


def still(trajectories: FeatureTrajectories) -> NDArray[np.bool_]:
    """Return which features have one value in all frames, ``(n_features,)``."""
    low, high = Blocks.whole(trajectories).extremes(lambda frames: frames)
    return np.asarray(low == high)


def _parts(bounds: IntArray, first: int, last: int) -> tuple[IntArray, IntArray]:
    """Return the numbers of the parts that some consecutive frames are in, and how many are in each."""
    begin, end = np.searchsorted(bounds, first, side="right") - 1, np.searchsorted(bounds, last, side="left")
    inside = np.clip(bounds[begin : end + 1], first, last)
    return np.arange(begin, end), inside[1:] - inside[:-1]


def _count(counts: FloatArray, labels: IntArray, bins: NDArray[np.integer]) -> None:
    """Add bins of frames, whose blocks are ascending, to the counts of these blocks."""
    first, n_bins = labels[0], counts.shape[1]
    rows = counts[first : labels[-1] + 1]
    rows += np.bincount((labels - first) * n_bins + bins, minlength=rows.size).reshape(rows.shape)
