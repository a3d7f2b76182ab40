"""Frames in memory."""

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.buffer.base import FrameRows, frame_dtype
from openmm_trajgan.schema import FeatureSchema


class MemorySegment:
    """Consecutive frames held as a list of blocks that becomes one array when first read."""

    def __init__(self, number: int, n_features: int) -> None:
        self.number = number
        self._blocks: list[FrameRows] = []
        self._n_features = n_features

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return sum(len(block) for block in self._blocks)

    def extend(self, rows: FrameRows) -> None:
        """Add frames at the end."""
        self._blocks.append(rows)

    def read(self, start: int, stop: int) -> FrameRows:
        """Return frames ``start … stop-1``."""
        if len(self._blocks) != 1:
            self._blocks = [np.concatenate([np.empty(0, frame_dtype(self._n_features)), *self._blocks])]
        return self._blocks[0][start:stop]

    def cut(self, n_frames: int) -> None:
        """Keep the first `n_frames` frames."""
        self._blocks = [self.read(0, n_frames)]


class MemoryStore:
    """A `FrameStore` that lives as long as the process."""

    def __init__(self, schema: FeatureSchema) -> None:
        self.schema = schema
        self._segments: dict[str, list[MemorySegment]] = {}
        self._structures: dict[str, NDArray[np.float32]] = {}

    def set_frame_interval(self, frame_interval: float) -> None:
        """See `FrameStore`."""
        schema = self.schema.with_frame_interval(frame_interval)
        self.schema.require_same(schema, "this buffer", "the new stream")
        if self.schema.frame_interval is None:
            self.schema = schema

    def streams(self) -> tuple[str, ...]:
        """See `FrameStore`."""
        return tuple(sorted(self._segments))

    def segments(self, stream: str) -> list[MemorySegment]:
        """See `FrameStore`."""
        return self._segments.get(stream, [])

    def append(self, stream: str, segment: int, row: FrameRows) -> None:
        """See `FrameStore`; accepts blocks of any length."""
        segments = self._segments.setdefault(stream, [])
        if not segments or segments[-1].number != segment:
            segments.append(MemorySegment(segment, self.schema.n_features))
        segments[-1].extend(row)

    def truncate(self, stream: str, step: int) -> int:
        """See `FrameStore`; the frames are gone."""
        dropped = 0
        segments = self.segments(stream)
        while segments:
            last = segments[-1]
            keep = bisect_left(last.read(0, last.n_frames)["step"], step)
            dropped += last.n_frames - keep
            if keep:
                last.cut(keep)
                break
            segments.pop()
        return dropped

    def keep_structures(self, stream: str, positions: NDArray[np.float32]) -> None:
        """See `FrameStore`."""
        self._structures.setdefault(stream, positions)

    def structures(self, stream: str) -> NDArray[np.float32] | None:
        """See `FrameStore`."""
        return self._structures.get(stream)

    def flush(self) -> None:
        """Nothing to do: memory holds what it holds."""

    def close(self) -> None:
        """Nothing to do: the frames stay readable until the object goes."""
