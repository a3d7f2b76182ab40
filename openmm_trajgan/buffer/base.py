"""What a place for frames must do; the window buffer is built on any such place."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.schema import FeatureSchema

FrameRows = NDArray[np.void]
"""Frames as a structured array with the fields of `frame_dtype`."""


def frame_dtype(n_features: int) -> np.dtype[np.void]:
    """Layout of one stored frame: step number, time (ps), features (units of the schema)."""
    return np.dtype([("step", "<i8"), ("time", "<f8"), ("features", "<f4", (n_features,))])


class Segment(Protocol):
    """Consecutive frames of one stream, without gap: the only place a window may be cut from."""

    @property
    def number(self) -> int:
        """Number of the segment within its stream."""
        ...

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        ...

    def read(self, start: int, stop: int) -> FrameRows:
        """Return frames ``start … stop-1`` of the segment."""
        ...


class FrameStore(Protocol):
    """Frames by stream and segment; a frame handed to `append` survives the death of the process if the store is on disk."""

    @property
    def schema(self) -> FeatureSchema:
        """What the features are."""
        ...

    def set_frame_interval(self, frame_interval: float) -> None:
        """Record the time between frames, ps, or compare with the one recorded."""
        ...

    def streams(self) -> tuple[str, ...]:
        """Names of the streams, sorted."""
        ...

    def segments(self, stream: str) -> Sequence[Segment]:
        """Return the segments of a stream in order; empty for an unknown stream."""
        ...

    def append(self, stream: str, segment: int, row: FrameRows) -> None:
        """Add one frame, shape ``(1,)``, to the last segment of a stream or to a new one."""
        ...

    def truncate(self, stream: str, step: int) -> int:
        """Set aside the frames at the end of a stream whose step is `step` or later; return how many."""
        ...

    def repair(self) -> Sequence[Path]:
        """Set aside files that are damaged, and what would follow on them; return where they went."""
        ...

    def keep_structures(self, stream: str, positions: NDArray[np.float32], boxes: NDArray[np.float32] | None) -> None:
        """Keep a contiguous stretch of all-atom positions ``(n_structures, n_atoms, 3)``, nm, unless there is one.

        `boxes` are the vectors of their periodic boxes, ``(n_structures, 3, 3)``, nm; None without.
        """
        ...

    def structures(self, stream: str) -> NDArray[np.float32] | None:
        """Return that stretch, or None."""
        ...

    def boxes(self, stream: str) -> NDArray[np.float32] | None:
        """Return the boxes of that stretch, or None."""
        ...

    def labels(self) -> dict[str, str | float]:
        """Return the condition of every stream that has one, by name of the stream."""
        ...

    def set_labels(self, labels: Mapping[str, str | float]) -> None:
        """Record conditions in place of those recorded before."""
        ...

    def flush(self) -> None:
        """Make everything appended survive a power cut as well."""
        ...

    def close(self) -> None:
        """Flush and let go of open files."""
        ...
