"""What a user could pick instead of the GAN, fitted on training data and used like a generator: MSM, VAR(1), block bootstrap."""

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import schur, solve_discrete_lyapunov
from scipy.signal import lfilter

from openmm_trajgan.analysis.distributions import FloatArray
from openmm_trajgan.analysis.kinetics import FITTED_FRAMES, Microstates
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

MOST_STATES = 200  # microstates of the MSM
LEAST_PIECE = 64  # frames; pieces of the bootstrap are shorter only where no series is as long
BLOCK = 2**20  # complex numbers that the vector autoregression holds per array at a time

Baseline = Callable[..., FeatureTrajectories]


def markov_state_model(
    train: FeatureTrajectories, n_frames: int, n_trajectories: int, *, rng: np.random.Generator
) -> FeatureTrajectories:
    """Walk on a Markov state model with a lag of one frame; each step shows a random training frame of its microstate.

    The model is deeptime's reversible maximum-likelihood one on the most populated strongly connected set of
    √(number of frames)/2 k-means microstates, at least 2, at most 200 and the number of different frames (Prinz et al., J. Chem.
    Phys. 134, 174105, 2011). A walk starts from its stationary distribution.

    Parameters
    ----------
    train
        The data to learn from.
    n_frames, n_trajectories
        Frames per trajectory, and how many trajectories.
    rng
        Source of all randomness, k-means included.

    Returns
    -------
    FeatureTrajectories
        `n_trajectories` series of `n_frames` frames, each a frame of `train`. The provenance tells the number of microstates, and
        how many of them and of the training frames the connected set holds.

    Raises
    ------
    InputError
        If a number is not positive, no series has two frames, all frames are the same, or no two microstates are connected there
        and back.

    Examples
    --------
    >>> from openmm_trajgan.schema import FeatureSchema
    >>> schema = FeatureSchema(names=("x",), units=("",), periods=(None,))
    >>> two_states = FeatureTrajectories([np.arange(1000)[:, None] // 50 % 2], schema)
    >>> walks = markov_state_model(two_states, 200, 3, rng=np.random.default_rng(1))
    >>> len(walks), walks.n_frames, walks.provenance["microstates"]
    (3, 600, '2 of 2 connected, with 100 % of the training frames')
    """
    _check_numbers(n_frames, n_trajectories)
    frames = np.concatenate(train.values)
    _pairs(train)
    if (frames == frames[:1]).all():
        raise InputError(
            "MSM: expected training frames that differ, found the same frame throughout; give data in which something moves"
        )
    microstates = Microstates.fit(train, _number_of_states(frames), seed=int(rng.integers(2**31)))
    sequences = microstates.assign(train)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deeptime's import, and the estimate stopping before its last digits
        from deeptime.markov import TransitionCountEstimator
        from deeptime.markov.msm import MaximumLikelihoodMSM

        counts = TransitionCountEstimator(1, "sliding").fit_fetch([sequence for sequence in sequences if len(sequence) > 1])
        connected = counts.submodel_largest(sort_by_population=True)
        if connected.n_states < 2:
            raise InputError(
                f"MSM: expected microstates with transitions there and back, found none among the {microstates.n_states} of the "
                "training data; give longer or more training trajectories"
            )
        model = MaximumLikelihoodMSM(reversible=True, maxiter=100_000).fit_fetch(connected)
    symbols = np.asarray(connected.state_symbols)
    starts = rng.choice(len(symbols), n_trajectories, p=model.stationary_distribution)
    seeds = rng.integers(2**31, size=n_trajectories)
    walks = [model.simulate(n_frames, start=int(start), seed=int(seed)) for start, seed in zip(starts, seeds, strict=True)]
    visited = symbols[np.stack(walks)]
    states = np.concatenate(sequences)
    members = np.argsort(states, kind="stable")  # training frames, state after state
    population = np.bincount(states, minlength=microstates.n_states)
    first = np.cumsum(population) - population
    chosen = members[first[visited] + rng.integers(population[visited])]
    share = population[symbols].sum() / len(states)
    provenance = {
        "baseline": "MSM",
        "microstates": f"{len(symbols)} of {microstates.n_states} connected, with {100 * share:.3g} % of the training frames",
        "lag": "1 frame",
    }
    return FeatureTrajectories(frames[chosen], train.schema, provenance=provenance)


def _number_of_states(frames: NDArray[np.float32]) -> int:
    different = len(np.unique(frames[:: -(-len(frames) // FITTED_FRAMES)], axis=0))  # of those that k-means sees
    return min(max(int(np.sqrt(len(frames)) / 2), 2), MOST_STATES, different)


def vector_autoregression(
    train: FeatureTrajectories, n_frames: int, n_trajectories: int, *, rng: np.random.Generator
) -> FeatureTrajectories:
    """Follow a linear model: each frame is a matrix times the one before plus Gaussian noise with full covariance.

    The coordinates are the cosine and sine of each angle and the other features, all standardised; the matrix is the
    least-squares one over all pairs of consecutive frames within a series (Lütkepohl, New Introduction to Multiple Time Series
    Analysis, 2005, section 3.2). Paths start from the stationary law of the model. A matrix whose spectral radius exceeds
    1 - 1/pairs, slower than the data can show or not stable at all, is shrunk to that radius, and the provenance says so.

    Parameters
    ----------
    train
        The data to learn from.
    n_frames, n_trajectories
        Frames per trajectory, and how many trajectories.
    rng
        Source of all randomness.

    Returns
    -------
    FeatureTrajectories
        `n_trajectories` series of `n_frames` frames; angles in (-period/2, period/2].

    Raises
    ------
    InputError
        If a number is not positive, or the pairs of consecutive frames are too few to fit matrix and noise.

    Examples
    --------
    >>> from openmm_trajgan.schema import FeatureSchema
    >>> schema = FeatureSchema(names=("x",), units=("nm",), periods=(None,))
    >>> rng = np.random.default_rng(1)
    >>> noise = FeatureTrajectories([rng.normal(3.0, 0.1, size=(10_000, 1))], schema)
    >>> paths = vector_autoregression(noise, 5000, 2, rng=rng)
    >>> print(np.concatenate(paths.values).mean().round(1), np.concatenate(paths.values).std().round(1))
    3.0 0.1
    """
    _check_numbers(n_frames, n_trajectories)
    points = _coordinates(np.concatenate(train.values).astype(np.float64), train.schema)
    constant = (points == points[:1]).all(axis=0)
    center = np.where(constant, points[0], points.mean(axis=0))
    scale = np.where(constant, 1, points.std(axis=0))
    points = (points - center) / scale
    before, after = _pairs(train)
    n_coordinates = points.shape[1]
    if len(before) < n_coordinates + 2:
        raise InputError(
            f"VAR(1): expected at least {n_coordinates + 2} pairs of consecutive training frames for {n_coordinates} coordinates, "
            f"found {len(before)}; give longer training trajectories or fewer features"
        )
    transposed, _, rank, _ = np.linalg.lstsq(points[before], points[after])
    residuals = points[after] - points[before] @ transposed
    covariance = residuals.T @ residuals / (len(before) - rank)
    fitted, slowest = float(np.abs(np.linalg.eigvals(transposed)).max()), 1 - 1 / len(before)
    matrix = transposed.T * (slowest / fitted if fitted > slowest else 1)
    triangle, rotation = schur(matrix, output="complex")
    kicks = _root(covariance).T @ rotation.conj()
    state = rng.standard_normal((n_trajectories, n_coordinates)) @ _root(solve_discrete_lyapunov(matrix, covariance)).T
    modes = (state @ rotation.conj()).T
    frames = np.empty((n_trajectories, n_frames, train.schema.n_features), np.float32)
    steps = max(1, BLOCK // state.size)
    for begin in range(0, n_frames, steps):
        length = min(steps, n_frames - begin)
        noise = np.moveaxis(rng.standard_normal((n_trajectories, length, n_coordinates)) @ kicks, 2, 0)
        path, modes = _triangular_paths(triangle, modes, noise)
        standardised = np.moveaxis(np.tensordot(rotation, path, 1).real, 0, 2)
        frames[:, begin : begin + length] = _features(center + scale * standardised, train.schema)
    provenance = {"baseline": "VAR(1)", "spectral radius": f"{min(fitted, slowest):.6g}"}
    if fitted > slowest:
        provenance["shrunk"] = f"fitted with spectral radius {fitted:.6g}, slower than {len(before)} training pairs can show"
    return FeatureTrajectories(frames, train.schema, provenance=provenance)


def _triangular_paths(
    triangle: NDArray[np.complex128], start: NDArray[np.complex128], noise: NDArray[np.complex128]
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Run ``w[k + 1] = triangle @ w[k] + noise[k]``, the last mode first: each needs only itself and those after it.

    `start` is ``(n_modes, n_trajectories)``, `noise` ``(n_modes, n_trajectories, n_steps)``. Returns the path up to the last step,
    of the shape of `noise`, and what follows, of the shape of `start`.
    """
    path, end = np.empty(noise.shape, complex), np.empty(start.shape, complex)
    for mode in reversed(range(len(triangle))):
        eigenvalue = triangle[mode, mode]
        drive = noise[mode] + np.tensordot(triangle[mode, mode + 1 :], path[mode + 1 :], 1)
        following = lfilter([1], [1, -eigenvalue], drive, axis=1, zi=eigenvalue * start[mode, :, None])[0]
        path[mode, :, 0], path[mode, :, 1:], end[mode] = start[mode], following[:, :-1], following[:, -1]
    return path, end


def _root(covariance: FloatArray) -> FloatArray:
    """Return R with R Rᵀ = covariance, which may be singular."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return np.asarray(vectors * np.sqrt(np.clip(values, 0, None)))


def _turns(schema: FeatureSchema) -> FloatArray:
    return np.array([2 * np.pi / period for period in schema.periods if period is not None])


def _coordinates(frames: FloatArray, schema: FeatureSchema) -> FloatArray:
    angles = frames[:, schema.periodic] * _turns(schema)
    return np.concatenate([np.cos(angles), np.sin(angles), frames[:, ~schema.periodic]], axis=1)


def _features(coordinates: FloatArray, schema: FeatureSchema) -> FloatArray:
    periodic, turns = schema.periodic, _turns(schema)
    cosines, sines, line = np.split(coordinates, [len(turns), 2 * len(turns)], axis=-1)
    features = np.empty((*coordinates.shape[:-1], schema.n_features))
    features[..., periodic] = np.arctan2(sines, cosines) / turns
    features[..., ~periodic] = line
    return features


def block_bootstrap(
    train: FeatureTrajectories, n_frames: int, n_trajectories: int, *, rng: np.random.Generator
) -> FeatureTrajectories:
    """Glue contiguous pieces of the training data, each from a random place, to trajectories: a replay, nothing new.

    All pieces have one length, the longer of 64 frames and a tenth of the shortest series, but at most that of the longest series
    and `n_frames` (Künsch, Ann. Statist. 17, 1217, 1989). Every place at which a piece lies within one series is equally
    likely; series shorter than a piece give none. The last piece of a trajectory is cut to fit.

    Parameters
    ----------
    train
        The data to replay.
    n_frames, n_trajectories
        Frames per trajectory, and how many trajectories.
    rng
        Source of all randomness.

    Returns
    -------
    FeatureTrajectories
        `n_trajectories` series of `n_frames` frames. The provenance tells the length of the pieces, and that they are replayed.

    Raises
    ------
    InputError
        If a number is not positive, or the training data hold no frame.

    Examples
    --------
    >>> from openmm_trajgan.schema import FeatureSchema
    >>> schema = FeatureSchema(names=("x",), units=("",), periods=(None,))
    >>> ramp = FeatureTrajectories([np.arange(1000)[:, None]], schema)
    >>> replay = block_bootstrap(ramp, 300, 1, rng=np.random.default_rng(1))
    >>> int((np.diff(replay.values[0][:, 0]) == 1).sum())                    # two seams in 299 steps
    297
    """
    _check_numbers(n_frames, n_trajectories)
    lengths = np.array([len(series) for series in train if len(series)])
    if not lengths.size:
        raise InputError("expected training data with at least 1 frame, found none; give training trajectories that hold frames")
    piece = int(min(max(LEAST_PIECE, lengths.min() // 10), lengths.max(), n_frames))
    frames = np.concatenate(train.values)
    fits = np.arange(len(frames)) + piece <= np.repeat(np.cumsum(lengths), lengths)
    starts = rng.choice(np.flatnonzero(fits), (n_trajectories, -(-n_frames // piece)))
    chosen = (starts[..., None] + np.arange(piece)).reshape(n_trajectories, -1)[:, :n_frames]
    provenance = {"baseline": "bootstrap", "piece": f"{piece} frames", "replays": "training data, frame by frame"}
    return FeatureTrajectories(frames[chosen], train.schema, provenance=provenance)


def _check_numbers(n_frames: int, n_trajectories: int) -> None:
    if n_frames < 1 or n_trajectories < 1:
        raise InputError(f"expected at least 1 frame and 1 trajectory, found {n_frames} and {n_trajectories}")


def _pairs(train: FeatureTrajectories) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of consecutive frames of one series among the frames of all series, each ``(n_pairs,)``."""
    series = np.repeat(np.arange(len(train)), [len(values) for values in train])
    before = np.flatnonzero(series[:-1] == series[1:])
    if not before.size:
        raise InputError("expected training series of at least 2 frames, found none; give training trajectories, not single frames")
    return before, before + 1


BASELINES: dict[str, Baseline] = {"MSM": markov_state_model, "VAR(1)": vector_autoregression, "bootstrap": block_bootstrap}
