"""What a buffer keeps, hands out and refuses."""

import math
import os
import resource
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from openmm_trajgan.buffer import WindowBuffer, Windows, shards
from openmm_trajgan.buffer.base import frame_dtype
from openmm_trajgan.buffer.shard import ShardReader
from openmm_trajgan.errors import InputError, SchemaMismatchError
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

SCHEMA = FeatureSchema(names=("phi", "x"), units=("rad", "nm"), periods=(2 * math.pi, None), frame_interval=0.5)
DTYPE = frame_dtype(2)


def fill(buffer, stream, steps, segment=0):
    for step in steps:
        buffer.append([stream], step=step, time=0.5 * step, segment=segment, features=np.array([[step, -step]]))


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(shards, "BYTES_PER_SHARD", 5 * DTYPE.itemsize)


@pytest.fixture(params=["memory", "disk"])
def buffer(request, tmp_path, small_shards):
    with WindowBuffer(None if request.param == "memory" else tmp_path / "buffer", SCHEMA) as buffer:
        yield buffer


def test_conditions_of_streams_are_kept(buffer, tmp_path):
    assert buffer.labels == {}
    buffer.set_labels({"a": 285.0, "b.1": "folded"})
    buffer.set_labels({"a": 285.0, "c-2": 300.0})
    assert buffer.labels == {"a": 285.0, "b.1": "folded", "c-2": 300.0}
    with pytest.raises(InputError, match="label of 'a': expected 285.0 as recorded before, found 300.0"):
        buffer.set_labels({"a": 300.0, "new": 1.0})
    assert "new" not in buffer.labels
    fill(buffer, "a", range(3))
    if buffer.path is not None:
        assert WindowBuffer(buffer.path).labels == buffer.labels


@pytest.mark.parametrize("label", [[1], None, True, math.nan, math.inf, np.float32(300)])
def test_conditions_that_could_not_be_read_again_are_refused(buffer, label):
    with pytest.raises(InputError, match="^label of 'a': expected a text or a finite number, found"):
        buffer.set_labels({"b.1": 1.0, "a": label})
    assert buffer.labels == {}


@pytest.mark.statistical
def test_every_window_is_equally_likely(buffer):
    """Law: uniform over 36 windows of 4 streams with 1, 2, 6 and 27 of them. n = 36 · 400 draws; χ² has 35 degrees of freedom,
    mean 35 and standard deviation √70 ≈ 8.4; judged at 4 of them."""
    length, start = 4, 0
    for stream, n_windows in zip("wxyz", (1, 2, 6, 27), strict=True):
        fill(buffer, stream, range(start, start + n_windows + length - 1))
        start += 100
    draws = buffer.windows(length).sample(36 * 400, np.random.default_rng(1))[:, 0, 0]
    counts = np.unique(draws, return_counts=True)[1]
    assert len(counts) == 36
    assert ((counts - 400) ** 2 / 400).sum() < 35 + 4 * math.sqrt(70)


def test_drawing_is_decided_by_the_generator(buffer):
    fill(buffer, "a", range(50))
    windows = buffer.windows(3)
    first, again, other = (windows.sample(20, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.dtype == np.float32


def test_windows_are_a_snapshot_that_growth_leaves_alone(buffer):
    fill(buffer, "a", range(4))
    windows = buffer.windows(4)
    fill(buffer, "a", range(4, 13))
    assert len(windows) == 1
    assert windows.sample(1, np.random.default_rng(0))[0, :, 0].tolist() == [0, 1, 2, 3]


def test_windows_in_memory_survive_a_restart_that_simulates_their_frames_again():
    buffer = WindowBuffer(schema=SCHEMA)
    fill(buffer, "a", range(4))
    windows = buffer.windows(4)
    buffer.truncate("a", 2)
    fill(buffer, "a", (20, 30, 40))
    assert windows.sample(1, np.random.default_rng(0))[0, :, 0].tolist() == [0, 1, 2, 3]
    assert buffer.steps("a").tolist() == [0, 1, 20, 30, 40]


@pytest.mark.parametrize("keep", [2, 5])
def test_windows_on_disk_say_that_their_frames_were_set_aside(tmp_path, small_shards, keep):
    with WindowBuffer(tmp_path / "buffer", SCHEMA) as buffer:
        fill(buffer, "a", range(10))
        windows = buffer.windows(10)
        buffer.truncate("a", keep)
        with pytest.raises(InputError, match="a restart set them aside since it was read; ask .* windows again"):
            windows.sample(1, np.random.default_rng(0))


def test_a_reader_follows_the_writer_through_sealing_and_restart(tmp_path, small_shards):
    with WindowBuffer(tmp_path / "buffer", SCHEMA) as writer:
        fill(writer, "a", range(3))
        reader = WindowBuffer(tmp_path / "buffer")
        snapshot = reader.windows(3)
        fill(writer, "a", range(3, 10))  # the shard that the snapshot knows open is sealed now
        assert snapshot.sample(1, np.random.default_rng(0))[0, :, 0].tolist() == [0, 1, 2]
        assert reader.trajectories().values[0][:, 0].tolist() == list(range(10))
        writer.truncate("a", 5)
        for step in range(5, 10):  # the second shard gets the same name and length
            writer.append(["a"], step=step, time=step, segment=0, features=np.array([[100 + step, 0]]))
        assert reader.trajectories().values[0][:, 0].tolist() == [0, 1, 2, 3, 4, 105, 106, 107, 108, 109]


def test_a_shard_that_a_restart_rewrites_while_it_is_read_is_not_called_damaged(tmp_path, small_shards):
    with WindowBuffer(tmp_path / "buffer", SCHEMA) as buffer:
        fill(buffer, "a", range(5))
        reader = ShardReader(DTYPE)
        shard = reader.find(next(tmp_path.rglob("*.npy")), 0, 0)
        before = reader.read(shard, 0, 5)
        buffer.truncate("a", 3)
        np.testing.assert_array_equal(reader.checked(shard), before)


def test_superseded_frames_are_kept_on_disk(tmp_path, small_shards):
    with WindowBuffer(tmp_path / "buffer", SCHEMA) as buffer:
        fill(buffer, "a", range(12))
        assert buffer.truncate("a", 7) == 5
        fill(buffer, "a", range(7, 9))
        assert buffer.truncate("a", 7) == 2
    kept = [np.load(path) for path in (tmp_path / "buffer/streams/a/superseded").iterdir()]
    steps = np.sort(np.concatenate([rows["step"] for rows in kept]))
    assert steps[steps >= 7].tolist() == [7, 7, 8, 8, 9, 10, 11]
    assert all((rows["features"][:, 0] == rows["step"]).all() for rows in kept)


@pytest.mark.parametrize("step", [0, 3])
def test_frames_set_aside_do_not_return_from_a_shard_that_a_crash_left_beside_its_sealed_copy(tmp_path, small_shards, step):
    with WindowBuffer(tmp_path, SCHEMA) as buffer:
        fill(buffer, "a", range(5))
    sealed = tmp_path / "streams/a/000000-000000000000.npy"
    sealed.with_suffix(".rows").write_bytes(np.load(sealed).tobytes())
    with WindowBuffer(tmp_path) as buffer:
        assert buffer.n_frames == 5
        assert buffer.truncate("a", step) == 5 - step
        assert buffer.n_frames == step


def test_steps_and_times_are_stored_as_given(tmp_path):
    with WindowBuffer(tmp_path / "buffer", SCHEMA) as buffer:
        buffer.append(["a"], step=2**40, time=0.1, segment=0, features=np.zeros((1, 2)))
        assert buffer.last_frame("a") == (0, 2**40)
    rows = np.load(tmp_path / "buffer/streams/a/000000-000000000000.npy")
    assert rows["time"].tolist() == [0.1]


def test_flushing_syncs_every_stream_that_grows(tmp_path, monkeypatch):
    with WindowBuffer(tmp_path / "buffer", SCHEMA) as buffer:
        for stream in ("a", "b.1", "c-2"):
            fill(buffer, stream, range(3))
        synced, sync = set(), os.fsync
        monkeypatch.setattr(os, "fsync", lambda handle: (synced.add(os.fstat(handle).st_ino), sync(handle)))
        buffer.flush()
        assert synced == {path.stat().st_ino for path in tmp_path.rglob("*.rows")}
        assert len(synced) == 3


def test_a_full_disk_leaves_no_torn_row_behind(tmp_path):
    with WindowBuffer(tmp_path / "buffer", SCHEMA) as buffer:
        fill(buffer, "a", range(3))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3 * DTYPE.itemsize + 7, hard))
        try:
            with pytest.raises(OSError, match="no space left for another frame"):
                fill(buffer, "a", [3])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        fill(buffer, "a", [3, 4])
        assert buffer.trajectories().values[0][:, 0].tolist() == [0, 1, 2, 3, 4]


def test_a_large_buffer_is_never_loaded_as_a_whole(tmp_path):
    """Two shards of 128 MiB, full of holes: asking for lengths, ends and windows allocates less than 4 MiB."""
    WindowBuffer(tmp_path / "buffer", SCHEMA)
    folder = tmp_path / "buffer/streams/a"
    folder.mkdir(parents=True)
    n_frames = 2**27 // DTYPE.itemsize
    header = {"descr": np.lib.format.dtype_to_descr(DTYPE), "fortran_order": False, "shape": (n_frames,)}
    for first in (0, n_frames):
        with (folder / f"000000-{first:012d}.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.seek((n_frames - 1) * DTYPE.itemsize, 1)
            file.write(np.array((first + n_frames, 0.0, (1.0, 1.0)), DTYPE).tobytes())
    tracemalloc.start()
    buffer = WindowBuffer(tmp_path / "buffer")
    windows = buffer.windows(64)
    drawn = windows.sample(256, np.random.default_rng(0))
    assert buffer.last_frame("a") == (0, 2 * n_frames)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(windows) == 2 * n_frames - 63
    assert drawn.shape == (256, 64, 2)
    assert peak < 4 * 2**20


def test_looking_for_structures_does_not_load_them(tmp_path):
    with WindowBuffer(tmp_path / "buffer", SCHEMA) as buffer:
        buffer.keep_structures("a", np.zeros((100, 10_000, 3), np.float32))
        tracemalloc.start()
        assert buffer.has_structures("a")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**20


def test_structures_are_kept_once_and_handed_out_as_copies(buffer):
    first = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    assert not buffer.has_structures("a")
    buffer.keep_structures("b", first)
    buffer.keep_structures("b", first + 1)
    assert buffer.streams == ("b",)
    buffer.structures()[:] = -1
    assert np.array_equal(buffer.structures(), first)
    fill(buffer, "a", [1])
    with pytest.raises(InputError, match="holds no structures"):
        buffer.structures(["a"])


@pytest.mark.parametrize("positions", [np.zeros((3, 3)), np.zeros((2, 3, 2)), np.zeros((0, 3, 3)), np.full((1, 2, 3), np.nan)])
def test_structures_that_could_not_be_read_again_are_refused(buffer, positions):
    with pytest.raises(InputError, match=r"^structures: expected finite positions \(n_structures, n_atoms, 3\) in nm, found \("):
        buffer.keep_structures("a", positions)
    assert not buffer.has_structures("a")
    buffer.keep_structures("a", np.ones((1, 2, 3)))  # float64 is stored as float32
    assert buffer.structures().dtype == np.float32


def test_structures_of_all_streams_come_one_after_the_other(buffer):
    frames = np.arange(30, dtype=np.float32).reshape(5, 2, 3)
    for stream, part in (("a", frames[:2]), ("c", frames[2:])):
        buffer.keep_structures(stream, part)
    assert np.array_equal(buffer.structures(), frames)
    assert np.array_equal(buffer.structures(["c", "a"]), np.roll(frames, 3, axis=0))
    buffer.keep_structures("d", np.zeros((1, 7, 3), dtype=np.float32))
    with pytest.raises(InputError, match="one molecule, found 2 atoms in a and 7 in d; name the streams"):
        buffer.structures()
    assert np.array_equal(buffer.structures(["a"]), frames[:2])


def test_structures_keep_their_boxes(buffer):
    positions, boxes = np.ones((2, 4, 3), np.float32), np.stack([np.diag([2.0, 3.0, 4.0]), np.diag([2.5, 3.0, 4.0])])
    buffer.keep_structures("a", positions, boxes)
    buffer.keep_structures("b", positions, boxes[::-1])
    assert np.array_equal(buffer.boxes(), np.concatenate([boxes, boxes[::-1]]))
    assert np.array_equal(buffer.boxes(["b"]), boxes[::-1])
    for wrong in (boxes[:1], np.full_like(boxes, np.nan)):
        with pytest.raises(InputError, match=r"^boxes: expected finite vectors \(2, 3, 3\) in nm, found \("):
            buffer.keep_structures("c", positions, wrong)
    buffer.keep_structures("c", positions)
    assert buffer.boxes(["c"]) is None
    with pytest.raises(InputError, match="all have a periodic box, found none in c"):
        buffer.boxes()


def test_the_frame_interval_is_recorded_once_and_seen_by_all(tmp_path):
    schema = FeatureSchema(names=("phi", "x"), units=("rad", "nm"), periods=(2 * math.pi, None))
    first, second = WindowBuffer(tmp_path / "buffer", schema), WindowBuffer(tmp_path / "buffer")
    first.set_frame_interval(0.2)
    assert second.schema.frame_interval == 0.2
    second.set_frame_interval(0.2)
    with pytest.raises(SchemaMismatchError, match=r"the new stream has a frame every 0.4 ps, the buffer .* every 0.2 ps"):
        second.set_frame_interval(0.4)
    assert WindowBuffer(tmp_path / "buffer").schema.frame_interval == 0.2


def test_another_frame_interval_is_refused(buffer):
    with pytest.raises(SchemaMismatchError, match=r"a frame every 0.4 ps, .* every 0.5 ps; use the same frame interval"):
        buffer.set_frame_interval(0.4)


def test_time_series_become_streams_of_their_replicas():
    series = [np.full((n, 2), n, np.float32) for n in (3, 4, 5)]
    buffer = WindowBuffer.from_trajectories(FeatureTrajectories(series, SCHEMA, ["r", "r", "s"]))
    assert buffer.streams == ("r", "s")
    back = buffer.trajectories()
    assert back.replicas == ("r", "r", "s")
    assert [values.tolist() for values in back] == [values.tolist() for values in series]
    assert buffer._store.segments("s")[0].read(1, 4)["time"].tolist() == [0.5, 1.0, 1.5]


def test_wrong_arguments_are_refused(buffer):
    where = "in memory" if buffer.path is None else str(buffer.path)
    with pytest.raises(InputError, match=f"the buffer {where} holds no frames yet; run the simulation first"):
        buffer.trajectories()
    with pytest.raises(InputError, match="the longest trajectory has 0 frames"):
        buffer.windows(1)
    with pytest.raises(InputError, match=r"features: expected shape \(1, 2\), one row per stream, found \(2,\)"):
        buffer.append(["a"], step=1, time=0.5, segment=0, features=np.zeros(2))
    fill(buffer, "a", range(6))
    with pytest.raises(InputError, match="windows of 7 frames do not fit: the longest trajectory has 6 frames"):
        buffer.windows(7)
    with pytest.raises(InputError, match="expected a window of at least 1 frame, found 0"):
        buffer.windows(0)
    with pytest.raises(InputError, match="no stream named b; there are a"):
        buffer.windows(2, ["b"])
    with pytest.raises(InputError, match="no stream named b; there are a"):
        buffer.trajectories(["b"])


def test_frames_that_could_not_be_read_again_are_refused(buffer):
    def append(streams=("a",), step=9, segment=1, features=((0, 0),)):
        buffer.append(streams, step=step, time=0.5, segment=segment, features=np.array(features, float))

    fill(buffer, "a", range(6), segment=1)
    fill(buffer, "b", range(3), segment=1)
    with pytest.raises(InputError, match="^step 9, stream 'b': feature 'x' is nan; every value must be finite$"):
        append(["a", "b"], features=[[0, 0], [1, np.nan]])
    with pytest.raises(InputError, match="stream 'a': expected a frame after segment 1, step 5, found segment 1, step 5; truncate"):
        append(["b", "a"], step=5, features=np.zeros((2, 2)))
    with pytest.raises(InputError, match="expected a frame after segment 1, step 5, found segment 0, step 9"):
        append(segment=0)
    with pytest.raises(InputError, match="^segment: expected 0 or more, found -2$"):
        append(["new"], segment=-2)
    with pytest.raises(InputError, match="^streams: expected each of them once, found b, a, b$"):
        append(["b", "a", "b"], features=np.zeros((3, 2)))
    buffer.close()
    with pytest.raises(InputError, match="expected a frame after segment 1, step 5, found segment 1, step 0"):
        append(step=0)
    assert buffer.n_frames == 9
    append(step=0, segment=2)
    buffer.truncate("a", 0)
    buffer.truncate("b", 2)
    append(["a", "b"], step=2, features=np.zeros((2, 2)))
    assert (buffer.last_frame("a"), buffer.last_frame("b")) == ((1, 2), (1, 2))


def test_a_buffer_in_memory_needs_a_schema():
    with pytest.raises(InputError, match="pass schema=features.schema"):
        WindowBuffer()
    assert len(Windows([], 3, 2)) == 0


@pytest.mark.parametrize("name", ["../x", "a/b", "/tmp/x", "..", ".hidden", "", "a b", "a\n", "ä"])
def test_stream_names_stay_inside_the_buffer(tmp_path, name):
    buffer = WindowBuffer(tmp_path / "buffer", SCHEMA)
    with pytest.raises(InputError, match=r"use letters, digits, '\.', '_' and '-' only, not starting with '\.'"):
        fill(buffer, name, [1])
    with pytest.raises(InputError, match="stream name"):
        buffer.truncate(name, 0)
    assert [path.name for path in tmp_path.rglob("*")] == ["buffer", "buffer.json"]


def test_what_is_no_buffer_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"no window buffer there \(no buffer.json\)"):
        WindowBuffer(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()
    for name in ("file", "full"):
        with pytest.raises(InputError, match="exists and is not a window buffer; choose another path"):
            WindowBuffer(tmp_path / name, SCHEMA)
    assert (tmp_path / "full/notes.txt").read_text() == "x"


def test_a_creation_that_died_is_repeated(tmp_path):
    (tmp_path / ".buffer.json.7.tmp").write_text("{")
    fill(buffer := WindowBuffer(tmp_path, SCHEMA), "a", [1])
    (tmp_path / "streams/.ipynb_checkpoints").mkdir()
    assert buffer.streams == ("a",)
    buffer.close()


def test_a_buffer_that_another_process_creates_at_the_same_moment_is_opened(tmp_path, monkeypatch):
    """It appears between the first look for it and the look at the folder."""
    fill(WindowBuffer(tmp_path / "buffer", SCHEMA), "a", range(3))
    answers = iter([False])
    is_file = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda path: next(answers, None) is None and is_file(path))
    with WindowBuffer(tmp_path / "buffer", SCHEMA) as buffer:
        assert buffer.steps("a").tolist() == [0, 1, 2]


def test_other_features_are_refused(tmp_path):
    WindowBuffer(tmp_path / "buffer", SCHEMA)
    other = FeatureSchema(names=("psi", "x"), units=SCHEMA.units, periods=SCHEMA.periods)
    with pytest.raises(SchemaMismatchError, match=r"names \(psi, x\) instead of \(phi, x\)"):
        WindowBuffer(tmp_path / "buffer", other)
    with pytest.raises(SchemaMismatchError, match=r"a frame every 9 ps, .* every 0.5 ps"):
        WindowBuffer(tmp_path / "buffer", SCHEMA.with_frame_interval(9.0))
