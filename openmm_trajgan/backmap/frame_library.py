"""Frames of molecular dynamics to look structures up in: by their features, and by how much the structure differs."""

from collections.abc import Iterator
from typing import Any

import MDAnalysis
import numpy as np
from MDAnalysis.lib.mdamath import triclinic_vectors
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import Featurizer
from openmm_trajgan.features.distances import Distances
from openmm_trajgan.schema import FeatureSchema

_NM_PER_ANGSTROM = 0.1
_FRAMES_AT_ONCE = 256
_MOST_DIMENSIONS_OF_A_TREE = 10  # beyond, a tree visits nearly every frame and brute force is faster
_DROPPED = 0.1  # of the squared dRMSD of a step of the simulation
_SOLVENT = (
    "HOH WAT SOL H2O TIP TIP2 TIP3 TIP3P TIP4 TIP4P TP3 TP4 T3P T4P SPC SPCE DOD "
    "NA NA+ SOD K K+ POT CL CL- CLA MG MG2 CA2 CAL LI RB CES CS ZN ZN2"
)


class FrameLibrary:
    """What retrieval needs of each frame of a reference: its features, some distances between atoms, and what came next.

    Features are compared in units of their standard deviation in the reference, periodic ones on the circle. Structures are
    compared by dRMSD: the root mean square difference of the distances of a fixed set of atom pairs, nearest image where there is
    a box.

    Parameters
    ----------
    featurizer
        That of the model.
    reference
        Whole structures, consecutive in time.
    n_pairs
        Random pairs of atoms for the dRMSD, at most.
    selection
        MDAnalysis selection of the atoms these pairs are drawn from; None for heavy atoms that are not water or ions.
    seed
        Draws the pairs.

    Attributes
    ----------
    features : NDArray[np.float64]
        ``(n_reference, n_features)``, units of the schema.
    continues : NDArray[np.bool_]
        Whether frame i + 1 follows frame i in time, ``(n_reference - 1,)``.
    step : float
        Root mean square dRMSD between frames that follow each other in the reference, nm.
    mean_jump : float
        Mean dRMSD between frames that follow each other, in units of `step`.

    Raises
    ------
    InputError
        If there are fewer than two atoms or frames, a feature is not finite or never changes, or the structure never moves.
    """

    def __init__(
        self, featurizer: Featurizer, reference: MDAnalysis.Universe, *, n_pairs: int, selection: str | None, seed: int
    ) -> None:
        pairs = _random_pairs(_compared_atoms(reference, selection), n_pairs, np.random.default_rng(seed))
        measure = Distances(pairs)
        blocks = [
            (featurizer(positions, boxes), measure(positions, boxes), times) for positions, boxes, times in frames_of(reference)
        ]
        if sum(len(times) for _, _, times in blocks) < 2:
            raise InputError(
                f"expected at least two consecutive reference frames, found {len(reference.trajectory)}; "
                "give the trajectory of the molecular dynamics, not one structure"
            )
        features, distances, times = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        self.schema = featurizer.schema
        self.features = features.astype(np.float64)
        if not np.isfinite(self.features).all():
            frame, column = np.argwhere(~np.isfinite(self.features))[0]
            raise InputError(
                f"reference frame {frame}: feature {self.schema.names[column]!r} is {self.features[frame, column]}; leave it out"
            )
        self.continues = _continues(times)
        starts = np.flatnonzero(np.append(True, ~self.continues))
        lengths = np.diff(np.append(starts, len(times)))
        self._first, self._last = np.repeat(starts, lengths), np.repeat(starts + lengths - 1, lengths)
        if not self.continues.any():
            raise InputError("no two frames of the reference follow each other in time; give frames in their order")
        steps = np.square(distances[1:] - distances[:-1]).mean(axis=1)[self.continues]
        self.step = float(np.sqrt(steps.mean()))
        if not self.step > 0:
            raise InputError("the structure is the same in all reference frames; give a trajectory in which it moves")
        distances -= distances.mean(axis=0)
        distances /= np.float32(self.step * np.sqrt(len(pairs)))
        structures = _principal(distances)
        self.mean_jump = float(np.linalg.norm(np.diff(structures, axis=0), axis=1)[self.continues].mean())
        norms = np.square(structures).sum(axis=1, keepdims=True)
        one = np.ones_like(norms)
        # The product of a row of the one and a row of the other is |a - b|² - 1
        self._left, self._right = np.hstack([-2 * structures, norms, one]), np.hstack([structures, one, norms - 1])
        self.scales = _scales(self.features, self.schema)
        self._points = self._encoded(self.features)
        self._tree = cKDTree(self._points) if self._points.shape[1] <= _MOST_DIMENSIONS_OF_A_TREE else None

    def __len__(self) -> int:
        return len(self.features)

    @property
    def structures(self) -> NDArray[np.float32]:
        """Points ``(n_reference, n_components)`` whose distance is the dRMSD in units of `step`, to 10 % of the square of that."""
        return self._right[:, :-2]

    def nearest(self, features: NDArray[np.float64], k: int) -> NDArray[np.intp]:
        """Frames nearest to each row of `features` ``(n_frames, n_features)``, nearest first, ``(n_frames, k)``."""
        points = self._encoded(features)
        if self._tree is not None:
            _, found = self._tree.query(points, k=np.arange(1, k + 1))
        else:
            from sklearn.neighbors import NearestNeighbors

            found = NearestNeighbors(algorithm="brute").fit(self._points).kneighbors(points, k, return_distance=False)
        frames: NDArray[np.intp] = found.astype(np.intp)
        return frames

    def later(self, frames: NDArray[np.integer], lags: NDArray[np.integer]) -> NDArray[np.int32]:
        """Return the frames `lags` steps of the simulation later (before, if negative), at most to the ends of its stretch."""
        later: NDArray[np.int32] = np.clip(frames + lags, self._first[frames], self._last[frames]).astype(np.int32)
        return later

    def mismatch(self, features: NDArray[np.float64], frames: NDArray[np.integer]) -> NDArray[np.float64]:
        """Mean squared deviation of features from those of frames, in units of their variance.

        `features` is ``(n_frames, n_features)``, `frames` ``(n_frames, ...)``, the result has the shape of `frames`.
        """
        wanted = features.reshape(len(features), *(1,) * (frames.ndim - 1), -1)
        deviations = self.schema.wrap(self.features[frames] - wanted) / self.scales
        mismatch: NDArray[np.float64] = np.square(deviations).mean(axis=-1)
        return mismatch

    def jumps(self, frames: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the dRMSD between consecutive frames of a path ``(..., n)``, ``(..., n - 1)``, in units of `step`."""
        structures = self.structures[frames]
        jumps: NDArray[np.float64] = np.linalg.norm(np.diff(structures, axis=-2), axis=-1)
        return jumps

    def excess(self, now: NDArray[np.integer], before: NDArray[np.integer]) -> NDArray[np.float32]:
        """By how much squared dRMSDs, in units of `step`², exceed 1, at least 0: between all frames of each row.

        Both are ``(n, k)``; the result is ``(n, k, k)``, first those of `now`.
        """
        excess: NDArray[np.float32] = self._left[now] @ self._right[before].transpose(0, 2, 1)
        return np.maximum(excess, 0, out=excess)

    def _encoded(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Features in standard deviations; a periodic one as a point on a circle of the radius that keeps small differences."""
        columns = []
        for column, period in enumerate(self.schema.periods):
            values = features[:, column] / self.scales[column]
            if period is None:
                columns.append(values)
            else:
                radius = period / (2 * np.pi * self.scales[column])
                columns += [radius * np.cos(values / radius), radius * np.sin(values / radius)]
        return np.stack(columns, axis=1)


def frames_of(
    universe: MDAnalysis.Universe,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float64] | None, NDArray[np.float64]]]:
    """Read a trajectory block by block.

    Yields
    ------
    tuple
        Positions ``(n_frames, n_atoms, 3)`` float32 in nm; box vectors ``(n_frames, 3, 3)`` in nm, or None without a box; times
        ``(n_frames,)`` in ps.
    """
    positions: list[Any] = []
    boxes: list[Any] = []
    times: list[float] = []
    for timestep in universe.trajectory:
        positions.append(timestep.positions * np.float32(_NM_PER_ANGSTROM))
        dimensions = timestep.dimensions
        if dimensions is not None and dimensions[:3].all():
            boxes.append(triclinic_vectors(dimensions) * _NM_PER_ANGSTROM)
        times.append(timestep.time)
        if len(times) == _FRAMES_AT_ONCE or timestep.frame == len(universe.trajectory) - 1:
            if len(boxes) not in (0, len(times)):
                raise InputError("some frames of the reference have a box and some have none; give all or none a box")
            yield np.stack(positions), np.array(boxes) if boxes else None, np.array(times)
            positions, boxes, times = [], [], []


def _compared_atoms(universe: MDAnalysis.Universe, selection: str | None) -> NDArray[np.intp]:
    if selection is None:
        solute = universe.select_atoms(f"not resname {_SOLVENT}") if hasattr(universe.atoms, "resnames") else universe.atoms
        chosen = (solute if len(solute) > 1 else universe.atoms).atoms
        heavy = [not _is_hydrogen(atom) for atom in chosen]
        chosen = chosen[heavy] if sum(heavy) > 1 else chosen
    else:
        chosen = universe.select_atoms(selection)
    if len(chosen) < 2:
        raise InputError(f"expected at least two atoms to compare structures by, found {len(chosen)}; select more atoms")
    indices: NDArray[np.intp] = chosen.indices
    return indices


def _is_hydrogen(atom: Any) -> bool:
    element = getattr(atom, "element", "") or getattr(atom, "name", "").lstrip("0123456789")[:1]
    return element == "H"


def _random_pairs(atoms: NDArray[np.intp], n_pairs: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw pairs of different atoms ``(n, 2)``; all of them if they are few."""
    if len(atoms) * (len(atoms) - 1) // 2 <= n_pairs:
        return np.stack([atoms[column] for column in np.triu_indices(len(atoms), 1)], axis=1)
    first = rng.integers(len(atoms), size=n_pairs)
    second = (first + rng.integers(1, len(atoms), size=n_pairs)) % len(atoms)
    return np.unique(np.sort(np.stack([atoms[first], atoms[second]], axis=1), axis=1), axis=0)


def _principal(points: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Principal components of centred points ``(n, dimensions)`` that keep all but 10 % of a squared distance of 1."""
    variances, directions = np.linalg.eigh(points.T @ points / len(points))
    kept = 2 * np.cumsum(variances) > _DROPPED  # the mean squared distance of two points is twice their variance
    kept[-1] = True
    components: NDArray[np.float32] = (points @ directions[:, kept]).astype(np.float32)
    return components


def _scales(features: NDArray[np.float64], schema: FeatureSchema) -> NDArray[np.float64]:
    """Return the standard deviation of each feature, of periodic ones about their circular mean, ``(n_features,)``."""
    centers = features.mean(axis=0)
    for column, period in enumerate(schema.periods):
        if period is not None:
            centers[column] = np.angle(np.exp(2j * np.pi / period * features[:, column]).mean()) * period / (2 * np.pi)
    scales: NDArray[np.float64] = np.sqrt(np.square(schema.wrap(features - centers)).mean(axis=0))
    flat = ~(scales > 0)
    if flat.any():
        raise InputError(
            f"feature {schema.names[flat.argmax()]!r} has one value in all reference frames; "
            "give a trajectory in which it changes, or leave the feature out"
        )
    return scales


def _continues(times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a frame comes one usual interval after the one before it, ``(n_frames - 1,)``; files round times."""
    spacings = np.diff(times)
    usual = np.median(spacings)
    continues: NDArray[np.bool_] = np.abs(spacings - usual) <= abs(usual) / 2
    return continues
