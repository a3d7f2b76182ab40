"""One file of frames: how it is laid out, found, read and checked.

A sealed shard is an ``.npy`` file that NumPy reads; the CRC-32 of its rows stands as a comment in the padding of its header. An
open shard, ``.rows``, holds rows alone: those behind a torn one, or behind one whose step does not follow (a power cut can leave
zeros), were never complete and are not counted.
"""

import os
import re
import zlib
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO, FileIO
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import numpy as np

from openmm_trajgan.buffer.base import FrameRows
from openmm_trajgan.errors import InputError

_OPEN_FILES = 128
_CHECKSUM = re.compile(rb"#crc32=([0-9a-f]{8})\n$")


@dataclass(frozen=True)
class Shard:
    """One file of consecutive frames: ``first … first + n_frames - 1`` of its segment."""

    path: Path
    segment: int
    first: int
    n_frames: int
    inode: int  # a file that took the place of this one, say after a restart, is another shard

    @property
    def sealed(self) -> bool:
        """Whether the file is finished (``.npy``) or still grows (``.rows``)."""
        return self.path.suffix == ".npy"


def write_sealed(file: BinaryIO, rows: FrameRows) -> None:
    """Write the content of a sealed shard."""
    mark = b"#crc32=%08x\n" % zlib.crc32(rows)  # type: ignore[arg-type]  # arrays are buffers
    file.write(_header(rows.dtype, len(rows))[: -len(mark)] + mark)
    file.write(rows.data)


@lru_cache(maxsize=256)
def _header(dtype: np.dtype[np.void], n_frames: int) -> bytes:
    """Header of an ``.npy`` file; NumPy pads it for shapes of up to 21 digits, so that its size is the same for all of ours."""
    header = BytesIO()
    fields = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (n_frames,)}
    np.lib.format.write_array_header_1_0(header, fields)
    return header.getvalue()


class OpenFile(FileIO):
    """A file that is closed, without the warning about it, when nobody reads it any more."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "rb", closefd=False)

    def __del__(self) -> None:
        os.close(self.fileno())


class ShardReader:
    """Reads shards through a bounded number of open files.

    Frames are read, not mapped into memory: what has been read does not stay resident, and a disk that fails raises an error where
    a mapped file would end the process.
    """

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self.dtype = dtype
        self._header_size = len(_header(dtype, 0))
        self._sound: set[Shard] = set()  # sealed shards whose checksum was right
        self._lock = Lock()  # of the places at which the files stand
        self._file = lru_cache(maxsize=_OPEN_FILES)(self._opened)

    def find(self, path: Path, segment: int, first: int) -> Shard:
        """Return the shard in a file; how many whole frames it has follows from the size."""
        status = path.stat()
        n_frames, torn = divmod(status.st_size - (self._header_size if path.suffix == ".npy" else 0), self.dtype.itemsize)
        if path.suffix == ".npy" and (torn or n_frames < 1):
            raise _damaged(path, f"{status.st_size} bytes")
        if path.suffix == ".rows" and n_frames > 1:
            n_frames = self._in_order(path, n_frames)
        return Shard(path, segment, first, n_frames, status.st_ino)

    def _in_order(self, path: Path, n_frames: int) -> int:
        """Rows of an open shard before the first one whose step does not follow; the last two are looked at first."""
        with path.open("rb", buffering=0) as file:
            file.seek((n_frames - 2) * self.dtype.itemsize)
            last = np.frombuffer(file.read(2 * self.dtype.itemsize), self.dtype)["step"]
            if len(last) == 2 and last[1] > last[0]:
                return n_frames
            file.seek(0)
            steps = np.fromfile(file, self.dtype, n_frames)["step"]
        backwards = np.flatnonzero(np.diff(steps) <= 0)
        return int(backwards[0]) + 1 if len(backwards) else len(steps)

    def read(self, shard: Shard, start: int, stop: int) -> FrameRows:
        """Return rows ``start … stop-1`` of a shard.

        Raises
        ------
        InputError
            If they are damaged, or were set aside since the shard was found.
        """
        try:
            file, offset = self._file(shard)
        except ValueError as error:
            raise _damaged(shard.path, str(error)) from error
        rows = np.empty(stop - start, self.dtype)
        content = rows.view(np.uint8).data
        with self._lock:
            file.seek(offset + start * self.dtype.itemsize)
            n_read = 0
            while n_read < len(content):
                n_more = file.readinto(content[n_read:])
                if not n_more:
                    raise _set_aside(shard)
                n_read += n_more
        return rows

    def forget(self) -> None:
        """Open files anew; those that were set aside are not read any more."""
        self._file.cache_clear()

    def _opened(self, shard: Shard) -> tuple[OpenFile, int]:
        try:
            return self._opened_as(shard.path, shard, shard.inode)
        except FileNotFoundError:
            if shard.sealed:
                raise _set_aside(shard) from None
        try:  # it was sealed since
            return self._opened_as(shard.path.with_suffix(".npy"), shard)
        except FileNotFoundError:
            raise _set_aside(shard) from None

    def _opened_as(self, path: Path, shard: Shard, inode: int | None = None) -> tuple[OpenFile, int]:
        """Open a file unless another one took its place, or it is shorter now."""
        sealed = path.suffix == ".npy"
        offset = self._header_size if sealed else 0
        file = OpenFile(os.open(path, os.O_RDONLY))
        status = os.fstat(file.fileno())
        if inode not in (None, status.st_ino) or status.st_size < offset + shard.n_frames * self.dtype.itemsize:
            raise _set_aside(shard)
        if sealed:
            self._require_layout(file.read(offset), (status.st_size - offset) // self.dtype.itemsize)
        return file, offset

    def _require_layout(self, header: bytes, n_frames: int) -> None:
        """Compare a header with the one that is written today, or see whether another writer meant the same."""
        expected = _header(self.dtype, n_frames)
        if header.partition(b"}")[0] == expected.partition(b"}")[0]:
            return
        file = BytesIO(header)
        try:
            version = np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        except Exception as error:  # whatever NumPy's parser meets in such bytes
            raise ValueError("its header is not that of an .npy file") from error
        if version != (1, 0) or shape != (n_frames,) or dtype != self.dtype:
            raise ValueError(f"expected {n_frames} rows of {self.dtype}, found {shape} of {dtype}")

    def checked(self, shard: Shard) -> FrameRows:
        """Return the frames of a shard after comparing them, once, with the checksum that was written with them.

        Raises
        ------
        InputError
            If they differ.
        """
        rows = self.read(shard, 0, shard.n_frames)
        if shard.sealed and shard not in self._sound:
            file, _ = self._file(shard)  # the one that was read: by its name there may be another one now
            with self._lock:
                file.seek(0)
                written = _CHECKSUM.search(file.read(self._header_size))
            if written is not None and int(written[1], 16) != zlib.crc32(rows):  # type: ignore[arg-type]  # arrays are buffers
                raise _damaged(shard.path, "its checksum does not match its frames")
            self._sound.add(shard)
        return rows


def _set_aside(shard: Shard) -> InputError:
    return InputError(
        f"{shard.path}: its {shard.n_frames} frames are no longer there: a restart set them aside since it was read; "
        "ask the buffer for its windows again"
    )


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(
        f"{path}: damaged shard ({reason}); restore it, or let WindowBuffer({str(path.parents[2])!r}).repair() set it aside"
    )


class ShardSegment:
    """Consecutive frames spread over shards."""

    def __init__(self, number: int, shards: list[Shard], reader: ShardReader) -> None:
        self.number = number
        self.shards = shards
        self._reader = reader
        self._firsts = [shard.first for shard in shards]
        self.n_frames = 0
        for shard in shards:
            if shard.first != self.n_frames:
                raise InputError(
                    f"{shard.path.parent}: frames {self.n_frames} to {shard.first - 1} of segment {number} are missing; "
                    f"restore the shard, or let WindowBuffer({str(shard.path.parents[2])!r}).repair() set aside the ones after it"
                )
            self.n_frames += shard.n_frames

    def read(self, start: int, stop: int) -> FrameRows:
        """Return frames ``start … stop-1``; shards that are read as a whole are checked."""
        index = bisect_right(self._firsts, start) - 1
        shard = self.shards[index]
        if stop <= shard.first + shard.n_frames:
            return self._part(shard, start, stop)
        parts = []
        for shard in self.shards[index:]:
            if shard.first >= stop:
                break
            parts.append(self._part(shard, max(start, shard.first), min(stop, shard.first + shard.n_frames)))
        return np.concatenate(parts)

    def _part(self, shard: Shard, start: int, stop: int) -> FrameRows:
        if stop - start == shard.n_frames:
            return self._reader.checked(shard)
        return self._reader.read(shard, start - shard.first, stop - shard.first)
