"""How good a candidate of a training is, on trajectories that are neither trained on nor used to judge the result."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.analysis.selection import ValidationScore
from openmm_trajgan.generation.sampler import generate_trajectories
from openmm_trajgan.models.generator import WindowGenerator
from openmm_trajgan.schema import FeatureTrajectories

_MOST_FRAMES = 200_000  # drawn for one score


def validation_score(
    validation: FeatureTrajectories, train: FeatureTrajectories, *, labels: NDArray[np.floating] | None, seed: int
) -> Callable[[WindowGenerator], float]:
    """Return what scores a generator: the lower, the nearer to `validation`.

    Parameters
    ----------
    validation
        Trajectories. As many frames are drawn, at most 200,000, in trajectories of the mean length.
    train
        Training data, the yardstick.
    labels
        Encoded labels of the validation data, ``(n_series, n_labels)``, each drawn as often as it has frames; None without.
    seed
        Of the draws, the same for all candidates.

    Raises
    ------
    SchemaMismatchError
        If the sets hold other features.
    """
    train.schema.require_same(validation.schema, "the training data", "the validation data")
    distance = ValidationScore.fit(validation, train)
    n_frames = min(max(validation.n_frames // len(validation), 1), _MOST_FRAMES)
    n_series = min(validation.n_frames, _MOST_FRAMES) // n_frames
    middles = (np.arange(n_series) + 0.5) * validation.n_frames / n_series  # of equal parts of all frames
    series = np.searchsorted(np.cumsum([len(one) for one in validation]), middles, side="right")
    asked = None if labels is None else labels[series]

    def score(candidate: WindowGenerator) -> float:
        drawn = generate_trajectories(candidate, train.schema, n_frames=n_frames, n_trajectories=n_series, labels=asked, seed=seed)
        return distance(drawn)

    return score
