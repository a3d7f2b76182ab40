"""The files of a buffer: which stand there, which stay open, which a power cut cannot take, and which are believed."""

import gc
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from openmm_trajgan.buffer import WindowBuffer, shard, shards
from openmm_trajgan.buffer.base import frame_dtype
from openmm_trajgan.buffer.shard import ShardReader
from openmm_trajgan.errors import InputError, StreamInUseError
from openmm_trajgan.schema import FeatureSchema

SCHEMA = FeatureSchema(names=("x", "y"), units=("nm", "nm"), periods=(None, None), frame_interval=0.5)
DTYPE = frame_dtype(2)


def fill(buffer, steps, segment=0, stream="a"):
    for step in steps:
        buffer.append([stream], step=step, time=0.5 * step, segment=segment, features=np.array([[step, -step]]))


def names(path, stream="a"):
    return sorted(one.name for one in (path / "streams" / stream).iterdir())


def flip(path):
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    monkeypatch.setattr(shards, "BYTES_PER_SHARD", 5 * DTYPE.itemsize)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "of" / "buffer"


@pytest.fixture
def opened(path):
    """Names of the files of the buffer that this process has open."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("only Linux tells which files are open")

    def opened():
        links = []
        for handle in Path("/proc/self/fd").iterdir():
            try:
                links.append(handle.readlink())
            except FileNotFoundError:  # the folder that is being listed
                continue
        return sorted(str(link.relative_to(path)) for link in links if link.is_relative_to(path))

    return opened


@pytest.fixture
def synced(monkeypatch):
    """Files and folders that were synced to the disk, by inode."""
    found, sync = set(), os.fsync

    def recorded(handle):
        found.add(os.fstat(handle).st_ino)
        sync(handle)

    monkeypatch.setattr(os, "fsync", recorded)
    return found


def test_files_by_segment_and_first_frame(path):
    with WindowBuffer(path, SCHEMA) as buffer:
        fill(buffer, range(7))
        assert names(path) == ["000000-000000000000.npy", "000000-000000000005.rows"]
        fill(buffer, range(20, 22), segment=1)
        assert names(path) == ["000000-000000000000.npy", "000000-000000000005.npy", "000001-000000000000.rows"]
    assert names(path) == ["000000-000000000000.npy", "000000-000000000005.npy", "000001-000000000000.npy"]


def test_a_sealed_shard_has_the_header_of_one_dimensional_rows(path):
    with WindowBuffer(path, SCHEMA) as buffer:
        fill(buffer, range(3))
    with (path / "streams/a/000000-000000000000.npy").open("rb") as file:
        assert np.lib.format.read_magic(file) == (1, 0)
        assert np.lib.format.read_array_header_1_0(file) == ((3,), False, DTYPE)


def test_a_buffer_nobody_closed_leaves_nothing_open(path, opened):
    buffer = WindowBuffer(path, SCHEMA)
    fill(buffer, range(7))
    buffer.trajectories()
    assert ".lock" in opened()
    del buffer
    gc.collect()
    assert opened() == []


def test_so_many_files_stay_open_and_no_more(path, opened, monkeypatch):
    monkeypatch.setattr(shards, "_OPEN_FILES", 2)
    with WindowBuffer(path, SCHEMA) as buffer:
        for stream in "abc":
            fill(buffer, range(3), stream=stream)
        assert opened() == [".lock", *(f"streams/{stream}/000000-000000000000.rows" for stream in "bc")]


@pytest.mark.parametrize("how", ["truncate", "repair"])
def test_files_set_aside_do_not_stay_open(path, opened, how):
    with WindowBuffer(path, SCHEMA) as buffer:
        fill(buffer, range(10))
        if how == "truncate":
            buffer.trajectories()
            assert len(opened()) == 3
            buffer.truncate("a", 0)
        else:
            flip(path / "streams/a/000000-000000000005.npy")
            assert len(buffer.repair()) == 1
        assert opened() == [".lock"]


def test_a_file_that_was_removed_while_it_was_written_does_not_stay_open(path, opened):
    with WindowBuffer(path, SCHEMA) as buffer:
        fill(buffer, [0])
        (path / "streams/a/000000-000000000000.rows").unlink()
        with pytest.raises(FileNotFoundError, match="removed while frames were written"):
            fill(buffer, [1])
        assert opened() == [".lock"]


def test_a_file_that_cannot_be_made_safe_is_closed(path, opened, monkeypatch):
    def fail(folder):
        raise OSError("no")

    with WindowBuffer(path, SCHEMA) as buffer:
        monkeypatch.setattr(shards, "sync_folder", fail)
        with pytest.raises(OSError, match="no"):
            fill(buffer, [0])
        assert opened() == [".lock"]


def test_new_and_set_aside_files_survive_a_power_cut(path, synced):
    with WindowBuffer(path, SCHEMA) as buffer:
        fill(buffer, range(3))
        folder, growing = path / "streams/a", (path / "streams/a/000000-000000000000.rows").stat().st_ino
        assert folder.stat().st_ino in synced
        assert growing not in synced
        fill(buffer, range(3, 10))
        assert growing in synced
        synced.clear()  # a new folder may have the inode of a file that is no more
        buffer.truncate("a", 7)
        assert (folder / "superseded").stat().st_ino in synced
        flip(folder / "000000-000000000000.npy")
        synced.clear()
        buffer.repair()
        assert (folder / "damaged").stat().st_ino in synced


def test_a_shard_left_open_by_a_crash_is_set_aside_as_a_whole_and_in_part(path):
    with WindowBuffer(path, SCHEMA) as buffer:
        fill(buffer, range(4))
    sealed = path / "streams/a/000000-000000000000.npy"
    rows = np.load(sealed).tobytes()
    sealed.unlink()
    sealed.with_suffix(".rows").write_bytes(rows)
    with WindowBuffer(path) as buffer:
        assert buffer.truncate("a", 3) == 1
        assert names(path) == ["000000-000000000000.npy", "superseded"]
        assert buffer.steps("a").tolist() == [0, 1, 2]


@pytest.mark.parametrize("n_zeros", [DTYPE.itemsize, 2 * DTYPE.itemsize])
def test_zeros_behind_a_first_frame_at_step_zero_are_no_frames(path, n_zeros):
    with WindowBuffer(path, SCHEMA) as buffer:
        fill(buffer, [0])
        growing = path / "streams/a/000000-000000000000.rows"
        growing.write_bytes(growing.read_bytes() + bytes(n_zeros))
        assert WindowBuffer(path).steps("a").tolist() == [0]


def test_a_shard_sealed_between_listing_and_looking_is_found(path, monkeypatch):
    writer = WindowBuffer(path, SCHEMA)
    fill(writer, range(3))
    reader, find, seen = WindowBuffer(path), ShardReader.find, []

    def sealing(self, file, segment, first):
        if not seen:
            writer.close()
        seen.append(file.suffix)
        return find(self, file, segment, first)

    monkeypatch.setattr(ShardReader, "find", sealing)
    assert reader.n_frames == 3
    assert seen == [".rows", ".npy"]


def test_frames_of_another_file_of_the_same_name_and_size_are_not_taken(path):
    with WindowBuffer(path, SCHEMA) as buffer:
        fill(buffer, range(5))
    windows = WindowBuffer(path).windows(5)
    sealed = path / "streams/a/000000-000000000000.npy"
    content = sealed.read_bytes()
    sealed.rename(path / "kept.npy")  # so that its inode is not given to the other file
    sealed.write_bytes(content)
    with pytest.raises(InputError, match="a restart set them aside since it was read"):
        windows.sample(1, np.random.default_rng(0))


def test_a_checksum_is_compared_once(path, monkeypatch):
    with WindowBuffer(path, SCHEMA) as buffer:
        fill(buffer, range(5))
    sums = []
    monkeypatch.setattr(shard.zlib, "crc32", lambda rows, crc32=zlib.crc32: sums.append(len(rows)) or crc32(rows))
    reader = WindowBuffer(path)
    for _ in range(3):
        reader.trajectories()
    assert sums == [5]


def test_shards_that_other_programs_wrote_are_read(path):
    """Headers of the same meaning, without a checksum: as `numpy.save` writes them, and spelled in another way."""
    with WindowBuffer(path, SCHEMA) as buffer:
        fill(buffer, range(10))
    first, second = (path / f"streams/a/000000-{number:012d}.npy" for number in (0, 5))
    np.save(first, np.load(first))
    content = second.read_bytes()
    size = len(content) - 5 * DTYPE.itemsize
    fields = f"{{'shape':(5,),'fortran_order':False,'descr':{np.lib.format.dtype_to_descr(DTYPE)}}}".encode()
    second.write_bytes(content[:10] + fields.ljust(size - 11) + b"\n" + content[size:])
    assert np.load(second)["step"].tolist() == [5, 6, 7, 8, 9]
    assert WindowBuffer(path).steps("a").tolist() == list(range(10))
    fields = fields.replace(b"(5,)", b"(4,)")
    second.write_bytes(content[:10] + fields.ljust(size - 11) + b"\n" + content[size:])
    with pytest.raises(InputError, match=r"000000-000000000005.npy: damaged shard \(expected 5 rows of .* found \(4,\) of"):
        WindowBuffer(path).steps("a")


def test_what_to_do_about_a_damaged_or_missing_shard_names_the_buffer(path):
    with WindowBuffer(path, SCHEMA) as buffer:
        fill(buffer, range(10))
    flip(path / "streams/a/000000-000000000000.npy")
    advice = rf"let WindowBuffer\('{path}'\)\.repair\(\) set"
    with pytest.raises(InputError, match=rf"restore it, or {advice} it aside"):
        WindowBuffer(path).trajectories()
    (path / "streams/a/000000-000000000000.npy").unlink()
    with pytest.raises(InputError, match=rf"frames 0 to 4 of segment 0 are missing; restore the shard, or {advice} aside the ones"):
        WindowBuffer(path).trajectories()


def test_a_stream_that_is_repaired_while_it_grows_goes_on(path):
    with WindowBuffer(path, SCHEMA) as buffer:
        fill(buffer, range(7))
        flip(path / "streams/a/000000-000000000000.npy")
        assert [one.name for one in buffer.repair()] == ["000000-000000000000.0.npy", "000000-000000000005.0.npy"]
        fill(buffer, [7, 8])
        assert buffer.steps("a").tolist() == [7, 8]


@pytest.mark.parametrize("how", ["repair", "truncate"])
def test_a_stream_that_another_process_writes_is_not_repaired_or_cut(path, how):
    program = (
        "import sys, numpy; from openmm_trajgan.buffer import WindowBuffer; buffer = WindowBuffer(sys.argv[1])\n"
        "buffer.append(['a'], step=1, time=0.5, segment=0, features=numpy.zeros((1, 2)))\n"
        "print('mine', flush=True); sys.stdin.read()"
    )
    with WindowBuffer(path, SCHEMA) as buffer:
        fill(buffer, [0])
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "mine\n"
        with WindowBuffer(path) as buffer, pytest.raises(StreamInUseError, match="stream 'a' of .* is being written by another"):
            buffer.repair() if how == "repair" else buffer.truncate("a", 0)
    assert WindowBuffer(path).steps("a").tolist() == [0, 1]


@pytest.mark.parametrize("positions", [np.zeros((2, 3), "f4"), np.zeros((2, 2, 4), "f4"), np.zeros((2, 2, 3), "f8")])
def test_structures_of_another_kind_are_refused(path, positions):
    with WindowBuffer(path, SCHEMA) as buffer:
        fill(buffer, [0])
    np.save(path / "streams/a/structures.npy", positions)
    message = rf"expected float32 positions \(n_structures, n_atoms, 3\), found {positions.dtype} \({positions.shape[0]}, "
    with pytest.raises(InputError, match=message):
        WindowBuffer(path).structures()
