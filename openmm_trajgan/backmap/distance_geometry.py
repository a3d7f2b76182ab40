"""Distances between beads, such as α carbons, to their positions."""

from typing import Self

import MDAnalysis
import numpy as np
from MDAnalysis.exceptions import NoDataError
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import shortest_path

from openmm_trajgan.backmap.base import Pieces, Structures
from openmm_trajgan.backmap.embedding import between, classical_scaling, majorised, stress
from openmm_trajgan.backmap.frame_library import frames_of
from openmm_trajgan.backmap.handedness import Handedness
from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import Featurizer
from openmm_trajgan.features.cartesian import AlignedCartesian
from openmm_trajgan.schema import FeatureSchema

_REFINE = 0.05  # share of eigenvalues beyond three dimensions; distances of points in space have none
_BOND_WEIGHT = 50.0  # of bonds between consecutive beads, against 1 for any other distance
_STIFF = 0.1  # standard deviation over mean: such a distance is taken from the reference where it is not generated
_FRAMES_FOR_STIFF = 10
_NUMBERS_AT_ONCE = 1 << 19  # of distance matrices: they stay in the processor's cache
_ROUNDING = 1e-4  # nm; of positions in files


class DistanceGeometry:
    """Backmapper for all or most distances between beads, such as `Distances.alpha_carbons` gives.

    Distances become points by classical multidimensional scaling. Where generated distances contradict each other (more than 5 %
    of the eigenvalues lie beyond three dimensions), or some are not generated, the points are moved until the squared
    deviations are least (SMACOF), with bonds between consecutive beads held at their length in the reference. Distances that are
    neither generated nor nearly constant in the reference start as shortest paths over known ones and are free.
    Of the two mirror images, which have the same distances, the one whose dihedral angles are likelier in the reference is
    taken, or the one closer to the frame before where these say nothing. For chains without chirality, such as most one-bead
    models, the hand of a whole trajectory is arbitrary.

    Frames come out centred on the origin and superposed on the first reference frame.

    Attributes
    ----------
    atoms : NDArray[np.intp]
        Atoms between which distances were generated; these alone come out.
    chiral : bool
        Whether the reference tells left from right.

    Examples
    --------
    >>> from openmm_trajgan.features import Distances
    >>> beads = np.array([[0.0, 0.0, 0.0], [3.8, 0.0, 0.0], [3.8, 3.8, 0.0], [3.8, 3.8, 3.8]], dtype=np.float32)
    >>> universe = MDAnalysis.Universe.empty(4, trajectory=True).load_new(np.stack([beads, 1.1 * beads]))
    >>> distances = Distances([[i, j] for i in range(4) for j in range(i + 1, 4)])
    >>> geometry = DistanceGeometry().fit(distances, universe)
    >>> structures = geometry.backmap(distances([beads / 10]), rng=np.random.default_rng(0))
    >>> np.abs(distances(structures.positions) - distances([beads / 10])).max() < 1e-6
    np.True_
    """

    pieces: Pieces = "in order"

    def __init__(self) -> None:
        self.atoms: NDArray[np.intp] = np.empty(0, dtype=np.intp)
        self.chiral = False

    def fit(self, featurizer: Featurizer, reference: MDAnalysis.Universe) -> Self:
        """Find the beads and their chains, and learn bonds, stiff distances and handedness.

        Parameters
        ----------
        featurizer
            Of the model; distances only.
        reference
            Whole structures. One is enough for bonds; some hundreds tell the hand of a protein better.

        Returns
        -------
        DistanceGeometry
            This object.

        Raises
        ------
        InputError
            If the features are not distances in nm, are too few to fix a structure, leave a bead unconnected, or reach through a
            periodic box in the reference.
        """
        pairs = _pairs(featurizer.schema)
        self.atoms, columns = np.unique(pairs, return_inverse=True)
        first, second = columns.reshape(pairs.shape).T
        beads = self._whole_beads(featurizer, reference)
        n = len(self.atoms)
        chains = _chains(reference, self.atoms)
        lengths = np.stack([between(frame[None])[0] for frame in beads])
        means, deviations = lengths.mean(axis=0), lengths.std(axis=0)
        generated = _symmetric(n, first, second)
        after = np.flatnonzero(chains[1:] == chains[:-1])
        neighbors = _symmetric(n, after, after + 1) & _adjacent(reference, self.atoms)
        # A few frames cannot tell what is stiff, but bonds are
        stiff = (deviations < _STIFF * means) & (neighbors | (len(beads) >= _FRAMES_FOR_STIFF))
        bonds = neighbors & stiff
        known = generated | stiff
        np.fill_diagonal(known, True)
        _require_fixed(known, featurizer.schema)

        self._column = np.zeros((n, n), dtype=np.intp)
        self._column[first, second] = self._column[second, first] = np.arange(len(pairs))
        self._generated, self._known, self._bonds, self._lengths = generated, known, bonds, means
        self._weights = np.where(bonds, _BOND_WEIGHT, generated.astype(float))
        if not _connected(self._weights):
            self._weights = np.where(bonds, _BOND_WEIGHT, known - np.eye(n))
        self._complete = bool((generated | np.eye(n, dtype=bool)).all())
        self._hand = Handedness(beads, chains)
        self.chiral = self._hand.chiral
        self._superposed = AlignedCartesian(beads[0] - beads[0].mean(axis=0))
        self._n_features = len(pairs)
        return self

    def backmap(self, features: ArrayLike, *, rng: np.random.Generator, before: NDArray[np.float64] | None = None) -> Structures:
        """Positions of one time series, or of a piece of it.

        Parameters
        ----------
        features
            ``(n_frames, n_features)``, nm.
        rng
            Not needed; nothing is random here.
        before
            ``memory`` of the piece before: its last frame, whose hand is carried on.

        Returns
        -------
        Structures
            Positions of `atoms`, with the flags ``"not_3d"``, share of the eigenvalues of the generated distances beyond three
            dimensions (0 for distances of points in space; above 0.3 they hardly describe a structure), ``"stress"``, relative
            deviation of the distances of the structure from the generated ones, ``"hand_margin"``, log-odds of its hand, and
            ``"ambiguous"``, whether the hand was taken from the frame before.

        Raises
        ------
        InputError
            If `fit` was not called, or `features` has another shape, a value that is not finite, or a negative distance.
        """
        if not len(self.atoms):
            raise InputError("this backmapper knows no beads yet; call fit(featurizer, reference) first")
        wanted = np.asarray(features, dtype=np.float64)
        if wanted.ndim != 2 or wanted.shape[1] != self._n_features or not len(wanted):
            raise InputError(
                f"expected features (n_frames, {self._n_features}) with at least one frame, found {wanted.shape}; "
                "give one time series"
            )
        if not (np.isfinite(wanted) & (wanted >= 0)).all():
            frame = np.argwhere(~(np.isfinite(wanted) & (wanted >= 0)))[0, 0]
            raise InputError(f"frame {frame} has a distance that is negative or not finite; leave it out")
        n_frames, n = len(wanted), len(self.atoms)
        points = np.empty((n_frames, n, 3))
        not_3d, strain = np.empty(n_frames), np.empty(n_frames)
        step = max(_NUMBERS_AT_ONCE // (n * n), 1)
        for start in range(0, n_frames, step):
            block = slice(start, start + step)
            points[block], not_3d[block], strain[block] = self._embedded(wanted[block])
        points -= points.mean(axis=1, keepdims=True)
        points, margins, ambiguous = self._hand.orient(points, before)
        last = points[-1].copy()
        points = self._superposed.superpose(points)
        flags = {"not_3d": not_3d, "stress": strain, "hand_margin": margins, "ambiguous": ambiguous}
        return Structures(points.astype(np.float32), None, flags, last)

    def _embedded(self, wanted: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Points ``(n_frames, n_beads, 3)``, share of eigenvalues beyond three dimensions, and stress of a block."""
        distances = np.where(self._generated, wanted[:, self._column], np.where(self._known, self._lengths, np.inf))
        distances[:, np.arange(len(self.atoms)), np.arange(len(self.atoms))] = 0
        if not self._known.all():
            distances = np.stack([shortest_path(matrix, directed=False) for matrix in distances])
        points, not_3d = classical_scaling(distances)
        refined = not_3d > _REFINE if self._complete else np.ones(len(wanted), dtype=bool)
        if refined.any():
            targets = np.where(self._bonds, self._lengths, distances[refined])
            points[refined] = majorised(points[refined], targets, self._weights)
        return points, not_3d, stress(points, distances, self._generated.astype(float))

    def _whole_beads(self, featurizer: Featurizer, reference: MDAnalysis.Universe) -> NDArray[np.float64]:
        """Positions of the beads in the reference, ``(n_reference, n_beads, 3)``, nm."""
        beads = []
        for positions, boxes, _ in frames_of(reference):
            if boxes is not None:
                reach = np.abs(featurizer(positions, boxes) - featurizer(positions)).max()
                if reach > _ROUNDING:
                    raise InputError(
                        f"distances in the reference reach through its periodic box (by up to {reach:.2f} nm) and are not those of "
                        "one structure; make molecules whole, or use method nearest_frames"
                    )
            beads.append(positions[:, self.atoms].astype(np.float64))
        return np.concatenate(beads)


def _pairs(schema: FeatureSchema) -> NDArray[np.intp]:
    kinds, units = set(schema.kinds), set(schema.units)
    if kinds != {"distance"} or units != {"nm"}:
        raise InputError(
            f"expected distances in nm, found features of kind {', '.join(sorted(kinds))} in {', '.join(sorted(units))}; "
            "use method nearest_frames for these"
        )
    return np.array(schema.atoms, dtype=np.intp)


def _symmetric(n: int, first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.bool_]:
    matrix = np.zeros((n, n), dtype=bool)
    matrix[first, second] = matrix[second, first] = True
    return matrix


def _chains(reference: MDAnalysis.Universe, atoms: NDArray[np.intp]) -> NDArray[np.intp]:
    """Molecule of each bead if there are bonds, else its segment."""
    chosen = reference.atoms[atoms]
    try:
        chains: NDArray[np.intp] = chosen.fragindices
    except NoDataError:
        chains = chosen.segindices
    return chains


def _adjacent(reference: MDAnalysis.Universe, atoms: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether beads sit in the same or the next residue of the topology, ``(n_beads, n_beads)``."""
    residues = reference.atoms[atoms].resindices
    adjacent: NDArray[np.bool_] = np.abs(residues[:, None] - residues) <= 1
    return adjacent


def _connected(weights: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(shortest_path(weights, unweighted=True, indices=0)).all())


def _require_fixed(known: NDArray[np.bool_], schema: FeatureSchema) -> None:
    n = len(known)
    n_known, n_needed = (int(known.sum()) - n) // 2, 3 * n - 6
    if n < 4 or n_known < n_needed or not _connected(known.astype(float)):
        raise InputError(
            f"{schema.n_features} distances between {n} atoms do not fix a structure: expected at least 4 atoms, all connected, "
            f"with {max(n_needed, 6)} known distances, found {n_known}; use method nearest_frames"
        )
