"""The geometry of a molecule in many frames at once: bonds, angles, clashes, handedness, backbone torsions, size."""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from MDAnalysis.guesser.default_guesser import DefaultGuesser
from MDAnalysis.guesser.tables import vdwradii
from MDAnalysis.lib.distances import calc_angles, calc_bonds, calc_dihedrals, self_capped_distance
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from openmm_trajgan.errors import InputError

# Inside the limits of the wwPDB for close contacts, 0.22 nm and with hydrogen 0.16 nm, which the thermal motion of MD may cross
HEAVY_CLASH, CLASH = 0.2, 0.12  # nm
BONDS_APART = 3  # so many bonds apart or fewer, atoms may be that close
# Overlap of van der Waals spheres that counts as a clash, and how much more hydrogen bonds are granted; MolProbity's (Chen et al.,
# Acta Cryst. D 66, 12 (2010)) is the first
OVERLAP, HYDROGEN_BOND = 0.04, 0.02  # nm
FAR_RESIDUES, FAR_CLASH = 2, 0.1  # BioEmu: residues more than two apart come no closer than 0.1 nm
ALPHA_CLASH = 0.3  # nm; Str2Str: two radii of carbon less 0.04 nm
CLASHES = ("heavy_clashes", "clashes", "overlaps", "far_clashes", "alpha_clashes")
POSITIONS_AT_ONCE = 2**13  # of atoms; blocks of so many stay in the processor's cache
_MOST_PAIRS = 2**15  # beyond, looking for close pairs frame by frame costs less than measuring all
_ANGSTROM = 10.0  # per nm
IntArray = NDArray[np.intp]
Observables = dict[str, NDArray[Any]]
Energy = Callable[[NDArray[np.float32]], ArrayLike]


class StructureGeometry:
    """What to measure in a molecule, and the measuring of blocks of frames.

    Parameters
    ----------
    template
        The molecule, an AtomGroup or a Universe, whose names, masses, elements and bonds are used. Bonds of atoms that have none
        are guessed from distances in the current frame, as MDAnalysis does.

    Attributes
    ----------
    bonds, ring_bonds, alphas, centres, backbone, omegas : ndarray
        Atoms in the group: two to a bond; those of `bonds` that are part of a ring; alpha carbons of adjacent residues; CA, N, C,
        CB; C, N, CA, C, N from which φ and ψ are taken; four to a torsion about a peptide bond.
    reasons : dict
        Why something is not measured.

    Examples
    --------
    >>> import MDAnalysis
    >>> universe = MDAnalysis.Universe.empty(3, trajectory=True)
    >>> universe.add_TopologyAttr("bonds", [(0, 1), (1, 2)])
    >>> universe.atoms.positions = [[1, 0, 0], [0, 0, 0], [0, 1.5, 0]]
    >>> geometry = StructureGeometry(universe)
    >>> found = geometry.measure(universe.atoms.positions[None])
    >>> found["bond_lengths"].round(2), found["angles"].round(2), geometry.reasons["handedness"]
    (array([[0.1 , 0.15]], dtype=float32), array([[1.57]], dtype=float32), 'no alpha carbon with N, C and CB')
    """

    def __init__(self, template: Any) -> None:
        template = template.atoms
        n_atoms = len(template)
        names = template.names.tolist() if hasattr(template, "names") else [""] * n_atoms
        self.n_atoms = n_atoms
        self.bonds = bonds_of(template)
        links = _links(names, template.resindices, self.bonds)
        self.centres, self.backbone, self.omegas = _centres_and_backbone(names, template.resindices, links)
        self.alphas = _adjacent_alphas(names, template, links)
        self.peptide_bonds = np.array(links, dtype=np.intp).reshape(-1, 2)
        self.ring_bonds = _ring_bonds(self.bonds, n_atoms)
        masses = np.asarray(template.masses if hasattr(template, "masses") else np.zeros(n_atoms), dtype=np.float64)
        masses = masses if masses.sum() > 0 else np.ones(n_atoms)
        self._weights = (masses / masses.sum())[:, None]
        elements = elements_of(template)
        self.heavy = elements != "H"
        self._radii = np.array([vdwradii.get(element, 0.0) for element in elements.tolist()])  # Å
        self._polar = _polar(elements, self.bonds)
        self._residues = np.asarray(template.resindices)
        self._angles = _angles(self.bonds)
        joined, apart = (self.bonds, BONDS_APART) if len(self.bonds) else (self.alphas, 1)
        self._bonded = _pairs_within(joined, n_atoms, apart)
        self._carbons = np.array(names) == "CA"
        self._pairs = self._all_pairs()
        self._pair_limits = {} if self._pairs is None else self._limits(self._pairs)
        self.reasons: dict[str, str] = {}
        if not len(self.bonds):
            unbonded = "no bonds in the topology, and none could be guessed"
            clashes = () if len(self.alphas) else ("clashing", *CLASHES)
            self.reasons = dict.fromkeys(("bond_lengths", "angles", "phi_psi", *clashes), unbonded)
        for name, atoms, reason in (
            ("angles", self._angles, "no atom with two bonds"),
            ("handedness", self.centres, "no alpha carbon with N, C and CB"),
            ("phi_psi", self.backbone, "no residue with both φ and ψ"),
            ("omega", self.omegas, "no peptide bond"),
            ("alpha_distances", self.alphas, "no adjacent alpha carbons"),
        ):
            if not len(atoms):
                self.reasons.setdefault(name, reason)

    def measure(self, positions: NDArray[np.float32]) -> Observables:
        """Measure a block of whole structures.

        Parameters
        ----------
        positions
            ``(n_frames, n_atoms, 3)``, Å.

        Returns
        -------
        dict
            Each with n_frames rows; what stands in `reasons` is left out. ``"bond_lengths"``, ``(n_frames, n_bonds)``, nm;
            ``"angles"`` between any two bonds of an atom, rad; ``"heavy_clashes"`` and ``"clashes"``, pairs of heavy atoms closer
            than 0.2 nm and of any atoms closer than 0.12 nm, more than three bonds apart; ``"clashing"``, whether there are any;
            ``"overlaps"``, pairs whose van der Waals spheres overlap by more than 0.04 nm (0.06 nm in hydrogen bonds), as far
            apart; ``"far_clashes"``, pairs closer than 0.1 nm of residues more than two apart; ``"alpha_clashes"``, pairs of alpha
            carbons closer than 0.3 nm; ``"handedness"``,
            ``(n_frames, n_centres)``, sign of (N - CA) · [(C - CA) × (CB - CA)], 1 for L-amino acids;
            ``"radius_of_gyration"`` weighted by mass, nm; ``"phi_psi"``, ``(n_frames, n_residues, 2)``, rad; ``"omega"``, rad;
            ``"alpha_distances"`` between alpha carbons of adjacent residues, nm.
        """
        found: Observables = {}
        by_atom = np.ascontiguousarray(positions.transpose(2, 1, 0))  # (3, n_atoms, n_frames): pairs of atoms are rows
        if "bond_lengths" not in self.reasons:
            found["bond_lengths"] = _distances(by_atom, self.bonds) / np.float32(_ANGSTROM)
        if "clashing" not in self.reasons:
            found |= self._clashes(positions, by_atom)
            found["clashing"] = found["heavy_clashes"] + found["clashes"] > 0
        if "angles" not in self.reasons:
            found["angles"] = _over_frames(calc_angles, positions, self._angles)
        if "phi_psi" not in self.reasons:
            torsions = [_over_frames(calc_dihedrals, positions, self.backbone[:, at : at + 4]) for at in (0, 1)]
            found["phi_psi"] = np.stack(torsions, axis=2)
        if "omega" not in self.reasons:
            found["omega"] = _over_frames(calc_dihedrals, positions, self.omegas)
        if "alpha_distances" not in self.reasons:
            found["alpha_distances"] = _distances(by_atom, self.alphas) / np.float32(_ANGSTROM)
        if "handedness" not in self.reasons:
            centre, one, two, three = positions[:, self.centres.T].swapaxes(0, 1)
            found["handedness"] = np.sign(np.vecdot(one - centre, np.cross(two - centre, three - centre)))
        from_centre = positions - (self._weights * positions).sum(axis=1, keepdims=True)
        sizes = np.sqrt(np.einsum("a,fac->f", self._weights[:, 0], from_centre**2)) / _ANGSTROM
        found["radius_of_gyration"] = sizes.astype(np.float32)
        return found

    def measure_frames(self, atoms: Any, frames: IntArray) -> Observables:
        """Measure chosen frames of the trajectory of `atoms`, which are the atoms of the template in its order."""
        parts = [self.measure(positions) for positions in self._blocks(atoms, frames)]
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    def _blocks(self, atoms: Any, frames: IntArray) -> Iterator[NDArray[np.float32]]:
        length = max(1, POSITIONS_AT_ONCE // max(self.n_atoms, 1))
        for start in range(0, len(frames), length):
            block = np.empty((len(frames[start : start + length]), self.n_atoms, 3), dtype=np.float32)
            for place, ts in zip(block, atoms.universe.trajectory[frames[start : start + length]], strict=True):
                place[:] = atoms.positions
                self.require_whole(place, ts)
            require_finite(block, frames[start:])
            yield block

    def require_whole(self, positions: NDArray[np.float32], ts: Any) -> None:
        """Refuse a frame, ``(n_atoms, 3)`` in Å, whose periodic box cuts a bond."""
        box = ts.dimensions
        if box is None or not box[:3].all() or not len(self.bonds):
            return
        ends = positions[self.bonds.T]
        if np.abs(calc_bonds(*ends) - calc_bonds(*ends, box=box)).max() > 0.01:
            raise InputError(
                f"frame {ts.frame}: the periodic box cuts a bond; make the molecule whole, for example with "
                "universe.trajectory.add_transformations(MDAnalysis.transformations.unwrap(atoms))"
            )

    def _all_pairs(self) -> IntArray | None:
        """Pairs more than three bonds apart, ``(n_pairs, 2)``; None where they are too many to measure all."""
        if self.n_atoms * (self.n_atoms - 1) // 2 > _MOST_PAIRS:
            return None
        pairs = np.column_stack(np.triu_indices(self.n_atoms, 1))
        return pairs[~np.isin(pairs @ [self.n_atoms, 1], self._bonded)]

    def _clashes(self, positions: NDArray[np.float32], by_atom: NDArray[np.float32]) -> Observables:
        if self._pairs is not None:
            distances = _distances(by_atom, self._pairs).T
            closest = distances.min(axis=1, initial=np.inf)
            counts: Observables = {}
            for name, limits in self._pair_limits.items():
                rows = np.flatnonzero(closest < limits)  # few pairs ever come that close
                counts[name] = (distances[rows] < limits[rows, None]).sum(axis=0)
            return counts
        found: dict[str, list[int]] = {}
        reach = max(HEAVY_CLASH * _ANGSTROM, 2 * self._radii.max() - OVERLAP * _ANGSTROM)
        for frame in positions:
            pairs, close = self_capped_distance(frame, reach)
            pairs = np.sort(pairs, axis=1)
            codes = pairs @ [self.n_atoms, 1]
            nearest = np.minimum(np.searchsorted(self._bonded, codes), len(self._bonded) - 1)
            apart = self._bonded[nearest] != codes
            for name, limits in self._limits(pairs[apart]).items():
                found.setdefault(name, []).append(int((close[apart] < limits).sum()))
        return {name: np.array(values) for name, values in found.items()}

    def _limits(self, pairs: IntArray) -> dict[str, NDArray[np.float32]]:
        """Distances below which pairs count, Å, each ``(n_pairs,)``; negative for those that never do."""
        one, other = pairs.T
        heavy = self.heavy[one] & self.heavy[other]
        bonding = self._polar[one] & self._polar[other] & (self.heavy[one] | self.heavy[other])
        far = abs(self._residues[one] - self._residues[other]) > FAR_RESIDUES
        limits = {
            "heavy_clashes": np.where(heavy, HEAVY_CLASH, -1),
            "clashes": np.full(len(pairs), CLASH),
            "overlaps": (self._radii[one] + self._radii[other]) / _ANGSTROM - OVERLAP - HYDROGEN_BOND * bonding,
            "far_clashes": np.where(far, FAR_CLASH, -1),
            "alpha_clashes": np.where(self._carbons[one] & self._carbons[other], ALPHA_CLASH, -1),
        }
        return {name: (values * _ANGSTROM).astype(np.float32) for name, values in limits.items()}


def require_finite(positions: NDArray[np.float32], frames: IntArray) -> None:
    """Refuse a block of frames, ``(n_frames, n_atoms, 3)``, with a position that is not finite."""
    if not np.isfinite(positions.sum()):
        broken = np.flatnonzero(~np.isfinite(positions).all(axis=(1, 2)))
        if broken.size:
            raise InputError(f"frame {frames[broken[0]]}: a position is not finite; leave this frame out")


def _distances(by_atom: NDArray[np.float32], pairs: IntArray) -> NDArray[np.float32]:
    """Distances ``(n_frames, n_pairs)`` from positions ``(3, n_atoms, n_frames)``."""
    one, other = pairs.T
    squares = np.zeros((len(pairs), by_atom.shape[2]), dtype=np.float32)
    for axis in by_atom:
        difference = axis[one]
        difference -= axis[other]
        difference *= difference
        squares += difference
    return np.sqrt(squares, out=squares).T


def _over_frames(function: Any, positions: NDArray[np.float32], groups: IntArray) -> NDArray[np.float32]:
    """Apply a function of `MDAnalysis.lib.distances` to groups of atoms in all frames, ``(n_frames, n_groups)``."""
    shape = len(positions), len(groups)
    columns = [positions.take(column, axis=1).reshape(-1, 3) for column in groups.T]
    found: NDArray[np.float32] = function(*columns).astype(np.float32).reshape(shape)
    return found


def template_of(reference: Any, generated: Any) -> Any:
    """Atoms whose bonds are used, at their first frame: of the reference, unless only the generated have bonds."""
    template = generated if len(given_bonds(generated)) and not len(given_bonds(reference)) else reference
    template.universe.trajectory[0]
    return template


def require_same_atoms(reference: Any, generated: Any) -> None:
    """Refuse groups of different atoms."""
    advice = "give the same atoms in the same order, for example universe.select_atoms('protein') of both"
    if len(reference) != len(generated):
        raise InputError(f"the reference has {len(reference)} atoms, the generated structures {len(generated)}; {advice}")
    if not len(reference):
        raise InputError("expected at least one atom, found none; select some")
    if hasattr(reference, "names") and hasattr(generated, "names"):
        differ = np.flatnonzero(reference.names != generated.names)
        if differ.size:
            first, (one, other) = differ[0], (group.names[differ[0]] for group in (reference, generated))
            raise InputError(f"atom {first} is {one!r} in the reference and {other!r} in the generated structures; {advice}")
    if (np.diff(reference.resindices) != 0).tolist() != (np.diff(generated.resindices) != 0).tolist():
        raise InputError(f"residues of the reference and of the generated structures do not hold the same atoms; {advice}")


def evenly_spaced(n_there: int, n_wanted: int) -> IntArray:
    """Return frames from the first to the last, ``(n_wanted,)``."""
    return np.linspace(0, n_there - 1, n_wanted).round().astype(np.intp)


def energies_of(energy: Energy, atoms: Any, frames: IntArray) -> NDArray[np.float64]:
    """Energies of chosen frames, kJ/mol; an error if there is not one for each frame."""
    trajectory = atoms.universe.trajectory
    energies = []
    for some in np.array_split(frames, min(20, len(frames))):  # all frames of a large molecule at once need not fit in memory
        positions = np.stack([atoms.positions for _ in trajectory[some]], dtype=np.float32) / np.float32(_ANGSTROM)
        values = np.asarray(energy(positions), dtype=np.float64)
        if values.shape != (len(some),):
            raise InputError(f"energy: expected one number for each of {len(some)} frames, found shape {values.shape}")
        energies.append(values)
    return np.concatenate(energies)


def given_bonds(atoms: Any) -> IntArray:
    """Bonds of the topology between atoms of the group, as places in the group, ``(n_bonds, 2)``."""
    bonds = np.asarray(atoms.intra_bonds.indices if hasattr(atoms, "bonds") else [], dtype=np.intp).reshape(-1, 2)
    return _places(atoms)[bonds]


def _places(atoms: Any) -> IntArray:
    places = np.full(len(atoms.universe.atoms), -1, dtype=np.intp)
    places[atoms.indices] = np.arange(len(atoms))
    return places


def bonds_of(atoms: Any) -> IntArray:
    """Bonds of the topology, and guessed ones of atoms that have none there; PDB files list only those of some residues."""
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
    """Element symbols in capitals; without elements or names there is nothing to tell, and they are empty."""
    if hasattr(atoms, "elements") and all(atoms.elements):
        elements = atoms.elements
    elif hasattr(atoms, "names"):
        elements = DefaultGuesser(None).guess_types(atom_types=atoms.names)
    else:
        elements = [""] * len(atoms)
    return np.char.upper(np.asarray(elements, dtype=str))


def _angles(bonds: IntArray) -> IntArray:
    neighbours: dict[int, list[int]] = {}
    for one, other in bonds.tolist():
        neighbours.setdefault(one, []).append(other)
        neighbours.setdefault(other, []).append(one)
    angles = [(one, centre, other) for centre, around in neighbours.items() for one, other in combinations(around, 2)]
    return np.array(angles, dtype=np.intp).reshape(-1, 3)


def _pairs_within(bonds: IntArray, n_atoms: int, n_bonds: int) -> IntArray:
    """Pairs i < j at most `n_bonds` bonds apart, coded as i · n_atoms + j, sorted."""
    one, other = bonds.T
    step = coo_array((np.ones(len(bonds), dtype=np.int8), (one, other)), shape=(n_atoms, n_atoms)).tocsr()
    step = (step + step.T).astype(bool)
    reached = step
    for _ in range(n_bonds - 1):
        reached = reached + reached @ step
    first, second = reached.nonzero()
    return np.unique(first.astype(np.intp) * n_atoms + second)


def _polar(elements: NDArray[Any], bonds: IntArray) -> NDArray[np.bool_]:
    """Atoms that take part in hydrogen bonds: N, O, F, S and hydrogen bonded to one."""
    polar = np.isin(elements, ("N", "O", "F", "S"))
    found = polar.copy()
    for one, other in (bonds.T, bonds.T[::-1]):
        found[one[(elements[one] == "H") & polar[other]]] = True
    return found


def _ring_bonds(bonds: IntArray, n_atoms: int) -> IntArray:
    """Which bonds are part of a ring, as places in `bonds`: every bond outside a spanning tree closes one through the tree."""
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


def _links(names: Sequence[str], residues: IntArray, bonds: IntArray) -> list[tuple[int, int]]:
    """Peptide bonds, C before N."""
    both_ways = [*bonds.tolist(), *bonds[:, ::-1].tolist()]
    return [
        (one, other) for one, other in both_ways if names[one] == "C" and names[other] == "N" and residues[one] != residues[other]
    ]


def _adjacent_alphas(names: Sequence[str], atoms: Any, links: Sequence[tuple[int, int]]) -> IntArray:
    """Alpha carbons of residues joined by a peptide bond; where there are only alpha carbons, of neighbours in a chain."""
    residues = atoms.resindices.tolist()
    alpha = {residue: atom for atom, (residue, name) in enumerate(zip(residues, names, strict=True)) if name == "CA"}
    if set(names) == {"CA"}:
        chains = atoms.segindices
        pairs = [(atom, atom + 1) for atom in range(len(names) - 1) if chains[atom] == chains[atom + 1]]
    else:
        joined = [(residues[carbon], residues[nitrogen]) for carbon, nitrogen in links]
        pairs = [(alpha[one], alpha[other]) for one, other in joined if one in alpha and other in alpha]
    return np.array(pairs, dtype=np.intp).reshape(-1, 2)


def _centres_and_backbone(
    names: Sequence[str], residues: IntArray, links: Sequence[tuple[int, int]]
) -> tuple[IntArray, IntArray, IntArray]:
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
    for carbon, nitrogen in links:  # CH3 stands for the alpha carbon in the caps ACE and NME
        ends = [place.get((residues[atom], "CA"), place.get((residues[atom], "CH3"), -1)) for atom in (carbon, nitrogen)]
        if min(ends) >= 0:
            omegas.append((ends[0], carbon, nitrogen, ends[1]))
    rows = ((centres, 4), (backbone, 5), (omegas, 4))
    found = [np.array(atoms, dtype=np.intp).reshape(-1, width) for atoms, width in rows]
    return found[0], found[1], found[2]
