"""What bonds and names tell of a molecule: angles, rings, peptide bonds, backbone, hydrogen bonding."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from MDAnalysis.guesser.default_guesser import DefaultGuesser
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

IntArray = NDArray[np.intp]


def given_bonds(atoms: Any) -> IntArray:
    """Bonds of the topology between atoms of the group, as places in the group, ``(n_bonds, 2)``."""
    bonds = np.asarray(atoms.intra_bonds.indices if hasattr(atoms, "bonds") else [], dtype=np.intp).reshape(-1, 2)
    return _places(atoms)[bonds]


def _places(atoms: Any) -> IntArray:
    places = np.full(len(atoms.universe.atoms), -1, dtype=np.intp)
    places[atoms.indices] = np.arange(len(atoms))
    return places


def bonds_of(atoms: Any) -> IntArray:
    """Bonds of the topology, and guessed ones of atoms that have none there, ``(n_bonds, 2)``; PDB files list only some of them."""
    bonds = given_bonds(atoms)
    bare = np.ones(len(atoms), dtype=bool)
    bare[bonds] = False
    if len(atoms) > 1 and bare.any():
        box = atoms.dimensions if atoms.dimensions is not None and atoms.dimensions[:3].all() else None
        try:
            found = DefaultGuesser(None, box=box).guess_bonds(atoms, atoms.positions)
        except (AttributeError, ValueError):  # no names, or elements without a radius
            return bonds
        guessed = _places(atoms)[np.asarray(found, dtype=np.intp).reshape(-1, 2)]
        bonds = np.concatenate([bonds, guessed[bare[guessed].any(axis=1)]])
    return bonds


def elements_of(atoms: Any) -> NDArray[Any]:
    """Element symbols in capitals, ``(n_atoms,)``; without elements or names there is nothing to tell, and they are empty."""
    if hasattr(atoms, "elements") and all(atoms.elements):
        elements = atoms.elements
    elif hasattr(atoms, "names"):
        elements = DefaultGuesser(None).guess_types(atom_types=atoms.names)
    else:
        elements = [""] * len(atoms)
    return np.char.upper(np.asarray(elements, dtype=str))


def angles(bonds: IntArray) -> IntArray:
    """Return any two neighbours of an atom with it in the middle, ``(n_angles, 3)``, from bonds ``(n_bonds, 2)``."""
    neighbours: dict[int, list[int]] = {}
    for one, other in bonds.tolist():
        neighbours.setdefault(one, []).append(other)
        neighbours.setdefault(other, []).append(one)
    angles = [(one, centre, other) for centre, around in neighbours.items() for one, other in combinations(around, 2)]
    return np.array(angles, dtype=np.intp).reshape(-1, 3)


def pairs_within(bonds: IntArray, n_atoms: int, n_bonds: int) -> IntArray:
    """Code pairs i < j at most `n_bonds` apart, as i · n_atoms + j, sorted, ``(n_pairs,)``; `bonds` are ``(n, 2)``."""
    one, other = bonds.T
    step = coo_array((np.ones(len(bonds), dtype=np.int8), (one, other)), shape=(n_atoms, n_atoms)).tocsr()
    step = (step + step.T).astype(bool)
    reached = step
    for _ in range(n_bonds - 1):
        reached = reached + reached @ step
    first, second = reached.nonzero()
    return np.unique(first.astype(np.intp) * n_atoms + second)


def polar(elements: NDArray[Any], bonds: IntArray) -> NDArray[np.bool_]:
    """Tell the atoms that take part in hydrogen bonds, ``(n_atoms,)``: N, O, F, S and hydrogen bonded to one.

    `elements` are ``(n_atoms,)``, `bonds` ``(n_bonds, 2)``.
    """
    polar = np.isin(elements, ("N", "O", "F", "S"))
    found = polar.copy()
    for one, other in (bonds.T, bonds.T[::-1]):
        found[one[(elements[one] == "H") & polar[other]]] = True
    return found


def ring_bonds(bonds: IntArray, n_atoms: int) -> IntArray:
    """Return which of `bonds` ``(n_bonds, 2)`` are part of a ring, as places among them, ``(n_ring_bonds,)``.

    Every bond outside a spanning tree closes a ring through the tree.
    """
    if not len(bonds):
        return np.empty(0, dtype=np.intp)
    graph = coo_array((np.ones(len(bonds), dtype=np.int8), bonds.T), shape=(n_atoms, n_atoms)).tocsr()
    parent = np.full(n_atoms, -1)
    depth = np.zeros(n_atoms, dtype=np.intp)
    fragment = connected_components(graph, directed=False)[1]
    for first in np.unique(fragment, return_index=True)[1]:
        order, before = breadth_first_order(graph, first, directed=False)
        parent[order[1:]] = before[order[1:]]
        for atom in order[1:].tolist():
            depth[atom] = depth[parent[atom]] + 1
    place = {frozenset(bond): index for index, bond in enumerate(bonds.tolist())}
    found = set()
    for one, other in bonds.tolist():
        if parent[one] != other and parent[other] != one:
            found.add(place[frozenset((one, other))])
            while one != other:
                one, other = (one, other) if depth[one] >= depth[other] else (other, one)
                found.add(place[frozenset((one, int(parent[one])))])
                one = int(parent[one])
    return np.array(sorted(found), dtype=np.intp)


def peptide_links(names: Sequence[str], residues: IntArray, bonds: IntArray) -> list[tuple[int, int]]:
    """Return the peptide bonds, C before N; `residues` are ``(n_atoms,)``, `bonds` ``(n_bonds, 2)``."""
    both_ways = [*bonds.tolist(), *bonds[:, ::-1].tolist()]
    return [
        (one, other) for one, other in both_ways if names[one] == "C" and names[other] == "N" and residues[one] != residues[other]
    ]


def adjacent_alphas(names: Sequence[str], atoms: Any, links: Sequence[tuple[int, int]]) -> IntArray:
    """Return alpha carbons of residues joined by a peptide bond, or of a trace of them the neighbours, ``(n_pairs, 2)``."""
    residues = atoms.resindices.tolist()
    alpha = {residue: atom for atom, (residue, name) in enumerate(zip(residues, names, strict=True)) if name == "CA"}
    if set(names) == {"CA"}:
        chains = atoms.segindices
        pairs = [(atom, atom + 1) for atom in range(len(names) - 1) if chains[atom] == chains[atom + 1]]
    else:
        joined = [(residues[carbon], residues[nitrogen]) for carbon, nitrogen in links]
        pairs = [(alpha[one], alpha[other]) for one, other in joined if one in alpha and other in alpha]
    return np.array(pairs, dtype=np.intp).reshape(-1, 2)


def centres_and_backbone(
    names: Sequence[str], residues: IntArray, links: Sequence[tuple[int, int]]
) -> tuple[IntArray, IntArray, IntArray]:
    """Return CA, N, C, CB of each residue with them, ``(n, 4)``; C, N, CA, C, N, ``(n, 5)``; the atoms of each ω, ``(n, 4)``.

    `residues` are those of the atoms, ``(n_atoms,)``.
    """
    place = {(residue, name): atom for atom, (residue, name) in enumerate(zip(residues.tolist(), names, strict=True))}
    before = {nitrogen: carbon for carbon, nitrogen in links}
    after = dict(links)
    centres, backbone = [], []
    for residue in np.unique(residues).tolist():
        nitrogen, alpha, carbon, beta = (place.get((residue, name), -1) for name in ("N", "CA", "C", "CB"))
        if min(nitrogen, alpha, carbon) >= 0:
            if beta >= 0:
                centres.append((alpha, nitrogen, carbon, beta))
            if nitrogen in before and carbon in after:
                backbone.append((before[nitrogen], nitrogen, alpha, carbon, after[carbon]))
    omegas = []
    for carbon, nitrogen in links:  # the methyl carbon, CH3 or in NME also C, stands for the alpha carbon in caps
        before_carbon, after_nitrogen = (
            next((place[residues[atom], name] for name in names_there if (residues[atom], name) in place), -1)
            for atom, names_there in ((carbon, ("CA", "CH3")), (nitrogen, ("CA", "CH3", "C")))
        )
        if min(before_carbon, after_nitrogen) >= 0:
            omegas.append((before_carbon, carbon, nitrogen, after_nitrogen))
    rows = ((centres, 4), (backbone, 5), (omegas, 4))
    found = [np.array(atoms, dtype=np.intp).reshape(-1, width) for atoms, width in rows]
    return found[0], found[1], found[2]
