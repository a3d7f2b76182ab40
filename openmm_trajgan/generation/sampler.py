"""Trajectories of any length from a window generator."""

from collections.abc import Callable

import numpy as np
import torch

from openmm_trajgan.errors import InputError, NonFiniteError
from openmm_trajgan.models.generator import WindowGenerator
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories
from openmm_trajgan.seeding import Seeds


@torch.no_grad()
def generate_trajectories(
    generator: WindowGenerator,
    schema: FeatureSchema,
    *,
    n_frames: int,
    n_trajectories: int,
    seed: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> FeatureTrajectories:
    """Draw independent trajectories, each as a chain of windows that continue one another.

    Parameters
    ----------
    generator
        A trained generator.
    schema
        What its features are.
    n_frames, n_trajectories
        Frames per trajectory, and how many trajectories; all of them advance together.
    seed
        Root seed; None draws one and records it in the provenance.
    progress
        Called after every window with the frames done.

    Returns
    -------
    FeatureTrajectories
        `n_trajectories` series of `n_frames` frames, physical units, at the frame interval of the training data.

    Raises
    ------
    InputError
        If a number is not positive.
    NonFiniteError
        If a generated value is NaN or infinite.
    """
    if n_frames < 1 or n_trajectories < 1:
        raise InputError(f"expected at least 1 frame and 1 trajectory, found {n_frames} and {n_trajectories}")
    seeds = Seeds(seed)
    config, encoding = generator.config, generator.encoding
    noise = seeds.torch("generation noise", str(encoding.mean.device))
    frames = np.empty((n_trajectories, n_frames, schema.n_features), np.float32)
    start = generator.sample_start(n_trajectories, noise)
    context = start[:, None].expand(-1, config.context_length + 1, -1)
    frames[:, 0] = encoding.restore(start).cpu().numpy()
    done = 1
    while done < n_frames:
        window = generator.sample(context, min(done - 1, config.context_length), noise)
        kept = min(config.window_length, n_frames - done)
        new = window[:, config.context_length + 1 : config.context_length + 1 + kept]
        frames[:, done : done + kept] = encoding.restore(new).cpu().numpy()
        done += kept
        context = window[:, -(config.context_length + 1) :]
        if progress is not None:
            progress(done)
    if not np.isfinite(frames).all():
        trajectory, frame, column = np.argwhere(~np.isfinite(frames))[0]
        value = frames[trajectory, frame, column]
        raise NonFiniteError(
            f"trajectory {trajectory}, frame {frame}: generated feature {schema.names[column]!r} is {value}; "
            "the model is not trained well enough, train it longer"
        )
    provenance = {"seed": str(seeds.root), "window length": str(config.window_length)}
    return FeatureTrajectories(frames, schema, provenance=provenance)
