"""Where a ligand is: how far from a site, and how far from its place in a reference structure."""

import numpy as np
from numpy.typing import ArrayLike

from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import (
    AnyFloatArray,
    BlockFeaturizer,
    FloatArray,
    index_array,
    reference_array,
    uniform_schema,
)
from openmm_trajgan.features.cartesian import AlignedCartesian


class CentroidDistance(BlockFeaturizer):
    """Distance between the centroids of two groups of atoms, nm, one feature.

    Molecules must be whole and in the same image: the box is not used, no image is moved.

    Parameters
    ----------
    group_a, group_b
        Atom indices, ``(n,)`` each, for example of a ligand and of the residues that line its pocket.
    name
        Name of the feature.

    Raises
    ------
    InputError
        If the indices are not of that form.

    Examples
    --------
    >>> CentroidDistance([0, 1], [2])([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [1.0, 3.0, 0.0]])
    array([3.], dtype=float32)
    """

    def __init__(self, group_a: ArrayLike, group_b: ArrayLike, name: str = "centroid distance") -> None:
        self._groups = tuple(index_array(group, "(n_atoms,)") for group in (group_a, group_b))
        indices = np.concatenate(self._groups)
        super().__init__(uniform_schema([name], [indices.tolist()], kind="centroid_distance", unit="nm"), int(indices.max()) + 1)

    def _compute(self, frames: AnyFloatArray, boxes: AnyFloatArray | None) -> FloatArray:
        a, b = (frames.take(group, axis=1).mean(axis=1, dtype=np.float64) for group in self._groups)
        distances: FloatArray = np.linalg.norm(a - b, axis=1, keepdims=True).astype(np.float32)
        return distances


class LigandDisplacement(BlockFeaturizer):
    """Distance of the centroid of a ligand from its place in a reference structure, seen from the protein, nm, one feature.

    The protein is superposed on the reference as `AlignedCartesian` does; the ligand moves along. Molecules must be whole and in
    the same image: the box is not used, no image is moved.

    Parameters
    ----------
    reference_positions
        Structure of the whole system with the ligand bound, ``(n_atoms, 3)``, nm.
    ligand, protein
        Atom indices ``(n,)`` of the ligand, and of the protein atoms to superpose, at least three.
    name
        Name of the feature.

    Raises
    ------
    InputError
        If the reference or the indices are not of that form or do not fit each other, or an atom is in both groups.

    Examples
    --------
    >>> bound = np.array([[0.0, 0.0, 0.0], [0.3, 0.0, 0.0], [0.0, 0.4, 0.0], [1.0, 1.0, 1.0]])
    >>> displacement = LigandDisplacement(bound, ligand=[3], protein=[0, 1, 2])
    >>> moved = bound + [0.0, 0.0, 5.0]
    >>> moved[3, 0] += 0.5
    >>> displacement(moved).round(4)
    array([0.5], dtype=float32)
    """

    def __init__(
        self, reference_positions: ArrayLike, ligand: ArrayLike, protein: ArrayLike, name: str = "ligand displacement"
    ) -> None:
        self._aligned = AlignedCartesian(reference_positions, protein)
        reference = reference_array(reference_positions)
        self._ligand, superposed = index_array(ligand, "(n_atoms,)"), index_array(protein, "(n_atoms,)")
        if self._ligand.max() >= len(reference):
            raise InputError(
                f"ligand: index {self._ligand.max()} is needed, found {len(reference)} atoms in the reference positions; "
                "give the reference of the whole system"
            )
        both = np.intersect1d(self._ligand, superposed)
        if len(both):
            raise InputError(f"ligand, protein: expected different atoms, found {both[0]} in both; leave the ligand out of protein")
        self._place = reference[self._ligand].mean(axis=0)
        indices = np.concatenate([self._ligand, superposed])
        schema = uniform_schema([name], [indices.tolist()], kind="ligand_displacement", unit="nm")
        super().__init__(schema, int(indices.max()) + 1)

    def _compute(self, frames: AnyFloatArray, boxes: AnyFloatArray | None) -> FloatArray:
        moved = self._aligned.superpose(frames, self._ligand).mean(axis=1)
        displacements: FloatArray = np.linalg.norm(moved - self._place, axis=1, keepdims=True).astype(np.float32)
        return displacements
