"""The geometry of a molecule in many frames at once: bonds, angles, clashes, handedness, backbone torsions, size."""

from collections.abc import Callable
from typing import Any

import numpy as np
from MDAnalysis.guesser.tables import vdwradii
from MDAnalysis.lib.distances import calc_angles, calc_bonds, calc_dihedrals, self_capped_distance
from numpy.typing import ArrayLike, NDArray

from openmm_trajgan.analysis.bonding import (
    IntArray,
    adjacent_alphas,
    angles,
    bonds_of,
    centres_and_backbone,
    elements_of,
    given_bonds,
    pairs_within,
    peptide_links,
    polar,
    ring_bonds,
)
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
    bonds, alphas, centres, backbone, omegas : ndarray
        Atoms in the group: two to a bond; alpha carbons of adjacent residues; CA, N, C, CB; C, N, CA, C, N from which φ and ψ are
        taken; four to a torsion about a peptide bond.
    ring_bonds, peptide_bonds : ndarray
        Which of `bonds` are part of a ring, and which join two residues as C and N.
    heavy : ndarray
        Whether an atom is heavier than hydrogen, ``(n_atoms,)``.
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
        links = peptide_links(names, template.resindices, self.bonds)
        self.centres, self.backbone, self.omegas = centres_and_backbone(names, template.resindices, links)
        self.alphas = adjacent_alphas(names, template, links)
        place = {frozenset(bond): index for index, bond in enumerate(self.bonds.tolist())}
        self.peptide_bonds = np.array([place[frozenset(link)] for link in links], dtype=np.intp)
        self.ring_bonds = ring_bonds(self.bonds, n_atoms)
        masses = np.asarray(template.masses if hasattr(template, "masses") else np.zeros(n_atoms), dtype=np.float64)
        masses = masses if masses.sum() > 0 else np.ones(n_atoms)
        self._weights = (masses / masses.sum())[:, None]
        elements = elements_of(template)
        self.heavy = elements != "H"
        self._radii = np.array([vdwradii.get(element, 0.0) for element in elements.tolist()])  # Å
        self._polar = polar(elements, self.bonds)
        self._residues = np.asarray(template.resindices)
        self._angles = angles(self.bonds)
        joined, apart = (self.bonds, BONDS_APART) if len(self.bonds) else (self.alphas, 1)
        self._bonded = pairs_within(joined, n_atoms, apart)
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
        reach = max(HEAVY_CLASH * _ANGSTROM, ALPHA_CLASH * _ANGSTROM, 2 * self._radii.max() - OVERLAP * _ANGSTROM)
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
    """Refuse groups of different atoms.

    Raises
    ------
    InputError
        If numbers, names or residues of the atoms differ, or there are none.
    """
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
    """Energies of chosen frames ``(n_frames,)``, kJ/mol, of the same shape.

    Raises
    ------
    InputError
        If there is not one for each frame.
    """
    trajectory = atoms.universe.trajectory
    energies = []
    for some in np.array_split(frames, min(20, len(frames))):  # all frames of a large molecule at once need not fit in memory
        positions = np.stack([atoms.positions for _ in trajectory[some]], dtype=np.float32) / np.float32(_ANGSTROM)
        values = np.asarray(energy(positions), dtype=np.float64)
        if values.shape != (len(some),):
            raise InputError(f"energy: expected one number for each of {len(some)} frames, found shape {values.shape}")
        energies.append(values)
    return np.concatenate(energies)
