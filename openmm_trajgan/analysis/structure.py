"""Are generated structures like those of MD? Bonds, angles, clashes, handedness, backbone torsions, size and energy."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from MDAnalysis.analysis.base import AnalysisBase
from MDAnalysis.guesser.default_guesser import DefaultGuesser
from MDAnalysis.lib.distances import calc_angles, calc_bonds, calc_dihedrals, self_capped_distance
from numpy.typing import NDArray
from scipy.sparse import coo_array

from openmm_trajgan.errors import InputError

# Inside the limits of the wwPDB for close contacts, 0.22 nm and with hydrogen 0.16 nm, which the thermal motion of MD may cross
HEAVY_CLASH, CLASH = 0.2, 0.12  # nm
BONDS_APART = 3  # so many bonds apart or fewer, atoms may be that close

_ANGSTROM = 10.0  # per nm
IntArray = NDArray[np.intp]


class StructureObservables(AnalysisBase):  # type: ignore[misc]  # MDAnalysis carries no types
    """Geometry of a molecule, frame by frame, as an MDAnalysis analysis.

    Parameters
    ----------
    atomgroup
        The molecule, whole in every frame: an AtomGroup or a Universe.
    topology
        The same atoms of another Universe, whose names, masses and bonds are used; None for their own. Bonds of atoms that have
        none are guessed from distances in the current frame, as MDAnalysis does.

    Attributes
    ----------
    results.bond_lengths : ndarray
        ``(n_frames, n_bonds)``, nm.
    results.angles : ndarray
        Between any two bonds of an atom, ``(n_frames, n_angles)``, rad.
    results.heavy_clashes, results.clashes : ndarray
        Pairs of heavy atoms closer than 0.2 nm, and of any atoms closer than 0.12 nm, more than three bonds apart,
        ``(n_frames,)``; `results.clashing` tells the frames with either.
    results.handedness : ndarray
        Sign of (N - CA) · [(C - CA) × (CB - CA)] at each alpha carbon, ``(n_frames, n_centres)``; 1 for L-amino acids.
    results.radius_of_gyration : ndarray
        Weighted by mass, ``(n_frames,)``, nm.
    results.phi_psi : ndarray
        φ and ψ of the residues that have both, ``(n_frames, n_residues, 2)``, rad.
    results.reasons : dict
        Why one of these is None.
    bonds, centres, backbone : ndarray
        Atoms in the group: two to a bond; CA, N, C, CB; and C, N, CA, C, N from which φ and ψ are taken.

    Raises
    ------
    InputError
        From `run`, if a position is not finite or the periodic box cuts the molecule.

    Examples
    --------
    >>> import MDAnalysis
    >>> universe = MDAnalysis.Universe.empty(3, trajectory=True)
    >>> universe.add_TopologyAttr("bonds", [(0, 1), (1, 2)])
    >>> universe.atoms.positions = [[1, 0, 0], [0, 0, 0], [0, 1.5, 0]]
    >>> results = StructureObservables(universe).run().results
    >>> results.bond_lengths.round(2), results.angles.round(2), results.reasons["handedness"]
    (array([[0.1 , 0.15]], dtype=float32), array([[1.57]], dtype=float32), 'no alpha carbon with N, C and CB')
    """

    def __init__(self, atomgroup: Any, *, topology: Any = None, verbose: bool = False) -> None:
        self.atoms = atomgroup.atoms
        super().__init__(self.atoms.universe.trajectory, verbose=verbose)
        template = self.atoms if topology is None else topology.atoms
        n_atoms = len(template)
        names = template.names.tolist() if hasattr(template, "names") else [""] * n_atoms
        self.bonds = bonds_of(template)
        self.centres, self.backbone = _centres_and_backbone(names, template.resindices, self.bonds)
        masses = np.asarray(template.masses if hasattr(template, "masses") else np.zeros(n_atoms), dtype=np.float64)
        masses = masses if masses.sum() > 0 else np.ones(n_atoms)
        self._weights = (masses / masses.sum())[:, None]
        self._heavy = elements_of(template) != "H"
        self._angles = _angles(self.bonds)
        self._bonded = _pairs_within(self.bonds, n_atoms, BONDS_APART)
        self.reasons: dict[str, str] = {}
        if not len(self.bonds):
            unbonded = "no bonds in the topology, and none could be guessed"
            self.reasons = dict.fromkeys(("bond_lengths", "angles", "heavy_clashes", "clashes", "clashing", "phi_psi"), unbonded)
        for name, atoms, reason in (
            ("angles", self._angles, "no atom with two bonds"),
            ("handedness", self.centres, "no alpha carbon with N, C and CB"),
            ("phi_psi", self.backbone, "no residue with both φ and ψ"),
        ):
            if not len(atoms):
                self.reasons.setdefault(name, reason)

    def _prepare(self) -> None:
        shapes = {
            "bond_lengths": (len(self.bonds),),
            "angles": (len(self._angles),),
            "heavy_clashes": (),
            "clashes": (),
            "handedness": (len(self.centres),),
            "radius_of_gyration": (),
            "phi_psi": (len(self.backbone), 2),
        }
        for name, shape in shapes.items():
            self.results[name] = None if name in self.reasons else np.empty((self.n_frames, *shape), dtype=np.float32)
        self.results.reasons = dict(self.reasons)

    def _single_frame(self) -> None:
        positions, row, results = self.atoms.positions, self._frame_index, self.results  # Å
        if not np.isfinite(positions).all():
            raise InputError(f"frame {self._ts.frame}: a position is not finite; leave this frame out")
        if results.bond_lengths is not None:
            self._require_whole(positions)
            results.bond_lengths[row] = calc_bonds(*positions[self.bonds.T]) / _ANGSTROM
            results.heavy_clashes[row], results.clashes[row] = self._clashes(positions)
        if results.angles is not None:
            results.angles[row] = calc_angles(*positions[self._angles.T])
        if results.phi_psi is not None:
            atoms = positions[self.backbone.T]
            results.phi_psi[row, :, 0], results.phi_psi[row, :, 1] = calc_dihedrals(*atoms[:4]), calc_dihedrals(*atoms[1:])
        if results.handedness is not None:
            centre, one, two, three = positions[self.centres.T]
            results.handedness[row] = np.sign(np.vecdot(one - centre, np.cross(two - centre, three - centre)))
        from_centre = positions - (self._weights * positions).sum(axis=0)
        results.radius_of_gyration[row] = np.sqrt((self._weights * from_centre**2).sum()) / _ANGSTROM

    def _conclude(self) -> None:
        counts = self.results.heavy_clashes, self.results.clashes
        self.results.clashing = None if counts[0] is None else counts[0] + counts[1] > 0

    def _require_whole(self, positions: NDArray[np.float32]) -> None:
        box = self._ts.dimensions
        if box is None or not box[:3].all():
            return
        ends = positions[self.bonds.T]
        if np.abs(calc_bonds(*ends) - calc_bonds(*ends, box=box)).max() > 0.01:
            raise InputError(
                f"frame {self._ts.frame}: the periodic box cuts a bond; make the molecule whole, for example with "
                "universe.trajectory.add_transformations(MDAnalysis.transformations.unwrap(atoms))"
            )

    def _clashes(self, positions: NDArray[np.float32]) -> tuple[int, int]:
        pairs, distances = self_capped_distance(positions, max(HEAVY_CLASH, CLASH) * _ANGSTROM)
        pairs = np.sort(pairs, axis=1)
        codes = pairs[:, 0] * len(positions) + pairs[:, 1]
        nearest = np.minimum(np.searchsorted(self._bonded, codes), len(self._bonded) - 1)
        apart = self._bonded[nearest] != codes
        heavy = self._heavy[pairs].all(axis=1) & (distances < HEAVY_CLASH * _ANGSTROM)
        return int((apart & heavy).sum()), int((apart & (distances < CLASH * _ANGSTROM)).sum())


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


def _centres_and_backbone(names: Sequence[str], residues: IntArray, bonds: IntArray) -> tuple[IntArray, IntArray]:
    place = {(residue, name): atom for atom, (residue, name) in enumerate(zip(residues.tolist(), names, strict=True))}
    before: dict[int, int] = {}
    after: dict[int, int] = {}
    for one, other in [*bonds.tolist(), *bonds[:, ::-1].tolist()]:
        if names[one] == "C" and names[other] == "N" and residues[one] != residues[other]:
            before[other], after[one] = one, other
    centres, backbone = [], []
    for residue in np.unique(residues).tolist():
        nitrogen, alpha, carbon, beta = (place.get((residue, name), -1) for name in ("N", "CA", "C", "CB"))
        if min(nitrogen, alpha, carbon) >= 0:
            if beta >= 0:
                centres.append((alpha, nitrogen, carbon, beta))
            if nitrogen in before and carbon in after:
                backbone.append((before[nitrogen], nitrogen, alpha, carbon, after[carbon]))
    return np.array(centres, dtype=np.intp).reshape(-1, 4), np.array(backbone, dtype=np.intp).reshape(-1, 5)
