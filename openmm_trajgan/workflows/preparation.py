"""Networks, windows and scales for a training, chosen from the data."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from openmm_trajgan.buffer.window_population import Windows
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
from openmm_trajgan.workflows.choices import length_that_holds
from openmm_trajgan.workflows.validation import validation_score

_WINDOWS_FOR_SCALES, _VALUES_FOR_SCALES = 4096, 2**21
_LEAST_KEPT, _LEAST_OF_LABEL = 0.9, 0.5  # share of the frames, of all and of each condition, that no context may leave out


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
        Frames before the newest one that the continuation may depend on; fewer where trajectories with more than a tenth of the
        frames, or half of those at a condition, would be too short otherwise.
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
        If no trajectory (at a condition) is as long as a window and one frame.
    """
    least = window_length + 1
    lengths = [len(series) for series in trajectories]
    bulk = _bulk_length(_LEAST_KEPT, lengths, least)
    if labels is not None:
        of_label: dict[Label, list[int]] = {}
        for name, length in zip(trajectories.replicas, lengths, strict=True):
            of_label.setdefault(labels[name], []).append(length)
        bulk = min(bulk, *(_bulk_length(_LEAST_OF_LABEL, some, least, f" at {label}") for label, some in of_label.items()))
    context_length = min(context_length, bulk - least)
    _warn_of_short(lengths, least, context_length)
    encoding = None if labels is None else LabelEncoding.of(list(labels.values()))
    shape = GeneratorConfig(window_length, context_length, n_labels=0 if encoding is None else encoding.size)
    windows = Windows.of(trajectories, shape.n_frames)
    n_chained = min(config.chain_windows, (bulk - context_length - 1) // window_length)
    stretches = Windows.of(trajectories, shape.n_frames + (n_chained - 1) * window_length)
    encoded = None
    if labels is not None and encoding is not None:
        encoded = torch.from_numpy(encoding.encode([labels[stream] for stream in windows.streams])).to(device)
    seeds = Seeds(seed)
    n_windows = max(min(_WINDOWS_FOR_SCALES, _VALUES_FOR_SCALES // (shape.n_frames * trajectories.schema.n_features)), 1)
    sample = torch.from_numpy(windows.sample(n_windows, seeds.numpy("scales")))
    features = FeatureEncoding(trajectories.schema, sample.flatten(0, 1))
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


def _bulk_length(share: float, lengths: list[int], least: int, which: str = "") -> int:
    """Return how long the trajectories are that hold a share of the frames of those with `least` frames.

    A few shorter ones, such as a crash leaves, shall not set how far the model looks back.
    """
    usable = [length for length in lengths if length >= least]
    if not usable:
        raise InputError(
            f"window_length={least - 1} needs trajectories of at least {least} frames, "
            f"the longest{which} has {max(lengths, default=0)}; use a shorter window or longer trajectories"
        )
    return length_that_holds(share, usable)


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
