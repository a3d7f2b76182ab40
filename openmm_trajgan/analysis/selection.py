"""One number for how far generated data are from validation data, to choose between models with."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.densities import Densities, Observable
from openmm_trajgan.analysis.displacements import Displacements
from openmm_trajgan.analysis.distributions import FloatArray, columns
from openmm_trajgan.analysis.metric import Metric
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureTrajectories

N_PAIRS = 3


@dataclass(frozen=True, eq=False)
class ValidationScore:
    """Mean logarithm of divergences from validation data, in units of those of the training data.

    The divergences are those of the audit: of the features, of up to three pairs of them, and of displacements over 1, 4, 16 and
    64 frames. 0 means as far from the validation data as the training data are, -0.69 half as far.

    Parameters
    ----------
    metrics
        Bins are laid over the validation and the training data; what is generated outside counts to the outermost ones.
    reference
        Sums of the tallies of the validation data, ``(1, n_statistics)`` per metric.
    yardstick
        Divergences of the training data, all metrics one after the other.
    """

    metrics: tuple[Metric, ...]
    reference: tuple[FloatArray, ...]
    yardstick: FloatArray

    @classmethod
    def fit(cls, validation: FeatureTrajectories, train: FeatureTrajectories) -> "ValidationScore":
        """Measure the training data.

        Raises
        ------
        InputError
            If the validation data are the training data, or hold no frames or nothing that varies.
        """
        if not validation.n_frames:
            raise InputError("validation: expected frames, found none; give trajectories that hold some")
        sets = [Blocks.cut(data, data.n_frames) for data in (validation, train)]
        names = validation.schema.names
        metrics: list[Metric] = [
            Densities(tuple(_observable(one, sets) for one in (*((name,) for name in names), *list(pairwise(names))[:N_PAIRS])))
        ]
        displacements = Displacements.fit(sets[0], tuple(sets))
        metrics += [displacements] if displacements.edges else []
        reference = tuple(_sum(metric, sets[0]) for metric in metrics)
        floor = [metric.evaluate(sums, _sum(metric, sets[1]))[0] for metric, sums in zip(metrics, reference, strict=True)]
        yardstick = np.concatenate(floor)
        if not (yardstick > 0).any():
            raise InputError(
                "validation: found the training data, or nothing that varies; keep trajectories out of the training for it"
            )
        return cls(tuple(metrics), reference, yardstick)

    def __call__(self, generated: FeatureTrajectories) -> float:
        """Return the score, the lower the better."""
        blocks = Blocks.cut(generated, generated.n_frames)
        found = [metric.evaluate(sums, _sum(metric, blocks))[0] for metric, sums in zip(self.metrics, self.reference, strict=True)]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.log(np.concatenate(found) / self.yardstick)
        return float(ratios[np.isfinite(ratios)].mean())


def _observable(names: Sequence[str], sets: Sequence[Blocks]) -> Observable:
    schema = sets[0].schema
    return Observable.over(", ".join(names), lambda frames: columns(FeatureTrajectories([frames], schema), names), sets)


def _sum(metric: Metric, blocks: Blocks) -> FloatArray:
    return np.asarray(metric.tally(blocks).sum(axis=0, keepdims=True))
