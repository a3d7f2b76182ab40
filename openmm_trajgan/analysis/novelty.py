"""Is generated data new, or a copy of the training data? How far windows of it are from the nearest window of the training data."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.inputs import Source, as_trajectories
from openmm_trajgan.analysis.metric import Figure, FloatArray, Missing
from openmm_trajgan.analysis.training_windows import FITTED_WINDOWS, TrainingWindows, evenly
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureTrajectories

N_FRAMES = 16  # of a window
REGIONS = 4  # of window space, for C_T
LEAST_IN_REGION = 20  # windows of either set, below which the normal approximation of a rank sum is none
BINS = 300  # of distances, 2 more are open
RESOLUTION = 1e-3  # in typical distances of held-out windows; nearer than this is a copy
REACH = 100.0  # the last edge, in largest distances of held-out windows
ROUNDING = 1e-6  # in standard deviations of windows; as near as this is zero

FIGURES = (
    Figure(
        "C_T",
        "copying",
        "difference",
        "Z score of Mann and Whitney for distances to the training data, as published; grows with the number of windows.",
        judged=False,
    ),
    Figure(
        "C_T effect size",
        "copying",
        "difference",
        "Chance that a generated window is further from the training data than a held-out one of the same region, minus one half: "
        "below 0 is copying, above 0 is off the manifold.",
    ),
    Figure(
        "nearest training window, median",
        "copying",
        "ratio",
        "Distance of windows to the nearest one of the training data, divided by that of held-out MD: below 1 is copying, above 1 "
        "is off the manifold.",
    ),
    Figure("nearest training window, 5th percentile", "copying", "ratio", "The same for the windows nearest to the training data."),
    Figure(
        "share of copied windows",
        "copying",
        "divergence",
        f"Share of windows that stand in the training data (distance below {RESOLUTION:g} of the typical one), minus that of "
        "held-out MD.",
    ),
)


@dataclass(frozen=True, eq=False)
class NearestTrainingWindow:
    """How far windows are from the nearest one of the training data, compared between held-out and generated data.

    C_T (Meehan, Chaudhuri and Dasgupta, AISTATS 2020, arXiv:2004.05675) is the Z score of Mann and Whitney for the distances of
    generated against those of held-out windows, within regions of window space, averaged with the share of held-out windows in each
    region; regions with fewer than 20 of either set are left out. Here regions are quarters of the training windows along
    their first principal component, and the nearest window may lie in another region. The textbook Z takes windows for
    independent, which windows of one trajectory are not: the number is not to be read as normal quantiles, and significance must
    come from dealing blocks out again.

    Parameters
    ----------
    training
        What is searched.
    borders
        Between the regions, on the first principal component, ``(REGIONS - 1,)``.
    edges
        Of the bins of distances, ``(BINS + 1,)``, in the units of the embedding. A bin below the first edge holds copies, their
        distance counts as that edge; a bin beyond the last is open.
    queries_per_block
        Windows looked up in every block, at random places, one in each of as many equal parts of the block; a block with fewer
        windows gives some of them several times.
    seed
        Of these places.

    Examples
    --------
    >>> from openmm_trajgan.schema import FeatureSchema
    >>> schema = FeatureSchema(names=("x",), units=("nm",), periods=(None,))
    >>> rng = np.random.default_rng(1)
    >>> train, held_out, other = (FeatureTrajectories([rng.normal(0, 1, (5000, 1))], schema) for _ in range(3))
    >>> metric = NearestTrainingWindow.fit(held_out, train, n_frames=4, queries_per_block=200)
    >>> sums = [metric.tally(Blocks.cut(data, 500)).sum(axis=0, keepdims=True) for data in (held_out, other, train)]
    >>> print(np.abs(metric.evaluate(sums[0], sums[1])[0, 1:3].round(1)))       # independent data
    [0. 1.]
    >>> print(metric.evaluate(sums[0], sums[2])[0, [1, 4]])                     # the training data replayed
    [-0.5  1. ]
    """

    training: TrainingWindows
    borders: FloatArray
    edges: FloatArray
    queries_per_block: int
    seed: int = 0

    @classmethod
    def fit(
        cls,
        reference: FeatureTrajectories,
        train: FeatureTrajectories,
        *,
        queries_per_block: int,
        n_frames: int = N_FRAMES,
        seed: int = 0,
    ) -> "NearestTrainingWindow":
        """Embed the training windows and fix regions and bins.

        Parameters
        ----------
        reference
            Held-out MD.
        train
            The training data.
        queries_per_block
            Windows looked up in every block; some 5000 in all are plenty.
        n_frames
            Length of a window; reduced to the longest series of either set.
        seed
            Of the places of the windows in the blocks.

        Raises
        ------
        InputError
            If a number is not positive or a set holds no frame.
        SchemaMismatchError
            If the sets hold other features.
        """
        if queries_per_block < 1:
            raise InputError(f"expected at least 1 query per block, found {queries_per_block}")
        reference.schema.require_same(train.schema, "the reference", "the training data")
        training = TrainingWindows.fit(train, min(n_frames, max(map(len, reference))))
        blocks = Blocks.cut(reference, training.n_frames)
        points = training.embed(blocks, evenly(blocks, training.n_frames, FITTED_WINDOWS))
        distances = training.distances(points)
        spread = float(np.linalg.norm(points.std(axis=0))) or 1.0
        apart = distances[distances > ROUNDING * spread]
        typical = float(np.median(apart)) if apart.size else spread
        edges = np.geomspace(RESOLUTION * typical, REACH * max(float(distances.max()), typical), BINS + 1)
        borders = np.quantile(training.along_first(), np.arange(1, REGIONS) / REGIONS)
        return cls(training, borders, edges, queries_per_block, seed)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What is measured."""
        return FIGURES

    def tally(self, blocks: Blocks) -> FloatArray:
        """Return the number of windows in every region and bin, ``(n_blocks, REGIONS * (BINS + 2))``."""
        self.training.schema.require_same(blocks.schema, "the training data", "the data")
        lag = self.training.n_frames - 1
        places = _places(blocks.pairs(lag).astype(np.int64), self.queries_per_block, np.random.default_rng(self.seed))
        starts = blocks.nth_starts(lag, places)
        points = self.training.embed(blocks, starts)
        bins = np.searchsorted(self.edges, self.training.distances(points), side="right")
        regions = np.searchsorted(self.borders, points[:, 0])
        counts = np.zeros((blocks.n_blocks, REGIONS * (BINS + 2)))
        np.add.at(counts, (np.searchsorted(blocks.bounds, starts, side="right") - 1, regions * (BINS + 2) + bins), 1)
        return counts

    def histogram(self, sums: FloatArray) -> FloatArray:
        """Return the share of windows in every bin of distances: copies, the bins between `edges`, beyond.

        Parameters
        ----------
        sums
            Sums of tallies, ``(n, n_statistics)``.

        Returns
        -------
        ndarray
            Shape ``(n, BINS + 2)``; NaN where there is no window.
        """
        counts = sums.reshape(-1, REGIONS, BINS + 2).sum(axis=1)
        with np.errstate(invalid="ignore"):
            return np.asarray(counts / counts.sum(axis=1, keepdims=True))

    def evaluate(self, reference: FloatArray, data: FloatArray) -> FloatArray:
        """Return the figures, ``(n, n_figures)``, as `Metric.evaluate` says."""
        shape = (-1, REGIONS, BINS + 2)
        score, effect = _rank_sum(reference.reshape(shape), data.reshape(shape))
        expected, found = self.histogram(reference), self.histogram(data)
        ratios = [self._quantile(found, level) / self._quantile(expected, level) for level in (0.5, 0.05)]
        return np.stack([score, effect, *ratios, np.maximum(found[:, 0] - expected[:, 0], 0)], axis=1)

    def missing(self, index: int, reference: FloatArray, data: FloatArray) -> Missing:
        """Say why figure `index` is NaN for one pair of sums, ``(n_statistics,)`` each."""
        if data.any() and reference.any():
            return Missing(f"fewer than {LEAST_IN_REGION} windows of either set are in the same region of the training data")
        return Missing(f"{'its' if reference.any() else 'the reference’s'} series are shorter than {self.training.n_frames} frames")

    def _quantile(self, shares: FloatArray, level: float) -> FloatArray:
        """Quantile of distances, interpolated within bins on the logarithm, ``(n,)``."""
        edges = np.log(self.edges)[np.r_[0, : BINS + 1, BINS]]  # open bins have no width
        rising = shares.cumsum(axis=1)
        index = (rising >= level).argmax(axis=1)
        rows = np.arange(len(shares))
        inside = 1 - (rising[rows, index] - level) / shares[rows, index]
        return np.asarray(np.exp(edges[index] + inside * (edges[index + 1] - edges[index])))


def nearest_window_distances(
    train: Source, data: Source, n_frames: int = N_FRAMES, n_windows: int = 2000, *, seed: int = 0
) -> FloatArray:
    """Distance of windows of a data set to the nearest window of the training data.

    Windows are embedded by principal components of the training data; see `TrainingWindows`. Compare generated data with held-out
    MD: distances near 0 are copies.

    Parameters
    ----------
    train
        The training data, trajectories, a buffer, arrays or a Universe; every window of it is searched.
    data
        The data to judge, likewise.
    n_frames
        Length of a window; reduced to the longest series of either set.
    n_windows
        Windows looked up, at random places, one in each of as many equal parts of the data.
    seed
        Of these places.

    Returns
    -------
    ndarray
        Shape ``(n_windows,)``, or fewer if the data hold fewer; in standard deviations of the features, 1 for sine and cosine.

    Raises
    ------
    InputError
        If a number is not positive or a set holds no frame.
    SchemaMismatchError
        If the sets hold other features.

    Examples
    --------
    >>> from openmm_trajgan.schema import FeatureSchema
    >>> schema = FeatureSchema(names=("x",), units=("nm",), periods=(None,))
    >>> train = FeatureTrajectories([np.random.default_rng(1).normal(0, 1, (1000, 1))], schema)
    >>> replayed = FeatureTrajectories([train.values[0][300:340]], schema)
    >>> print(nearest_window_distances(train, replayed, n_frames=8, n_windows=3).round(6))
    [0. 0. 0.]
    """
    if n_windows < 1:
        raise InputError(f"expected at least 1 window, found {n_windows}")
    train, data = as_trajectories(train, "train"), as_trajectories(data)
    train.schema.require_same(data.schema, "the training data", "the data")
    training = TrainingWindows.fit(train, min(n_frames, max(map(len, data))))
    blocks = Blocks.cut(data, training.n_frames)
    n_starts = blocks.n_starts(training.n_frames - 1)
    places = _places(np.array([n_starts]), min(n_windows, n_starts), np.random.default_rng(seed))
    return training.distances(training.embed(blocks, blocks.nth_starts(training.n_frames - 1, places)))


def _places(counts: NDArray[np.int64], n_each: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Random positions among consecutive groups of `counts` things, one in each of `n_each` equal parts of every group.

    Random within the parts, so that no period of the data, such as the length of generated windows, is hit in step.
    """
    counts, first = counts[counts > 0, None], (counts.cumsum() - counts)[counts > 0, None]
    inside = (np.arange(n_each) + rng.random((len(counts), n_each))) * counts / n_each
    return (first + np.minimum(inside.astype(np.int64), counts - 1)).ravel()


def _rank_sum(reference: FloatArray, data: FloatArray) -> tuple[FloatArray, FloatArray]:
    """C_T and its effect size, ``(n,)`` each, from counts ``(n, REGIONS, n_bins)``.

    Windows in one bin are ties: they count one half, and the variance of the rank sum has the usual correction for them.
    """
    n, m = reference.sum(axis=2), data.sum(axis=2)
    total, tied = n + m, reference + data
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = (data * (reference.cumsum(axis=2) - reference / 2)).sum(axis=2) / (n * m) - 0.5
        ties = (tied**3 - tied).sum(axis=2) / (total * (total - 1))
        score = effect / np.sqrt((total + 1 - ties) / (12 * n * m))
        enough = np.minimum(n, m) >= LEAST_IN_REGION
        weights = enough * n / (enough * n).sum(axis=1, keepdims=True)
        score = np.where(np.isfinite(score), score, 0.0)  # without rounding, all windows of a region in one bin
        return (weights * score).sum(axis=1), (weights * np.where(enough, effect, 0.0)).sum(axis=1)
