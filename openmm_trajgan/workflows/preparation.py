"""Networks, windows and scales for a training, chosen from the data."""

import warnings
from collections.abc import Mapping

import torch

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


def prepared_trainer(
    buffer: WindowBuffer,
    *,
    window_length: int,
    context_length: int,
    labels: Mapping[str, Label] | None,
    validation: FeatureTrajectories | None,
    config: TrainingConfig,
    seed: int,
    device: str,
) -> Trainer:
    """Make a trainer for the trajectories of a buffer, with networks that have learned nothing but the scales of the features.

    Parameters
    ----------
    buffer
        Time series to learn from.
    window_length
        Frames drawn in one shot.
    context_length
        Frames before the newest one that the continuation may depend on; fewer where the trajectories are short.
    labels
        Condition of each replica, by name; None trains without.
    validation
        Other trajectories, to choose between stages of the training by; None keeps the last.
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
    usable = _usable_lengths(buffer.segment_lengths, window_length)
    context_length = min(context_length, min(usable) - window_length - 1)
    encoding = None if labels is None else LabelEncoding.of(list(labels.values()))
    shape = GeneratorConfig(window_length, context_length, n_labels=0 if encoding is None else encoding.size)
    windows = buffer.windows(shape.n_frames)
    n_chained = min(config.chain_windows, (min(usable) - context_length - 1) // window_length)
    stretches = buffer.windows(shape.n_frames + (n_chained - 1) * window_length)
    encoded = None
    if labels is not None and encoding is not None:
        encoded = torch.from_numpy(encoding.encode([labels[stream] for stream in windows.streams])).to(device)
    seeds = Seeds(seed)
    n_windows = max(min(_WINDOWS_FOR_SCALES, _VALUES_FOR_SCALES // (shape.n_frames * buffer.schema.n_features)), 1)
    sample = torch.from_numpy(windows.sample(n_windows, seeds.numpy("scales")))
    features = FeatureEncoding(buffer.schema, sample.flatten(0, 1))
    reduced = features.reduce(sample)
    with torch.random.fork_rng(devices=[]):  # layers draw their first weights from the global generator only
        torch.random.manual_seed(seeds.integer("weights"))
        generator = WindowGenerator(features, shape, typical_spreads(features, shape, reduced))
        whiten_inputs(generator, reduced)
        generator.to(device)
        critic = MultiScaleCritic(features, reduced, n_labels=shape.n_labels).to(device)
    score = None
    if validation is not None:
        score = validation_score(validation, buffer.trajectories(), labels=encoded, seed=seeds.integer("validation"))
    return Trainer(generator, critic, windows, stretches, seed=seed, labels=encoded, score=score, config=config)


def _usable_lengths(lengths: list[int], window_length: int) -> list[int]:
    """Return the lengths of the trajectories that hold a window and a frame before it, and warn of those that do not."""
    shortest = window_length + 1
    usable = [length for length in lengths if length >= shortest]
    if not usable:
        raise InputError(
            f"window_length={window_length} needs trajectories of at least {shortest} frames, "
            f"the longest has {max(lengths, default=0)}; use a shorter window or longer trajectories"
        )
    if len(usable) < len(lengths):
        warnings.warn(
            f"{len(lengths) - len(usable)} of {len(lengths)} trajectories are shorter than a window and one frame "
            f"({shortest}) and are left out: {sum(lengths) - sum(usable)} of {sum(lengths)} frames",
            stacklevel=5,
        )
    return usable
