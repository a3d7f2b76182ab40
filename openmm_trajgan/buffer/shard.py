"""One file of frames: how it is laid out, found, read and checked.

A sealed shard is an ``.npy`` file that NumPy reads; the CRC-32 of its rows stands as a comment in the padding of its header. An
open shard, ``.rows``, holds rows alone: those behind a torn one, or behind one whose step does not follow (a power cut can leave
zeros), were never complete and are not counted.
"""

import mmap
import os
import re
import zlib
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np

from openmm_trajgan.buffer.base import FrameRows
from openmm_trajgan.errors import InputError

_MAPPED_FILES = 128
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


def sealed_content(rows: FrameRows) -> bytes:
    """Content of a sealed shard."""
    content = rows.tobytes()
    mark = b"#crc32=%08x\n" % zlib.crc32(content)
    header = _header(rows.dtype, len(rows))
    return header[: -len(mark)] + mark + content


def _header(dtype: np.dtype[np.void], n_frames: int) -> bytes:
    """Header of an ``.npy`` file; NumPy pads it for shapes of up to 21 digits, so that its size is the same for all of ours."""
    header = BytesIO()
    fields = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (n_frames,)}
    np.lib.format.write_array_header_1_0(header, fields)
    return header.getvalue()


class ShardReader:
    """Reads shards through a bounded number of memory maps."""

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self.dtype = dtype
        self._header_size = len(_header(dtype, 0))
        self._sound: set[Shard] = set()  # sealed shards whose checksum was right
        self.rows = lru_cache(maxsize=_MAPPED_FILES)(self._map)

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

    def _map(self, shard: Shard) -> FrameRows:
        try:
            rows = self._mapped(shard.path, shard.n_frames, shard.inode)
        except FileNotFoundError:
            sealed = shard.path.with_suffix(".npy")
            rows = None if shard.sealed or not sealed.exists() else self._mapped(sealed, shard.n_frames)
        except ValueError as error:
            raise _damaged(shard.path, str(error)) from error
        if rows is None:
            raise InputError(
                f"{shard.path}: its {shard.n_frames} frames are no longer there: a restart set them aside since it was read; "
                "ask the buffer for its windows again"
            )
        return rows

    def _mapped(self, path: Path, n_frames: int, inode: int | None = None) -> FrameRows | None:
        """Frames of a file; None if another file took its place, or it is shorter now."""
        sealed = path.suffix == ".npy"
        offset = self._header_size if sealed else 0
        with path.open("rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            if inode not in (None, status.st_ino) or status.st_size < offset + n_frames * self.dtype.itemsize:
                return None
            if sealed:
                self._require_layout(file.read(offset), (status.st_size - offset) // self.dtype.itemsize)
            content = mmap.mmap(file.fileno(), offset + n_frames * self.dtype.itemsize, access=mmap.ACCESS_READ)
        return np.frombuffer(content, self.dtype, n_frames, offset)

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
        rows = self.rows(shard)
        if shard.sealed and shard not in self._sound:
            with shard.path.open("rb") as file:
                written = _CHECKSUM.search(file.read(self._header_size))
            if written is not None and int(written[1], 16) != zlib.crc32(rows):  # type: ignore[arg-type]  # arrays are buffers
                raise _damaged(shard.path, "its checksum does not match its frames")
            self._sound.add(shard)
        return rows


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
        whole = stop - start == shard.n_frames
        return (self._reader.checked if whole else self._reader.rows)(shard)[start - shard.first : stop - shard.first]
