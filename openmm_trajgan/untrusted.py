"""Files from anywhere: read without pickle, without trust in what they declare, and without more memory than they are worth."""

import json
import math
import tokenize
import warnings
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

_MOST_JSON = 64 * 2**20  # bytes
_MOST_EXPANSION = 100  # of a compressed archive beyond 256 MiB
_ALWAYS_ALLOWED = 256 * 2**20  # bytes
_BROKEN_HEADER = (
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    OverflowError,
    RecursionError,
    MemoryError,
    AttributeError,
    IndexError,
    SyntaxError,
    tokenize.TokenError,
)


def parse_json(content: bytes | str) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    ValueError
        If it is none, too large, too deep, or holds text that cannot be written out again.

    Examples
    --------
    >>> parse_json('{"version": 1}')
    {'version': 1}
    """
    if len(content) > _MOST_JSON:
        raise ValueError(f"expected at most {_MOST_JSON} bytes of JSON, found {len(content)}")
    try:
        parsed = json.loads(content)
        json.dumps(parsed, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None
    if not isinstance(parsed, dict):
        raise ValueError(f"expected a JSON object, found {type(parsed).__name__}")
    return parsed


def read_npy(path: Path) -> NDArray[Any]:
    """Read an ``.npy`` file.

    Raises
    ------
    ValueError
        If it is not one, holds objects, or declares more than it holds.
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        shape, fortran_order, dtype = npy_header(file, path.stat().st_size)
        values = np.fromfile(file, dtype, math.prod(shape))
    return values.reshape(shape, order="F" if fortran_order else "C")


def map_npy(path: Path) -> NDArray[Any]:
    """Map an ``.npy`` file into memory, read-only; raises as `read_npy` does."""
    with path.open("rb") as file:
        shape, fortran_order, dtype = npy_header(file, path.stat().st_size)
        if not math.prod(shape):
            return np.empty(shape, dtype)
        return np.memmap(file, dtype, "r", file.tell(), shape, "F" if fortran_order else "C")


def read_npz(path: Path, *, compressed: bool = True) -> dict[str, NDArray[Any]]:
    """Read all arrays of an ``.npz`` archive.

    Parameters
    ----------
    path
        The file, whatever its ending.
    compressed
        Whether members may be compressed; such an archive may grow to 100 times its size, and to 256 MiB in any case.

    Raises
    ------
    ValueError
        If it is not one, holds objects, or declares more than it holds.
    OSError
        If it cannot be read.
    """
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            methods = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED} if compressed else {zipfile.ZIP_STORED}
            if any(member.compress_type not in methods for member in members):
                raise ValueError("a member is compressed in a way that is not read")
            declared = sum(member.file_size for member in members)
            allowed = max(_MOST_EXPANSION * size, _ALWAYS_ALLOWED) if compressed else size
            if declared > allowed or sum(member.compress_size for member in members) > size:
                raise ValueError(f"declares {declared} bytes in a file of {size}")
            return {member.filename.removesuffix(".npy"): _member(archive.read(member)) for member in members}
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _member(content: bytes) -> NDArray[Any]:
    file = BytesIO(content)
    shape, fortran_order, dtype = npy_header(file, len(content))
    values = np.frombuffer(content, dtype, math.prod(shape), file.tell()) if math.prod(shape) else np.empty(0, dtype)
    return values.reshape(shape, order="F" if fortran_order else "C")


def npy_header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of an array, and see that the file is large enough to hold it.

    Parameters
    ----------
    file
        Stands at the beginning of the header; afterwards at that of the values.
    size
        Where the file ends, bytes.

    Returns
    -------
    tuple
        Shape, whether the first axis runs fastest, and type.

    Raises
    ------
    ValueError
        If it is no such header, holds objects, or declares more than there is.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files that Python 2 wrote
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[
                np.lib.format.read_magic(file)
            ]
            header: tuple[tuple[int, ...], bool, np.dtype[Any]] = read(file)
            shape, fortran_order, dtype = header
    except _BROKEN_HEADER as error:
        raise ValueError(" ".join(f"{error}".split())[:200] or type(error).__name__) from error
    if dtype.hasobject:
        raise ValueError("holds Python objects, which are never loaded")
    if len(shape) > 32 or any(length < 0 for length in shape):
        raise ValueError(f"declares the shape {shape}")
    n_values: int = math.prod(shape)
    held, declared = size - file.tell(), n_values * dtype.itemsize
    if declared > held or (n_values and not dtype.itemsize):
        raise ValueError(f"declares {declared} bytes of data and holds {held}")
    return shape, bool(fortran_order), dtype
