"""One file of generated frames: an uncompressed zip archive of ``.npy`` arrays, which NumPy reads and which is mapped, not loaded.

``header`` is JSON: format, version, schema, provenance. ``positions``, ``(n_rows, n_atoms, 3)`` float32 in nm, holds every frame,
or, where ``rows``, ``(n_frames,)``, tells which row is which frame, each frame of molecular dynamics that was chosen once;
``boxes``, ``(n_rows, 6)``, has their lengths in nm and angles in degrees, if they are periodic. ``features``,
``(n_frames, n_features)``, ``trajectories``, ``reference_frames`` and ``flags/<name>``, ``(n_frames,)``, go with the frames.
"""

import json
import math
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.backmap.frames import POSITIONS_AT_ONCE, GeneratedFrames, StoredFrames
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FORMAT_VERSION, FeatureSchema, require_known_version, written_by
from openmm_trajgan.storage import replacing
from openmm_trajgan.untrusted import npy_header, parse_json

FORMAT = "openmm-trajgan structures"
_LOCAL_HEADER = 30  # bytes before the name of a member of a zip archive; its last four tell the lengths of name and extra field
_HEAD = 1024  # bytes within which the header tells its format


def save_frames(frames: GeneratedFrames, path: Path) -> None:
    """Write frames to a file, a block at a time; it appears at its name complete or not at all.

    Parameters
    ----------
    frames
        What to write.
    path
        File name, usually with the ending ``.trajgan``; its folder must exist.
    """
    header = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "package": written_by(),
        "schema": frames.schema.model_dump(mode="json"),
        "provenance": dict(frames.provenance),
    }
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        _put(archive, "header", np.frombuffer(json.dumps(header).encode(), dtype=np.uint8))
        _put(archive, "features", frames.features)
        _put(archive, "trajectories", frames.trajectories)
        flags = _put_built(archive, frames) if frames.reference_frames is None else _put_chosen(archive, frames)
        for name, values in flags.items():
            _put(archive, f"flags/{name}", values)


def load_frames(path: Path) -> GeneratedFrames:
    """Open a file of frames; positions are read when they are asked for.

    Raises
    ------
    InputError
        If the file is missing, incomplete, of another kind or of a newer format.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a file of generated structures, which usually ends in .trajgan")
    if not looks_like_frames(path):
        raise InputError(
            f"{path}: holds no generated structures (perhaps a model or features); make some with "
            "trajgan backmap, or openmm_trajgan.write_universe"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {member.filename.removesuffix(".npy"): _mapped(path, member) for member in archive.infolist()}
        header = parse_json(arrays["header"].tobytes())
        require_known_version(header["version"], header.get("package"), path)
        _require_consistent(arrays)
        flags = {name.removeprefix("flags/"): values for name, values in arrays.items() if name.startswith("flags/")}
        return FramesOfFile(
            StoredFrames(arrays["positions"], flags, arrays.get("rows"), arrays.get("boxes")),
            arrays["features"],
            arrays["trajectories"],
            FeatureSchema.model_validate(header["schema"]),
            arrays.get("reference_frames"),
            header["provenance"],
            path.resolve(),
        )
    except (OSError, KeyError, TypeError, ValueError, NotImplementedError, struct.error, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: not a complete file of generated structures ({reason}); make it again") from error


def looks_like_frames(path: Path) -> bool:
    """Whether the beginning of a file is that of generated frames."""
    try:
        with path.open("rb") as file:
            return FORMAT.encode() in file.read(_HEAD)
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class FramesOfFile(GeneratedFrames):
    """Generated frames in a file: what is pickled is its path.

    Parameters
    ----------
    path
        The file.
    """

    path: Path = Path()

    def __reduce__(self) -> tuple[Any, ...]:
        return load_frames, (self.path,)


def _put(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    with _member(archive, name) as member:
        np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


def _put_built(archive: zipfile.ZipFile, frames: GeneratedFrames) -> dict[str, NDArray[Any]]:
    """Write the positions of every frame and return the flags."""
    length = max(1, POSITIONS_AT_ONCE // frames.source.n_atoms)
    flags: dict[str, list[NDArray[Any]]] = {}
    with _member(archive, "positions") as member:
        _write_header(member, (frames.n_frames, frames.source.n_atoms, 3))
        for start in range(0, frames.n_frames, length):
            made = frames.source.block(start, min(start + length, frames.n_frames))
            assert made.positions is not None
            member.write(np.ascontiguousarray(made.positions, dtype="<f4").tobytes())
            for name, values in made.flags.items():
                flags.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in flags.items()}


def _put_chosen(archive: zipfile.ZipFile, frames: GeneratedFrames) -> dict[str, NDArray[Any]]:
    """Write each frame of the reference that occurs once, which row is which frame, and return the flags."""
    assert frames.reference_frames is not None
    assert frames.source.flags is not None
    _, first, rows = np.unique(frames.reference_frames, return_index=True, return_inverse=True)
    boxes = []
    with _member(archive, "positions") as member:
        _write_header(member, (len(first), frames.source.n_atoms, 3))
        for frame in first.tolist():
            positions, _, box = frames.source.frame(frame)
            member.write(np.ascontiguousarray(positions, dtype="<f4").tobytes())
            boxes += [] if box is None else [box]
    _put(archive, "rows", rows)
    _put(archive, "reference_frames", frames.reference_frames)
    if boxes:
        _put(archive, "boxes", np.asarray(boxes, dtype=np.float32))
    return dict(frames.source.flags)


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    return archive.open(f"{name}.npy", "w", force_zip64=True)


def _write_header(member: IO[bytes], shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": shape})


def _require_consistent(arrays: dict[str, NDArray[Any]]) -> None:
    """Compare the sizes of all arrays, and rows with the positions they are to stand for."""
    positions, features = arrays["positions"], arrays["features"]
    if positions.ndim != 3 or positions.shape[2] != 3 or positions.dtype != np.float32 or features.ndim != 2:
        raise ValueError(f"positions {positions.shape} of {positions.dtype} and features {features.shape} are not those of frames")
    by_frame = {name for name in arrays if name not in ("header", "positions", "features", "boxes", "rows")}
    by_frame |= {"rows"} if "rows" in arrays else {"positions"}
    for name in sorted(by_frame):
        if len(arrays[name]) != len(features):
            raise ValueError(f"{name} has {len(arrays[name])} frames, features have {len(features)}")
    if "rows" in arrays and (np.min(arrays["rows"], initial=0) < 0 or np.max(arrays["rows"], initial=-1) >= len(positions)):
        raise ValueError(f"rows leave the {len(positions)} positions")
    if "boxes" in arrays and arrays["boxes"].shape != (len(positions), 6):
        raise ValueError(f"boxes {arrays['boxes'].shape} do not fit {len(positions)} positions")


def _mapped(path: Path, member: zipfile.ZipInfo) -> NDArray[Any]:
    """Map an array in the archive into memory."""
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member.filename} is compressed")
    with path.open("rb") as file:
        file.seek(member.header_offset)
        lengths = struct.unpack("<HH", file.read(_LOCAL_HEADER)[-4:])
        file.seek(sum(lengths), 1)
        shape, fortran_order, dtype = npy_header(file, path.stat().st_size)
        if fortran_order:
            raise ValueError(f"{member.filename} holds no plain array")
        if not math.prod(shape):
            return np.empty(shape, dtype)
        return np.asarray(np.memmap(path, dtype, "r", file.tell(), shape))
