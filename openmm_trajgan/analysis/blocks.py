"""A data set cut into blocks: the units that errors, floors and tests resample, never single frames."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.schema import FeatureTrajectories


@dataclass(frozen=True, eq=False)
class Blocks:
    """All frames of a data set in one array, and which block of consecutive frames each belongs to.

    Blocks are equal parts of a series; series shorter than a block are taken together whole. What is counted over pairs of
    frames (displacements, transitions) belongs to the block of the first frame, so no pair is lost where two blocks meet.

    Parameters
    ----------
    trajectories
        The data.
    frames
        All series one after the other, those shorter than a block last, ``(n_frames, n_features)``.
    labels
        Block of every frame, ascending, ``(n_frames,)``.
    remaining
        Frames that follow within the same series, ``(n_frames,)``.

    Examples
    --------
    >>> from openmm_trajgan.schema import FeatureSchema
    >>> schema = FeatureSchema(names=("x",), units=("nm",), periods=(None,))
    >>> blocks = Blocks.cut(FeatureTrajectories([np.zeros((7, 1)), np.zeros((2, 1)), np.zeros((1, 1))], schema), 3)
    >>> blocks.labels.tolist(), blocks.starts(2).tolist()
    ([0, 0, 0, 0, 1, 1, 1, 2, 2, 2], [0, 1, 2, 3, 4])
    """

    trajectories: FeatureTrajectories
    frames: NDArray[np.float32]
    labels: NDArray[np.int64]
    remaining: NDArray[np.int64]

    @classmethod
    def cut(cls, trajectories: FeatureTrajectories, length: int) -> "Blocks":
        """Cut series into blocks of at least `length` frames each, as near to it as equal parts allow."""
        lengths = [len(series) for series in trajectories]
        order = [index for index, n_frames in enumerate(lengths) if n_frames >= length]
        short = [index for index, n_frames in enumerate(lengths) if 0 < n_frames < length]
        labels, first = [], 0
        for n_frames in (lengths[index] for index in order):
            n_parts = n_frames // length
            labels.append(first + np.arange(n_frames) * n_parts // n_frames)
            first += n_parts
        together = 0  # frames in the block that is being filled
        for index in short:
            labels.append(np.full(lengths[index], first))
            together += lengths[index]
            if together >= length:
                first, together = first + 1, 0
        order += short
        remaining = [np.arange(lengths[index] - 1, -1, -1) for index in order]
        frames = np.concatenate([trajectories.values[index] for index in order])
        of_frame = np.concatenate(labels)
        if together and first:  # too few for a block of their own
            of_frame = np.minimum(of_frame, first - 1)
        return cls(trajectories, frames, of_frame, np.concatenate(remaining))

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.frames)

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return int(self.labels[-1]) + 1

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Frames in each block, ``(n_blocks,)``."""
        return np.bincount(self.labels, minlength=self.n_blocks)

    @property
    def series(self) -> list[NDArray[np.float32]]:
        """The series in the order of `frames`."""
        return np.split(self.frames, np.flatnonzero(self.remaining[:-1] == 0) + 1)

    def starts(self, lag: int) -> NDArray[np.int64]:
        """Return the frames that have another one `lag` frames later in the same series, ``(n_pairs,)``."""
        return np.flatnonzero(self.remaining >= lag)

    def tally(self, bins: NDArray[np.integer], n_bins: int, where: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Count how often each bin occurs in each block.

        Parameters
        ----------
        bins
            Bin of each frame, or of the frames in `where`.
        n_bins
            Number of bins.
        where
            Frames that `bins` belong to; None for all.

        Returns
        -------
        ndarray
            Shape ``(n_blocks, n_bins)``.
        """
        labels = self.labels if where is None else self.labels[where]
        counts = np.bincount(labels * n_bins + bins, minlength=self.n_blocks * n_bins)
        return counts.reshape(self.n_blocks, n_bins).astype(np.float64)
