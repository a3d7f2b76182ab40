"""Positions of chosen atoms, as they are or superposed on a reference structure."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import (
    AnyFloatArray,
    BlockFeaturizer,
    FloatArray,
    index_array,
    reference_array,
    uniform_schema,
)


class Coordinates(BlockFeaturizer):
    """Positions of atoms in nm as they are, for models in a fixed frame of reference such as a particle in a potential.

    Columns are named ``"x"``, ``"y"`` … for one atom and ``"x 5"``, ``"y 5"`` … by index for several.

    Parameters
    ----------
    atoms
        Indices of the atoms, ``(n,)``.
    axes
        Which coordinates, for example ``"xy"``.

    Raises
    ------
    InputError
        If the indices are not of that form, or an axis is not x, y or z or stands twice.

    Examples
    --------
    >>> Coordinates([0], axes="xy")([[0.5, -1.0, 7.0]])
    array([ 0.5, -1. ], dtype=float32)
    """

    def __init__(self, atoms: ArrayLike, axes: str = "xyz") -> None:
        indices = index_array(atoms, "(n_atoms,)")
        if not axes or set(axes) - set("xyz") or len(set(axes)) < len(axes):
            raise InputError(f"axes: expected some of 'x', 'y', 'z', each once, found {axes!r}")
        names = [axis if len(indices) == 1 else f"{axis} {atom}" for atom in indices.tolist() for axis in axes]
        schema = uniform_schema(names, np.repeat(indices, len(axes))[:, None], kind="position", unit="nm")
        super().__init__(schema, int(indices.max()) + 1)
        self._indices, self._axes = indices, ["xyz".index(axis) for axis in axes]

    def _compute(self, frames: AnyFloatArray, boxes: AnyFloatArray | None) -> FloatArray:
        chosen = frames.take(self._indices, axis=1).take(self._axes, axis=2)
        return chosen.reshape(len(frames), self.schema.n_features).astype(np.float32)


class AlignedCartesian(BlockFeaturizer):
    """Positions of atoms in nm after the rotation and translation that bring them closest to a reference structure.

    The fit weighs all chosen atoms equally (Kabsch, Acta Cryst. A 32, 922 (1976), doi:10.1107/S0567739476001873) and never
    reflects. Molecules must be whole: the box is not used, no image is moved. Columns run x, y, z of the first atom, then of the
    second, and are named by atom index, ``"x 5"``, ``"y 5"``, ``"z 5"``.

    Parameters
    ----------
    reference_positions
        Structure of the whole system, ``(n_atoms, 3)``, nm; the result lies where these atoms lie.
    atoms
        Indices of the atoms to fit and return, at least three, ``(n,)``; default all atoms of the reference.

    Raises
    ------
    InputError
        If the reference or the indices are not of that form or do not fit each other.

    Examples
    --------
    >>> reference = np.array([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [0.0, 0.2, 0.0]])
    >>> aligned = AlignedCartesian(reference)
    >>> turned_and_moved = reference[:, [1, 2, 0]] + 7
    >>> np.abs(aligned(turned_and_moved).reshape(3, 3) - reference).max() < 1e-6
    np.True_
    """

    def __init__(self, reference_positions: ArrayLike, atoms: ArrayLike | None = None) -> None:
        reference = reference_array(reference_positions)
        indices = index_array(np.arange(len(reference)) if atoms is None else atoms, "(n_atoms,)")
        if indices.max() >= len(reference):
            raise InputError(
                f"atoms: index {indices.max()} is needed, found {len(reference)} atoms in the reference positions; "
                "give the reference of the whole system"
            )
        if len(indices) < 3:
            raise InputError(f"atoms: expected at least 3 to fix a rotation, found {len(indices)}; choose more atoms")
        names = [f"{axis} {atom}" for atom in indices.tolist() for axis in "xyz"]
        schema = uniform_schema(names, np.repeat(indices, 3)[:, None], kind="cartesian", unit="nm")
        super().__init__(schema, int(indices.max()) + 1)
        self._indices, self.reference = indices, reference[indices]

    def superpose(self, frames: AnyFloatArray, moved: NDArray[np.intp] | None = None) -> NDArray[np.float64]:
        """Superpose the chosen atoms of `frames` ``(n_frames, n_atoms, 3)`` on the reference.

        Returns
        -------
        numpy.ndarray
            Positions of the chosen atoms afterwards, or of the atoms `moved` along with them, ``(n_frames, n, 3)``, nm.
        """
        center = self.reference.mean(axis=0)
        centered = frames.take(self._indices, axis=1).astype(np.float64)
        middle = centered.mean(axis=1, keepdims=True)
        centered -= middle
        covariance = centered.transpose(0, 2, 1) @ (self.reference - center)
        u, _, vt = np.linalg.svd(np.nan_to_num(covariance))  # without NaN, which LAPACK refuses; such positions stay NaN below
        u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]  # least singular value: the cheapest axis to keep the handedness
        shown = centered if moved is None else frames.take(moved, axis=1) - middle
        aligned: NDArray[np.float64] = shown @ (u @ vt) + center
        return aligned

    def _compute(self, frames: AnyFloatArray, boxes: AnyFloatArray | None) -> FloatArray:
        return self.superpose(frames).reshape(len(frames), self.schema.n_features).astype(np.float32)
