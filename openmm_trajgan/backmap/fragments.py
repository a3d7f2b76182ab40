"""Distances between α carbons to all atoms: pieces of molecular dynamics put where the trace ran alike."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import MDAnalysis
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import dijkstra

from openmm_trajgan.backmap.base import Pieces, Structures
from openmm_trajgan.backmap.clashes import CLOSEST, Clashes, contact_distances
from openmm_trajgan.backmap.distance_geometry import DistanceGeometry
from openmm_trajgan.backmap.frame_library import frames_of
from openmm_trajgan.backmap.z_matrix import bond_graph
from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import Featurizer

MOST_REFERENCE_FRAMES = 5000  # spread over the reference
_AROUND = 2  # beads on either side that a fragment is chosen by
_STRETCHES = 8  # contiguous parts of the reference, each of which offers its nearest frame
_CONTINUITY = 1.0  # of the change of a fragment from the frame before, beyond that of a step of the reference, against the beads
_CROWDING = 5.0  # nm², against the beads, of two atoms in one place
_FRAMES_AT_ONCE = 256

Array = NDArray[np.float32]


class Fragments:
    """Backmapper for distances between α carbons that gives all atoms.

    The α carbons, or other beads along one molecule, are placed by `DistanceGeometry`. The rest is cut into fragments: what lies
    on the bonds between two beads, such as a peptide bond, and what hangs on one bead, such as a side chain. Each fragment is
    taken from a frame of the reference in which the beads around it lay nearly as they do now, and put where they are now: of
    the nearest frames of eight parts of the reference, the frame used before and the next of that, the one with the least sum of
    the squared deviation of the beads, the squared change of the fragment, as far as it exceeds the usual step of the reference
    and is not one itself, and a penalty for clashes with fragments placed before. So side chains turn no more often than the
    trace demands and make room for each other where they can. Beads are exactly where distances put them; bonds between
    fragments are not quite what they are in molecular dynamics, and some atoms may clash. Repair, by
    ``to_universe(..., relax=True)``, mends bonds and clashes of the frames that clash.

    The reference should have the frame interval of the generated features, since its steps are the measure of continuity.

    Attributes
    ----------
    atoms : ndarray
        All atoms of the reference, ``(n_atoms,)``.
    """

    pieces: Pieces = "in order"

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
            Whole structures of one molecule, consecutive in time, with bonds and elements.

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
        positions = np.concatenate([block for block, _, _ in frames_of(reference)])
        step = -(-len(positions) // MOST_REFERENCE_FRAMES)
        beads = positions[:, self.inner.atoms]
        self._fragments = []
        placed = self.inner.atoms
        room = np.nan_to_num((CLOSEST * contact_distances(reference)) ** -2.0).astype(np.float32)
        for members, first, last, bonded in _cut(graph, self.inner.atoms):
            axes, origins = _axes(beads, positions, first, last, bonded)
            shapes = ((positions[:, members] - origins) @ axes).reshape(len(positions), -1)
            changes = np.square(np.diff(shapes, axis=0)).sum(axis=1)
            environments = _environment(beads, first, last, axes, origins)
            self._fragments.append(
                _Fragment(
                    members,
                    first,
                    last,
                    bonded,
                    environments[::step],
                    shapes[::step],
                    float(changes.mean()) if len(changes) else 0.0,
                    placed,
                    room[np.ix_(members, placed)],
                )
            )
            placed = np.append(placed, members)
        self.atoms = reference.atoms.indices
        return self

    def backmap(
        self,
        features: ArrayLike,
        *,
        rng: np.random.Generator,
        before: tuple[NDArray[np.float64], NDArray[np.intp]] | None = None,
    ) -> Structures:
        """Structures of one time series, or of a piece of it.

        Parameters
        ----------
        features
            ``(n_frames, n_features)``, nm.
        rng
            Not needed; nothing is random here.
        before
            ``memory`` of the piece before: that of `DistanceGeometry`, and which frame each fragment is from.

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
        placed = self.inner.backmap(features, rng=rng, before=None if before is None else before[0])
        assert placed.positions is not None
        beads = placed.positions
        positions = np.empty((len(beads), len(self.atoms), 3), dtype=np.float32)
        worst = np.zeros(len(beads), dtype=np.float32)
        last = np.full(len(self._fragments), -1) if before is None else before[1].copy()
        for start in range(0, len(beads), _FRAMES_AT_ONCE):
            block = slice(start, start + _FRAMES_AT_ONCE)
            positions[block, self.inner.atoms] = beads[block]
            for number, fragment in enumerate(self._fragments):
                axes, origins = _axes(beads[block], positions[block], fragment.first, fragment.last, fragment.bonded)
                environment = _environment(beads[block], fragment.first, fragment.last, axes, origins)
                chosen = fragment.chosen(environment, int(last[number]), axes, origins, positions[block, fragment.placed])
                last[number] = chosen[-1]
                shapes = fragment.shapes[chosen].reshape(len(chosen), -1, 3)
                positions[block, fragment.members] = shapes @ axes.swapaxes(1, 2) + origins
                deviations = np.square(environment - fragment.environments[chosen]).mean(axis=1) * 3
                np.maximum(worst[block], np.sqrt(deviations), out=worst[block])
        flags = placed.flags | {"clash": self.clashes(positions), "fragment_distance": worst}
        return Structures(positions, None, flags, (placed.memory, last))


@dataclass(frozen=True)
class _Fragment:
    """Atoms that are placed together.

    Parameters
    ----------
    members
        Which atoms.
    first, last
        Between which beads they are; the same for what hangs on one.
    bonded
        Two atoms of other fragments that this bead is bonded to, such as N and C; none where there are not two.
    environments
        Beads around them in the reference, in their axes, ``(n_reference, 3 * n_beads)``.
    shapes
        Positions in the same axes, ``(n_reference, 3 * n_members)``.
    step
        Mean square change of all these positions together between frames of the reference, nm².
    placed
        Atoms that are placed before, ``(n_placed,)``.
    room
        Inverse of the squared distance below which members clash with them, ``(n_members, n_placed)``, nm⁻²; 0
        where they may be close.
    """

    members: NDArray[np.intp]
    first: int
    last: int
    bonded: tuple[int, ...]
    environments: Array
    shapes: Array
    step: float
    placed: NDArray[np.intp]
    room: Array

    def chosen(self, wanted: Array, before: int, axes: Array, origins: Array, around: Array) -> NDArray[np.intp]:
        """Choose frames of the reference for environments ``(n_frames, 3 * n_beads)``.

        `before` is that of the frame before, or -1; `around` has the positions of the atoms placed before.
        """
        known, n_beads, n_members = self.environments, wanted.shape[1] // 3, len(self.members)
        squares = np.square(known).sum(axis=1) - 2 * wanted @ known.T
        edges = np.linspace(0, len(known), min(_STRETCHES, len(known)) + 1).astype(int)
        offered = np.stack([start + squares[:, start:stop].argmin(axis=1) for start, stop in pairwise(edges)], axis=1)
        squares += np.square(wanted).sum(axis=1, keepdims=True)
        chosen = np.empty(len(wanted), dtype=np.intp)
        for frame, (candidates, costs) in enumerate(zip(offered, squares, strict=True)):
            if before >= 0:
                candidates = np.append(candidates, (before, min(before + 1, len(known) - 1)))
                changes = np.square(self.shapes[candidates] - self.shapes[before]).sum(axis=1)
                jumps = np.maximum(changes - self.step, 0) / n_members
                jumps[-1] = 0.0  # a step of the reference
            else:
                jumps = np.zeros(len(candidates))
            crowding = self._crowding(candidates, axes[frame], origins[frame], around[frame])
            before = candidates[(costs[candidates] / n_beads + _CONTINUITY * jumps + _CROWDING * crowding).argmin()]
            chosen[frame] = before
        return chosen

    def _crowding(self, candidates: NDArray[np.intp], axes: Array, origin: Array, around: Array) -> Array:
        """Sum of the squared overlaps with atoms placed before, of each candidate, ``(n_candidates,)``; 1 in one place."""
        here = self.shapes[candidates].reshape(-1, 3) @ axes.T + origin
        squares = here @ (-2 * around.T)
        squares += np.einsum("ax,ax->a", here, here)[:, None]
        squares += np.einsum("ax,ax->a", around, around)
        overlaps = squares.reshape(len(candidates), *self.room.shape)
        overlaps *= -self.room
        overlaps += self.room > 0
        np.maximum(overlaps, 0, out=overlaps)
        crowding: Array = np.einsum("cmp,cmp->c", overlaps, overlaps)
        return crowding


def _cut(graph: csr_array, beads: NDArray[np.intp]) -> list[tuple[NDArray[np.intp], int, int, tuple[int, ...]]]:
    """`members`, `first`, `last` and `bonded` of each fragment, in the order in which they can be placed."""
    predecessors = dijkstra(graph, indices=beads, unweighted=True, return_predecessors=True)[1]
    between = []
    for place, (one, two) in enumerate(pairwise(beads.tolist())):
        path, atom = [], int(predecessors[place, two])
        while atom not in (one, -9999):
            path.append(atom)
            atom = int(predecessors[place, atom])
        between.append([] if np.isin(path, beads).any() else path)
    links = np.array([atom for path in between for atom in path], dtype=np.intp)
    link_of = np.array([place for place, path in enumerate(between) for _ in path], dtype=np.intp)
    # What hangs on a bead is reached from it without the links, the rest from these
    kept = diags_array((~np.isin(np.arange(graph.shape[0]), links)).astype(float))
    rest = (kept @ graph @ kept).tocsr()
    rest.eliminate_zeros()
    hangs = dijkstra(rest, indices=beads, unweighted=True, min_only=True, return_predecessors=True)[2]
    nearest = dijkstra(graph, indices=np.append(links, beads), unweighted=True, min_only=True, return_predecessors=True)[2]
    fragments: list[tuple[NDArray[np.intp], int, int, tuple[int, ...]]] = []
    for place in range(len(between)):
        members = np.flatnonzero((hangs < 0) & np.isin(nearest, links[link_of == place]))
        if len(members):
            fragments.append((members, place, place + 1, ()))
    for place, bead in enumerate(beads.tolist()):
        bonded = [atom for atom in graph[[bead]].indices.tolist() if hangs[atom] != bead]
        fragments.append((np.flatnonzero(hangs == bead), place, place, tuple(bonded) if len(bonded) == 2 else ()))
    return fragments


def _axes(beads: Array, positions: Array, first: int, last: int, bonded: tuple[int, ...]) -> tuple[Array, Array]:
    """Axes ``(n_frames, 3, 3)``, in columns, and origin ``(n_frames, 1, 3)`` of a fragment."""
    n = beads.shape[1]
    if first == last:
        middle = first if bonded else min(max(first, 1), n - 2)
        before, after = (positions[:, atom] for atom in bonded) if bonded else (beads[:, middle - 1], beads[:, middle + 1])
        one, two = beads[:, middle] - before, after - beads[:, middle]
        along, across = one + two, two - one
    else:
        along = beads[:, last] - beads[:, first]
        outer = [beads[:, place] for place in (first - 1, last + 1) if 0 <= place < n]
        across = np.asarray(np.mean(outer, axis=0) - (beads[:, first] + beads[:, last]) / 2, dtype=np.float32)
    normal = np.cross(along, across).astype(np.float32)
    columns = [each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-6) for each in (along, normal)]
    origins = np.asarray((beads[:, first] + beads[:, last])[:, None] / 2, dtype=np.float32)
    return np.stack([columns[0], np.cross(columns[1], columns[0]), columns[1]], axis=2), origins


def _environment(beads: Array, first: int, last: int, axes: Array, origins: Array) -> Array:
    """Return the beads around a fragment in its axes, ``(n_frames, 3 * n_beads)``."""
    length = last - first + 1 + 2 * _AROUND
    start = min(max(first - _AROUND, 0), max(beads.shape[1] - length, 0))
    environment: Array = ((beads[:, start : start + length] - origins) @ axes).reshape(len(beads), -1).astype(np.float32)
    return environment
