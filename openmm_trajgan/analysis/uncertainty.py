"""Error bars and significance, from resampling blocks of consecutive frames."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from openmm_trajgan.analysis.metric import Figure, FloatArray

CONFIDENCE = 0.9  # of every interval of the audit
LARGE = 1e4  # beyond, the root of a noncentral χ² is as good as normal
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
    millions of permutations; where it is below the share of permutations that are as far off, that share counts.

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
    share = float((distances >= observed).mean())
    mean, variance = float(distances.mean()), float(distances.var())
    if observed <= distances.max() or variance == 0:
        return max(share, 1 / (len(distances) + 1)) if observed <= distances.max() else 1 / (len(distances) + 1)
    return max(share, float(stats.gamma.sf(observed, mean**2 / variance, scale=variance / mean)))


def interval(figure: Figure, value: float, resampled: FloatArray, null: FloatArray, n_blocks: int) -> Estimate:
    """Return a number with its interval.

    Ratios: Student's t on the logarithm with the standard error of the bootstrap. Differences and shares: the same on the number
    itself. Divergences: see `divergence_interval`. NaN where fewer than half of the resamples give a number.

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
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn, noise = np.log(resampled) if figure.kind == "ratio" else resampled, null[np.isfinite(null)]
    drawn = drawn[np.isfinite(drawn)]
    enough = len(drawn) >= LEAST_SUPPORTED * len(resampled) and len(noise) >= LEAST_SUPPORTED * len(null)
    if n_blocks < 3 or not enough:
        return Estimate(value, float("nan"), float("nan"))
    widening = float(stats.t.ppf((1 + CONFIDENCE) / 2, n_blocks - 1) * np.sqrt(n_blocks / (n_blocks - 1)))
    if figure.kind == "divergence":
        return divergence_interval(value, drawn, noise, widening)
    reach = widening * float(drawn.std())
    if figure.kind == "ratio":
        return Estimate(value, value * np.exp(-reach), value * np.exp(reach))
    low, high = value - reach, value + reach
    return Estimate(value, max(low, 0.0), min(high, 1.0)) if figure.kind == "share" else Estimate(value, low, high)


def divergence_interval(value: float, resampled: FloatArray, null: FloatArray, quantile: float) -> Estimate:
    """Return a divergence with the interval of the mean that samples of these lengths have.

    Finite samples have a divergence even if their laws are the same. It is taken as a scaled noncentral χ² whose scale and degrees
    of freedom are those of the permutations and whose noncentrality, the true difference, is found by inverting its distribution.
    The interval is stretched, on the square root, where the bootstrap varies more than that: the bootstrap adds noise to noise, so
    twice the variance of the permutations is taken off first. Its lower end is 0 where the permutations explain the divergence.

    Parameters
    ----------
    value
        The divergence.
    resampled, null
        Finite ones of the bootstrap and of the permutations.
    quantile
        Half width of the interval in standard errors.
    """
    mean, variance = float(null.mean()), float(null.var())
    if variance == 0:
        reach = quantile * float(resampled.std())
        return Estimate(value, max(value - reach, 0.0), value + reach)
    scale = variance / (2 * mean)
    freedom, observed = mean / scale, value / scale
    tail = (1 - CONFIDENCE) / 2
    low, high = (scale * _noncentrality(observed, freedom, share) for share in (1 - tail, tail))
    found = max(float(resampled.var()) - 2 * variance, variance)
    expected = 2 * scale**2 * (freedom + 2 * max(observed - freedom, 0.0))
    stretch = max(float(np.sqrt(found / expected)), 1.0) * quantile / float(stats.norm.ppf(1 - tail))
    root = np.sqrt(value)
    lower = max(root - (root - np.sqrt(mean + low)) * stretch, 0.0) ** 2 if low > 0 else 0.0
    upper = (root + (np.sqrt(mean + high) - root) * stretch) ** 2
    return Estimate(value, float(lower if lower > mean else 0.0), float(max(upper, mean, value)))


def _noncentrality(observed: float, freedom: float, share: float) -> float:
    """Return the noncentrality of the χ² distribution that has a share below a number; 0 if the central one has less below."""
    if observed > LARGE:  # where its square root is normal with unit variance
        return max(float((np.sqrt(observed) - stats.norm.ppf(share)) ** 2) - freedom, 0.0)

    def excess(noncentrality: float) -> float:
        return float(special.chndtr(observed, freedom, noncentrality)) - share

    if excess(0.0) <= 0:
        return 0.0
    highest = 4 * observed + 50
    return float(optimize.brentq(excess, 0.0, highest, xtol=1e-6 * highest))


def _weights(drawn: FloatArray, n_blocks: int) -> FloatArray:
    """How often each block was drawn, ``(n, n_blocks)``, from numbers of blocks ``(n, n_drawn)``."""
    rows = np.atleast_2d(drawn).astype(np.int64)
    flat = rows + n_blocks * np.arange(len(rows))[:, None]
    return np.bincount(flat.ravel(), minlength=len(rows) * n_blocks).reshape(len(rows), n_blocks).astype(np.float64)
