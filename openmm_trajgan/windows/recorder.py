"""The rules every adapter shares: which frames are stored, and where a new segment begins."""

import math
import warnings
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.errors import NonFiniteError, SchemaMismatchError, StreamExistsError
from openmm_trajgan.features.base import Featurizer
from openmm_trajgan.schema import FeatureSchema

_STRUCTURE_BYTES = 64 * 2**20
_TIME_TOLERANCE = 1e-3  # of a frame interval

_Structure = tuple[NDArray[np.float32], NDArray[np.float32] | None]  # positions and box vectors, nm


class FrameSink(Protocol):
    """Where frames go; `openmm_trajgan.WindowBuffer` is one."""

    @property
    def schema(self) -> FeatureSchema: ...  # noqa: D102

    def set_frame_interval(self, frame_interval: float) -> None: ...  # noqa: D102

    def last_frame(self, stream: str) -> tuple[int, int] | None: ...  # noqa: D102

    def truncate(self, stream: str, step: int) -> int: ...  # noqa: D102

    def append(  # noqa: D102
        self, streams: Sequence[str], *, step: int, time: float, segment: int, features: NDArray[np.floating]
    ) -> None: ...

    def has_structures(self, stream: str) -> bool: ...  # noqa: D102

    def keep_structures(  # noqa: D102
        self, stream: str, positions: NDArray[np.float32], boxes: NDArray[np.float32] | None = None
    ) -> None: ...

    def flush(self) -> None: ...  # noqa: D102


class FrameRecorder:
    """Computes features and stores them, for one simulation with one or several replicas in its context.

    A new segment begins when a frame does not follow the one before by exactly one interval in steps and in time, or on request.

    Parameters
    ----------
    sink
        The buffer.
    features
        Positions to features.
    streams
        One name per replica. With several, the atoms of the system are those replicas one after the other, equal in size.
    interval
        Steps between frames.
    append
        Continue streams that hold frames already.
    n_structures
        How many consecutive frames of the first replica to keep with all positions, for backmapping; fewer for large systems
        (64 MiB).

    Raises
    ------
    SchemaMismatchError
        If the sink holds other features.
    StreamExistsError
        If a stream holds frames and `append` is false.
    """

    def __init__(
        self, sink: FrameSink, features: Featurizer, streams: Sequence[str], interval: int, *, append: bool, n_structures: int
    ) -> None:
        sink.schema.require_same(features.schema, "the buffer", "the featurizer")
        self.interval = interval
        self.last_step: int | None = None
        self._sink = sink
        self._features = features
        self._streams = tuple(streams)
        self._append = append
        self._frame_interval = 0.0
        self._last_time = 0.0
        self._segment = 0
        self._break = False
        self._unfinished = False  # whether the last frame reached some of the streams only
        self._last_spacing = 0.0
        keep = n_structures > 0 and not sink.has_structures(self._streams[0])
        self._structures: list[_Structure] | None = [] if keep else None
        self._longest: list[_Structure] = []  # stretch of structures that a gap has ended
        self._n_structures = n_structures
        self._ends()

    def begin(self, step: int, frame_interval: float, time: float) -> None:
        """Prepare for frames after `step`, at which the simulation stands at `time` (ps); frames of a lost future are set aside.

        Raises
        ------
        SchemaMismatchError
            If the sink holds frames at another interval (ps).
        StreamExistsError
            If another recorder has meanwhile put frames into a stream and `append` is false.
        """
        ends = self._ends()
        self._sink.set_frame_interval(frame_interval)
        self._frame_interval = frame_interval
        if all(end is None for end in ends):
            return
        # Replicas written one after the other can end one frame apart after a crash: go back to what all of them hold.
        common = min(step, *(-1 if end is None else end[1] for end in ends)) if len(ends) > 1 else step
        dropped = sum(self._sink.truncate(stream, common + 1) for stream in self._streams)
        if dropped:
            warnings.warn(
                f"the simulation continues from step {step}: {dropped} frames after step {common} in stream "
                f"{self._streams[0]!r}{' and its siblings' if len(self._streams) > 1 else ''} will be simulated again; "
                "the old ones were set aside",
                stacklevel=4,
            )
        ends = self._ends()
        self._segment = max((end[0] for end in ends if end is not None), default=0)
        if ends[0] is not None:
            self.last_step = ends[0][1]
            self._last_time = time - (step - self.last_step) / self.interval * frame_interval
        self._break = len(set(ends)) > 1

    def _ends(self) -> list[tuple[int, int] | None]:
        """Segment and step of the last frame of each stream; refuses streams with frames unless they are to be continued."""
        ends = [self._sink.last_frame(stream) for stream in self._streams]
        for stream, end in zip(self._streams, ends, strict=True):
            if end is not None and not self._append:
                raise StreamExistsError(
                    f"stream {stream!r} holds frames up to step {end[1]} already; "
                    "pass append=True to continue it, or another stream name or buffer"
                )
        return ends

    def new_segment(self) -> None:
        """Begin a new segment with the next frame."""
        self._break = True

    def record(self, step: int, time: float, positions: NDArray[np.floating], box: NDArray[np.floating] | None) -> None:
        """Store one frame, unless it is the one stored last.

        Parameters
        ----------
        step
            Step number.
        time
            Simulated time, ps.
        positions
            ``(n_atoms, 3)``, nm.
        box
            Box vectors ``(3, 3)``, nm, or None.

        Raises
        ------
        NonFiniteError
            If a position or feature is NaN or infinite; nothing is stored then.
        SchemaMismatchError
            If the times of the frames show, twice in a row, that the integrator has another step size than before.
        """
        n_replicas = len(self._streams)
        frames = positions.reshape(n_replicas, -1, 3)
        if not math.isfinite(positions.sum()):  # any NaN or infinity spoils the sum, at half the price of looking at each
            replica, atom, _ = np.argwhere(~np.isfinite(frames))[0]
            raise NonFiniteError(
                f"step {step} ({time:g} ps), stream {self._streams[replica]!r}: Particle position is NaN or infinite "
                f"(atom {atom}); the simulation blew up, nothing of this frame was stored"
            )
        values = np.asarray(self._features(frames if n_replicas > 1 else positions, box)).reshape(n_replicas, -1)
        if not math.isfinite(values.sum()):
            replica, column = np.argwhere(~np.isfinite(values))[0]
            raise NonFiniteError(
                f"step {step} ({time:g} ps), stream {self._streams[replica]!r}: feature {self._features.schema.names[column]!r} "
                f"is {values[replica, column]}; nothing of this frame was stored"
            )
        if step == self.last_step and time == self._last_time and not self._break:
            return
        segment, on_step, spacing = self._segment, False, 0.0
        if self.last_step is not None:
            on_step = step == self.last_step + self.interval
            spacing = time - self._last_time
            on_time = self._is_interval(spacing, self._frame_interval)
            if on_step and not (on_time or self._break) and spacing > 0 and self._is_interval(spacing, self._last_spacing):
                raise SchemaMismatchError(
                    f"step {step}, stream {self._streams[0]!r}: frames come every {spacing:g} ps now, the buffer holds them every "
                    f"{self._frame_interval:g} ps; the step size of the integrator was changed, use another buffer"
                )
            if self._break or not (on_step and on_time):
                segment += 1
                self._end_stretch()
        structure = None
        if self._structures is not None:
            structure = frames[0].astype(np.float32), None if box is None else np.array(box, np.float32)
        self._append_to_all(step, time, segment, values)
        # No call between these lines, so that Ctrl-C comes before all of them, when the frame can be recorded again, or after.
        self._segment, self._last_spacing = segment, spacing if on_step else 0.0
        self.last_step, self._last_time, self._break, self._unfinished = step, time, False, False
        if self._structures is not None and structure is not None:
            self._structures.append(structure)
            if len(self._structures) >= min(self._n_structures, max(1, _STRUCTURE_BYTES // structure[0].nbytes)):
                self._write_structures()

    def _append_to_all(self, step: int, time: float, segment: int, values: NDArray[np.floating]) -> None:
        """Append the frame to the streams; where Ctrl-C or a full disk cut that short, to those that do not have it yet."""
        streams = self._streams
        if self._unfinished:
            missing = [index for index, stream in enumerate(streams) if self._sink.last_frame(stream) != (segment, step)]
            streams, values = tuple(streams[index] for index in missing), values[missing]
        self._unfinished = True
        self._sink.append(streams, step=step, time=time, segment=segment, features=values)

    def _is_interval(self, spacing: float, expected: float) -> bool:
        return abs(spacing - expected) < _TIME_TOLERANCE * self._frame_interval

    def _end_stretch(self) -> None:
        if self._structures is not None:
            self._longest, self._structures = max(self._longest, self._structures, key=len), []

    def _write_structures(self) -> None:
        self._end_stretch()
        if self._longest:
            positions, boxes = zip(*self._longest, strict=True)
            self._sink.keep_structures(self._streams[0], np.stack(positions), None if boxes[0] is None else np.stack(boxes))
        self._structures, self._longest = None, []

    def flush(self) -> None:
        """Make everything recorded survive a power cut."""
        self._sink.flush()

    def close(self) -> None:
        """Write the structures kept so far and flush the sink."""
        self._write_structures()
        self._sink.flush()
