"""How good a candidate of a training is, on trajectories that are neither trained on nor used to judge the result."""

from collections.abc import Callable

import torch
from torch import Tensor

from openmm_trajgan.analysis.selection import ValidationScore
from openmm_trajgan.generation.sampler import generate_trajectories
from openmm_trajgan.models.generator import WindowGenerator
from openmm_trajgan.schema import FeatureTrajectories

_MOST_FRAMES = 200_000  # drawn for one score


def validation_score(
    validation: FeatureTrajectories, train: FeatureTrajectories, *, labels: Tensor | None, seed: int
) -> Callable[[WindowGenerator], float]:
    """Return what scores a generator: the lower, the nearer to `validation`.

    Parameters
    ----------
    validation
        Trajectories as long as those that are drawn.
    train
        Training data, the yardstick.
    labels
        Encoded labels of the training data, ``(n_series, n_labels)``, which are drawn in turn; None without.
    seed
        Of the draws, the same for all candidates.

    Raises
    ------
    SchemaMismatchError
        If the sets hold other features.
    """
    train.schema.require_same(validation.schema, "the training data", "the validation data")
    distance = ValidationScore.fit(validation, train)
    n_frames = min(max(map(len, validation)), _MOST_FRAMES)
    n_series = max(min(validation.n_frames, _MOST_FRAMES) // n_frames, 1)
    asked = None if labels is None else labels[torch.arange(n_series) % len(labels)].cpu().numpy()

    def score(candidate: WindowGenerator) -> float:
        drawn = generate_trajectories(candidate, train.schema, n_frames=n_frames, n_trajectories=n_series, labels=asked, seed=seed)
        return distance(drawn)

    return score
