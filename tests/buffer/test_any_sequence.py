"""The buffer against a naive one after any sequence of calls: a dictionary of streams, each a list of segments of frames."""

import math
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from openmm_trajgan.buffer import WindowBuffer, shards
from openmm_trajgan.buffer.base import frame_dtype
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureSchema

SCHEMA = FeatureSchema(names=("phi", "x"), units=("rad", "nm"), periods=(2 * math.pi, None), frame_interval=0.5)
DTYPE = frame_dtype(2)
STREAMS = ("a", "b.1", "c-2")


class MemoryMachine(RuleBasedStateMachine):
    """Any sequence of what a reporter does to a buffer, in memory."""

    def __init__(self):
        super().__init__()
        self.naive = {}  # stream -> [(segment number, [(step, value)])]
        self.count = 0
        self.buffer = WindowBuffer(schema=SCHEMA)

    def _end(self, stream):
        segments = self.naive.get(stream)
        return (segments[-1][0], segments[-1][1][-1][0]) if segments else (0, 0)

    @rule(
        streams=st.lists(st.sampled_from(STREAMS), min_size=1, max_size=3, unique=True),
        n_frames=st.integers(1, 12),
        new_segment=st.booleans(),
        rewind=st.integers(0, 100),
    )
    def append(self, streams, n_frames, new_segment, rewind):
        ends = [self._end(stream) for stream in streams]
        segment = max(number for number, _ in ends) + new_segment
        step = rewind if new_segment else max(step for _, step in ends)
        for _ in range(n_frames):
            step += 10
            features = np.arange(self.count, self.count + 2 * len(streams)).reshape(-1, 2)
            self.count += features.size
            self.buffer.append(streams, step=step, time=0.05 * step, segment=segment, features=features)
            for stream, values in zip(streams, features.tolist(), strict=True):
                segments = self.naive.setdefault(stream, [])
                if not segments or segments[-1][0] != segment:
                    segments.append((segment, []))
                segments[-1][1].append((step, values))

    @rule(stream=st.sampled_from((*STREAMS, "unknown")), step=st.integers(0, 200))
    def truncate(self, stream, step):
        segments = self.naive.get(stream, [])
        dropped = 0
        while segments and segments[-1][1][-1][0] >= step:
            segments[-1][1].pop()
            dropped += 1
            if not segments[-1][1]:
                segments.pop()
        assert self.buffer.truncate(stream, step) == dropped

    @rule()
    def flush(self):
        self.buffer.flush()

    @rule()
    def close(self):
        self.buffer.close()

    @rule(length=st.integers(1, 14), streams=st.none() | st.lists(st.sampled_from(STREAMS), min_size=1, unique=True))
    def sample(self, length, streams):
        if streams is not None and set(streams) - set(self.naive):
            with pytest.raises(InputError, match="no stream named"):
                self.buffer.windows(length, streams)
            return
        runs = [[value for _, value in frames] for stream in streams or self.naive for _, frames in self.naive[stream]]
        expected = {str(run[start : start + length]) for run in runs for start in range(len(run) - length + 1)}
        if not expected:
            with pytest.raises(InputError, match=rf"windows of {length} frames do not fit"):
                self.buffer.windows(length, streams)
            return
        windows = self.buffer.windows(length, streams)
        drawn = windows.sample(30 * len(expected), np.random.default_rng(0))  # one is missed with probability e^-30
        assert len(windows) == len(expected)
        assert {str(window) for window in drawn.astype(int).tolist()} == expected

    @invariant()
    def holds_the_same(self):
        buffer, naive = self.buffer, self.naive
        lengths = [len(frames) for segments in naive.values() for _, frames in segments]
        assert buffer.streams == tuple(sorted(naive))
        assert buffer.n_frames == sum(lengths)
        assert sorted(buffer.segment_lengths) == sorted(lengths)
        for stream in ("unknown", *naive):
            segments = naive.get(stream)
            assert buffer.last_frame(stream) == (self._end(stream) if segments else None)
            assert buffer.steps(stream).tolist() == [step for _, frames in segments or () for step, _ in frames]
        if lengths:
            stored = buffer.trajectories()
            expected = [(stream, [v for _, v in frames]) for stream in sorted(naive) for _, frames in naive[stream]]
            assert list(zip(stored.replicas, [series.tolist() for series in stored], strict=True)) == expected


class DiskMachine(MemoryMachine):
    """The same on disk, with shards that roll over, more streams than open files, reopening and crashes."""

    def __init__(self):
        super().__init__()
        self.patches = [
            mock.patch.object(shards, "BYTES_PER_SHARD", 5 * DTYPE.itemsize),
            mock.patch.object(shards, "_OPEN_FILES", 2),
        ]
        for patch in self.patches:
            patch.start()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "buffer"
        self.buffer = WindowBuffer(self.path, SCHEMA)
        self.opened = [self.buffer]

    def _open(self):
        self.buffer = WindowBuffer(self.path)
        self.opened.append(self.buffer)

    @rule()
    def reopen(self):
        self.buffer.close()
        self._open()

    @rule(torn=st.binary(max_size=DTYPE.itemsize - 1), data=st.data())
    def crash(self, torn, data):
        """The old object is never closed; the last row may be torn."""
        growing = sorted(self.path.glob("streams/*/*.rows"))
        if growing:
            path = data.draw(st.sampled_from(growing))
            rows = path.read_bytes()
            path.write_bytes(rows[: len(rows) // DTYPE.itemsize * DTYPE.itemsize] + torn)
        self._open()

    @precondition(lambda self: any(self.path.glob("streams/*/*.npy")))
    @rule(data=st.data())
    def crash_while_sealing(self, data):
        """The sealed copy is there, the open shard not yet removed, or a temporary file is left."""
        sealed = data.draw(st.sampled_from(sorted(self.path.glob("streams/*/*.npy"))))
        sealed.with_suffix(".rows").write_bytes(np.load(sealed).tobytes())
        sealed.with_name(f".{sealed.name}.1.tmp").write_bytes(b"half")
        self._open()

    def teardown(self):
        for buffer in self.opened:
            for shard in buffer._store._open.values():
                shard.file.close()
        for patch in self.patches:
            patch.stop()
        self.folder.cleanup()


MemoryMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None, derandomize=True)
DiskMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None, derandomize=True)
TestMemoryEqualsNaive = MemoryMachine.TestCase
TestDiskEqualsNaive = DiskMachine.TestCase
