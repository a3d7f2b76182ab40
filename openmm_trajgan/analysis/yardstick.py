"""The held-out reference, everything fitted on it, and other data measured by it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.analysis.blocks import Blocks, still
from openmm_trajgan.analysis.coverage import Coverage
from openmm_trajgan.analysis.densities import Densities, Observable
from openmm_trajgan.analysis.displacements import Displacements
from openmm_trajgan.analysis.distributions import FloatArray, columns
from openmm_trajgan.analysis.floor import floor_curves
from openmm_trajgan.analysis.kinetics import ImpliedTimescales, Microstates, SlowCoordinates, implied_timescales, lag_ladder
from openmm_trajgan.analysis.markov import MarkovModels
from openmm_trajgan.analysis.metric import Figure, Metric, Missing
from openmm_trajgan.analysis.novelty import NearestTrainingWindow
from openmm_trajgan.analysis.relaxation import Relaxation
from openmm_trajgan.analysis.slowest import longest_time
from openmm_trajgan.analysis.uncertainty import Evaluate, bootstrap, interval, permutations, significance
from openmm_trajgan.analysis.verdict import FigureOfMerit, judged
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureTrajectories

N_PAIRS = 3
MOST_TOGETHER = 4  # coordinates up to which states are fitted and compared on the same frames
N_RESAMPLES = 200  # of the bootstrap, and permutations
N_DRAWS = 80  # divisions of MD for each length of the floor curve
FEWEST_BLOCKS, MOST_BLOCKS, MOST_OTHER_BLOCKS = 20, 200, 2000
BLOCK_RELAXATIONS = 10  # a block should be so many times longer than the slowest process
N_QUERIES = 5000  # windows of the reference whose nearest training window is looked for
BATCH = 25  # resamples evaluated at a time


@dataclass(frozen=True, eq=False)
class Yardstick:
    """A reference with the metrics fitted on it.

    Parameters
    ----------
    reference
        Held-out MD.
    train
        Training MD, None without.
    metrics
        Fitted on the reference, with bins over the union range of all sets.
    references
        The part of the reference that each metric compares with: all of it, or the second half if it was fitted on the first.
    pairs
        Pairs of features that are compared jointly.
    timescales
        Implied timescales of the reference.
    microstates
        Fitted on the reference.
    slowest
        Time of the slowest process seen in the reference, frames.
    block_length
        Frames that a block has at least.
    seed
        Root of all randomness.
    """

    reference: Blocks
    train: Blocks | None
    metrics: tuple[Metric, ...]
    references: tuple[Blocks, ...]
    pairs: tuple[tuple[str, str], ...]
    timescales: ImpliedTimescales
    microstates: Microstates
    slowest: float
    block_length: int
    seed: int

    @classmethod
    def fit(
        cls,
        reference: FeatureTrajectories,
        others: Sequence[FeatureTrajectories],
        train: FeatureTrajectories | None = None,
        pairs: Sequence[tuple[str, str]] | None = None,
        *,
        temperature: float = 300.0,
        seed: int = 0,
    ) -> "Yardstick":
        """Fit blocks, bins, lag, microstates and metastable states on the reference.

        Many coordinates fit a finite reference so closely that it seems slower than other MD on states of its own.
        With more than four (an angle counts twice) these are fitted on the first half of its frames, and compared with the second.
        Blocks are ten times longer than the slowest process of the reference, but the reference has at least 20 and at most 200
        of them, and no other set more than 2000 as long as that leaves the reference 20.

        Parameters
        ----------
        reference
            Held-out MD, at least one series of two frames and one feature that changes.
        others
            The sets that will be measured; bins span their range too.
        train
            Training MD; its range counts too.
        pairs
            Pairs of features to compare jointly; None for the first three pairs of consecutive features.
        temperature
            K, for free energies.
        seed
            Seed of k-means and of resampling.

        Raises
        ------
        InputError
            If `pairs` are none or hold an unknown name, or the reference is too short or does not move.
        """
        names = reference.schema.names
        given = tuple(pairwise(names))[:N_PAIRS] if pairs is None else tuple(pairs)
        for pair in given:
            if np.shape(pair) != (2,):
                raise InputError(f"pairs: expected pairs of feature names, [(name, name), ...], found {pair!r}")
        chosen = tuple((one, other) for one, other in given)
        for name in (name for pair in chosen for name in pair):
            if name not in names:
                raise InputError(f"no feature named {name}; there are {', '.join(names)}")
        n_inputs = int(reference.schema.n_features + reference.schema.periodic.sum())
        fitting, measuring = (reference, reference) if n_inputs <= MOST_TOGETHER else _halves(reference)
        if still(fitting).all():
            raise InputError(
                f"reference: expected features that change in its first half, on which the states of {n_inputs} coordinates are "
                f"fitted, found one value in all {fitting.n_frames} frames; give a longer trajectory"
            )
        microstates = Microstates.fit(fitting, seed=seed)
        timescales = implied_timescales(measuring, lag_ladder(max(map(len, measuring))), microstates=microstates)
        relaxation = Relaxation.fit(Blocks.cut(reference, max(map(len, reference))))
        slowest = longest_time(relaxation, timescales) or 1.0
        everything = [data for data in (reference, *others, train) if data is not None]
        n_blocks = np.clip(reference.n_frames / (BLOCK_RELAXATIONS * slowest), FEWEST_BLOCKS, MOST_BLOCKS)
        most = max(data.n_frames for data in everything)
        longest = reference.n_frames // FEWEST_BLOCKS
        length = max(int(reference.n_frames / n_blocks), min(-(-most // MOST_OTHER_BLOCKS), longest), 1)
        cut = [Blocks.cut(data, length) for data in everything]
        whole, part = cut[0], cut[0] if measuring is reference else Blocks.cut(measuring, length)
        observables = [
            *(Observable.over(name, partial(_features, reference, (name,)), cut) for name in names),
            *(Observable.over(f"{one}, {other}", partial(_features, reference, (one, other)), cut) for one, other in chosen),
        ]
        markov = MarkovModels.fit(part, microstates, timescales, temperature)
        lag = markov.lag if markov is not None else 1
        slow = SlowCoordinates.fit(fitting, lag)
        tica = (
            []
            if slow is None
            else [
                Observable.over(f"TICA-{','.join(map(str, range(n)))}", partial(slow.project, n_coordinates=n), cut)
                for n in range(1, slow.n_coordinates + 1)
            ]
        )
        displacements = Displacements.fit(whole, tuple(cut))
        metrics: list[tuple[Metric, Blocks]] = [(Densities(tuple(observables)), whole)]
        metrics += [(Densities(tuple(tica)), part)] if tica else []
        metrics += [(displacements, whole)] if displacements.edges else []
        metrics += [(relaxation, whole)] if relaxation.names else []
        metrics += [(markov, part)] if markov is not None else []
        if train is not None:
            queries = -(-N_QUERIES // whole.n_blocks)
            metrics.append((NearestTrainingWindow.fit(reference, train, queries_per_block=queries, seed=seed), whole))
        metrics.append((Coverage(microstates, lag), part))
        return cls(
            reference=whole,
            train=cut[-1] if train is not None else None,
            metrics=tuple(metric for metric, _ in metrics),
            references=tuple(blocks for _, blocks in metrics),
            pairs=chosen,
            timescales=timescales,
            microstates=microstates,
            slowest=slowest,
            block_length=length,
            seed=seed,
        )

    @property
    def lag(self) -> int | None:
        """Lag at which timescales are compared, frames; None if the reference supports no timescale."""
        row = self.timescales.plateau()
        return None if row is None else int(self.timescales.lags[row])

    @property
    def together(self) -> bool:
        """Whether states are fitted and compared on the same frames."""
        return all(part is self.reference for part in self.references)

    @property
    def markov(self) -> MarkovModels | None:
        """Markov state models; None if the reference supports none."""
        return next((metric for metric in self.metrics if isinstance(metric, MarkovModels)), None)

    def measure(self, data: FeatureTrajectories, progress: Callable[[], object] = lambda: None) -> tuple[FigureOfMerit, ...]:
        """Compare a data set with the reference: every figure with its error, floors and significance.

        Parameters
        ----------
        data
            What to measure.
        progress
            Called after each metric.
        """
        blocks = Blocks.cut(data, self.block_length)
        figures: list[FigureOfMerit] = []
        for metric, reference in zip(self.metrics, self.references, strict=True):
            figures += self._measured(metric, reference, blocks)
            progress()
        return judged(figures)

    def _measured(self, metric: Metric, part: Blocks, blocks: Blocks) -> Iterator[FigureOfMerit]:
        rng = np.random.default_rng(self.seed)  # the same blocks for every metric and data set
        reference, data = metric.tally(part), metric.tally(blocks)
        copying = metric.figures[0].group == "copying"  # training data are no yardstick for being unlike training data
        train = None if self.train is None or copying else metric.tally(self.train)
        whole, other = reference.sum(axis=0, keepdims=True), data.sum(axis=0, keepdims=True)
        values = metric.evaluate(whole, other)[0]
        sizes = (len(reference), len(data))
        both = np.concatenate([reference, data])
        null = permutations(_weighted(metric, both, both), *sizes, N_RESAMPLES, rng)
        resampled = bootstrap(_weighted(metric, reference, data), *sizes, N_RESAMPLES, rng)
        md, frames = reference, part.sizes.astype(np.float64)
        information = np.full(len(values), np.nan)
        if train is not None and self.train is not None:
            md, frames = np.concatenate([reference, train]), np.concatenate([frames, self.train.sizes])
            information = metric.evaluate(whole, train.sum(axis=0, keepdims=True))[0]
        n_frames = (part.n_frames, blocks.n_frames)
        relaxations = self.block_length / self.slowest
        curves = floor_curves(metric.figures, _weighted(metric, md, md), frames, *n_frames, N_DRAWS, rng)
        for index, (figure, curve) in enumerate(zip(metric.figures, curves, strict=True)):
            value, given = float(values[index]), float(information[index])
            one = FigureOfMerit(figure, floor=curve.at(blocks.n_frames), curve=curve)
            one = replace(one, information=given) if np.isfinite(given) else one
            noise = [null[:, index]]
            if not copying:  # data may hide their own scatter from the permutations, as shuffled frames do
                noise.append(curve.scatter(blocks.n_frames))
            if not np.isfinite(value):
                missing = metric.missing(index, whole[0], other[0])
                beyond = None if missing.bound is None else _least_significance(figure, missing.bound, noise)
                yield replace(one, missing=missing, p_value=0.0 if missing.conclusive else beyond)
                continue
            p_value = _least_significance(figure, value, noise)
            yield replace(
                one,
                estimate=interval(figure, value, resampled[:, index], null[:, index], min(sizes), relaxations),
                information_ratio=_error_ratio(figure, value, given),
                md_equivalent=None if copying else curve.md_equivalent(value),
                p_value=p_value,
                missing=Missing("too few parts of the data give a number") if p_value is None else None,
            )


def _least_significance(figure: Figure, value: float, noises: Sequence[FloatArray]) -> float | None:
    """Return the largest of the p-values of a number by several kinds of noise; None if none of them supports one."""
    p_values = [significance(figure, value, noise) for noise in noises]
    return max((p_value for p_value in p_values if np.isfinite(p_value)), default=None)


def _halves(data: FeatureTrajectories) -> tuple[FeatureTrajectories, FeatureTrajectories]:
    """Return the first and the second half of all frames; at most one series is cut."""
    halves: tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]] = ([], [])
    missing = data.n_frames // 2
    for series in data:
        end = min(max(missing, 0), len(series))
        missing -= len(series)
        for half, piece in zip(halves, (series[:end], series[end:]), strict=True):
            if len(piece):
                half.append(piece)
    first, second = (FeatureTrajectories(half, data.schema) for half in halves)
    return first, second


def _weighted(metric: Metric, reference: FloatArray, data: FloatArray) -> Evaluate:
    """Figures of weighted blocks."""

    def evaluate(reference_weights: FloatArray, data_weights: FloatArray) -> FloatArray:
        rows = [slice(start, start + BATCH) for start in range(0, len(reference_weights), BATCH)]
        return np.concatenate([metric.evaluate(reference_weights[row] @ reference, data_weights[row] @ data) for row in rows])

    return evaluate


def _error_ratio(figure: Figure, value: float, information: float) -> float | None:
    """Error of the data divided by that of the training data, both in the unit of the figure."""
    here, there = figure.discrepancy(np.array([value, information])).tolist()
    if not there > 0 or not np.isfinite(here):
        return None
    return float(np.sqrt(here / there)) if figure.kind in ("ratio", "difference") else here / there


def _features(reference: FeatureTrajectories, names: tuple[str, ...], frames: NDArray[np.float32]) -> FloatArray:
    """Columns of frames, periodic ones wrapped, ``(n_frames, len(names))``."""
    return columns(FeatureTrajectories([frames], reference.schema), names)
