"""How fast the slowest processes are: implied timescales of Markov state models, estimated by deeptime."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import vq

from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.distributions import FloatArray
from openmm_trajgan.analysis.inputs import Source, as_trajectories
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

CHUNK = 2**18  # frames that are looked at in one go
FITTED_FRAMES = 20_000  # k-means is fitted on at most so many, evenly spaced
MOST_MICROSTATES = 30
LEAST_CONNECTED = 0.98  # share of the transitions inside the largest connected set, below which a part of space is missing
LEAST_RELAXATIONS = 10  # data at least so many times longer than a timescale, or too few transitions carry it
PLATEAU = 0.1  # relative change of t2 from one lag to the next that counts as none


@dataclass(frozen=True, eq=False)
class Microstates:
    """A partition of feature space by k-means, fitted on one data set and applied to others.

    Angles enter as sine and cosine, other features divided by their standard deviation in the fitted set.

    Parameters
    ----------
    centers
        Shape ``(n_states, n_coordinates)``.
    scale
        Standard deviation of every feature in the fitted set, shape ``(n_features,)``; 1 for angles.
    schema
        What the features are.
    """

    centers: NDArray[np.float32]
    scale: NDArray[np.float32]
    schema: FeatureSchema

    @classmethod
    def fit(cls, trajectories: FeatureTrajectories, n_states: int | None = None, *, seed: int = 0) -> "Microstates":
        """Place the centres.

        Parameters
        ----------
        trajectories
            The data to fit.
        n_states
            Number of centres; None for √(number of frames)/2, at least 2, at most 30 and the number of different frames.
        seed
            Seed of k-means++, in [0, 2³²).

        Raises
        ------
        InputError
            If there are fewer different frames than states.
        """
        n_frames = trajectories.n_frames
        wanted = int(np.clip(np.sqrt(n_frames) / 2, 2, MOST_MICROSTATES)) if n_states is None else n_states
        frames = every(trajectories, -(-n_frames // FITTED_FRAMES))
        spread = frames.std(axis=0, dtype=np.float64)
        scale = np.where(trajectories.schema.periodic | (spread == 0), 1, spread).astype(np.float32)
        points = encoded(frames, scale, trajectories.schema)
        different = len(np.unique(points, axis=0))
        if n_states is None and different > 1:
            wanted = min(wanted, different)
        if not 2 <= wanted <= different:
            raise InputError(f"expected at least 2 microstates and as many different frames, found {wanted} and {different}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deeptime's import, and k-means stopping before its last digits
            from deeptime.clustering import KMeans

            model = KMeans(wanted, max_iter=100, fixed_seed=seed, n_jobs=1).fit_fetch(points)
        return cls(np.asarray(model.cluster_centers, dtype=np.float32), scale, trajectories.schema)

    @property
    def n_states(self) -> int:
        """Number of microstates."""
        return len(self.centers)

    def assign(self, trajectories: FeatureTrajectories) -> list[NDArray[np.integer]]:
        """Return the nearest microstate of every frame, in as few bytes as hold it, ``(n_frames,)`` per series that holds any."""
        blocks = Blocks.whole(trajectories)
        return np.split(self.labels(blocks), np.cumsum([len(series) for series in blocks.series])[:-1])

    def labels(self, blocks: Blocks) -> NDArray[np.integer]:
        """Return the nearest microstate of every frame, ``(n_frames,)``, in as few bytes as hold it."""
        labels = np.empty(blocks.n_frames, dtype=np.min_scalar_type(self.n_states - 1))
        for first, last in blocks.chunks():
            labels[first:last] = self.label(blocks.read(first, last))
        return labels

    def label(self, frames: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the nearest microstate of every frame, ``(n_frames,)``, for frames ``(n_frames, n_features)``."""
        return np.asarray(vq(encoded(frames, self.scale, self.schema), self.centers)[0], dtype=np.int64)


def transitions(blocks: Blocks, labels: NDArray[np.integer], n_states: int, lag: int) -> FloatArray:
    """Count transitions between states in a sliding window within each series, ``(n_blocks, n_states²)``.

    Parameters
    ----------
    blocks
        The data.
    labels
        State of every frame, ``(n_frames,)``.
    n_states
        Number of states.
    lag
        Frames.
    """
    return blocks.tally_pairs(lambda starts: labels[starts].astype(np.int64) * n_states + labels[starts + lag], n_states**2, lag)


def every(trajectories: FeatureTrajectories, step: int) -> NDArray[np.float32]:
    """Return every so manieth of all frames, ``(n_frames / step, n_features)``."""
    begun = np.cumsum([0, *map(len, trajectories)])
    return np.concatenate([series[-start % step :: step] for start, series in zip(begun.tolist(), trajectories, strict=False)])


def scales(blocks: Blocks) -> NDArray[np.float32]:
    """Return the standard deviation of every feature, 1 for angles and what does not move, ``(n_features,)``."""
    spread = blocks.spread()
    return np.where(blocks.schema.periodic | (spread == 0), 1, spread).astype(np.float32)


def encoded(frames: NDArray[np.float32], scale: NDArray[np.float32], schema: FeatureSchema) -> NDArray[np.float32]:
    """Return angles as cosine and sine and other features divided by their scale, ``(n_frames, n_inputs)``."""
    periodic = schema.periodic
    turns = np.array([2 * np.pi / period for period in schema.periods if period is not None], dtype=np.float32)
    angles = frames[:, periodic] * turns
    line = frames[:, ~periodic] / scale[~periodic]
    return np.ascontiguousarray(np.concatenate([np.cos(angles), np.sin(angles), line], axis=1), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class SlowCoordinates:
    """The slowest linear coordinates of a data set, by TICA (Pérez-Hernández et al., J. Chem. Phys. 139, 015102, 2013).

    Angles enter as sine and cosine, other features divided by their standard deviation.

    Parameters
    ----------
    mean
        Of the coordinates that enter, ``(n_inputs,)``.
    vectors
        Shape ``(n_inputs, n_coordinates)``, slowest first.
    scale
        Standard deviation of every feature, ``(n_features,)``; 1 for angles.
    schema
        What the features are.
    """

    mean: FloatArray
    vectors: FloatArray
    scale: NDArray[np.float32]
    schema: FeatureSchema

    @classmethod
    def fit(cls, trajectories: FeatureTrajectories, lag: int, n_coordinates: int = 2) -> "SlowCoordinates | None":
        """Find the slowest coordinates at a lag in frames; None if the data allow none."""
        scale = scales(Blocks.whole(trajectories))
        pieces = [one[start : start + CHUNK + lag] for one in trajectories for start in range(0, len(one) - lag, CHUNK)]
        if not pieces:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deeptime's import
            from deeptime.decomposition import TICA

            covariances = TICA.covariance_estimator(lagtime=lag)
            try:
                for piece in pieces:
                    points = encoded(piece, scale, trajectories.schema).astype(np.float64)
                    covariances.partial_fit((points[:-lag], points[lag:]))
                model = TICA(lagtime=lag, dim=n_coordinates).fit_from_covariances(covariances).fetch_model()
            except (ValueError, ArithmeticError, np.linalg.LinAlgError):
                return None
        vectors = np.asarray(model.instantaneous_coefficients)[:, : model.output_dimension]
        return cls(np.asarray(model.mean_0), vectors, scale, trajectories.schema)

    @property
    def n_coordinates(self) -> int:
        """How many there are."""
        return int(self.vectors.shape[1])

    def project(self, frames: NDArray[np.float32], n_coordinates: int) -> FloatArray:
        """Return the first coordinates of frames ``(n_frames, n_features)``, ``(n_frames, n_coordinates)``."""
        return np.asarray((encoded(frames, self.scale, self.schema) - self.mean) @ self.vectors[:, :n_coordinates])


@dataclass(frozen=True, eq=False)
class ImpliedTimescales:
    """Timescales of the slowest processes at several lags.

    Parameters
    ----------
    lags
        Shape ``(n_lags,)``, frames.
    values
        Shape ``(n_lags, n_processes)``, slowest first, frames; NaN where the data do not support a number.
    reasons
        Why not, ``(n_lags, n_processes)``: ``"short"`` (no series longer than the lag), ``"disconnected"`` (the largest connected
        set misses more than 2 % of the transitions), ``"fast"`` (decays within one lag), ``"few"`` (the data are less than ten
        times longer than the process); ``""`` beside a number.
    """

    lags: NDArray[np.int64]
    values: FloatArray
    reasons: NDArray[np.str_]

    def plateau(self) -> int | None:
        """Index of the lag to compare at, from the slowest process.

        The smallest lag from which its timescale changes by less than 10 % to the next lag; without one, the largest lag that
        has a timescale; None if no lag has.
        """
        slowest = self.values[:, 0]
        with np.errstate(invalid="ignore"):
            flat = np.flatnonzero(np.abs(np.diff(slowest)) < PLATEAU * slowest[:-1])
        candidates = flat[:1] if flat.size else np.flatnonzero(np.isfinite(slowest))[-1:]
        return int(candidates[0]) if candidates.size else None


def lag_ladder(longest: int) -> NDArray[np.int64]:
    """Lags 1, 2, 5, 10, 20, 50 … up to a tenth of the longest series, frames."""
    lags = np.outer(10 ** np.arange(8), [1, 2, 5]).ravel()
    return np.asarray(lags[lags <= max(longest // 10, 1)], dtype=np.int64)


def implied_timescales(
    trajectories: Source,
    lags: Sequence[int] | NDArray[np.int64] | None = None,
    n_states: int | None = None,
    *,
    n_processes: int = 2,
    microstates: Microstates | None = None,
    seed: int = 0,
) -> ImpliedTimescales:
    """Implied timescales t₂, t₃ … of reversible Markov state models on k-means microstates.

    Transitions are counted in a sliding window within each series, never from one series into the next; the model is the
    reversible maximum-likelihood one on the most populated strongly connected set (Prinz et al., J. Chem. Phys. 134, 174105,
    2011).

    Parameters
    ----------
    trajectories
        The data: trajectories, a buffer, arrays or a Universe.
    lags
        Lags, frames; None for `lag_ladder` of the longest series.
    n_states
        Number of microstates; None for √(number of frames)/2, at most 30. Not with `microstates`.
    n_processes
        How many timescales, slowest first.
    microstates
        Fitted on a reference, to compare sets on the same states; None fits them on `trajectories`.
    seed
        Seed of k-means.

    Returns
    -------
    ImpliedTimescales
        In frames.

    Raises
    ------
    InputError
        If a lag is no positive whole number, both `n_states` and `microstates` are given, or the frames are too few for the states.
    SchemaMismatchError
        If `microstates` were fitted on other features.

    Examples
    --------
    >>> from openmm_trajgan.schema import FeatureSchema
    >>> schema = FeatureSchema(names=("x",), units=("",), periods=(None,))
    >>> flips = np.random.default_rng(1).random(50_000) < 0.05          # a two-state process, t2 = -1 / ln 0.9 = 9.5 frames
    >>> states = FeatureTrajectories([np.cumsum(flips)[:, None] % 2], schema)
    >>> print(implied_timescales(states, [1, 2], n_states=2, n_processes=1).values.round(0))
    [[9.]
     [9.]]
    """
    trajectories = as_trajectories(trajectories)
    steps = lag_ladder(max(len(series) for series in trajectories)) if lags is None else np.asarray(lags)
    if steps.ndim != 1 or not steps.size or steps.dtype.kind not in "iuf" or (steps < 1).any() or (steps % 1).any():
        raise InputError(f"expected whole lags of at least 1 frame, found {steps.tolist()}")
    steps = steps.astype(np.int64)
    if microstates is None:
        microstates = Microstates.fit(trajectories, n_states, seed=seed)
    elif n_states is not None:
        raise InputError("expected either n_states or microstates, found both; leave n_states out")
    microstates.schema.require_same(trajectories.schema, "the microstates", "the data")
    blocks = Blocks.whole(trajectories)
    labels = microstates.labels(blocks)
    values = np.full((len(steps), n_processes), np.nan)
    reasons = np.full((len(steps), n_processes), "", dtype="<U16")
    for row, lag in enumerate(steps.tolist()):
        counts = transitions(blocks, labels, microstates.n_states, lag)[0].reshape(microstates.n_states, -1)
        n_frames = sum(len(series) for series in blocks.series if len(series) > lag)
        values[row], reasons[row] = _timescales(counts, n_frames, lag, n_processes)
    return ImpliedTimescales(steps, values, reasons)


def _timescales(counted: FloatArray, n_frames: int, lag: int, n_processes: int) -> tuple[FloatArray, NDArray[np.str_]]:
    """Timescales from counts, and why there are none; `n_frames` are in series longer than the lag."""
    unsupported = np.full(n_processes, np.nan)
    if not n_frames:
        return unsupported, np.full(n_processes, "short")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deeptime's import; degenerate models are judged below
        from deeptime.markov import TransitionCountModel
        from deeptime.markov.msm import MaximumLikelihoodMSM

        counts = TransitionCountModel(counted, counting_mode="sliding", lagtime=lag)
        connected = counts.submodel_largest(sort_by_population=True)
        if connected.count_matrix.sum() < LEAST_CONNECTED * counts.count_matrix.sum():
            return unsupported, np.full(n_processes, "disconnected")
        model = MaximumLikelihoodMSM(reversible=True, maxiter=100_000).fit_fetch(connected)
        eigenvalues = np.zeros(n_processes + 1)  # a process that the model has no room for counts as infinitely fast
        found = np.sort(np.real(model.eigenvalues()))[::-1][: n_processes + 1]
    eigenvalues[: len(found)] = np.clip(found, 0, 1)
    with np.errstate(divide="ignore"):
        timescales = -lag / np.log(eigenvalues[1:])
    reasons = np.select([timescales < lag, timescales * LEAST_RELAXATIONS > n_frames], ["fast", "few"], "")
    return np.where(reasons == "", timescales, np.nan), reasons
