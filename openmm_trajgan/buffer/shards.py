"""Frames on disk: append-only shards, one folder per stream, so that several processes can write side by side.

Layout of a buffer::

    buffer.json                                  format, version, schema
    labels.json                                  condition of each stream, if the simulations had different ones
    streams/<stream>/000000-000000000000.npy     sealed shard: segment 0, frames 0 … n-1 of it
    streams/<stream>/000000-000000032768.rows    open shard: raw rows, appended one by one, the last may be torn
    streams/<stream>/structures.npy              a contiguous stretch of all-atom positions, nm
    streams/<stream>/superseded/                 frames that a restart from an earlier checkpoint simulated again

A row is written to the open shard before `ShardStore.append` returns, so it survives ``kill -9``; `ShardStore.flush` also syncs it
to the disk. A full open shard is sealed: written as ``.npy`` under a temporary name, synced, renamed, and only then removed.
"""

import errno
import json
import os
import re
import shutil
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.buffer.base import FrameRows, frame_dtype
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FORMAT_VERSION, FeatureSchema
from openmm_trajgan.storage import replacing, sync_folder

FRAMES_PER_SHARD = 32768  # large, so that windows of millions of frames are drawn from a few mapped files
_OPEN_FILES = 128
_STREAM_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_SHARD_NAME = re.compile(r"(\d{6})-(\d{12})\.(npy|rows)")


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


@dataclass
class OpenShard:
    """The file in which a stream grows."""

    path: Path
    segment: int
    n_frames: int
    file: BinaryIO


class ShardReader:
    """Reads shards through a bounded number of memory maps."""

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self.dtype = dtype
        header = BytesIO()
        np.save(header, np.empty(0, dtype))
        self._header_size = header.tell()
        self.rows = lru_cache(maxsize=_OPEN_FILES)(self._map)

    def find(self, path: Path, segment: int, first: int) -> Shard:
        """Return the shard in a file; how many whole frames it has follows from the size."""
        status = path.stat()
        n_frames, torn = divmod(status.st_size - (self._header_size if path.suffix == ".npy" else 0), self.dtype.itemsize)
        if path.suffix == ".npy" and (torn or n_frames < 1):
            raise InputError(f"{path}: damaged shard ({status.st_size} bytes); restore it or move it out of the buffer")
        return Shard(path, segment, first, n_frames, status.st_ino)

    def _map(self, shard: Shard) -> FrameRows:
        try:
            rows = self._sealed_rows(shard.path) if shard.sealed else self._open_rows(shard)
        except FileNotFoundError:
            rows = np.empty(0, self.dtype)
        except ValueError as error:
            raise InputError(f"{shard.path}: damaged shard ({error}); restore it or move it out of the buffer") from error
        if len(rows) != shard.n_frames:
            raise InputError(
                f"{shard.path}: expected {shard.n_frames} frames, found {len(rows)}: a restart set them aside since the buffer "
                "was read; ask the buffer for its windows again"
            )
        return rows

    def _open_rows(self, shard: Shard) -> FrameRows:
        try:
            return np.asarray(np.memmap(shard.path, self.dtype, "r", shape=(shard.n_frames,)))
        except FileNotFoundError:  # sealed since
            return self._sealed_rows(shard.path.with_suffix(".npy"))[: shard.n_frames]

    def _sealed_rows(self, path: Path) -> FrameRows:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
        if rows.dtype != self.dtype:
            raise ValueError(f"expected {self.dtype}, found {rows.dtype}")
        return np.asarray(rows)


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
                    "restore the shard or remove the ones after it"
                )
            self.n_frames += shard.n_frames

    def read(self, start: int, stop: int) -> FrameRows:
        """Return frames ``start … stop-1``."""
        index = bisect_right(self._firsts, start) - 1
        shard = self.shards[index]
        if stop <= shard.first + shard.n_frames:
            return self._reader.rows(shard)[start - shard.first : stop - shard.first]
        parts = []
        for shard in self.shards[index:]:
            if shard.first >= stop:
                break
            parts.append(self._reader.rows(shard)[max(start - shard.first, 0) : stop - shard.first])
        return np.concatenate(parts)


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
        if self._header.is_file():
            self._schema = self._read_schema()
            if schema is not None:
                self._schema.require_same(schema, f"the buffer {path}", "the given schema")
        else:
            self._schema = self._create(schema)
        self._reader = ShardReader(frame_dtype(self._schema.n_features))
        self._open: dict[str, OpenShard] = {}

    @property
    def schema(self) -> FeatureSchema:
        """What the features are; the frame interval as soon as any process has recorded it."""
        if self._schema.frame_interval is None:
            self._schema = self._read_schema()
        return self._schema

    def _create(self, schema: FeatureSchema | None) -> FeatureSchema:
        if schema is None:
            raise InputError(
                f"{self.path}: no window buffer there (no buffer.json); give the folder of one, or a schema to make one"
            )
        # hidden files may be a header that another process writes at the same moment, or that died with it
        if self.path.exists() and (not self.path.is_dir() or any(entry.name[0] != "." for entry in self.path.iterdir())):
            raise InputError(f"{self.path}: exists and is not a window buffer; choose another path")
        self.path.mkdir(parents=True, exist_ok=True)
        self._write_schema(schema)
        return schema

    def _read_schema(self) -> FeatureSchema:
        try:
            header = json.loads(self._header.read_text())
            if header["format"] != "openmm-trajgan buffer":
                raise InputError(f"{self._header}: expected a window buffer, found {header['format']!r}")
            if header["version"] > FORMAT_VERSION:
                raise InputError(
                    f"{self._header}: format {header['version']} is newer than {FORMAT_VERSION}; upgrade openmm-trajgan"
                )
            return FeatureSchema.model_validate(header["schema"])
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{self._header}: not the header of a window buffer ({error})".replace("\n", " ")) from error

    def _write_schema(self, schema: FeatureSchema) -> None:
        header = {"format": "openmm-trajgan buffer", "version": FORMAT_VERSION, "schema": schema.model_dump(mode="json")}
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
        by_segment: dict[int, list[Shard]] = {}
        for shard in self._shards(stream):
            by_segment.setdefault(shard.segment, []).append(shard)
        return [ShardSegment(number, shards, self._reader) for number, shards in sorted(by_segment.items())]

    def _shards(self, stream: str) -> list[Shard]:
        folder = self._folder(stream)
        if not folder.is_dir():
            return []
        found: dict[tuple[int, int], Path] = {}
        for path in sorted(folder.iterdir(), reverse=True):  # ".rows" before ".npy": the sealed copy wins
            match = _SHARD_NAME.fullmatch(path.name)
            if match:
                found[int(match[1]), int(match[2])] = path
        shards = []
        for (segment, first), path in sorted(found.items()):
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
        if shard.file.write(row.tobytes()) != row.nbytes:
            self._release(stream)  # the torn row is cut off when the shard is opened again
            raise OSError(errno.ENOSPC, "no space left for another frame", str(shard.path))
        shard.n_frames += len(row)
        if shard.n_frames >= FRAMES_PER_SHARD:
            self._seal(stream)

    def _open_shard(self, stream: str, segment: int) -> OpenShard:
        if stream in self._open:
            self._seal(stream)
        folder = self._folder(stream)
        folder.mkdir(parents=True, exist_ok=True)
        shards = [shard for shard in self._shards(stream) if shard.segment == segment]
        last = shards[-1] if shards else None
        if last is not None and not last.sealed and last.n_frames < FRAMES_PER_SHARD:
            path, n_frames = last.path, last.n_frames
        else:
            first = 0 if last is None else last.first + last.n_frames
            path, n_frames = folder / f"{segment:06d}-{first:012d}.rows", 0
        file = path.open("ab", buffering=0)
        file.truncate(n_frames * self._reader.dtype.itemsize)  # a row torn by a crash was never acknowledged
        sync_folder(folder)
        while len(self._open) >= _OPEN_FILES:
            self._release(next(iter(self._open)))
        self._open[stream] = shard = OpenShard(path, segment, n_frames, file)
        return shard

    def _release(self, stream: str) -> None:
        file = self._open.pop(stream).file
        os.fsync(file.fileno())
        file.close()

    def _seal(self, stream: str) -> None:
        shard = self._open[stream]
        self._release(stream)
        if shard.n_frames:
            with replacing(shard.path.with_suffix(".npy")) as sealed:
                np.save(sealed, np.fromfile(shard.path, self._reader.dtype), allow_pickle=False)
        shard.path.unlink()

    def truncate(self, stream: str, step: int) -> int:
        """See `FrameStore`; the frames are moved to the folder ``superseded``."""
        if stream in self._open:
            self._seal(stream)
        dropped = 0
        for shard in reversed(self._shards(stream)):
            keep = bisect_left(self._reader.rows(shard)["step"], step)
            if keep == shard.n_frames:
                break
            dropped += shard.n_frames - keep
            self._supersede(shard, keep)
            if keep:
                break
        self._reader.rows.cache_clear()
        return dropped

    def _supersede(self, shard: Shard, keep: int) -> None:
        folder = shard.path.parent / "superseded"
        folder.mkdir(exist_ok=True)
        copies = sum(1 for path in folder.iterdir() if path.name.startswith(shard.path.stem))
        target = folder / f"{shard.path.stem}.{copies}{shard.path.suffix}"
        unsealed = shard.path.with_suffix(".rows")
        if shard.sealed:
            unsealed.unlink(missing_ok=True)  # there if a crash fell between sealing and removing it
        if keep:
            shutil.copyfile(shard.path, target)
            with replacing(shard.path.with_suffix(".npy")) as file:
                np.save(file, np.array(self._reader.rows(shard)[:keep]), allow_pickle=False)
            unsealed.unlink(missing_ok=True)
        else:
            shard.path.replace(target)
        sync_folder(folder)

    def keep_structures(self, stream: str, positions: NDArray[np.float32]) -> None:
        """See `FrameStore`."""
        path = self._folder(stream) / "structures.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                np.save(file, positions, allow_pickle=False)

    def structures(self, stream: str) -> NDArray[np.float32] | None:
        """See `FrameStore`."""
        path = self._folder(stream) / "structures.npy"
        return np.load(path, mmap_mode="r", allow_pickle=False) if path.exists() else None

    def labels(self) -> dict[str, str | float]:
        """See `FrameStore`."""
        if not self._label_file.exists():
            return {}
        try:
            labels = json.loads(self._label_file.read_text())
            if not isinstance(labels, dict) or not all(type(label) in (str, int, float) for label in labels.values()):
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
        """Seal the open shards."""
        for stream in list(self._open):
            self._seal(stream)
