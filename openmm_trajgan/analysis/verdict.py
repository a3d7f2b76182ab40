"""One figure of merit: generated data beside MD against MD, and whether it lies within MD's own spread."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from openmm_trajgan.analysis.distributions import FloatArray
from openmm_trajgan.analysis.yardstick import Group, Score, Unit

CONFIDENCE = 0.95  # of the interval in which a further MD run would fall
WIDEST = 2.0  # the interval never reaches further than by this factor beyond the MD groups

Verdict = Literal["within", "outside", "not judged"]


@dataclass(frozen=True)
class FigureOfMerit:
    """One figure: generated data, MD against MD and the training data, all against the held-out reference.

    Parameters
    ----------
    name, group, unit, meaning
        What is measured; a divergence (``"nat"``, 0 is best) or a ratio to the reference (``"ratio"``, 1 is best).
    generated
        Of the generated data; None where they support no number.
    md
        One per group of independent MD.
    train
        Of all training data together: what the model was given.
    spread
        Where a further MD run would fall: 95 % prediction interval of the logarithms of `md`, at most a factor of two beyond
        their range. None without MD.
    verdict
        Whether `generated` lies in `spread`.
    remark
        Why a number is missing.
    """

    name: str
    group: Group
    unit: Unit
    meaning: str
    generated: float | None
    md: tuple[float | None, ...]
    train: float | None
    spread: tuple[float, float] | None
    verdict: Verdict
    remark: str = ""

    @property
    def excess(self) -> float:
        """How far outside the spread, as a factor: 1 inside, infinite where missing itself is conclusive."""
        if self.verdict != "outside" or self.spread is None:
            return 1.0
        if not self.generated or not self.spread[1]:
            return np.inf
        return max(self.generated / self.spread[1], self.spread[0] / self.generated)


def judge(generated: Score, md: Sequence[Score], train: Score | None) -> FigureOfMerit:
    """Put the score of the generated data beside those of MD.

    Parameters
    ----------
    generated
        The score to judge.
    md
        The same score of every group of independent MD.
    train
        The same score of all training data, None without.
    """
    numbers = [score.value for score in md if score.value is not None]
    spread = md_spread(np.array(numbers), generated.unit) if numbers else None
    verdict: Verdict = "not judged"
    if spread is not None and generated.value is not None:
        verdict = "within" if spread[0] <= generated.value <= spread[1] else "outside"
    elif spread is not None and generated.conclusive:
        verdict = "outside"
    return FigureOfMerit(
        name=generated.name,
        group=generated.group,
        unit=generated.unit,
        meaning=generated.meaning,
        generated=generated.value,
        md=tuple(score.value for score in md),
        train=train.value if train else None,
        spread=spread,
        verdict=verdict,
        remark=generated.reason,
    )


def md_spread(md: FloatArray, unit: Unit) -> tuple[float, float]:
    """Return where a further MD run would fall, given those there are: see `FigureOfMerit`.

    Examples
    --------
    >>> [round(limit, 2) for limit in md_spread(np.array([0.9, 1.0, 1.1, 1.05, 0.95]), "ratio")]
    [0.78, 1.27]
    """
    lowest, highest = md.min() / WIDEST, md.max() * WIDEST
    if len(md) > 1:
        logarithms = np.log(np.maximum(md, np.finfo(float).tiny))
        tails = 1 if unit == "nat" else 2  # a divergence can only be too large
        quantile = stdtrit(len(md) - 1, 1 - (1 - CONFIDENCE) / tails)
        reach = quantile * logarithms.std(ddof=1) * np.sqrt(1 + 1 / len(md))
        with np.errstate(over="ignore"):  # an infinite reach is cut to the widest below
            lowest = max(lowest, float(np.exp(logarithms.mean() - reach)))
            highest = min(highest, float(np.exp(logarithms.mean() + reach)))
    return (0.0, float(highest)) if unit == "nat" else (float(lowest), float(highest))
