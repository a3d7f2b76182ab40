"""Frames on disk: append-only shards, one folder per stream, so that several processes can write side by side.

Layout of a buffer::

    buffer.json                                  format, version, schema
    labels.json                                  condition of each stream, if the simulations had different ones
    streams/<stream>/000000-000000000000.npy     sealed shard: segment 0, frames 0 … n-1 of it
    streams/<stream>/000000-000001398101.rows    open shard: raw rows, appended one by one, the last may be torn
    streams/<stream>/structures.npy              a contiguous stretch of all-atom positions, nm
    streams/<stream>/boxes.npy                   vectors of their periodic boxes, nm, if they have any
    streams/<stream>/superseded/                 frames that a restart from an earlier checkpoint simulated again
    streams/<stream>/damaged/                    files that `ShardStore.repair` set aside
    .lock                                        where processes lock the streams they write

A row is written to the open shard before `ShardStore.append` returns, so it survives ``kill -9``; `ShardStore.flush` also syncs it
to the disk. A full open shard is sealed: written as ``.npy`` under a temporary name, synced, renamed, and only then removed. Where
that fails, for want of space say, the open shard stays, which is as good.
"""

import errno
import json
import os
import re
import shutil
import weakref
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.buffer.base import FrameRows, frame_dtype
from openmm_trajgan.buffer.locks import StreamLocks
from openmm_trajgan.buffer.shard import Shard, ShardReader, ShardSegment, write_sealed
from openmm_trajgan.buffer.structure_files import StructureFiles
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FORMAT_VERSION, FeatureSchema, require_known_version, written_by
from openmm_trajgan.storage import replacing, sync_folder
from openmm_trajgan.untrusted import parse_json

BYTES_PER_SHARD = 32 * 2**20  # large, so that windows of 10⁸ frames are drawn from files that all stay open
_OPEN_FILES = 128
_STREAM_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_SHARD_NAME = re.compile(r"([0-9]{6})-([0-9]{12})\.(npy|rows)")
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.EROFS, errno.EACCES, errno.EPERM}


@dataclass
class OpenShard:
    """The file in which a stream grows."""

    path: Path
    segment: int
    n_frames: int
    file: FileIO


class ShardStore:
    """A `FrameStore` in a folder.

    Parameters
    ----------
    path
        Folder of the buffer; made if `schema` is given and it does not exist.
    schema
        What a new buffer will hold, or what an existing one must hold; None to open an existing one.

    Raises
    ------
    InputError
        If there is no buffer and no schema, or the folder holds something else.
    SchemaMismatchError
        If the buffer holds other features.
    """

    def __init__(self, path: Path, schema: FeatureSchema | None) -> None:
        self.path = path
        self._header, self._label_file = path / "buffer.json", path / "labels.json"
        if not self._header.is_file():
            self._create(schema)
        self._schema = self._read_schema()
        if schema is not None:
            self._schema.require_same(schema, f"the buffer {path}", "the given schema")
        self._reader = ShardReader(frame_dtype(self._schema.n_features))
        self._open: dict[str, OpenShard] = {}
        self._locks = StreamLocks(path / ".lock")
        weakref.finalize(self, _let_go, self._open, self._locks)

    @property
    def schema(self) -> FeatureSchema:
        """What the features are; the frame interval as soon as any process has recorded it."""
        if self._schema.frame_interval is None:
            self._schema = self._read_schema()
        return self._schema

    def _create(self, schema: FeatureSchema | None) -> None:
        if schema is None:
            raise InputError(
                f"{self.path}: no window buffer there (no buffer.json); give the folder of one, or a schema to make one"
            )
        # hidden files may be a header that another process writes at the same moment, or that died with it
        if self.path.exists() and (not self.path.is_dir() or any(entry.name[0] != "." for entry in self.path.iterdir())):
            if self._header.is_file():  # another process was faster
                return
            raise InputError(f"{self.path}: exists and is not a window buffer; choose another path")
        self.path.mkdir(parents=True, exist_ok=True)
        self._write_schema(schema)

    def _read_schema(self) -> FeatureSchema:
        try:
            header = parse_json(self._header.read_bytes())
            if header["format"] != "openmm-trajgan buffer":
                raise InputError(f"{self._header}: expected a window buffer, found {header['format']!r}")
            require_known_version(header["version"], header.get("package"), self._header)
            return FeatureSchema.model_validate(header["schema"])
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{self._header}: not the header of a window buffer ({' '.join(str(error).split())})") from error

    def _write_schema(self, schema: FeatureSchema) -> None:
        about = {"format": "openmm-trajgan buffer", "version": FORMAT_VERSION, "package": written_by()}
        header = {**about, "schema": schema.model_dump(mode="json")}
        with replacing(self._header) as file:
            file.write(json.dumps(header, indent=1).encode())

    def set_frame_interval(self, frame_interval: float) -> None:
        """See `FrameStore`."""
        schema = self.schema.with_frame_interval(frame_interval)
        self.schema.require_same(schema, f"the buffer {self.path}", "the new stream")
        if self.schema.frame_interval is None:
            self._write_schema(schema)

    def _folder(self, stream: str) -> Path:
        if not _STREAM_NAME.fullmatch(stream):
            raise InputError(f"stream name {stream!r}: use letters, digits, '.', '_' and '-' only, not starting with '.'")
        return self.path / "streams" / stream

    def streams(self) -> tuple[str, ...]:
        """See `FrameStore`."""
        folder = self.path / "streams"
        if not folder.is_dir():
            return ()
        with os.scandir(folder) as entries:
            return tuple(sorted(entry.name for entry in entries if entry.is_dir() and _STREAM_NAME.fullmatch(entry.name)))

    def segments(self, stream: str) -> list[ShardSegment]:
        """See `FrameStore`; read from the folder at each call, so that other writers are seen."""
        try:
            return self._segments(stream)
        except InputError:  # a shard that was sealed while the folder was listed can be missed; one that is missing stays so
            return self._segments(stream)

    def _segments(self, stream: str) -> list[ShardSegment]:
        by_segment: dict[int, list[Shard]] = {}
        for shard in self._shards(stream):
            by_segment.setdefault(shard.segment, []).append(shard)
        return [ShardSegment(number, shards, self._reader) for number, shards in sorted(by_segment.items())]

    def _files(self, stream: str) -> list[tuple[int, int, Path]]:
        """Segment, first frame and path of every shard, in order."""
        folder, found = self._folder(stream), dict[tuple[int, int], Path]()
        try:  # ".rows" before ".npy": the sealed copy wins
            names = sorted((path.name for path in folder.iterdir()), reverse=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        for name in names:
            match = _SHARD_NAME.fullmatch(name)
            if match:
                found[int(match[1]), int(match[2])] = folder / name
        return [(segment, first, path) for (segment, first), path in sorted(found.items())]

    def _shards(self, stream: str) -> list[Shard]:
        shards = []
        for segment, first, path in self._files(stream):
            try:
                shards.append(self._reader.find(path, segment, first))
            except FileNotFoundError:  # sealed or superseded by its writer since the listing
                sealed = path.with_suffix(".npy")
                if sealed.exists():
                    shards.append(self._reader.find(sealed, segment, first))
        return [shard for shard in shards if shard.n_frames]

    def append(self, stream: str, segment: int, row: FrameRows) -> None:
        """See `FrameStore`."""
        shard = self._open.get(stream)
        if shard is None or shard.segment != segment:
            shard = self._open_shard(stream, segment)
        if not os.fstat(shard.file.fileno()).st_nlink:  # nobody could ever read what is written there
            self._release(stream)
            raise FileNotFoundError(errno.ENOENT, "the file was removed while frames were written to it", str(shard.path))
        try:
            whole = shard.file.write(row.tobytes()) == row.nbytes
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(shard.path)) from error
        if not whole:
            self._release(stream)  # the torn row is cut off when the shard is opened again
            raise OSError(errno.ENOSPC, "no space left for another frame", str(shard.path))
        shard.n_frames += len(row)
        if self._full(shard):
            self._seal(stream)

    def _open_shard(self, stream: str, segment: int) -> OpenShard:
        folder = self._folder(stream)
        self._require_header()
        self._locks.acquire(stream)
        if stream in self._open:
            self._seal(stream)
        folder.mkdir(parents=True, exist_ok=True)
        shards = [shard for shard in self._shards(stream) if shard.segment == segment]
        last = shards[-1] if shards else None
        if last is not None and not last.sealed and not self._full(last):
            path, n_frames = last.path, last.n_frames
        else:
            first = 0 if last is None else last.first + last.n_frames
            path, n_frames = folder / f"{segment:06d}-{first:012d}.rows", 0
        while len(self._open) >= _OPEN_FILES:
            self._release(next(iter(self._open)))
        file = FileIO(str(path), "ab")
        try:
            file.truncate(n_frames * self._reader.dtype.itemsize)  # a row torn by a crash was never acknowledged
            sync_folder(folder)
        except BaseException:
            file.close()
            raise
        self._open[stream] = shard = OpenShard(path, segment, n_frames, file)
        return shard

    def _full(self, shard: Shard | OpenShard) -> bool:
        return (shard.n_frames + 1) * self._reader.dtype.itemsize > BYTES_PER_SHARD

    def _require_header(self) -> None:
        """Refuse to write into what is no buffer any more."""
        if not self._header.exists():
            raise FileNotFoundError(errno.ENOENT, "the window buffer is no longer there", str(self.path))

    def _release(self, stream: str) -> None:
        with self._open.pop(stream).file as file:
            os.fsync(file.fileno())

    def _seal(self, stream: str) -> None:
        shard = self._open[stream]
        self._release(stream)
        try:
            if shard.n_frames:
                with replacing(shard.path.with_suffix(".npy")) as sealed:
                    write_sealed(sealed, np.fromfile(shard.path, self._reader.dtype))
            shard.path.unlink()
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise

    def truncate(self, stream: str, step: int) -> int:
        """See `FrameStore`; the frames are moved to the folder ``superseded``."""
        if self._files(stream):
            self._locks.acquire(stream)
        if stream in self._open:
            self._seal(stream)
        dropped = 0
        for shard in reversed(self._shards(stream)):
            keep = bisect_left(self._reader.read(shard, 0, shard.n_frames)["step"], step)
            if keep == shard.n_frames:
                break
            dropped += shard.n_frames - keep
            self._supersede(shard, keep)
            if keep:
                break
        self._reader.forget()
        return dropped

    def _supersede(self, shard: Shard, keep: int) -> None:
        unsealed = shard.path.with_suffix(".rows")
        if shard.sealed:
            unsealed.unlink(missing_ok=True)  # there if a crash fell between sealing and removing it
        if keep:
            shutil.copyfile(shard.path, _free_name(shard.path, "superseded"))
            with replacing(shard.path.with_suffix(".npy")) as file:
                write_sealed(file, self._reader.read(shard, 0, keep))
            unsealed.unlink(missing_ok=True)
        else:
            shard.path.replace(_free_name(shard.path, "superseded"))
        sync_folder(shard.path.parent / "superseded")

    def repair(self) -> tuple[Path, ...]:
        """See `FrameStore`; the files are moved to the folder ``damaged`` of their stream."""
        moved = []
        for stream in self.streams():
            self._locks.acquire(stream)
            if stream in self._open:
                self._seal(stream)
            for path in [*self._broken(stream)]:
                target = _free_name(path, "damaged")
                path.replace(target)
                sync_folder(target.parent)
                moved.append(target)
        self._reader.forget()
        return tuple(moved)

    def _broken(self, stream: str) -> Iterator[Path]:
        """Shards that cannot be read, and those after them in the same segment, which would not follow on anything."""
        yield from self._structures(stream).broken()
        expected: dict[int, int | None] = {}  # first frame of the next shard by segment; None after a broken one
        for segment, first, path in self._files(stream):
            n_frames = None
            if expected.get(segment, 0) == first:
                with suppress(InputError):
                    shard = self._reader.find(path, segment, first)
                    n_frames = len(self._reader.checked(shard)) if shard.n_frames else 0
            expected[segment] = None if n_frames is None else first + n_frames
            if n_frames is None:
                yield path

    def _structures(self, stream: str) -> StructureFiles:
        return StructureFiles(self._folder(stream))

    def keep_structures(self, stream: str, positions: NDArray[np.float32], boxes: NDArray[np.float32] | None) -> None:
        """See `FrameStore`."""
        self._structures(stream).keep(positions, boxes)

    def structures(self, stream: str) -> NDArray[np.float32] | None:
        """See `FrameStore`."""
        return self._structures(stream).positions()

    def boxes(self, stream: str) -> NDArray[np.float32] | None:
        """See `FrameStore`."""
        return self._structures(stream).boxes()

    def labels(self) -> dict[str, str | float]:
        """See `FrameStore`."""
        if not self._label_file.exists():
            return {}
        try:
            labels = parse_json(self._label_file.read_bytes())
            if not all(type(label) in (str, int, float) for label in labels.values()):
                raise ValueError("expected one number or text for each stream")
        except ValueError as error:
            raise InputError(f"{self._label_file}: not the labels of a window buffer ({error}); restore or remove it") from error
        return labels

    def set_labels(self, labels: Mapping[str, str | float]) -> None:
        """See `FrameStore`."""
        with replacing(self._label_file) as file:
            file.write(json.dumps(dict(labels), indent=1).encode())

    def flush(self) -> None:
        """See `FrameStore`."""
        for shard in self._open.values():
            os.fsync(shard.file.fileno())

    def close(self) -> None:
        """Seal the open shards, and let other processes write."""
        for stream in list(self._open):
            self._seal(stream)
        self._locks.release()


def _free_name(path: Path, kind: str) -> Path:
    """Return a name for a file to be set aside that nothing has yet."""
    folder = path.parent / kind
    folder.mkdir(exist_ok=True)
    copies = sum(1 for other in folder.iterdir() if other.name.startswith(path.stem))
    return folder / f"{path.stem}.{copies}{path.suffix}"


def _let_go(opened: dict[str, OpenShard], locks: StreamLocks) -> None:
    """Close files that nobody closed, when the store or the interpreter goes."""
    for shard in opened.values():
        shard.file.close()
    locks.release()
