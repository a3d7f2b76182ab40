"""A model in, trajectories out."""

from pathlib import Path

import numpy as np
from pydantic import Field

from openmm_trajgan.schema import FeatureTrajectories
from openmm_trajgan.storage import replacing
from openmm_trajgan.workflows.config import Argument, WorkflowConfig, require_new
from openmm_trajgan.workflows.estimator import TrajGAN


class GenerateConfig(WorkflowConfig):
    """Generate trajectories from a trained model."""

    model: Path = Argument(description="model file")
    out: Path = Field(description="file to write: .npy holds (trajectories, frames, features); any other ending keeps the schema")
    frames: int = Field(gt=0, description="frames per trajectory, at the frame interval of the training data")
    trajectories: int = Field(1, gt=0, description="number of independent trajectories")
    seed: int | None = Field(None, ge=0, description="root seed; none draws one")
    device: str = Field("cpu", description="where to generate, as PyTorch spells it")
    force: bool = Field(False, description="replace an existing file")


def run(config: GenerateConfig) -> str:
    """Generate, write and return what was done in words."""
    require_new(config.out, force=config.force)
    config = config.with_seed()
    gan = TrajGAN.load(config.model, config.device)
    generated = gan.generate(config.frames, config.trajectories, seed=config.seed, progress=True)
    write_trajectories(generated, config.out)
    config.write_beside(config.out)
    nanoseconds = generated.n_frames * (generated.schema.frame_interval or 0.0) / 1000
    return (
        f"{config.out}: {config.trajectories} trajectories of {config.frames} frames, {nanoseconds:g} ns in all, "
        f"features {', '.join(generated.schema.names)}, seed {generated.provenance['seed']}"
    )


def write_trajectories(trajectories: FeatureTrajectories, path: Path) -> None:
    """Write ``(n_trajectories, n_frames, n_features)`` to ``.npy``, or series with their schema to another ending."""
    if path.suffix != ".npy":
        trajectories.save(path)
        return
    with replacing(path) as file:
        np.save(file, np.stack(trajectories.values), allow_pickle=False)
