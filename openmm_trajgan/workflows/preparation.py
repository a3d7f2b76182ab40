"""Networks, windows and scales for a training, chosen from the data."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import InputError
from openmm_trajgan.models.coarse_to_fine import GeneratorConfig
from openmm_trajgan.models.conditioning import Label, LabelEncoding
from openmm_trajgan.models.critic import MultiScaleCritic
from openmm_trajgan.models.encoding import FeatureEncoding
from openmm_trajgan.models.generator import WindowGenerator
from openmm_trajgan.models.scales import typical_spreads, whiten_inputs
from openmm_trajgan.schema import FeatureTrajectories
from openmm_trajgan.seeding import Seeds
from openmm_trajgan.training.config import TrainingConfig
from openmm_trajgan.training.trainer import Trainer
from openmm_trajgan.workflows.validation import validation_score

_WINDOWS_FOR_SCALES, _VALUES_FOR_SCALES = 4096, 2**21
_LEAST_KEPT = 0.9  # share of the frames that are learned from however long the context


def prepared_trainer(
    trajectories: FeatureTrajectories,
    *,
    window_length: int,
    context_length: int,
    labels: Mapping[str, Label] | None,
    validation: FeatureTrajectories | None,
    validation_labels: Sequence[Label] | None,
    config: TrainingConfig,
    seed: int,
    device: str,
) -> Trainer:
    """Make a trainer for trajectories, with networks that have learned nothing but the scales of the features.

    Parameters
    ----------
    trajectories
        Time series to learn from.
    window_length
        Frames drawn in one shot.
    context_length
        Frames before the newest one that the continuation may depend on; fewer where trajectories with nine tenths of the frames
        would be too short otherwise.
    labels
        Condition of each replica, by name; None trains without.
    validation
        Other trajectories, to choose between stages of the training by; None keeps the last.
    validation_labels
        Condition of each validation series; None without.
    config
        How to train.
    seed
        Root seed.
    device
        Where to train, as PyTorch spells it.

    Raises
    ------
    InputError
        If no trajectory is as long as a window and one frame.
    """
    buffer = WindowBuffer.from_trajectories(trajectories)  # in memory, and not longer when a simulation has gone on
    least = window_length + 1
    bulk = _bulk_length(buffer.segment_lengths, least)
    context_length = min(context_length, bulk - least)
    _warn_of_short(buffer.segment_lengths, least, context_length)
    encoding = None if labels is None else LabelEncoding.of(list(labels.values()))
    shape = GeneratorConfig(window_length, context_length, n_labels=0 if encoding is None else encoding.size)
    windows = buffer.windows(shape.n_frames)
    n_chained = min(config.chain_windows, (bulk - context_length - 1) // window_length)
    stretches = buffer.windows(shape.n_frames + (n_chained - 1) * window_length)
    encoded = None
    if labels is not None and encoding is not None:
        encoded = torch.from_numpy(encoding.encode([labels[stream] for stream in windows.streams])).to(device)
    seeds = Seeds(seed)
    n_windows = max(min(_WINDOWS_FOR_SCALES, _VALUES_FOR_SCALES // (shape.n_frames * buffer.schema.n_features)), 1)
    sample = torch.from_numpy(windows.sample(n_windows, seeds.numpy("scales")))
    features = FeatureEncoding(buffer.schema, sample.flatten(0, 1))
    features.include(torch.from_numpy(_extremes(trajectories)))
    reduced = features.reduce(sample)
    with torch.random.fork_rng(devices=[]):  # layers draw their first weights from the global generator only
        torch.random.manual_seed(seeds.integer("weights"))
        generator = WindowGenerator(features, shape, typical_spreads(features, shape, reduced))
        whiten_inputs(generator, reduced)
        generator.to(device)
        critic = MultiScaleCritic(features, reduced, n_labels=shape.n_labels).to(device)
    score = None
    if validation is not None:
        asked = None if validation_labels is None or encoding is None else encoding.encode(validation_labels)
        score = validation_score(validation, trajectories, labels=asked, seed=seeds.integer("validation"))
    return Trainer(generator, critic, windows, stretches, seed=seed, labels=encoded, score=score, config=config)


def _bulk_length(lengths: list[int], least: int) -> int:
    """Return how long the trajectories are that hold nine tenths of the frames of those with `least` frames.

    A few shorter ones, such as a crash leaves, shall not set how far the model looks back.
    """
    usable = np.sort([length for length in lengths if length >= least])[::-1]
    if not usable.size:
        raise InputError(
            f"window_length={least - 1} needs trajectories of at least {least} frames, "
            f"the longest has {max(lengths, default=0)}; use a shorter window or longer trajectories"
        )
    return int(usable[np.searchsorted(usable.cumsum(), _LEAST_KEPT * usable.sum())])


def _warn_of_short(lengths: list[int], least: int, context_length: int) -> None:
    """Say which trajectories are not learned from."""
    left_out = [length for length in lengths if length < least + context_length]
    if left_out:
        context = f", its context of {context_length} frames" if context_length else ""
        warnings.warn(
            f"{len(left_out)} of {len(lengths)} trajectories are shorter than a window{context} and one frame "
            f"({least + context_length}) and are left out: {sum(left_out)} of {sum(lengths)} frames",
            stacklevel=5,
        )


def _extremes(trajectories: FeatureTrajectories) -> NDArray[np.float32]:
    """Least and greatest value of every feature, ``(2, n_features)``."""
    series = [one for one in trajectories if len(one)]
    return np.stack([np.min([one.min(axis=0) for one in series], axis=0), np.max([one.max(axis=0) for one in series], axis=0)])
