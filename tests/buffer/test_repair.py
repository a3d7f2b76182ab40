"""Damaged files are noticed, named and set aside with what comes before them kept; a stream has one writer."""

import json
import subprocess
import sys

import numpy as np
import pytest

from openmm_trajgan.buffer import WindowBuffer, shards
from openmm_trajgan.buffer.base import frame_dtype
from openmm_trajgan.errors import InputError, StreamInUseError
from openmm_trajgan.schema import FeatureSchema

SCHEMA = FeatureSchema(names=("x", "y"), units=("nm", "nm"), periods=(None, None), frame_interval=0.5)
DTYPE = frame_dtype(2)


def fill(buffer, steps, segment=0, stream="a"):
    for step in steps:
        buffer.append([stream], step=step, time=0.5 * step, segment=segment, features=np.array([[step, -step]]))


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A buffer with shards of five frames: fifteen frames in segment 0 and seven in segment 1."""
    monkeypatch.setattr(shards, "BYTES_PER_SHARD", 5 * DTYPE.itemsize)
    with WindowBuffer(tmp_path / "buffer", SCHEMA) as buffer:
        fill(buffer, range(15))
        fill(buffer, range(20, 27), segment=1)
    return tmp_path / "buffer"


def test_numpy_reads_a_sealed_shard(path):
    rows = np.load(path / "streams/a/000000-000000000005.npy", allow_pickle=False)
    assert rows["step"].tolist() == [5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "format 99 is newer than 1; upgrade openmm-trajgan"),
        ({"version": "x"}, "not the header of a window buffer"),
        ({"format": "zip"}, "expected a window buffer, found 'zip'"),
        ({"schema": {"names": []}}, "not the header of a window buffer"),
        (None, "not the header of a window buffer"),
    ],
)
def test_a_strange_header_is_refused_in_one_line(tmp_path, change, message):
    WindowBuffer(tmp_path, SCHEMA)
    header = tmp_path / "buffer.json"
    text = header.read_text()
    header.write_text(text[:40] if change is None else json.dumps(json.loads(text) | change))
    with pytest.raises(InputError, match=message) as caught:
        WindowBuffer(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[1, 2]", '{"a": [1]}', "{", '{"a": true}'])
def test_damaged_conditions_are_refused(tmp_path, text):
    buffer = WindowBuffer(tmp_path / "buffer", SCHEMA)
    (buffer.path / "labels.json").write_text(text)
    with pytest.raises(InputError, match=r"labels\.json: not the labels of a window buffer"):
        _ = buffer.labels


def test_a_missing_shard_is_noticed(path):
    (path / "streams/a/000000-000000000005.npy").unlink()
    with pytest.raises(InputError, match="frames 5 to 9 of segment 0 are missing; restore the shard, or let"):
        WindowBuffer(path).windows(2)


@pytest.mark.parametrize("n_bytes", [0, 200, -1, -DTYPE.itemsize])
def test_a_damaged_shard_is_noticed(path, n_bytes):
    shard = path / "streams/a/000000-000000000000.npy"
    shard.write_bytes(shard.read_bytes()[:n_bytes])
    with pytest.raises(
        InputError, match="(damaged shard|frames 4 to 4 of segment 0 are missing).* restore .*, or let WindowBuffer"
    ):
        WindowBuffer(path).trajectories()


def test_a_shard_of_other_features_is_noticed(path):
    other = np.dtype([*DTYPE.descr[:2], ("features", "<i4", (2,))])
    np.save(path / "streams/a/000000-000000000000.npy", np.zeros(5, other))
    with pytest.raises(InputError, match=r"damaged shard \(expected .* restore it"):
        WindowBuffer(path).trajectories()


@pytest.mark.parametrize("bit", [0, 3, 7])
def test_a_flipped_bit_is_named_and_set_aside_with_everything_before_it_kept(path, bit):
    damaged = path / "streams/a/000000-000000000005.npy"
    content = bytearray(damaged.read_bytes())
    content[-9] ^= 1 << bit
    damaged.write_bytes(content)
    with pytest.raises(InputError, match=r"000000-000000000005.npy: damaged shard \(its checksum does not match"):
        WindowBuffer(path).trajectories()
    moved = WindowBuffer(path).repair()
    assert [one.name for one in moved] == ["000000-000000000005.0.npy", "000000-000000000010.0.npy"]
    assert bytes(content) == moved[0].read_bytes()
    kept = [series[:, 0].tolist() for series in WindowBuffer(path).trajectories()]
    assert kept == [[0, 1, 2, 3, 4], [20, 21, 22, 23, 24, 25, 26]]
    assert WindowBuffer(path).repair() == ()


def test_every_truncation_of_a_sealed_shard_is_noticed(path):
    last = path / "streams/a/000001-000000000005.npy"
    content = last.read_bytes()
    for size in range(len(content)):
        last.write_bytes(content[:size])
        with pytest.raises(InputError, match="damaged shard"):
            WindowBuffer(path).trajectories()
    WindowBuffer(path).repair()
    assert WindowBuffer(path).n_frames == 20


def test_every_cut_of_an_open_shard_keeps_the_whole_rows_before_it(path):
    buffer = WindowBuffer(path)
    fill(buffer, [100, 101, 102], segment=2)
    growing = path / "streams/a/000002-000000000000.rows"
    content, size = growing.read_bytes(), growing.stat().st_size // 3
    for length in range(len(content) + 1):
        growing.write_bytes(content[:length])
        assert WindowBuffer(path).steps("a").tolist()[22:] == [100, 101, 102][: length // size]


@pytest.mark.parametrize("n_zeros", [1, 24, 25, 48, 1000])
def test_zeros_that_a_power_cut_leaves_behind_the_rows_are_no_frames(path, n_zeros):
    buffer = WindowBuffer(path)
    fill(buffer, [100, 101], segment=2)
    growing = path / "streams/a/000002-000000000000.rows"
    growing.write_bytes(growing.read_bytes() + bytes(n_zeros))
    again = WindowBuffer(path)
    assert again.last_frame("a") == (2, 101)
    fill(again, [102], segment=2)
    assert WindowBuffer(path).steps("a").tolist()[22:] == [100, 101, 102]


def test_structures_that_are_damaged_are_named_and_set_aside(path):
    WindowBuffer(path).keep_structures("a", np.zeros((3, 4, 3), np.float32))
    structures = path / "streams/a/structures.npy"
    structures.write_bytes(structures.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"structures.npy: damaged structures \(declares 144 bytes of data and holds 143\)"):
        WindowBuffer(path).has_structures("a")
    assert len(WindowBuffer(path).repair()) == 1
    assert not WindowBuffer(path).has_structures("a")


@pytest.mark.parametrize("damage", [lambda boxes: boxes.write_bytes(b""), lambda boxes: np.save(boxes, np.zeros((2, 3, 3), "f4"))])
def test_structures_go_with_boxes_that_are_damaged(path, damage):
    WindowBuffer(path).keep_structures("a", np.zeros((3, 4, 3), np.float32), np.ones((3, 3, 3), np.float32))
    damage(path / "streams/a/boxes.npy")
    with pytest.raises(InputError, match="boxes.npy: "):
        WindowBuffer(path).boxes()
    assert len(WindowBuffer(path).repair()) == 2
    assert not WindowBuffer(path).has_structures("a")


WRITER = """
import sys, numpy as np
from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import StreamInUseError
buffer = WindowBuffer(sys.argv[1])
for stream in ("b", "a"):
    try:
        if sys.argv[2] == "append":
            buffer.append([stream], step=99 + buffer.n_frames, time=49.5, segment=1, features=np.zeros((1, 2)))
        else:
            buffer.truncate(stream, 0)
        print("wrote", end=" ")
    except StreamInUseError as error:
        print(str(error))
"""


@pytest.mark.parametrize("how", ["append", "truncate"])
def test_a_second_process_is_refused_until_the_first_lets_go(path, how):
    def other():
        return subprocess.run([sys.executable, "-c", WRITER, path, how], capture_output=True, text=True, check=True).stdout

    with WindowBuffer(path) as buffer:
        fill(buffer, [27], segment=1)
        assert f"wrote stream 'a' of {path} is being written by another process; wait until it has ended" in other()
        fill(buffer, [28], segment=1)
    assert WindowBuffer(path).last_frame("a") == (1, 28)
    assert other() == "wrote wrote "


def test_a_process_that_died_holds_no_lock(path):
    program = "import os, sys\n" + WRITER.replace("print(str(error))", "raise") + "\nos.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", program, path, "append"], capture_output=True, check=False).returncode == -9
    fill(WindowBuffer(path), [200], segment=1)
    assert WindowBuffer(path).last_frame("a") == (1, 200)
    assert issubclass(StreamInUseError, InputError)
