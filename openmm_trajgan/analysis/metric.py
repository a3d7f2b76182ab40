"""What a metric of the audit is: statistics that add up over blocks, and the figures that follow from two such sums."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.analysis.blocks import Blocks

FloatArray = NDArray[np.float64]
Group = Literal["distribution", "dynamics", "kinetics", "copying", "coverage"]
Kind = Literal["divergence", "ratio", "difference", "share"]

NOUNS: dict[Group, str] = {
    "distribution": "distributions",
    "dynamics": "dynamics",
    "kinetics": "kinetics",
    "copying": "nearness to the training data",
    "coverage": "coverage",
}


@dataclass(frozen=True)
class Figure:
    """What one number of the audit says.

    Parameters
    ----------
    name
        As in tables.
    group
        Which of the groups of the audit it belongs to.
    kind
        ``"divergence"``: 0 is best, it cannot be less. ``"ratio"``: 1 is best, compared as logarithm. ``"difference"``: 0 is
        best. ``"share"``: 1 is best, it cannot be more.
    meaning
        One sentence for the report.
    unit
        Of a difference or a divergence that has one; ``"nat"`` for Jensen-Shannon divergences.
    judged
        False for figures that are shown for comparison only and enter no verdict.
    """

    name: str
    group: Group
    kind: Kind
    meaning: str
    unit: str = ""
    judged: bool = True

    def discrepancy(self, values: FloatArray) -> FloatArray:
        """Return how far values are from the best one, as something that falls like one over the number of frames.

        Divergences as they are, squared logarithms of ratios, squared differences, what shares lack to 1.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.kind == "ratio":
                return np.log(values) ** 2
            return values**2 if self.kind == "difference" else 1 - values if self.kind == "share" else values


@dataclass(frozen=True)
class Missing:
    """Why there is no number.

    Parameters
    ----------
    reason
        As in “No number: …”, without a subject.
    conclusive
        True if the missing number itself shows that the data are unlike the reference.
    bound
        The number lies beyond this one, further from the best; None if nothing is known of it.
    """

    reason: str
    conclusive: bool = False
    bound: float | None = None


class Metric(Protocol):
    """A family of figures that need the same statistics.

    Everything that is fitted (bins, states, lags) is part of the metric and the same for all data sets.
    """

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What is measured."""
        ...

    def tally(self, blocks: Blocks) -> FloatArray:
        """Return the statistics of every block, ``(n_blocks, n_statistics)``; those of several blocks are their sum."""
        ...

    def evaluate(self, reference: FloatArray, data: FloatArray) -> FloatArray:
        """Return the figures of data sets against references.

        Parameters
        ----------
        reference, data
            Sums of tallies, ``(n, n_statistics)`` each; one of them may have one row only.

        Returns
        -------
        ndarray
            Shape ``(n, n_figures)``; NaN where there is no number.
        """
        ...

    def missing(self, index: int, reference: FloatArray, data: FloatArray) -> Missing:
        """Say why figure `index` is NaN for one pair of sums, ``(n_statistics,)`` each."""
        ...
