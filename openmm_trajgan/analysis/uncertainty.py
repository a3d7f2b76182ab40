"""Error bars and significance, from resampling blocks of consecutive frames."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from openmm_trajgan.analysis.metric import Figure, FloatArray

CONFIDENCE = 0.9  # of every interval of the audit
WIDEST = 5.0  # standard deviations that differences and divergences are looked at
N_DIFFERENCES, N_CELLS = 201, 401  # in that range
LEAST_SUPPORTED = 0.5  # share of resamples that must give a number for the interval to be one

Evaluate = Callable[[FloatArray, FloatArray], FloatArray]
"""Figures ``(n, n_figures)`` of data sets whose blocks have the weights ``(n, n_blocks)``, of the reference and of the data."""


@dataclass(frozen=True)
class Estimate:
    """A number and the interval that covers the true one with 90 %.

    Parameters
    ----------
    value
        The number.
    low, high
        Ends of the interval; may be infinite.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


def bootstrap(evaluate: Evaluate, n_reference: int, n_data: int, n_resamples: int, rng: np.random.Generator) -> FloatArray:
    """Draw blocks of both sets with replacement and evaluate the figures.

    Parameters
    ----------
    evaluate
        Figures of weighted blocks.
    n_reference, n_data
        Numbers of blocks.
    n_resamples
        How often.
    rng
        Source of randomness.

    Returns
    -------
    ndarray
        Shape ``(n_resamples, n_figures)``; NaN throughout if a set has one block only.
    """

    def statistic(reference: FloatArray, data: FloatArray, axis: int) -> FloatArray:
        figures = evaluate(_weights(reference, n_reference), _weights(data, n_data)).T
        return figures if reference.ndim > 1 else figures[:, 0]

    if min(n_reference, n_data) < 2:
        return np.full((n_resamples, evaluate(np.ones((1, n_reference)), np.ones((1, n_data))).shape[1]), np.nan)
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # of its own interval, where a figure has no number
        result = stats.bootstrap(
            (np.arange(n_reference), np.arange(n_data)),
            statistic,
            vectorized=True,
            n_resamples=n_resamples,
            method="percentile",
            rng=rng,
        )
    return np.asarray(result.bootstrap_distribution).T


def permutations(evaluate: Evaluate, n_reference: int, n_data: int, n_resamples: int, rng: np.random.Generator) -> FloatArray:
    """Deal the blocks of both sets out again at random and evaluate the figures: what they are if both have the same law.

    `evaluate` takes weights of all blocks, those of the reference first, for either set. The other arguments and the result are
    those of `bootstrap`.
    """
    n_blocks = n_reference + n_data
    dealt = rng.permuted(np.tile(np.arange(n_blocks) < n_reference, (n_resamples, 1)), axis=1)
    return evaluate(dealt.astype(np.float64), 1.0 - dealt)


def significance(figure: Figure, value: float, null: FloatArray) -> float:
    """Return the probability that data of the same law are at least as far off.

    The null distribution of the discrepancy is a gamma distribution with the mean and variance of the permutations, which is
    Satterthwaite's approximation to the law of a quadratic form (Biometrics 2, 110, 1946), so that small probabilities need no
    millions of permutations; where it is below the share of permutations that are as far off, that share counts. Where n
    permutations do not scatter at all, as where everything is visited by all of them, one more is assumed that is 1/n further off.

    Parameters
    ----------
    figure
        What the numbers are.
    value
        Of the data.
    null
        Of the permutations, ``(n_permutations,)``; NaN are left out.
    """
    observed = float(figure.discrepancy(np.array([value]))[0])
    distances = figure.discrepancy(null)
    distances = distances[np.isfinite(distances)]
    if len(distances) < LEAST_SUPPORTED * len(null):
        return float("nan")
    if observed <= distances.max():
        return max(float((distances >= observed).mean()), 1 / (len(distances) + 1))
    if distances.max() == distances.min():
        n = len(distances)
        observed, distances = observed - distances[0], np.append(np.zeros(n), 1 / n)
    mean, variance = float(distances.mean()), float(distances.var())
    return float(stats.gamma.sf(observed, mean**2 / variance, scale=variance / mean))


def interval(
    figure: Figure, value: float, resampled: FloatArray, null: FloatArray, n_blocks: int, relaxations: float = np.inf
) -> Estimate:
    """Return a number with its interval.

    Ratios: Student's t on the logarithm with the standard error of the bootstrap. Differences and shares: the same on the number
    itself. Divergences: see `divergence_interval`. NaN where fewer than half of the resamples give a number.

    Blocks of r relaxation times go with their neighbours. Where correlation decays exponentially, a mean over many has the variance
    of one over independent blocks divided by 1 - (1 - exp(-r))/r, which is the ratio of the variance of an average over a series
    (Flyvbjerg & Petersen, J. Chem. Phys. 91, 461, 1989) of one block to that of a long one, per frame. So have all variances here,
    with the time of the slowest process: the most that there can be.

    Parameters
    ----------
    figure
        What the numbers are.
    value
        Of the data.
    resampled
        From `bootstrap`, ``(n_resamples,)``.
    null
        From `permutations`, ``(n_permutations,)``.
    n_blocks
        Blocks of the smaller set.
    relaxations
        Length of a block in units of the slowest relaxation time; infinite for independent blocks.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn, noise = np.log(resampled) if figure.kind == "ratio" else resampled, null[np.isfinite(null)]
    drawn = drawn[np.isfinite(drawn)]
    enough = len(drawn) >= LEAST_SUPPORTED * len(resampled) and len(noise) >= LEAST_SUPPORTED * len(null)
    if n_blocks < 3 or not enough:
        return Estimate(value, float("nan"), float("nan"))
    independent = 1 + float(np.expm1(-relaxations)) / relaxations
    tail = (1 - CONFIDENCE) / 2
    quantile = float(stats.t.isf(tail, n_blocks - 1) * np.sqrt(n_blocks / (n_blocks - 1) / independent))
    if figure.kind == "divergence":
        return divergence_interval(value, drawn, noise, quantile)
    reach = quantile * float(drawn.std())
    if figure.kind == "ratio":
        return Estimate(value, value * np.exp(-reach), value * np.exp(reach))
    low, high = value - reach, value + reach
    return Estimate(value, max(low, 0.0), min(high, 1.0)) if figure.kind == "share" else Estimate(value, low, high)


def divergence_interval(value: float, resampled: FloatArray, null: FloatArray, quantile: float) -> Estimate:
    """Return a divergence with the interval of the mean that samples of these lengths have.

    Finite samples have a divergence even if their laws are the same. Near its least value a divergence is a quadratic form: if
    noise of covariance Σ adds to a difference d, its mean is |d|² + tr Σ and its variance 4 dᵀΣd + 2 tr Σ². Both terms without d
    are those of the permutations. The bootstrap adds noise to noise; its variance is on average 4 dᵀΣd + 6 tr Σ², from which dᵀΣd
    follows. Divided by |d|² that is the variance of the noise along the difference. Of a weak difference the direction is not seen;
    it may be that of the slowest process, which has most of the noise. So the variance is averaged with √(tr Σ²), more than which
    no direction has, with the weights |d|⁴ and 2 tr Σ², the inverse relative variance of a number that was divided by |d|².

    The interval holds every |d|² that the likelihood-ratio test does not reject: the unified ordering of Feldman & Cousins (Phys.
    Rev. D 57, 3873, 1998), so that equal laws, for which |d|² cannot be less, are covered as often as others. The law is a gamma
    distribution of the right mean and variance (Patnaik, Biometrika 36, 202, 1949). Data closer than the mean of the noise tell no
    more than those at it. The lower end is 0 where equal laws are not rejected, else both ends include the mean of the noise, as
    the value does.

    Parameters
    ----------
    value
        The divergence.
    resampled, null
        Finite ones of the bootstrap and of the permutations.
    quantile
        Half width in standard errors that an interval of a normal number would have.
    """
    mean, variance = float(null.mean()), float(null.var())
    if variance == 0:
        reach = quantile * float(resampled.std())
        return Estimate(value, max(value - reach, 0.0), value + reach)
    excess, largest = max(value - mean, 0.0), np.sqrt(variance / 2)
    found = max(float(resampled.var()) - 3 * variance, 0.0) / 4  # dᵀΣd
    along = (excess * found + variance * largest) / (excess**2 + variance)
    along *= (quantile / stats.norm.isf((1 - CONFIDENCE) / 2)) ** 2
    low, high = _unified_interval(max(value, mean), mean, variance, float(along))
    return Estimate(value, min(mean + low, value) if low > 0 else 0.0, max(mean + high, value))


def _unified_interval(observed: float, mean: float, variance: float, along: float) -> tuple[float, float]:
    """Return the ends of the interval of δ ≥ 0, where gamma variables have mean `mean` + δ and variance `variance` + 4 `along` δ.

    The observed number is at least `mean`. A δ is inside unless 90 % of the numbers that it gives are more its own than this one
    is: by the ratio of its likelihood to the largest of any δ.
    """
    excess = observed - mean
    reach, curvature = WIDEST * np.sqrt(variance + 4 * along * excess), 2 * along * WIDEST**2
    low, high = max(excess - reach, 0.0), excess + curvature + np.hypot(reach, curvature)
    differences = np.linspace(np.sqrt(low), np.sqrt(high), N_DIFFERENCES) ** 2
    means, variances = mean + differences, variance + 4 * along * differences
    lowest, highest = means[0] - WIDEST * np.sqrt(variances[0]), means[-1] + WIDEST * np.sqrt(variances[-1])
    edges = np.linspace(np.sqrt(max(lowest, 0.0)), np.sqrt(highest), N_CELLS + 1) ** 2
    edges[[0, -1]] = 0, np.inf
    scales = variances / means
    likelihoods = np.diff(special.gammainc((means / scales)[:, None], edges / scales[:, None]), axis=1)
    best = likelihoods.max(axis=0)
    ratios = np.divide(likelihoods, best, out=np.zeros_like(likelihoods), where=best > 0)
    here = ratios[:, np.searchsorted(edges, observed, side="right") - 1]
    further = np.where(ratios <= here[:, None], likelihoods, 0.0).sum(axis=1)
    inside = np.flatnonzero(further >= 1 - CONFIDENCE)
    first, last = int(inside[0]), int(inside[-1])
    if first > 0:
        low = float(np.interp(1 - CONFIDENCE, further[first - 1 : first + 1], differences[first - 1 : first + 1]))
    if last < N_DIFFERENCES - 1:
        high = float(np.interp(CONFIDENCE - 1, -further[last : last + 2], differences[last : last + 2]))
    return low, high


def _weights(drawn: FloatArray, n_blocks: int) -> FloatArray:
    """How often each block was drawn, ``(n, n_blocks)``, from numbers of blocks ``(n, n_drawn)``."""
    rows = np.atleast_2d(drawn).astype(np.int64)
    flat = rows + n_blocks * np.arange(len(rows))[:, None]
    return np.bincount(flat.ravel(), minlength=len(rows) * n_blocks).reshape(len(rows), n_blocks).astype(np.float64)
