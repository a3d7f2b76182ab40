"""The Z-matrix of a molecule: each atom placed from three others, with the wanted torsions as free coordinates."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import MDAnalysis
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, dijkstra

from openmm_trajgan.backmap.placement import compiled
from openmm_trajgan.errors import InputError

Array = NDArray[np.float64]
_BONDS_MISSING = "call topology.createStandardBonds() in OpenMM, or universe.add_bonds() for residues it does not know"


@dataclass(frozen=True)
class Level:
    """Pivots whose atoms can be placed together.

    Parameters
    ----------
    pivots
        Which pivots, those with most atoms first.
    references
        Rows of the atoms i, j, k of each pivot, three arrays ``(n_pivots,)``.
    siblings
        Rows of the first atom of all these pivots, of the second atom of those that have two, and so on.
    """

    pivots: slice
    references: tuple[NDArray[np.intp], ...]
    siblings: tuple[slice, ...]


@dataclass(frozen=True)
class ZMatrix:
    """Which atom is placed from which, for one molecule.

    Atoms l bonded to one atom k are placed together from k, from j, bonded to k, and from a third atom i: k is their pivot. The
    torsion i–j–k–l of the first of them is the torsion of the pivot, the coordinate that turns all of them about the bond j–k and
    moves no bond length, bond angle or improper torsion. What remains of an atom is its arm: the vector from k to l in the axes
    that i, j and k span (along j→k, across it in their plane, normal to the plane) with the torsion of the pivot turned to 0. In
    spherical coordinates an arm is a bond length, a bond angle and the offset of the atom's torsion from that of its pivot; as a
    vector it needs no trigonometry to be placed (natural extension reference frame, Parsons et al., J. Comput. Chem. 26, 1063
    (2005)).

    Positions are ``(n_atoms, 3, n_frames)``, arms ``(n_rows, 3, n_frames)`` in nm with the rows in order of placement, torsions
    ``(n_pivots, n_frames)`` in rad. Positions come out with the second root atom at the origin and the first on the x axis.

    Parameters
    ----------
    rows
        The atom of each row; the first three are the root, from which everything else is placed, ``(n_atoms,)``.
    levels
        Pivots in the order of placement.
    pivots
        Atoms i, j, k of each pivot, ``(n_pivots, 3)``.
    primary
        Row whose torsion is that of the pivot, ``(n_pivots,)``.
    pivot_of_row
        ``(n_atoms - 3,)``, for the rows after the root.
    pivot_of_torsion
        Pivot that each wanted torsion belongs to, ``(n_torsions,)``.
    """

    rows: NDArray[np.intp]
    levels: tuple[Level, ...]
    pivots: NDArray[np.intp]
    primary: NDArray[np.intp]
    pivot_of_row: NDArray[np.intp]
    pivot_of_torsion: NDArray[np.intp]

    @classmethod
    def from_universe(cls, universe: MDAnalysis.Universe, torsions: Mapping[str, tuple[int, ...]]) -> "ZMatrix":
        """Build the Z-matrix in which every given torsion is the torsion of a pivot.

        Parameters
        ----------
        universe
            One molecule, with bonds; positions are not used.
        torsions
            Four atoms bonded in a row per torsion, by name; no two on the same central bond, none about a bond in a ring.

        Raises
        ------
        InputError
            If bonds are missing or there are several fragments.
        """
        graph = bond_graph(universe)
        # Started at the centre of the molecule there are half as many levels, and errors have half the lever.
        centre = int(dijkstra(graph, unweighted=True).max(axis=1).argmin())
        order, parent = breadth_first_order(graph, centre, directed=False)
        if len(order) < 4:
            raise InputError(f"expected a molecule of at least four atoms, found {len(order)}; it has no torsion")
        first, second = order[1:3]

        wanted: dict[int, tuple[int, int, int]] = {}
        for quadruple in torsions.values():
            i, j, k, placed = quadruple if parent[quadruple[2]] == quadruple[1] else quadruple[::-1]
            wanted[k] = (i, j, placed)

        members: dict[int, list[int]] = {}
        for atom in order[3:].tolist():
            members.setdefault(int(parent[atom]), []).append(atom)
        level = dict.fromkeys((centre, first, second), 0)
        references: dict[int, tuple[int, int, int]] = {}
        for pivot, atoms in members.items():
            if pivot == centre:
                i, j = second, first
            elif parent[pivot] == centre:
                i, j = second if pivot == first else first, centre
            else:
                i, j = int(parent[parent[pivot]]), int(parent[pivot])
            if pivot in wanted:
                i, j, placed = wanted[pivot]
                atoms.sort(key=lambda atom, placed=placed: atom != placed)  # type: ignore[misc]  # stable: the wanted one first
            references[pivot] = (i, j, pivot)
            level.update(dict.fromkeys(atoms, 1 + max(level[i], level[j], level[pivot])))

        by_level: dict[int, list[int]] = {}
        for pivot, atoms in members.items():
            by_level.setdefault(level[atoms[0]], []).append(pivot)
        sequence = [sorted(pivots, key=lambda pivot: -len(members[pivot])) for _, pivots in sorted(by_level.items())]
        return cls._assembled([int(first), centre, int(second)], sequence, members, references, list(wanted))

    @classmethod
    def _assembled(
        cls,
        root: list[int],
        sequence: list[list[int]],
        members: dict[int, list[int]],
        references: dict[int, tuple[int, int, int]],
        wanted: list[int],
    ) -> "ZMatrix":
        number = {pivot: index for index, pivot in enumerate(pivot for pivots in sequence for pivot in pivots)}
        row_of = {atom: row for row, atom in enumerate(root)}
        pivot_of_row: list[int] = []
        levels = []
        for pivots in sequence:
            siblings = []
            for rank in range(len(members[pivots[0]])):
                start = len(row_of)
                for pivot in pivots:
                    if rank < len(members[pivot]):
                        row_of[members[pivot][rank]] = len(row_of)
                        pivot_of_row.append(number[pivot])
                siblings.append(slice(start, len(row_of)))
            columns = tuple(np.array([row_of[references[pivot][column]] for pivot in pivots], dtype=np.intp) for column in range(3))
            levels.append(Level(slice(number[pivots[0]], number[pivots[-1]] + 1), columns, tuple(siblings)))
        return cls(
            rows=np.array(list(row_of), dtype=np.intp),
            levels=tuple(levels),
            pivots=np.array([references[pivot] for pivot in number], dtype=np.intp),
            primary=np.array([row_of[members[pivot][0]] for pivot in number], dtype=np.intp),
            pivot_of_row=np.array(pivot_of_row, dtype=np.intp),
            pivot_of_torsion=np.array([number[pivot] for pivot in wanted], dtype=np.intp),
        )

    def measure(self, positions: Array) -> tuple[Array, Array]:
        """Return torsions and arms of positions."""
        positions = positions[self.rows]
        arms = np.zeros_like(positions)
        first, second = positions[0] - positions[1], positions[2] - positions[1]
        arms[0, 0] = np.linalg.norm(first, axis=0)
        arms[2, 0] = (first * second).sum(axis=0) / arms[0, 0]
        arms[2, 1] = np.linalg.norm(np.cross(first, second, axis=0), axis=0) / arms[0, 0]
        for level in self.levels:
            i, j, k = (positions[column] for column in level.references)
            axes = _axes(i, j, k)
            for rows in level.siblings:
                n = rows.stop - rows.start
                np.einsum("acxf,axf->acf", axes[:n], positions[rows] - k[:n], out=arms[rows])
        torsions = np.arctan2(arms[self.primary, 2], arms[self.primary, 1])
        self.turn(arms, -torsions)
        return torsions, arms

    def place(self, torsions: Array, arms: Array) -> Array:
        """Return positions from torsions and arms, the inverse of `measure` but for motion of the whole; `arms` are overwritten."""
        self.turn(arms, torsions)
        return self.placed(arms)

    def placed(self, arms: Array) -> Array:
        """Return positions from arms that are turned by their torsions."""
        arms = np.ascontiguousarray(arms)
        positions = np.empty_like(arms)
        positions[:3] = arms[:3]
        row_of_atom = np.argsort(self.rows)
        if (place := compiled()) is not None:
            place(arms, row_of_atom[self.pivots], self.pivot_of_row, positions)
            return positions[row_of_atom]
        for level in self.levels:
            i, j, k = (positions[column] for column in level.references)
            axes = _axes(i, j, k)
            for rows in level.siblings:
                n = rows.stop - rows.start
                np.einsum("acxf,acf->axf", axes[:n], arms[rows], out=positions[rows])
                positions[rows] += k[:n]
        return positions[row_of_atom]

    def pulled_back(self, gradient: Array, positions: Array, arms: Array) -> Array:
        """Gradient with respect to turned arms of a function of positions: the chain rule through `placed`.

        Parameters
        ----------
        gradient
            With respect to positions, ``(n_atoms, 3, n_frames)``.
        positions, arms
            What `placed` returned, and what from.
        """
        pulls, positions = gradient[self.rows], positions[self.rows]
        slopes = np.empty_like(pulls)
        for level in reversed(self.levels):
            i, j, k = (positions[column] for column in level.references)
            axes = _axes(i, j, k)
            on_k = np.zeros_like(k)
            on_axes = np.zeros_like(axes)
            for rows in level.siblings:
                n, pulled = rows.stop - rows.start, pulls[rows]
                on_k[:n] += pulled
                np.einsum("acxf,axf->acf", axes[:n], pulled, out=slopes[rows])
                on_axes[:n] += arms[rows, :, None] * pulled[:, None]
            on_i, on_j, on_ahead = _pulled_through_axes(i, j, k, axes, on_axes)
            on_k += on_ahead
            for column, onto in zip(level.references, (on_i, on_j, on_k), strict=True):
                for row, pulled in zip(column, onto, strict=True):  # the same row may come several times
                    pulls[row] += pulled
        slopes[:3] = pulls[:3]
        return slopes

    def turn(self, arms: Array, torsions: Array) -> None:
        """Turn arms about the bonds of their pivots, in place."""
        cosine, sine = np.cos(torsions)[self.pivot_of_row], np.sin(torsions)[self.pivot_of_row]
        across, normal = arms[3:, 1], arms[3:, 2]
        turned = across * cosine
        turned -= normal * sine
        normal *= cosine
        sine *= across
        normal += sine
        across[:] = turned


def _axes(i: Array, j: Array, k: Array) -> Array:
    """Along j→k, across it in the plane of i, j and k, and normal to the plane, ``(n_pivots, 3, 3, n_frames)``."""
    axes = np.empty((len(k), 3, *k.shape[1:]))
    along, across = axes[:, 0], axes[:, 1]
    np.subtract(k, j, out=along)
    along /= _lengths(along)
    np.subtract(i, j, out=across)
    across -= along * _products(along, across)
    across /= _lengths(across)
    axes[:, 2] = _cross(along, across)
    return axes


def _pulled_through_axes(i: Array, j: Array, k: Array, axes: Array, on_axes: Array) -> tuple[Array, Array, Array]:
    """Gradients with respect to i, j and k of a function of their `_axes`, from that with respect to the axes."""
    along, across = axes[:, 0], axes[:, 1]
    on_along, on_across, on_normal = on_axes[:, 0], on_axes[:, 1], on_axes[:, 2]
    on_along += _cross(across, on_normal)
    on_across += _cross(on_normal, along)
    behind, ahead = i - j, k - j
    offset = _products(along, behind)
    on_behind = (on_across - across * _products(across, on_across)) / _lengths(behind - along * offset)
    on_along -= offset * on_behind
    on_along -= behind * _products(along, on_behind)
    on_behind -= along * _products(along, on_behind)
    on_ahead = (on_along - along * _products(along, on_along)) / _lengths(ahead)
    return on_behind, -on_behind - on_ahead, on_ahead


def _products(one: Array, other: Array) -> Array:
    products: Array = np.einsum("axf,axf->af", one, other)
    return products[:, None]


def _lengths(vectors: Array) -> Array:
    lengths: Array = np.sqrt(_products(vectors, vectors))
    return lengths


def _cross(one: Array, other: Array) -> Array:
    following, preceding = [1, 2, 0], [2, 0, 1]  # faster than numpy.cross on this axis
    product: Array = one[:, following] * other[:, preceding]
    product -= one[:, preceding] * other[:, following]
    return product


def bond_graph(universe: MDAnalysis.Universe) -> csr_array:
    """Symmetric adjacency matrix of the bonds of one molecule, ``(n_atoms, n_atoms)``.

    Raises
    ------
    InputError
        If bonds are missing or there are several fragments.
    """
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
            f"expected one molecule, found {n_fragments} fragments without a bond between them ({sizes} … atoms), as with several "
            "chains, a ligand or water: torsions do not tell where they lie to each other; backmap one molecule at a time, use "
            f"frames of MD (method='nearest_frames'), or if they are one molecule: {_BONDS_MISSING}"
        )
    return graph


def ring_bonds(graph: csr_array) -> set[frozenset[int]]:
    """Bonds that are part of a ring, as pairs of atoms of a connected graph."""
    order, parent = breadth_first_order(graph, 0, directed=False)
    depth = {int(order[0]): 0}
    for atom in order[1:].tolist():
        depth[atom] = depth[int(parent[atom])] + 1
    rings = set()
    for one, two in zip(*graph.nonzero(), strict=True):
        a, b = int(one), int(two)
        if a < b and parent[a] != b and parent[b] != a:  # closes a ring with the way both have to their common ancestor
            rings.add(frozenset((a, b)))
            while a != b:
                a, b = (a, b) if depth[a] >= depth[b] else (b, a)
                rings.add(frozenset((a, int(parent[a]))))
                a = int(parent[a])
    return rings


def residue_label(atom: Any) -> str:
    """Return name and number of the residue of an MDAnalysis atom, as far as the Universe has them."""
    return f"{getattr(atom, 'resname', '')}{getattr(atom, 'resid', '')}"


def atom_label(atom: Any) -> str:
    """Return residue and name of an MDAnalysis atom, its index if it has no name."""
    return f"{residue_label(atom)}-{getattr(atom, 'name', atom.index)}"
