"""Torsion angles, the usual features of a peptide."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import (
    AnyFloatArray,
    BlockFeaturizer,
    FloatArray,
    index_array,
    minimum_image,
    uniform_schema,
)
from openmm_trajgan.features.topology import Topology, as_mdtraj, residue_labels

_PI = np.float32(np.pi)


class Torsions(BlockFeaturizer):
    """Torsion angles in (-π, π] rad with the sign of IUPAC: positive when, seen along the middle bond, the far bond is clockwise.

    With a box, the three bond vectors are minimum images. A torsion of atoms on one line is undefined and NaN.

    Parameters
    ----------
    atoms
        Indices of the four atoms of each torsion, ``(n_torsions, 4)``.
    names
        One unique name per torsion; default ``"torsion i-j-k-l"``.

    Raises
    ------
    InputError
        If the indices or names are not of that form.

    Examples
    --------
    >>> right_angle = Torsions([[0, 1, 2, 3]])
    >>> right_angle([[0.1, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.1], [0.0, 0.1, 0.1]])
    array([1.5707964], dtype=float32)
    >>> right_angle.schema.names
    ('torsion 0-1-2-3',)
    """

    def __init__(self, atoms: ArrayLike, names: Sequence[str] | None = None) -> None:
        indices = index_array(atoms, "(n_torsions, 4)", 4)
        labels = [f"torsion {'-'.join(map(str, row))}" for row in indices.tolist()] if names is None else names
        super().__init__(uniform_schema(labels, indices, kind="torsion", unit="rad", period=2 * math.pi), int(indices.max()) + 1)
        self._groups = np.ascontiguousarray(indices.T)

    @classmethod
    def backbone(cls, topology: Topology, omega: bool = False) -> "Torsions":
        """Torsions φ and ψ of every residue that has them, named ``"phi 2"``, ``"psi 2"`` after the residue number.

        Parameters
        ----------
        topology
            Of the whole system; anything that is no peptide is passed over.
        omega
            Also ω, the torsion about the peptide bond to the next residue.

        Raises
        ------
        InputError
            If there is no such torsion.
        """
        return cls._of_residues(topology, ("phi", "psi", "omega") if omega else ("phi", "psi"))

    @classmethod
    def chi(cls, topology: Topology) -> "Torsions":
        """Side-chain torsions χ1 to χ5 of every residue that has them, named ``"chi1 2"``.

        Raises
        ------
        InputError
            If there is no such torsion.
        """
        return cls._of_residues(topology, ("chi1", "chi2", "chi3", "chi4", "chi5"))

    @classmethod
    def _of_residues(cls, topology: Topology, kinds: tuple[str, ...]) -> "Torsions":
        from mdtraj.geometry import dihedral

        molecules = as_mdtraj(topology)
        found: list[tuple[int, int, list[int]]] = []
        for order, kind in enumerate(kinds):
            indices: NDArray[np.intp] = getattr(dihedral, f"indices_{kind}")(molecules)
            # the second atom lies in the residue that gives the torsion its number, for φ, ψ, ω and χ alike
            found += [(molecules.atom(row[1]).residue.index, order, row) for row in np.asarray(indices).tolist()]
        if not found:
            raise InputError(
                f"topology: expected {', '.join(kinds)} torsions of a peptide, found none in {molecules.n_residues} residues; "
                "give the atoms yourself, Torsions([[i, j, k, l], ...])"
            )
        found.sort()
        labels = residue_labels([molecules.residue(residue) for residue, _, _ in found])
        names = [f"{kinds[order]} {label}" for (_, order, _), label in zip(found, labels, strict=True)]
        return cls([atoms for _, _, atoms in found], names)

    def _compute(self, frames: AnyFloatArray, boxes: AnyFloatArray | None) -> FloatArray:
        from MDAnalysis.lib.distances import calc_dihedrals

        angles = minimum_image(calc_dihedrals, frames, self._groups, boxes)
        np.copyto(angles, _PI, where=angles == -_PI)
        return angles
