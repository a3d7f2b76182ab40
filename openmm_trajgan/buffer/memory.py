"""Frames in memory."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.buffer.base import FrameRows, frame_dtype
from openmm_trajgan.schema import FeatureSchema


@dataclass(frozen=True)
class MemorySegment:
    """Consecutive frames as they were when asked for; appending and truncating later leaves them alone."""

    number: int
    rows: FrameRows

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.rows)

    def read(self, start: int, stop: int) -> FrameRows:
        """Return frames ``start … stop-1``."""
        return self.rows[start:stop]


class GrowingSegment:
    """Consecutive frames in an array that doubles when it is full, so that another thread may read while one appends."""

    def __init__(self, number: int, n_features: int) -> None:
        self.number = number
        self._rows: FrameRows = np.empty(0, frame_dtype(n_features))
        self._n_frames = 0

    def frames(self) -> MemorySegment:
        """Return the frames so far."""
        return MemorySegment(self.number, self._rows[: self._n_frames])

    def extend(self, rows: FrameRows) -> None:
        """Add frames at the end."""
        end = self._n_frames + len(rows)
        if end > len(self._rows):
            grown = np.empty(max(end, 2 * len(self._rows)), self._rows.dtype)
            grown[: self._n_frames] = self._rows[: self._n_frames]
            self._rows = grown
        self._rows[self._n_frames : end] = rows
        self._n_frames = end

    def cut(self, n_frames: int) -> None:
        """Keep the first `n_frames` frames; the array is full then, so that growing does not touch what was handed out."""
        self._rows = self._rows[:n_frames]
        self._n_frames = n_frames


class MemoryStore:
    """A `FrameStore` that lives as long as the process."""

    def __init__(self, schema: FeatureSchema) -> None:
        self.schema = schema
        self._segments: dict[str, list[GrowingSegment]] = {}
        self._structures: dict[str, NDArray[np.float32]] = {}
        self._boxes: dict[str, NDArray[np.float32] | None] = {}
        self._labels: dict[str, str | float] = {}

    def set_frame_interval(self, frame_interval: float) -> None:
        """See `FrameStore`."""
        schema = self.schema.with_frame_interval(frame_interval)
        self.schema.require_same(schema, "this buffer", "the new stream")
        if self.schema.frame_interval is None:
            self.schema = schema

    def streams(self) -> tuple[str, ...]:
        """See `FrameStore`."""
        return tuple(sorted({*self._segments, *self._structures}))

    def segments(self, stream: str) -> list[MemorySegment]:
        """See `FrameStore`."""
        return [segment.frames() for segment in self._segments.get(stream, [])]

    def append(self, stream: str, segment: int, row: FrameRows) -> None:
        """See `FrameStore`; accepts blocks of any length."""
        segments = self._segments.setdefault(stream, [])
        if not segments or segments[-1].number != segment:
            segments.append(GrowingSegment(segment, self.schema.n_features))
        segments[-1].extend(row)

    def truncate(self, stream: str, step: int) -> int:
        """See `FrameStore`; the frames are gone."""
        dropped = 0
        segments = self._segments.get(stream, [])
        while segments:
            rows = segments[-1].frames().rows
            keep = bisect_left(rows["step"], step)
            dropped += len(rows) - keep
            if keep:
                segments[-1].cut(keep)
                break
            segments.pop()
        return dropped

    def repair(self) -> tuple[Path, ...]:
        """Nothing to do: there are no files."""
        return ()

    def keep_structures(self, stream: str, positions: NDArray[np.float32], boxes: NDArray[np.float32] | None) -> None:
        """See `FrameStore`."""
        self._boxes.setdefault(stream, boxes)
        self._structures.setdefault(stream, positions)

    def structures(self, stream: str) -> NDArray[np.float32] | None:
        """See `FrameStore`."""
        return self._structures.get(stream)

    def boxes(self, stream: str) -> NDArray[np.float32] | None:
        """See `FrameStore`."""
        return self._boxes.get(stream)

    def labels(self) -> dict[str, str | float]:
        """See `FrameStore`."""
        return dict(self._labels)

    def set_labels(self, labels: Mapping[str, str | float]) -> None:
        """See `FrameStore`."""
        self._labels = dict(labels)

    def flush(self) -> None:
        """Nothing to do: memory holds what it holds."""

    def close(self) -> None:
        """Nothing to do: the frames stay readable until the object goes."""
