"""Torsions to all atoms: the generated torsions set in structures that molecular dynamics visited."""

import warnings
from typing import Self

import MDAnalysis
import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_trajgan.backmap.base import Structures
from openmm_trajgan.backmap.z_matrix import ZMatrix, atom_label
from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import Featurizer
from openmm_trajgan.schema import FeatureSchema

# Without exact backbone angles the fold is off by 1.2 Å at 30 residues, 2.5 Å at 60, and 8 Å at 214 (adenylate kinase).
RESIDUES_WITHOUT_WARNING = 30
MOST_RESIDUES = 60
_LONGEST_BOND = 0.3  # nm; longer than any covalent bond, shorter than the break where a periodic box cuts a molecule
_SMALLEST_SINE = 0.02  # three atoms within 1° of a line define no torsion
_ANGSTROM = 10.0  # per nm
_FRAMES_AT_ONCE = 1024  # the arrays of one block stay in the processor's cache


class InternalCoordinates:
    """Backmapper for torsions: they are set exactly, everything else is molecular dynamics' own.

    Bond lengths, bond angles and the torsions that are not features come from a contiguous piece of the reference: it starts
    at a random frame, runs forward in time and turns back at the ends of the stretch, so that these coordinates are thermal
    and as continuous from frame to frame as in the simulation. On that structure each generated torsion is set by turning
    everything beyond its central bond. Frames come out centred on the origin and superposed on the first reference frame.

    Meant for peptides up to 30 residues: an error of bond angles or torsions moves the far end of a chain in proportion to
    its length. Up to 60 residues there is a warning, beyond an error.

    Attributes
    ----------
    atoms : ndarray
        Atoms of the reference whose positions come out, ``(n_atoms,)``: all.
    dependent : tuple of str
        Features that are not set but follow from the rest: a second torsion on one central bond, and features other than
        torsions.

    Examples
    --------
    Hydrogen peroxide has one torsion:

    >>> molecule = MDAnalysis.Universe.empty(4, trajectory=True)
    >>> molecule.add_TopologyAttr("bonds", [(0, 1), (1, 2), (2, 3)])
    >>> molecule.atoms.positions = [[-0.2, 0.9, 0.0], [0.0, 0.0, 0.0], [1.4, 0.0, 0.0], [1.6, 0.0, 0.9]]
    >>> from openmm_trajgan.features import Torsions
    >>> backmapper = InternalCoordinates().fit(Torsions([[0, 1, 2, 3]]), molecule)
    >>> structures = backmapper.backmap([[1.9], [2.0]], rng=np.random.default_rng(0))
    >>> from MDAnalysis.lib.distances import calc_dihedrals
    >>> calc_dihedrals(*structures.positions.transpose(1, 0, 2)).round(4)
    array([1.9, 2. ])
    """

    def __init__(self) -> None:
        self.dependent: tuple[str, ...] = ()
        self.atoms: NDArray[np.intp] = np.empty(0, dtype=np.intp)

    def fit(self, featurizer: Featurizer, reference: MDAnalysis.Universe) -> Self:
        """Build the Z-matrix and take the hard coordinates from the reference.

        Parameters
        ----------
        featurizer
            Of the model; features of kind ``"torsion"`` are set.
        reference
            Structures of one molecule, whole and consecutive in time, with bonds. One is enough.

        Returns
        -------
        InternalCoordinates
            This object.

        Raises
        ------
        InputError
            If there is no torsion among the features, a torsion cannot be set on its own (ring, atoms that are not bonded in
            a row), the topology lacks bonds or has several fragments or more than 60 residues, or the reference does not fit it.

        Warns
        -----
        UserWarning
            If some features are dependent, or the molecule has more than 30 residues.
        """
        schema = featurizer.schema
        _require_short(reference)
        columns, dependent = _independent_torsions(schema)
        z_matrix = ZMatrix.from_universe(reference, {schema.names[column]: schema.atoms[column] for column in columns})
        structures = _whole_structures(reference)
        _require_no_lines(z_matrix, structures)
        if dependent:
            warnings.warn(
                f"not set, since they follow from the other coordinates: {', '.join(dependent)}; "
                "compare them with the features after backmapping",
                stacklevel=2,
            )
        self.dependent, self.atoms = dependent, reference.atoms.indices
        self._n_features, self._columns = schema.n_features, columns
        self._z_matrix = z_matrix
        self._internal = z_matrix.measure(structures)
        self._onto = structures[:, :, 0] - structures[:, :, 0].mean(axis=0)
        return self

    def backmap(self, features: ArrayLike, *, rng: np.random.Generator, first: int = 0) -> Structures:
        """Positions of one time series.

        Parameters
        ----------
        features
            ``(n_frames, n_features)``; torsions in rad.
        rng
            Draws the reference frame at which the piece of hard coordinates starts.
        first
            Where in its time series `features` begins; with `rng` as at the beginning of the series, the frames are those of
            the whole series.

        Returns
        -------
        Structures
            Positions of all atoms.

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
        torsions = wanted[:, self._columns].T
        n_atoms, _, n_reference = self._internal.shape
        source = _there_and_back(int(rng.integers(n_reference)) + first, len(wanted), n_reference)
        positions = np.empty((len(wanted), n_atoms, 3), dtype=np.float32)
        for start in range(0, len(wanted), _FRAMES_AT_ONCE):
            block = slice(start, start + _FRAMES_AT_ONCE)
            internal = self._internal[..., source[block]]
            self._z_matrix.turn(internal, torsions[:, block])
            positions[block] = _superposed(self._z_matrix.place(internal), self._onto)
        return Structures(positions)


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


def _independent_torsions(schema: FeatureSchema) -> tuple[list[int], tuple[str, ...]]:
    """Columns of the torsions to set, one per central bond, and the names of all other features."""
    columns: dict[frozenset[int], int] = {}
    for column, (kind, unit, atoms) in enumerate(zip(schema.kinds, schema.units, schema.atoms, strict=True)):
        if kind == "torsion":
            if unit != "rad":
                raise InputError(f"torsion {schema.names[column]!r}: expected unit 'rad', found {unit!r}; convert the features")
            columns.setdefault(frozenset(atoms[1:3]), column)
    if not columns:
        raise InputError(
            f"expected features of kind 'torsion', found {', '.join(sorted(set(schema.kinds)))}; "
            "internal coordinates can be rebuilt from torsions only"
        )
    chosen = list(columns.values())
    return chosen, tuple(name for column, name in enumerate(schema.names) if column not in chosen)


def _require_short(reference: MDAnalysis.Universe) -> None:
    n_residues = len(reference.residues)
    if n_residues > MOST_RESIDUES:
        raise InputError(
            f"expected at most {MOST_RESIDUES} residues, found {n_residues}: errors of torsions grow along the chain and "
            "the fold would be lost; backmap a shorter stretch, or use features that fix the fold"
        )
    if n_residues > RESIDUES_WITHOUT_WARNING:
        warnings.warn(
            f"{n_residues} residues: errors of torsions grow along the chain (5° each cost about 2 Å at 30 residues, 4 Å at 60); "
            "look at the fold before using these structures",
            stacklevel=3,
        )


def _whole_structures(reference: MDAnalysis.Universe) -> NDArray[np.float64]:
    """Return the reference as ``(n_atoms, 3, n_reference)``, nm."""
    structures = np.asarray(reference.trajectory.timeseries(order="acf"), dtype=np.float64) / _ANGSTROM
    finite = np.isfinite(structures).all(axis=(0, 1))
    if not finite.all():
        raise InputError(f"reference frame {finite.argmin()} is not finite; leave it out")
    for i, j in reference.bonds.indices:
        lengths = np.linalg.norm(structures[i] - structures[j], axis=0)
        if lengths.max() > _LONGEST_BOND:
            raise InputError(
                f"reference frame {lengths.argmax()}: expected bonds below {_LONGEST_BOND} nm, found {lengths.max():.3g} nm from "
                f"{atom_label(reference.atoms[i])} to {atom_label(reference.atoms[j])}; give whole molecules (not cut by the "
                "periodic box), atoms in the order of the topology"
            )
    return np.ascontiguousarray(structures)


def _require_no_lines(z_matrix: ZMatrix, structures: NDArray[np.float64]) -> None:
    """Refuse structures in which three atoms that define a torsion stand in a line."""
    placed = np.concatenate(z_matrix.levels)
    triples = np.concatenate([z_matrix.references[placed], np.c_[z_matrix.references[z_matrix.placed_by, 1:], z_matrix.placed_by]])
    for i, j, k in np.unique(triples, axis=0):
        before, after = structures[j] - structures[i], structures[k] - structures[j]
        areas = np.linalg.norm(np.cross(before, after, axis=0), axis=0)
        sines = areas / (np.linalg.norm(before, axis=0) * np.linalg.norm(after, axis=0))
        if sines.min() < _SMALLEST_SINE:
            raise InputError(
                f"reference frame {sines.argmin()}: atoms {i}, {j} and {k} stand in a line and define no torsion; "
                "leave that frame out; a linear group cannot be rebuilt from internal coordinates"
            )
