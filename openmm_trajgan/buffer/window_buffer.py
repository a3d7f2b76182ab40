"""Frames in, windows out."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.buffer.base import FrameStore, frame_dtype
from openmm_trajgan.buffer.memory import MemoryStore
from openmm_trajgan.buffer.shards import ShardStore
from openmm_trajgan.buffer.window_population import Windows
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories, require_trajectories


class WindowBuffer:
    """Time series collected from simulations, from which windows are cut.

    Frames arrive in *streams* (one per replica). Within a stream they form *segments*: runs of frames at equal intervals. A window
    never crosses from one segment or stream into another.

    Parameters
    ----------
    path
        Folder on disk, made if it does not exist and `schema` is given; None keeps the frames in memory.
    schema
        What the frames hold. Needed for a new buffer; compared with what an existing one holds.

    Raises
    ------
    InputError
        If `path` holds no buffer and no schema is given, or holds something else.
    SchemaMismatchError
        If an existing buffer holds other features.

    Examples
    --------
    >>> schema = FeatureSchema(names=("x",), units=("nm",), periods=(None,), frame_interval=0.5)
    >>> with WindowBuffer(schema=schema) as buffer:
    ...     for step in range(6):
    ...         buffer.append(["replica0"], step=step, time=0.5 * step, segment=0, features=np.array([[step]]))
    >>> windows = buffer.windows(4)
    >>> len(windows), windows.sample(2, np.random.default_rng(0)).shape
    (3, (2, 4, 1))
    """

    def __init__(self, path: Path | str | None = None, schema: FeatureSchema | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._store: FrameStore
        if self.path is not None:
            self._store = ShardStore(self.path, schema)
        elif schema is not None:
            self._store = MemoryStore(schema)
        else:
            raise InputError("a buffer in memory needs a schema; pass schema=features.schema")
        self._n_features = self.schema.n_features
        self._dtype = frame_dtype(self._n_features)
        self._ends: dict[str, tuple[int, int]] = {}  # segment and step last appended here, by stream

    @classmethod
    def from_trajectories(cls, trajectories: FeatureTrajectories) -> "WindowBuffer":
        """Hold the given time series in memory, one segment each; `trajectories.replicas` become the streams.

        Raises
        ------
        InputError
            If they are something else, such as arrays.
        """
        buffer = cls(schema=require_trajectories(trajectories).schema)
        interval = trajectories.schema.frame_interval or 0.0
        for number, (replica, series) in enumerate(zip(trajectories.replicas, trajectories.values, strict=True)):
            rows = np.empty(len(series), buffer._dtype)
            rows["step"] = np.arange(len(series))
            rows["time"] = rows["step"] * interval
            rows["features"] = series
            buffer._store.append(replica, number, rows)
        return buffer

    @property
    def schema(self) -> FeatureSchema:
        """What the frames hold; `frame_interval` is None until the first stream began."""
        return self._store.schema

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams."""
        return self._store.streams()

    @property
    def n_frames(self) -> int:
        """Frames in all streams together."""
        return sum(segment.n_frames for stream in self.streams for segment in self._store.segments(stream))

    @property
    def segment_lengths(self) -> list[int]:
        """Frames of each segment, which bound the windows that can be cut from it."""
        return [segment.n_frames for stream in self.streams for segment in self._store.segments(stream)]

    def set_frame_interval(self, frame_interval: float) -> None:
        """Record the time between frames, ps.

        Raises
        ------
        SchemaMismatchError
            If the buffer already holds frames at another interval.
        """
        self._store.set_frame_interval(frame_interval)

    def append(self, streams: Sequence[str], *, step: int, time: float, segment: int, features: NDArray[np.floating]) -> None:
        """Add one frame to each of the given streams.

        Parameters
        ----------
        streams
            One name per row of `features`.
        step
            Step number of the simulation, greater than that of the frame before it in the segment.
        time
            Simulated time, ps.
        segment
            Number of the segment: the last one of the stream to continue it, a later one to begin it.
        features
            ``(n_streams, n_features)``, units of the schema.

        Raises
        ------
        InputError
            If the features have another shape, a value is not finite, the frame does not follow on the last one of a stream, or a
            stream is named twice or cannot have that name on disk.
        """
        expected = (len(streams), self._n_features)
        if features.shape != expected:
            raise InputError(f"features: expected shape {expected}, one row per stream, found {features.shape}")
        rows = np.empty(len(streams), self._dtype)
        rows["step"] = step
        rows["time"] = time
        rows["features"] = features
        finite = np.isfinite(rows["features"])
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise InputError(
                f"step {step}, stream {streams[row]!r}: feature {self.schema.names[column]!r} is {features[row, column]}; "
                "every value must be finite"
            )
        self._require_next(streams, segment, step)
        for index, stream in enumerate(streams):
            self._store.append(stream, segment, rows[index : index + 1])
            self._ends[stream] = segment, step

    def _require_next(self, streams: Sequence[str], segment: int, step: int) -> None:
        """Refuse a frame that does not follow on the last one of each stream; frames behind it could not be found again."""
        if len(set(streams)) < len(streams):
            raise InputError(f"streams: expected each of them once, found {', '.join(streams)}")
        if segment < 0:
            raise InputError(f"segment: expected 0 or more, found {segment}")
        for stream in streams:
            end = self._ends.get(stream) or self.last_frame(stream)
            if end is not None and (segment < end[0] or (segment == end[0] and step <= end[1])):
                raise InputError(
                    f"stream {stream!r}: expected a frame after segment {end[0]}, step {end[1]}, found segment {segment}, "
                    f"step {step}; truncate({stream!r}, {step}) sets later frames aside"
                )

    def last_frame(self, stream: str) -> tuple[int, int] | None:
        """Segment number and step of the last frame of a stream; None if it holds none."""
        segments = self._store.segments(stream)
        if not segments:
            return None
        last = segments[-1]
        return last.number, int(last.read(last.n_frames - 1, last.n_frames)["step"][0])

    def truncate(self, stream: str, step: int) -> int:
        """Set aside the frames at the end of a stream with this step number or a later one.

        On disk they are moved to the folder ``superseded`` of the stream.

        Returns
        -------
        int
            How many frames were set aside.
        """
        self._ends.pop(stream, None)
        return self._store.truncate(stream, step)

    def repair(self) -> tuple[Path, ...]:
        """Set aside files that are damaged (their checksum tells), so that the frames before them can be used.

        Shards behind a damaged one in the same segment go with it, as there would be a gap. Nothing is deleted: the files are moved
        to the folder ``damaged`` of their stream.

        Returns
        -------
        tuple of pathlib.Path
            Where the files are now; empty if nothing was damaged.
        """
        self._ends.clear()
        return tuple(self._store.repair())

    def windows(self, length: int, streams: str | Iterable[str] | None = None) -> Windows:
        """Return the population of windows of `length` frames, from the given streams or from all.

        Raises
        ------
        InputError
            If `length` is not positive, a stream is unknown, or no segment is as long as a window.
        """
        if length < 1:
            raise InputError(f"expected a window of at least 1 frame, found {length}")
        segments = [(stream, segment) for stream in self._known(streams) for segment in self._store.segments(stream)]
        windows = Windows(segments, length, self.schema.n_features)
        if not len(windows):
            longest = max((segment.n_frames for _, segment in segments), default=0)
            raise InputError(
                f"windows of {length} frames do not fit: the longest trajectory has {longest} frames; "
                "use a shorter window or longer trajectories"
            )
        return windows

    def trajectories(self, streams: str | Iterable[str] | None = None) -> FeatureTrajectories:
        """Load the segments of the given streams, or of all, as time series; `replicas` holds the stream names.

        Raises
        ------
        InputError
            If a stream is unknown, or they hold no frames.
        """
        names, series = [], []
        for stream in self._known(streams):
            for segment in self._store.segments(stream):
                names.append(stream)
                series.append(segment.read(0, segment.n_frames)["features"])
        if not series:
            raise InputError(f"the buffer {self.path or 'in memory'} holds no frames yet; run the simulation first")
        return FeatureTrajectories(series, self.schema, names)

    def steps(self, stream: str) -> NDArray[np.int64]:
        """Step numbers of all frames of a stream, in order, shape ``(n_frames,)``."""
        parts = [segment.read(0, segment.n_frames)["step"] for segment in self._store.segments(stream)]
        return np.concatenate([np.empty(0, np.int64), *parts])

    def keep_structures(self, stream: str, positions: NDArray[np.float32], boxes: NDArray[np.float32] | None = None) -> None:
        """Keep a contiguous stretch of all-atom positions ``(n_structures, n_atoms, 3)``, nm, unless the stream has one.

        `boxes` are the vectors of their periodic boxes, ``(n_structures, 3, 3)``, nm; None without.

        Raises
        ------
        InputError
            If they have another shape, or one is not finite.
        """
        positions = np.asarray(positions, np.float32)
        if positions.ndim != 3 or positions.shape[2] != 3 or not positions.size or not np.isfinite(positions).all():
            raise InputError(f"structures: expected finite positions (n_structures, n_atoms, 3) in nm, found {positions.shape}")
        if boxes is not None:
            boxes = np.asarray(boxes, np.float32)
            if boxes.shape != (len(positions), 3, 3) or not np.isfinite(boxes).all():
                raise InputError(f"boxes: expected finite vectors {(len(positions), 3, 3)} in nm, found {boxes.shape}")
        self._store.keep_structures(stream, positions, boxes)

    def has_structures(self, stream: str) -> bool:
        """Whether a stretch of all-atom positions was kept for the stream."""
        return self._store.structures(stream) is not None

    def structures(self, streams: str | Iterable[str] | None = None) -> NDArray[np.float32]:
        """Return all-atom positions kept of the given streams, or of all, one after the other, ``(n_structures, n_atoms, 3)``, nm.

        Raises
        ------
        InputError
            If no stream has any, or they are of different molecules.
        """
        known = self._known(streams)
        kept = {stream: positions for stream in known if (positions := self._store.structures(stream)) is not None}
        if kept:
            (first, expected), *others = kept.items()
            for stream, positions in others:
                if positions.shape[1] != expected.shape[1]:
                    raise InputError(
                        f"expected structures of one molecule, found {expected.shape[1]} atoms in {first} and "
                        f"{positions.shape[1]} in {stream}; name the streams that belong together"
                    )
            return np.concatenate(list(kept.values()))
        raise InputError(
            "the buffer holds no structures; a reporter stores them after n_structures frames or when it is closed, "
            "or pass reference positions"
        )

    def boxes(self, streams: str | Iterable[str] | None = None) -> NDArray[np.float32] | None:
        """Return the box vectors of what `structures` returns, ``(n_structures, 3, 3)``, nm; None if they have none.

        Raises
        ------
        InputError
            If structures of some streams have boxes and those of others none.
        """
        kept = {stream: self._store.boxes(stream) for stream in self._known(streams) if self.has_structures(stream)}
        found = [boxes for boxes in kept.values() if boxes is not None]
        if len(found) < len(kept) and found:
            without = next(stream for stream, boxes in kept.items() if boxes is None)
            raise InputError(f"expected structures that all have a periodic box, found none in {without}; name the others")
        return np.concatenate(found) if found else None

    @property
    def labels(self) -> dict[str, str | float]:
        """Condition, such as a temperature, that each stream was simulated under, by name; empty if none was recorded."""
        return self._store.labels()

    def set_labels(self, labels: Mapping[str, str | float]) -> None:
        """Record the condition of streams, also of those that hold no frame yet.

        Raises
        ------
        InputError
            If a condition is neither a text nor a finite number, or another one was recorded for a stream.
        """
        known = self._store.labels()
        for stream, label in labels.items():
            number = isinstance(label, int | float) and not isinstance(label, bool) and math.isfinite(label)
            if not number and not isinstance(label, str):
                raise InputError(f"label of {stream!r}: expected a text or a finite number, found {label!r}")
            if known.setdefault(stream, label) != label:
                raise InputError(
                    f"label of {stream!r}: expected {known[stream]} as recorded before, found {label}; use another stream"
                )
        self._store.set_labels(known)

    def _known(self, streams: str | Iterable[str] | None) -> tuple[str, ...]:
        known = self.streams
        if streams is None:
            return known
        wanted = (streams,) if isinstance(streams, str) else tuple(streams)
        unknown = [str(name) for name in wanted if name not in known]
        if unknown:
            raise InputError(f"no stream named {', '.join(unknown)}; there are {', '.join(known) or 'none'}")
        return wanted

    def flush(self) -> None:
        """Make everything appended survive a power cut; what was appended survives the death of the process anyway."""
        self._store.flush()

    def close(self) -> None:
        """Flush and let go of open files; the buffer can still be read, and appended to again."""
        self._ends.clear()  # others may append now
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
