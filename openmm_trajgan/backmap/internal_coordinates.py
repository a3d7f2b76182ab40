"""Torsions to all atoms: the generated torsions set in structures that molecular dynamics visited."""

import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal, Self, get_args

import MDAnalysis
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from openmm_trajgan.backmap.base import Pieces, Structures
from openmm_trajgan.backmap.clashes import Clashes
from openmm_trajgan.backmap.geometry import Conditional, Nearest
from openmm_trajgan.backmap.hydrogens import number_alike
from openmm_trajgan.backmap.packing import Packing
from openmm_trajgan.backmap.z_matrix import ZMatrix, atom_label, bond_graph, ring_bonds
from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import Featurizer
from openmm_trajgan.features.torsions import Torsions
from openmm_trajgan.schema import FeatureSchema

Geometry = Literal["auto", "nearest", "conditional"]
# Without exact backbone angles the fold is off by 1.2 Å at 30 residues, 2.5 Å at 60, and 8 Å at 214 (adenylate kinase).
RESIDUES_WITHOUT_WARNING = 30
MOST_RESIDUES = 60
RESIDUES_OF_A_SMALL_MOLECULE = 2  # beside caps
CAPS = frozenset({"ACE", "FOR", "NME", "NMA", "NHE", "NH2"})
MOST_REFERENCE_FRAMES = 20_000  # more teach nothing about hard coordinates
_LONGEST_BOND = 0.3  # nm; longer than any covalent bond, shorter than the break where a periodic box cuts a molecule
_SMALLEST_SINE = 0.02  # three atoms within 1° of a line define no torsion
_ANGSTROM = 10.0  # per nm
_ATOMS_AT_ONCE = 30_000  # in all frames of one block, whose arrays stay in the processor's cache


class InternalCoordinates:
    """Backmapper for torsions: they are set exactly, everything else is as in molecular dynamics.

    Every generated torsion turns everything beyond its central bond. Bond lengths, bond angles, improper torsions and torsions that
    are no features come from the reference in one of two ways. ``"nearest"``: from the frame with the nearest torsions
    (`geometry.Nearest`); these coordinates are thermal, and right for small molecules. ``"conditional"``: as expected for the
    generated torsions (`geometry.Conditional`), and up to 30 residues moved, as far as they scatter, to where atoms have the room
    they need (`packing.Packing`). That keeps the fold of a peptide, where the noise of single frames would add up along the
    chain, and leaves hardly a clash; such structures are colder than MD, and their time grows with the square of the number of
    atoms (some 3 ms a frame for ten residues). In longer chains atoms are further from where they belong than they are thick, and
    contacts mislead. Methyl groups turn as in consecutive frames, which start at a random one and turn back at the ends. Frames
    come out centred on the origin and superposed on the first reference frame.

    Meant for one peptide up to 30 residues: an error of bond angles or torsions moves the far end of a chain in proportion to its
    length. Up to 60 residues there is a warning, beyond an error.

    Parameters
    ----------
    geometry
        ``"nearest"``, ``"conditional"``, or ``"auto"``: nearest up to two residues beside caps.
    force
        Whether to build chains of more than 60 residues.

    Attributes
    ----------
    atoms : ndarray
        Atoms of the reference whose positions come out, ``(n_atoms,)``: all.
    dependent : dict
        Features that are not set but follow from the rest, and why: torsions in a ring, such as φ of proline, a second torsion on
        one central bond, torsions of atoms that are not bonded in a row, and features other than torsions.

    Examples
    --------
    Hydrogen peroxide has one torsion:

    >>> molecule = MDAnalysis.Universe.empty(4, trajectory=True)
    >>> molecule.add_TopologyAttr("bonds", [(0, 1), (1, 2), (2, 3)])
    >>> molecule.add_TopologyAttr("elements", ["H", "O", "O", "H"])
    >>> molecule.atoms.positions = [[-0.2, 0.9, 0.0], [0.0, 0.0, 0.0], [1.4, 0.0, 0.0], [1.6, 0.0, 0.9]]
    >>> from openmm_trajgan.features import Torsions
    >>> backmapper = InternalCoordinates().fit(Torsions([[0, 1, 2, 3]]), molecule)
    >>> structures = backmapper.backmap([[1.9], [2.0]], rng=np.random.default_rng(0))
    >>> from MDAnalysis.lib.distances import calc_dihedrals
    >>> calc_dihedrals(*structures.positions.transpose(1, 0, 2)).round(4)
    array([1.9, 2. ])
    """

    pieces: Pieces = "any"

    def __init__(self, geometry: Geometry = "auto", *, force: bool = False) -> None:
        if geometry not in get_args(Geometry):
            raise InputError(f"geometry: expected one of {', '.join(get_args(Geometry))}, found {geometry!r}")
        self.geometry, self.force = geometry, force
        self.dependent: dict[str, str] = {}
        self.atoms: NDArray[np.intp] = np.empty(0, dtype=np.intp)

    def fit(self, featurizer: Featurizer, reference: MDAnalysis.Universe) -> Self:
        """Build the Z-matrix and learn the hard coordinates from the reference.

        Parameters
        ----------
        featurizer
            Of the model; features of kind ``"torsion"`` are set.
        reference
            Structures of one molecule, whole and consecutive in time, with bonds and elements. One frame is enough.

        Returns
        -------
        InternalCoordinates
            This object.

        Raises
        ------
        InputError
            If no torsion can be set, bonds or elements are missing, there are several molecules or more than 60 residues, or the
            structures are cut or not finite.

        Warns
        -----
        UserWarning
            If some features are dependent, or the molecule has more than 30 residues.
        """
        schema = featurizer.schema
        graph = bond_graph(reference)
        self._require_short(reference)
        columns, dependent = _independent_torsions(schema, graph, reference)
        z_matrix = ZMatrix.from_universe(reference, {schema.names[column]: schema.atoms[column] for column in columns})
        self.clashes = Clashes(reference)
        small = sum(resname not in CAPS for resname in _resnames(reference)) <= RESIDUES_OF_A_SMALL_MOLECULE
        nearest = self.geometry == "nearest" or (self.geometry == "auto" and small)
        structures = _whole_structures(reference)
        number_alike(structures, reference)
        _require_no_lines(z_matrix, structures)
        if dependent:
            listed = "; ".join(f"{name} ({why})" for name, why in dependent.items())
            warnings.warn(
                f"not set, since they follow from the other coordinates: {listed}; compare them after backmapping",
                stacklevel=2,
            )
        self.dependent, self.atoms = dependent, reference.atoms.indices
        self._n_features, self._columns, self._z_matrix = schema.n_features, columns, z_matrix
        self._not_set = {
            column: atoms
            for column, (name, kind, atoms) in enumerate(zip(schema.names, schema.kinds, schema.atoms, strict=True))
            if kind == "torsion" and name in dependent
        }
        self._inputs = [column for column, kind in enumerate(schema.kinds) if kind == "torsion"]
        torsions, arms = z_matrix.measure(structures)
        self._n_reference = torsions.shape[1]
        measured = featurizer(structures.transpose(2, 0, 1))[:, self._inputs].astype(np.float64).T
        is_set = np.isin(np.arange(len(torsions)), z_matrix.pivot_of_torsion)
        is_free, n_turned = _turn_freely(z_matrix, reference, graph), np.bincount(z_matrix.pivot_of_row)
        self._hard: Nearest | Conditional
        self._place: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]] = z_matrix.place
        if nearest:
            self._hard = Nearest(torsions, arms, measured, is_free & ~is_set & (n_turned == 3))
        else:
            self._hard = Conditional(torsions, arms, measured, is_free, is_set)
            if len(reference.residues) <= RESIDUES_WITHOUT_WARNING:
                self._place = Packing(z_matrix, reference, self._hard.spreads, self._hard.turns)
        self._onto = structures[:, :, 0] - structures[:, :, 0].mean(axis=0)
        return self

    def backmap(self, features: ArrayLike, *, rng: np.random.Generator, first: int = 0) -> Structures:
        """Structures of one time series.

        Parameters
        ----------
        features
            ``(n_frames, n_features)``; torsions in rad.
        rng
            Draws the reference frame at which the consecutive frames start.
        first
            Where in its time series `features` begins; with `rng` as at the beginning of the series, the frames are those of
            the whole series.

        Returns
        -------
        Structures
            Positions of all atoms, and flag ``"clash"``: see `Clashes`; where torsions are dependent, flag ``"not_set_error"``,
            the largest difference between their generated and their actual values, rad.

        Raises
        ------
        InputError
            If `fit` was not called, or `features` has another shape or a value that is not finite.
        """
        if not hasattr(self, "_z_matrix"):
            raise InputError("this backmapper has no structures yet; call fit(featurizer, reference) first")
        wanted = np.asarray(features, dtype=np.float64)
        if wanted.ndim != 2 or wanted.shape[1] != self._n_features:
            raise InputError(f"expected features (n_frames, {self._n_features}), found {wanted.shape}; give one time series")
        if not np.isfinite(wanted).all():
            raise InputError(f"frame {np.argwhere(~np.isfinite(wanted))[0, 0]} has a feature that is not finite; leave it out")
        source = _there_and_back(int(rng.integers(self._n_reference)) + first, len(wanted), self._n_reference)
        positions = np.empty((len(wanted), len(self.atoms), 3), dtype=np.float32)
        n_at_once = max(64, _ATOMS_AT_ONCE // len(self.atoms))
        for start in range(0, len(wanted), n_at_once):
            block = slice(start, start + n_at_once)
            torsions, arms = self._hard(wanted[block, self._inputs].T, source[block])
            torsions[self._z_matrix.pivot_of_torsion] = wanted[block, self._columns].T
            positions[block] = _superposed(self._place(torsions, arms), self._onto)
        flags: dict[str, NDArray[Any]] = {"clash": self.clashes(positions)}
        if self._not_set:
            errors = Torsions(list(self._not_set.values()))(positions) - wanted[:, list(self._not_set)]
            flags["not_set_error"] = abs(np.angle(np.exp(1j * errors))).max(axis=1).astype(np.float32)
        return Structures(positions, flags=flags)

    def _require_short(self, reference: MDAnalysis.Universe) -> None:
        n_residues = len(reference.residues)
        if n_residues > MOST_RESIDUES and not self.force:
            raise InputError(
                f"expected at most {MOST_RESIDUES} residues, found {n_residues}: errors of torsions grow along the chain and "
                "the fold would be lost; backmap a shorter stretch, use features that fix the fold or frames of MD "
                "(method='nearest_frames'), or insist with InternalCoordinates(force=True)"
            )
        if n_residues > RESIDUES_WITHOUT_WARNING:
            warnings.warn(
                f"{n_residues} residues: errors of torsions grow along the chain (5° each cost about 2 Å at 30 residues, 4 Å at "
                "60, 15 Å at 214); look at the fold before using these structures",
                stacklevel=3,
            )


def _there_and_back(start: int, n_frames: int, n_reference: int) -> NDArray[np.intp]:
    """Return indices that run forward from `start` and reflect at both ends, ``(n_frames,)``."""
    if n_reference == 1:
        return np.zeros(n_frames, dtype=np.intp)
    last = n_reference - 1
    return last - np.abs(last - (start + np.arange(n_frames)) % (2 * last))


def _superposed(positions: NDArray[np.float64], onto: NDArray[np.float64]) -> NDArray[np.float64]:
    """Frames ``(n_atoms, 3, n_frames)`` centred and turned onto a centred structure, as ``(n_frames, n_atoms, 3)``.

    Kabsch, Acta Cryst. A 32, 922 (1976), in one batch.
    """
    frames = (positions - positions.mean(axis=0)).transpose(2, 0, 1)
    u, _, vt = np.linalg.svd(frames.transpose(0, 2, 1) @ onto)
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    superposed: NDArray[np.float64] = frames @ (u @ vt)
    return superposed


def _independent_torsions(
    schema: FeatureSchema, graph: csr_array, universe: MDAnalysis.Universe
) -> tuple[list[int], dict[str, str]]:
    """Columns of the torsions to set, one per central bond, and why each other feature is not."""
    rings = ring_bonds(graph)
    set_on: dict[frozenset[int], int] = {}
    dependent: dict[str, str] = {}
    for column, (name, kind, unit, atoms) in enumerate(zip(schema.names, schema.kinds, schema.units, schema.atoms, strict=True)):
        if kind != "torsion":
            dependent[name] = f"a {kind}"
            continue
        if unit != "rad":
            raise InputError(f"torsion {name!r}: expected unit 'rad', found {unit!r}; convert the features")
        if len(atoms) != 4 or min(atoms) < 0 or max(atoms) >= graph.shape[0]:
            raise InputError(
                f"torsion {name!r}: expected four atoms between 0 and {graph.shape[0] - 1}, found {atoms}; "
                "use the topology the features were made for"
            )
        bond = frozenset(atoms[1:3])
        if not all(graph[one, two] for one, two in pairwise(atoms)):
            dependent[name] = "its atoms are not bonded in a row"
        elif bond in rings:
            dependent[name] = f"in a ring of {atom_label(universe.atoms[atoms[1]])}"
        elif bond in set_on:
            dependent[name] = f"turns with {schema.names[set_on[bond]]}"
        else:
            set_on[bond] = column
    if not set_on:
        raise InputError(
            "expected features of kind 'torsion' that can be set, found none: "
            f"{', '.join(f'{name} ({why})' for name, why in list(dependent.items())[:4])}; use another method"
        )
    return list(set_on.values()), dependent


def _resnames(universe: MDAnalysis.Universe) -> list[str]:
    return list(getattr(universe.residues, "resnames", [""] * len(universe.residues)))


def _turn_freely(z_matrix: ZMatrix, universe: MDAnalysis.Universe, graph: csr_array) -> NDArray[np.bool_]:
    """Pivots that turn nothing but hydrogen, and not about a bond in a ring."""
    heavy = universe.atoms.elements[z_matrix.rows[3:]] != "H"
    turns_heavy = np.bincount(z_matrix.pivot_of_row, weights=heavy, minlength=len(z_matrix.pivots)) > 0
    rings = ring_bonds(graph)
    free: NDArray[np.bool_] = ~turns_heavy & [frozenset(pivot[1:]) not in rings for pivot in z_matrix.pivots.tolist()]
    return free


def _whole_structures(reference: MDAnalysis.Universe) -> NDArray[np.float64]:
    """Return frames of the reference, spread over all, as ``(n_atoms, 3, n_reference)``, nm."""
    step = -(-len(reference.trajectory) // MOST_REFERENCE_FRAMES)
    angstrom = np.array([ts.positions.T for ts in reference.trajectory[::step]], dtype=np.float64)
    structures = np.ascontiguousarray(angstrom.transpose(2, 1, 0)) / _ANGSTROM
    finite = np.isfinite(structures).all(axis=(0, 1))
    if not finite.all():
        raise InputError(f"reference frame {step * int(finite.argmin())} is not finite; leave it out")
    for i, j in reference.bonds.indices:
        lengths = np.linalg.norm(structures[i] - structures[j], axis=0)
        if lengths.max() > _LONGEST_BOND:
            raise InputError(
                f"reference frame {step * lengths.argmax()}: expected bonds below {_LONGEST_BOND} nm, found {lengths.max():.3g} nm "
                f"from {atom_label(reference.atoms[i])} to {atom_label(reference.atoms[j])}; give whole molecules (not cut by the "
                "periodic box), atoms in the order of the topology"
            )
    return structures


def _require_no_lines(z_matrix: ZMatrix, structures: NDArray[np.float64]) -> None:
    """Refuse structures in which three atoms that define a torsion stand in a line."""
    placed = np.c_[z_matrix.pivots[z_matrix.pivot_of_torsion, 1:], z_matrix.rows[z_matrix.primary[z_matrix.pivot_of_torsion]]]
    for i, j, k in np.unique(np.concatenate([z_matrix.pivots, placed]), axis=0):
        before, after = structures[j] - structures[i], structures[k] - structures[j]
        areas = np.linalg.norm(np.cross(before, after, axis=0), axis=0)
        sines = areas / (np.linalg.norm(before, axis=0) * np.linalg.norm(after, axis=0))
        if sines.min() < _SMALLEST_SINE:
            raise InputError(
                f"reference frame {sines.argmin()}: atoms {i}, {j} and {k} stand in a line and define no torsion; "
                "leave that frame out; a linear group cannot be rebuilt from internal coordinates"
            )
