"""Structures of a stream on disk, with their periodic boxes."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.errors import InputError
from openmm_trajgan.storage import replacing
from openmm_trajgan.untrusted import map_npy


class StructureFiles:
    """A contiguous stretch of all-atom positions in one file, and their boxes, if they have any, in another.

    Parameters
    ----------
    folder
        Of the stream; made when there is something to keep.
    """

    def __init__(self, folder: Path) -> None:
        self._positions, self._boxes = folder / "structures.npy", folder / "boxes.npy"

    def keep(self, positions: NDArray[np.float32], boxes: NDArray[np.float32] | None) -> None:
        """Write positions ``(n_structures, n_atoms, 3)`` and box vectors ``(n_structures, 3, 3)``, nm, unless some are there."""
        if self._positions.exists():
            return
        self._positions.parent.mkdir(parents=True, exist_ok=True)
        self._boxes.unlink(missing_ok=True)  # left by a write that was cut short
        for path, values in ((self._boxes, boxes), (self._positions, positions)):  # positions are never there without their boxes
            if values is not None:
                with replacing(path) as file:
                    np.save(file, values, allow_pickle=False)

    def positions(self) -> NDArray[np.float32] | None:
        """Return the positions, mapped from the file, or None.

        Raises
        ------
        InputError
            If the file is damaged, or holds something else.
        """
        return _vectors(self._positions, "positions (n_structures, n_atoms, 3)")

    def boxes(self) -> NDArray[np.float32] | None:
        """Return the box vectors of the positions, or None.

        Raises
        ------
        InputError
            If a file is damaged, or they are not of these positions.
        """
        positions, boxes = self.positions(), _vectors(self._boxes, "box vectors (n_structures, 3, 3)")
        if positions is None or boxes is None:
            return None
        expected = (len(positions), 3, 3)
        if boxes.shape != expected:
            raise InputError(f"{self._boxes}: expected {expected}, a box for each of {self._positions.name}, found {boxes.shape}")
        return boxes

    def broken(self) -> tuple[Path, ...]:
        """Return the files if one of them cannot be read: structures whose boxes are lost would be taken for some without."""
        try:
            self.boxes()
        except InputError:
            return tuple(path for path in (self._positions, self._boxes) if path.exists())
        return ()


def _vectors(path: Path, what: str) -> NDArray[np.float32] | None:
    try:
        vectors = map_npy(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InputError(f"{path}: damaged structures ({error}); restore the file, or remove it") from error
    if vectors.ndim != 3 or vectors.shape[2] != 3 or vectors.dtype != np.float32:
        raise InputError(f"{path}: expected float32 {what}, found {vectors.dtype} {vectors.shape}")
    return vectors
