"""Distances between α carbons to all atoms: each residue as it was in molecular dynamics where the trace ran alike."""

from typing import Self

import MDAnalysis
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import dijkstra

from openmm_trajgan.backmap.base import Structures
from openmm_trajgan.backmap.clashes import Clashes
from openmm_trajgan.backmap.distance_geometry import DistanceGeometry
from openmm_trajgan.backmap.frame_library import frames_of
from openmm_trajgan.backmap.z_matrix import bond_graph
from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import Featurizer

MOST_REFERENCE_FRAMES = 5000  # spread over the reference
_WINDOW = 5  # beads that a fragment is chosen by
_FRAMES_AT_ONCE = 256

Array = NDArray[np.float32]


class Fragments:
    """Backmapper for distances between α carbons that gives all atoms.

    The α carbons, or other beads along one molecule, are placed by `DistanceGeometry`. The atoms nearest to each along the bonds
    are those of the reference frame in which the five beads around it lay most alike, put where the bead and its neighbours are
    now. Beads are exactly where distances put them; bonds between fragments are not quite what they are in molecular
    dynamics, side chains may clash, and each frame is built for itself, so that side chains jump. Repair, by
    ``to_universe(..., relax=True)``, mends bonds and clashes of the frames that clash.

    Attributes
    ----------
    atoms : ndarray
        All atoms of the reference, ``(n_atoms,)``.
    """

    def __init__(self) -> None:
        self.inner = DistanceGeometry()
        self.atoms: NDArray[np.intp] = np.empty(0, dtype=np.intp)

    def fit(self, featurizer: Featurizer, reference: MDAnalysis.Universe) -> Self:
        """Cut the reference into fragments.

        Parameters
        ----------
        featurizer
            Of the model; distances only.
        reference
            Whole structures of one molecule, with bonds and elements.

        Returns
        -------
        Fragments
            This object.

        Raises
        ------
        InputError
            If bonds or elements are missing, there are several molecules, and as for `DistanceGeometry`.
        """
        graph = bond_graph(reference)
        self.clashes = Clashes(reference)
        self.inner.fit(featurizer, reference)
        beads = self.inner.atoms
        nearest = dijkstra(graph, indices=beads, unweighted=True, min_only=True, return_predecessors=True)[2]
        step = -(-len(reference.trajectory) // MOST_REFERENCE_FRAMES)
        positions = np.concatenate([block for block, _, _ in frames_of(reference)])[::step]
        self._members = [np.flatnonzero(nearest == bead) for bead in beads]
        self._environments, self._fragments = [], []
        for place, members in enumerate(self._members):
            axes, origins = self._axes(positions[:, beads], place)
            self._environments.append(self._environment(positions[:, beads], place, axes, origins))
            self._fragments.append((positions[:, members] - origins) @ axes)
        self.atoms = reference.atoms.indices
        return self

    def backmap(self, features: ArrayLike, *, rng: np.random.Generator) -> Structures:
        """Structures of one time series.

        Parameters
        ----------
        features
            ``(n_frames, n_features)``, nm.
        rng
            Not needed; nothing is random here.

        Returns
        -------
        Structures
            Positions of all atoms, with the flags of `DistanceGeometry`, ``"clash"``, see `Clashes`, and
            ``"fragment_distance"``, root mean square distance of beads from those around the fragments chosen, the worst of each
            frame, nm.

        Raises
        ------
        InputError
            If `fit` was not called, and as for `DistanceGeometry`.
        """
        if not len(self.atoms):
            raise InputError("this backmapper has no fragments yet; call fit(featurizer, reference) first")
        placed = self.inner.backmap(features, rng=rng)
        assert placed.positions is not None
        positions = np.empty((len(placed.positions), len(self.atoms), 3), dtype=np.float32)
        worst = np.zeros(len(positions), dtype=np.float32)
        for start in range(0, len(positions), _FRAMES_AT_ONCE):
            block = slice(start, start + _FRAMES_AT_ONCE)
            for place, members in enumerate(self._members):
                axes, origins = self._axes(placed.positions[block], place)
                environment = self._environment(placed.positions[block], place, axes, origins)
                chosen, distances = _nearest(environment, self._environments[place])
                positions[block, members] = self._fragments[place][chosen] @ axes.swapaxes(1, 2) + origins
                np.maximum(worst[block], distances, out=worst[block])
        flags = placed.flags | {"clash": self.clashes(positions), "fragment_distance": worst}
        return Structures(positions, None, flags)

    def _axes(self, beads: Array, place: int) -> tuple[Array, Array]:
        """Axes ``(n_frames, 3, 3)``, in columns, by a bead and both its neighbours, and the bead, ``(n_frames, 1, 3)``."""
        middle = min(max(place, 1), beads.shape[1] - 2)
        one, two = beads[:, middle] - beads[:, middle - 1], beads[:, middle + 1] - beads[:, middle]
        along, across = one + two, two - one
        normal = np.cross(along, across)
        columns = [each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-6) for each in (along, normal)]
        return np.stack([columns[0], np.cross(columns[1], columns[0]), columns[1]], axis=2), beads[:, place, None]

    def _environment(self, beads: Array, place: int, axes: Array, origins: Array) -> Array:
        """Return the five beads around one, in its axes, ``(n_frames, 3 * n_beads)``."""
        first = min(max(place - _WINDOW // 2, 0), max(beads.shape[1] - _WINDOW, 0))
        environment: Array = ((beads[:, first : first + _WINDOW] - origins) @ axes).reshape(len(beads), -1).astype(np.float32)
        return environment


def _nearest(wanted: Array, known: Array) -> tuple[NDArray[np.intp], Array]:
    """Row of `known` nearest to each of `wanted`, and root mean square distance of the beads."""
    squares = np.square(known).sum(axis=1) - 2 * wanted @ known.T
    chosen = squares.argmin(axis=1)
    beads = wanted.shape[1] // 3
    return chosen, np.sqrt(np.square(wanted - known[chosen]).sum(axis=1) / beads)
