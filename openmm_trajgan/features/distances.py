"""Distances between pairs of atoms."""

from collections.abc import Sequence
from typing import Any

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


class Distances(BlockFeaturizer):
    """Distances between pairs of atoms in nm, nearest image where there is a box.

    Parameters
    ----------
    pairs
        Atom indices, ``(n_pairs, 2)``.
    names
        One unique name per pair; default ``"distance i-j"``.

    Raises
    ------
    InputError
        If the indices or names are not of that form.

    Examples
    --------
    >>> gap = Distances([[0, 1]])
    >>> gap([[0.0, 0.0, 0.0], [0.0, 0.0, 2.5]])
    array([2.5], dtype=float32)
    >>> gap([[0.0, 0.0, 0.0], [0.0, 0.0, 2.5]], box=4 * np.eye(3))
    array([1.5], dtype=float32)
    """

    def __init__(self, pairs: ArrayLike, names: Sequence[str] | None = None) -> None:
        indices = index_array(pairs, "(n_pairs, 2)", 2)
        labels = [f"distance {i}-{j}" for i, j in indices.tolist()] if names is None else names
        super().__init__(uniform_schema(labels, indices, kind="distance", unit="nm"), int(indices.max()) + 1)
        self._groups = np.ascontiguousarray(indices.T)

    @classmethod
    def between(cls, topology: Topology, selection_a: str | ArrayLike, selection_b: str | ArrayLike) -> "Distances":
        """All pairs of one atom of `selection_a` and another of `selection_b`, each once, in the order of their indices.

        Parameters
        ----------
        topology
            Of the whole system.
        selection_a, selection_b
            Atom indices ``(n,)``, or a selection in the language of mdtraj such as ``"resname LIG and element O"``.

        Raises
        ------
        InputError
            If a selection cannot be read or is empty.
        """
        molecules = as_mdtraj(topology)
        a, b = (_selected(molecules, selection) for selection in (selection_a, selection_b))
        pairs = np.stack([np.repeat(a, len(b)), np.tile(b, len(a))], axis=1)
        pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
        if not len(pairs):
            raise InputError(f"selections: expected two different atoms, found only atom {a[0]}; widen one of the selections")
        return cls(pairs, _pair_names(molecules, pairs))

    @classmethod
    def alpha_carbons(cls, topology: Topology, min_separation: int = 3) -> "Distances":
        """Pairs of α carbons of different chains, or at least `min_separation` residues apart in one chain.

        Raises
        ------
        InputError
            If there is no such pair.
        """
        molecules = as_mdtraj(topology)
        alpha = [atom for atom in molecules.atoms if atom.name == "CA" and atom.element.symbol != "Ca"]
        residues = np.array([atom.residue.index for atom in alpha])
        chains = np.array([atom.residue.chain.index for atom in alpha])
        first, second = np.triu_indices(len(alpha), 1)
        apart = (chains[first] != chains[second]) | (abs(residues[first] - residues[second]) >= min_separation)
        if not apart.any():
            raise InputError(
                f"topology: expected α carbons at least {min_separation} residues apart, found no such pair among {len(alpha)}; "
                "lower min_separation or give the pairs yourself, Distances([[i, j], ...])"
            )
        indices = np.array([atom.index for atom in alpha])
        pairs = np.stack([indices[first[apart]], indices[second[apart]]], axis=1)
        return cls(pairs, _pair_names(molecules, pairs))

    def _compute(self, frames: AnyFloatArray, boxes: AnyFloatArray | None) -> FloatArray:
        from MDAnalysis.lib.distances import calc_bonds

        return minimum_image(calc_bonds, frames, self._groups, boxes)


def _selected(molecules: Any, selection: str | ArrayLike) -> NDArray[np.intp]:
    if isinstance(selection, str):
        try:
            found = np.asarray(molecules.select(selection), dtype=np.intp)
        except Exception as error:  # mdtraj raises whatever its parser and the evaluated expression raise
            raise InputError(f"selection {selection!r}: expected the selection language of mdtraj, found {error}") from error
        if not len(found):
            raise InputError(f"selection {selection!r}: expected at least one atom, found none; check names and residues")
        return found
    atoms = index_array(selection, "(n_atoms,)")
    if atoms.max() >= molecules.n_atoms:
        raise InputError(f"selection: expected atom indices below {molecules.n_atoms}, found {atoms.max()}; count atoms from 0")
    return atoms


def _pair_names(molecules: Any, pairs: NDArray[np.intp]) -> list[str] | None:
    """Names such as ``"distance 2:CA-9:CA"``; None where atoms of one residue share a name."""
    atoms = [molecules.atom(index) for index in np.unique(pairs).tolist()]
    labels = [f"{label}:{atom.name}" for label, atom in zip(residue_labels([atom.residue for atom in atoms]), atoms, strict=True)]
    if len(set(labels)) < len(labels):
        return None
    of = {atom.index: label for atom, label in zip(atoms, labels, strict=True)}
    return [f"distance {of[i]}-{of[j]}" for i, j in pairs.tolist()]
