"""Any features to structures: a continuous path through the frames that molecular dynamics visited."""

from dataclasses import dataclass
from typing import Self

import MDAnalysis
import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_trajgan.backmap.base import Structures
from openmm_trajgan.backmap.frame_library import FrameLibrary
from openmm_trajgan.backmap.paths import cheapest_paths
from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import Featurizer

_N_NEIGHBORS = 16  # frames nearest in the features are candidates of a first path ...
_N_CONTINUED = 24  # ... and so many of those that the simulation leads to ...
_N_CONTINUABLE = 2  # ... from the first so many ...
_REACH = 16  # ... of up to so many frames before and after
_N_AROUND = 64  # frames nearest in the features, and those the simulation leads to from the first path, are looked at again, ...
_N_CLOSE = 24  # ... and so many that fit the first path best are candidates of the second
_REPEAT = 0.5  # penalty of staying in a frame, which no simulation does; 1 is a squared jump of √2 times the usual one
_WEIGHTS = 0.001 * 2.0 ** np.arange(14)  # of the steps against the features, tried from the least
_JUMP_RATIO = 1.1  # smooth enough: mean jump of the path over that of molecular dynamics
_FEATURE_ERROR = 0.1  # standard deviations that the features may be off for the sake of smoothness, ...
_MORE_ERROR = 1.1  # ... or so many times what the nearest frames are off
_STRETCHES, _STRETCH = 8, 256  # the weight is tuned on so many pieces of a long series, of so many frames
_FRAMES_AT_ONCE = 128


@dataclass(frozen=True)
class PathSummary:
    """How a series of features was matched by frames of molecular dynamics.

    Parameters
    ----------
    unique_share
        Different frames of the reference over frames of the path.
    repeat_share, successor_share
        Steps that stay in a frame, and steps that the simulation itself made.
    jump_ratio
        Mean structural distance (dRMSD) between consecutive frames over that of the simulation.
    feature_error
        Mean over frames of the root mean square deviation from the features asked for, in standard deviations.
    library_distance
        99th percentile of that deviation for the nearest frame of all: large where the simulation has not been.
    weight
        Of the smoothness against the features.
    """

    unique_share: float
    repeat_share: float
    successor_share: float
    jump_ratio: float
    feature_error: float
    library_distance: float
    weight: float


class NearestFrames:
    """Backmapper that answers with frames of the reference, chosen so that they follow each other as in a simulation.

    For each generated frame the candidates are the reference frames with the nearest features, and those that the simulation leads
    to from the nearest ones of frames before and after. Among all paths through the candidates it takes the one with the least
    sum of squared feature deviations plus a penalty for every step that is longer than a typical one of the simulation, and for
    staying in a frame; the weight of the penalty is tuned until the mean step is that of the simulation, as far as the
    features stay within 0.1 standard deviations of those asked for, or where the library has none so near, are at most a tenth
    further from them than those of the nearest frames. The few frames nearest in one or two features are structures of all kinds,
    so a second path follows, through more of them: those that are closest in structure to the first path before and after.
    Structures come out as indices of reference frames, with the reference's own bonds, energies and boxes. Solvent, ligands,
    several chains and periodic boxes are what they were in those frames.

    What it cannot do: show a structure that the simulation did not visit. One or two features leave the rest of a structure
    open, so a frame is *a* structure with these features, not *the* structure. See the flag ``"library_distance"`` and `summary`.

    The reference should have the frame interval of the generated features, since its steps are the measure of smoothness.

    Parameters
    ----------
    selection
        MDAnalysis selection of the atoms by which structures are compared; default heavy atoms that are not water or ions.
    n_pairs
        Random pairs of these atoms whose distances are compared, at most.
    weight
        Of the smoothness against the features; default tuned to each series.
    seed
        Draws the pairs of atoms. Nothing else is random.

    Attributes
    ----------
    atoms : NDArray[np.intp]
        All atoms of the reference.
    summary : PathSummary
        Of the last series that was backmapped.

    Examples
    --------
    Two particles that move apart:

    >>> from openmm_trajgan.features import Distances
    >>> universe = MDAnalysis.Universe.empty(2, trajectory=True)
    >>> gaps = np.arange(1.0, 7.0)
    >>> _ = universe.load_new(np.stack([np.zeros((6, 3)), gaps[:, None] * [1, 0, 0]], axis=1))
    >>> nearest = NearestFrames().fit(Distances([[0, 1]]), universe)
    >>> nearest.backmap([[0.1], [0.2], [0.3], [0.4]], rng=np.random.default_rng(0)).reference_frames
    array([0, 1, 2, 3])
    >>> nearest.summary.successor_share
    1.0
    """

    def __init__(self, *, selection: str | None = None, n_pairs: int = 500, weight: float | None = None, seed: int = 0) -> None:
        if n_pairs < 1:
            raise InputError(f"n_pairs: expected at least 1 pair of atoms, found {n_pairs}")
        if weight is not None and not 0 <= weight < np.inf:
            raise InputError(f"weight: expected a finite number not below 0, found {weight}; leave it out to have it tuned")
        self.selection, self.n_pairs, self.weight, self.seed = selection, n_pairs, weight, seed
        self.atoms: NDArray[np.intp] = np.empty(0, dtype=np.intp)

    def fit(self, featurizer: Featurizer, reference: MDAnalysis.Universe) -> Self:
        """Compute the features of all reference frames, and how they differ in structure.

        Parameters
        ----------
        featurizer
            Of the model; any.
        reference
            Whole structures, consecutive in time. Its trajectory is read once from start to end.

        Returns
        -------
        NearestFrames
            This object.

        Raises
        ------
        InputError
            If the reference has fewer than two atoms or frames, does not move, or a feature is not finite or never changes.
        """
        self._library = FrameLibrary(featurizer, reference, n_pairs=self.n_pairs, selection=self.selection, seed=self.seed)
        self.atoms = reference.atoms.indices
        return self

    def backmap(self, features: ArrayLike, *, rng: np.random.Generator) -> Structures:
        """Find the path for one time series.

        Parameters
        ----------
        features
            ``(n_frames, n_features)`` in the units of the schema.
        rng
            Not needed; nothing is random here.

        Returns
        -------
        Structures
            Reference frames, with the flags ``"library_distance"`` and ``"feature_error"``, deviation of the features of the
            nearest and of the chosen frame in standard deviations, and ``"jump"``, dRMSD from the frame before in nm (0 for the
            first).

        Raises
        ------
        InputError
            If `fit` was not called, or `features` has another shape or a value that is not finite.
        """
        if not hasattr(self, "_library"):
            raise InputError("this backmapper has no frames yet; call fit(featurizer, reference) first")
        library = self._library
        wanted = np.asarray(features, dtype=np.float64)
        if wanted.ndim != 2 or wanted.shape[1] != library.schema.n_features or not len(wanted):
            raise InputError(
                f"expected features (n_frames, {library.schema.n_features}) with at least one frame, found {wanted.shape}; "
                "give one time series"
            )
        if not np.isfinite(wanted).all():
            raise InputError(f"frame {np.argwhere(~np.isfinite(wanted))[0, 0]} has a feature that is not finite; leave it out")
        near = self._near(wanted)
        candidates, costs = self._candidates(wanted, near[:, :_N_NEIGHBORS])
        weight = self._tuned(candidates, costs) if self.weight is None else self.weight
        rows, weights = np.arange(len(wanted)), np.array([weight])
        first = candidates[rows, self._paths(candidates, costs, weights)[0]]
        del candidates, costs  # the most of the memory
        candidates, costs = self._close(wanted, near, first, weight)
        path = self._paths(candidates, costs, weights)[0]
        frames = candidates[rows, path].astype(np.intp)
        errors = np.sqrt(costs[rows, path])
        flags = {
            "library_distance": np.sqrt(library.mismatch(wanted, near[:, 0])),
            "feature_error": errors,
            "jump": np.concatenate([[0.0], library.step * library.jumps(frames)]),
        }
        self.summary = _summary(library, frames, flags, weight)
        return Structures(None, frames, flags)

    def _near(self, wanted: NDArray[np.float64]) -> NDArray[np.int32]:
        """Library frames nearest to each frame in the features, nearest first, ``(n_frames, k)``."""
        k = min(_N_AROUND, len(self._library))
        blocks = (wanted[start : start + _FRAMES_AT_ONCE] for start in range(0, len(wanted), _FRAMES_AT_ONCE))
        return np.concatenate([self._library.nearest(block, k).astype(np.int32) for block in blocks])

    def _candidates(self, wanted: NDArray[np.float64], near: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Candidates of each frame, the nearest first, and their feature costs, both ``(n_frames, k)``."""
        library, k = self._library, near.shape[1]
        candidates = np.empty((len(wanted), k + _N_CONTINUED), dtype=np.int32)
        costs = np.empty(candidates.shape, dtype=np.float32)
        for start in range(0, len(wanted), _FRAMES_AT_ONCE):
            block = slice(start, start + _FRAMES_AT_ONCE)
            continued = np.sort(self._continued(near[:, :_N_CONTINUABLE], np.arange(len(wanted))[block]), axis=1)
            mismatch = library.mismatch(wanted[block], continued)
            mismatch[:, 1:][continued[:, 1:] == continued[:, :-1]] = np.inf
            best = np.argpartition(mismatch, _N_CONTINUED - 1, axis=1)[:, :_N_CONTINUED]
            candidates[block, :k], candidates[block, k:] = near[block], np.take_along_axis(continued, best, axis=1)
            costs[block] = library.mismatch(wanted[block], candidates[block])
        return candidates, costs

    def _close(
        self, wanted: NDArray[np.float64], near: NDArray[np.int32], path: NDArray[np.int32], weight: float
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Candidates that cost least between the frames of a path before and after, its own among them; as `_candidates`."""
        library, n_frames = self._library, len(wanted)
        candidates = np.empty((n_frames, _N_CLOSE), dtype=np.int32)
        costs = np.empty(candidates.shape, dtype=np.float32)
        for start in range(0, n_frames, _FRAMES_AT_ONCE):
            rows = np.arange(start, min(start + _FRAMES_AT_ONCE, n_frames))
            own = path[rows, None]
            around = np.sort(np.concatenate([near[rows], self._continued(path[:, None], rows), own], axis=1), axis=1)
            mismatch = library.mismatch(wanted[rows], around)
            sides = path[np.clip(rows[:, None] + [-1, 1], 0, n_frames - 1)]
            total = mismatch + weight * library.excess(around, sides).sum(axis=2)
            total[:, 1:][around[:, 1:] == around[:, :-1]] = np.inf
            np.put_along_axis(total, (around == own).argmax(axis=1)[:, None], -1.0, axis=1)
            best = np.argpartition(total, _N_CLOSE - 1, axis=1)[:, :_N_CLOSE]
            candidates[rows], costs[rows] = (np.take_along_axis(values, best, axis=1) for values in (around, mismatch))
        return candidates, costs

    def _continued(self, frames: NDArray[np.int32], rows: NDArray[np.intp]) -> NDArray[np.int32]:
        """Frames that the simulation leads to from `frames` ``(n_frames, n)`` before and after each row, ``(n_rows, ...)``."""
        lags = np.concatenate([np.arange(-_REACH, 0), np.arange(1, _REACH + 1)])
        others = frames[np.clip(rows[:, None] - lags, 0, len(frames) - 1)]
        return self._library.later(others, lags[:, None]).reshape(len(rows), -1)

    def _paths(self, candidates: NDArray[np.int32], costs: NDArray[np.float32], weights: NDArray[np.floating]) -> NDArray[np.intp]:
        def penalties(start: int, stop: int) -> NDArray[np.float32]:
            now, before = candidates[start:stop], candidates[start - 1 : stop - 1]
            steps = self._library.excess(now, before)
            np.copyto(steps, np.float32(_REPEAT), where=now[:, :, None] == before[:, None, :])
            return steps

        return cheapest_paths(costs, penalties, weights.astype(np.float32))

    def _tuned(self, candidates: NDArray[np.int32], costs: NDArray[np.float32]) -> float:
        """Least weight that makes steps as short as those of the simulation, or the largest that the features allow.

        Steps that stay in a frame do not count: beyond the library the path waits in its outermost frames whatever the weight.
        """
        n_frames, length = len(candidates), _STRETCH
        if n_frames <= _STRETCHES * _STRETCH:
            starts, length = np.array([0]), n_frames
        else:
            starts = np.linspace(0, n_frames - length, _STRETCHES).astype(int)
        errors, least, steps = [], [], []
        for start in starts:
            piece, cost = candidates[start : start + length], costs[start : start + length]
            paths = self._paths(piece, cost, _WEIGHTS)
            rows = np.arange(length)
            errors.append(np.sqrt(cost[rows, paths]).mean(axis=1))
            least.append(np.sqrt(cost[:, 0]).mean())
            steps.append(self._library.jumps(piece[rows, paths]))
        affordable = np.mean(errors, axis=0) <= max(_FEATURE_ERROR, _MORE_ERROR * np.mean(least))
        affordable[0] = True
        lengths = np.concatenate(steps, axis=1)
        jumps = lengths.sum(axis=1) / np.maximum((lengths > 0).sum(axis=1), 1)
        smooth = jumps <= _JUMP_RATIO * self._library.mean_jump
        best = np.flatnonzero(affordable & smooth)
        return float(_WEIGHTS[best[0] if len(best) else np.flatnonzero(affordable)[-1]])


def _summary(library: FrameLibrary, frames: NDArray[np.intp], flags: dict[str, NDArray[np.floating]], weight: float) -> PathSummary:
    before, now = frames[:-1], frames[1:]
    n_steps = max(len(now), 1)
    return PathSummary(
        unique_share=len(np.unique(frames)) / len(frames),
        repeat_share=float((now == before).sum() / n_steps),
        successor_share=float(((now == before + 1) & library.continues[np.minimum(before, len(library) - 2)]).sum() / n_steps),
        jump_ratio=float(flags["jump"][1:].sum() / n_steps / (library.step * library.mean_jump)),
        feature_error=float(flags["feature_error"].mean()),
        library_distance=float(np.percentile(flags["library_distance"], 99)),
        weight=weight,
    )
