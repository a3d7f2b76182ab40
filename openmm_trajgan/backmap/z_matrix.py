"""The Z-matrix of a molecule: each atom placed from three others, with the wanted torsions as free coordinates."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import MDAnalysis
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, dijkstra

from openmm_trajgan.errors import InputError

_BONDS_MISSING = "call topology.createStandardBonds() in OpenMM, or universe.add_bonds() for residues it does not know"


@dataclass(frozen=True)
class ZMatrix:
    """Which atom is placed from which, for one molecule.

    Atom l is placed from three others i–j–k, with k bonded to l. Its internal coordinates are the vector from k to l in the
    axes that i, j and k span: along j→k, across it in their plane, and normal to the plane. In spherical coordinates that
    vector is the bond length, the bond angle and the torsion i–j–k–l of a classical Z-matrix; kept as a vector it needs no
    trigonometry to be placed (natural extension reference frame, Parsons et al., J. Comput. Chem. 26, 1063 (2005)). All
    atoms bonded to k share i and j, so that turning their vectors by one angle is a rotation about the bond j–k which moves
    no bond length, bond angle or improper torsion.

    Positions and internal coordinates have the shape ``(n_atoms, 3, n_frames)``; the three root atoms keep their positions.

    Parameters
    ----------
    root
        The three atoms everything else is placed from, ``(3,)``.
    references
        Atoms i, j, k of each atom, ``(n_atoms, 3)``; unused for the root.
    levels
        Atoms that can be placed together, in the order of placement.
    placed_by
        The atom l of each torsion, oriented so that l lies farther from the root, ``(n_torsions,)``.
    turned_by
        The torsion that turns each atom, −1 for none, ``(n_atoms,)``.
    """

    root: NDArray[np.intp]
    references: NDArray[np.intp]
    levels: tuple[NDArray[np.intp], ...]
    placed_by: NDArray[np.intp]
    turned_by: NDArray[np.intp]

    @classmethod
    def from_universe(cls, universe: MDAnalysis.Universe, torsions: Mapping[str, tuple[int, ...]]) -> "ZMatrix":
        """Build the Z-matrix in which every given torsion is a coordinate of its own.

        Parameters
        ----------
        universe
            One molecule, with bonds; positions are not used.
        torsions
            Four bonded atoms per torsion, by name; no two on the same central bond.

        Raises
        ------
        InputError
            If bonds are missing, there are several fragments, or a torsion does not follow bonds or turns about a bond in a ring.
        """
        graph = _bond_graph(universe)
        for name, quadruple in torsions.items():
            _require_free(name, quadruple, graph, universe.atoms)
        # Started at the centre of the molecule there are half as many levels, and errors have half the lever.
        centre = int(dijkstra(graph, unweighted=True).max(axis=1).argmin())
        order, parent = breadth_first_order(graph, centre, directed=False)
        first, second = order[1:3]

        chosen: dict[int, tuple[int, int]] = {}
        placed_by, pivots = [], []
        for quadruple in torsions.values():
            i, j, k, placed = quadruple if parent[quadruple[2]] == quadruple[1] else quadruple[::-1]
            chosen[k] = (i, j)
            placed_by.append(placed)
            pivots.append(k)

        references = np.zeros((len(order), 3), dtype=np.intp)
        level = np.zeros(len(order), dtype=np.intp)
        for atom in order[3:]:
            bonded = int(parent[atom])
            if bonded == centre:
                i, j = second, first
            elif parent[bonded] == centre:
                i, j = chosen.get(bonded, (second if bonded == first else first, centre))
            else:
                i, j = chosen.get(bonded, (parent[parent[bonded]], parent[bonded]))
            references[atom] = i, j, bonded
            level[atom] = 1 + level[[i, j, bonded]].max()

        turned_by = np.full(len(order), -1, dtype=np.intp)
        for index, pivot in enumerate(pivots):
            turned_by[(parent == pivot) & (level > 0)] = index
        return cls(
            root=np.array([first, centre, second], dtype=np.intp),
            references=references,
            levels=tuple(np.flatnonzero(level == depth) for depth in range(1, level.max() + 1)),
            placed_by=np.array(placed_by, dtype=np.intp),
            turned_by=turned_by,
        )

    def measure(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the internal coordinates of positions, both ``(n_atoms, 3, n_frames)`` in nm."""
        internal = positions.copy()
        for atoms in self.levels:
            arms = positions[atoms] - positions[self.references[atoms, 2]]
            for component, axis in enumerate(self._axes(positions, atoms)):
                internal[atoms, component] = (axis * arms).sum(axis=1)
        return internal

    def place(self, internal: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return positions from internal coordinates, both ``(n_atoms, 3, n_frames)`` in nm; the inverse of `measure`."""
        positions = np.empty_like(internal)
        positions[self.root] = internal[self.root]
        for atoms in self.levels:
            along, across, normal = self._axes(positions, atoms)
            arms = internal[atoms]
            along *= arms[:, 0:1]
            across *= arms[:, 1:2]
            normal *= arms[:, 2:3]
            positions[atoms] = positions[self.references[atoms, 2]] + along + across + normal
        return positions

    def turn(self, internal: NDArray[np.float64], torsions: NDArray[np.float64]) -> None:
        """Turn internal coordinates in place until the torsions have the given values, ``(n_torsions, n_frames)`` in rad."""
        present = internal[self.placed_by]
        by = torsions - np.arctan2(present[:, 2], present[:, 1])
        atoms = np.flatnonzero(self.turned_by >= 0)
        cosine, sine = (function(by)[self.turned_by[atoms]] for function in (np.cos, np.sin))
        across, normal = internal[atoms, 1], internal[atoms, 2]
        internal[atoms, 1] = across * cosine - normal * sine
        internal[atoms, 2] = across * sine + normal * cosine

    def _axes(self, positions: NDArray[np.float64], atoms: NDArray[np.intp]) -> tuple[NDArray[np.float64], ...]:
        i, j, k = (positions[column] for column in self.references[atoms].T)
        along = _unit(k - j)
        normal = _unit(_cross(j - i, along))
        return along, _cross(normal, along), normal


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.sqrt(np.einsum("aif,aif->af", vectors, vectors))
    return vectors / lengths[:, None]


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    product = np.empty_like(a)  # three times as fast as numpy.cross on this axis
    for x, y, z in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        product[:, x] = a[:, y] * b[:, z] - a[:, z] * b[:, y]
    return product


def _bond_graph(universe: MDAnalysis.Universe) -> csr_array:
    """Symmetric adjacency matrix of the bonds, one connected fragment."""
    n_atoms = len(universe.atoms)
    bonds = universe.bonds.indices if hasattr(universe, "bonds") else np.empty((0, 2), dtype=np.intp)
    if not len(bonds):
        raise InputError(f"expected the bonds of {n_atoms} atoms in the topology, found none; {_BONDS_MISSING}")
    both = np.concatenate([bonds, bonds[:, ::-1]])
    graph = coo_array((np.ones(len(both)), both.T), shape=(n_atoms, n_atoms)).tocsr()
    n_fragments, fragment = connected_components(graph, directed=False)
    for residue in universe.residues:
        if len(set(fragment[residue.atoms.indices])) > 1:
            raise InputError(
                f"bonds are missing inside residue {residue_label(residue.atoms[0])} of the topology; {_BONDS_MISSING}"
            )
    if n_fragments > 1:
        sizes = ", ".join(str(size) for size in np.bincount(fragment)[:4])
        raise InputError(
            f"expected one molecule, found {n_fragments} fragments without a bond between them ({sizes} … atoms); backmap one "
            f"molecule at a time, or if they are one molecule: {_BONDS_MISSING}"
        )
    return graph


def residue_label(atom: Any) -> str:
    """Return name and number of the residue of an MDAnalysis atom, as far as the Universe has them."""
    return f"{getattr(atom, 'resname', '')}{getattr(atom, 'resid', '')}"


def atom_label(atom: Any) -> str:
    """Return residue and name of an MDAnalysis atom, its index if it has no name."""
    return f"{residue_label(atom)}-{getattr(atom, 'name', atom.index)}"


def _require_free(name: str, atoms: tuple[int, ...], graph: csr_array, all_atoms: Any) -> None:
    """Refuse a torsion that cannot be turned without changing a bond length or angle."""
    if len(atoms) != 4 or min(atoms) < 0 or max(atoms) >= len(all_atoms):
        raise InputError(
            f"torsion {name!r}: expected four atoms between 0 and {len(all_atoms) - 1}, found {atoms}; "
            "use the topology the features were made for"
        )
    labels = [atom_label(all_atoms[index]) for index in atoms]
    for one, two in zip((0, 1, 2), (1, 2, 3), strict=True):
        if not graph[atoms[one], atoms[two]]:
            raise InputError(
                f"torsion {name!r}: expected four atoms bonded in a row, found no bond {labels[one]} to {labels[two]}; "
                f"{_BONDS_MISSING}"
            )
    cut = graph.tolil()
    cut[atoms[1], atoms[2]] = cut[atoms[2], atoms[1]] = 0
    n_parts, _ = connected_components(cut.tocsr(), directed=False)
    if n_parts == 1:
        raise InputError(
            f"torsion {name!r} turns about the bond {labels[1]} to {labels[2]}, which is part of a ring, and cannot be set on "
            "its own; leave it out of the features (what is left out comes from the reference structures)"
        )
