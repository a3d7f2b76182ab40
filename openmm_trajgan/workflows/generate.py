"""A model in, trajectories out."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureTrajectories
from openmm_trajgan.storage import replacing
from openmm_trajgan.workflows.config import Argument, WorkflowConfig, require_new
from openmm_trajgan.workflows.data import load_array
from openmm_trajgan.workflows.estimator import TrajGAN
from openmm_trajgan.workflows.labels import parse_labels


class GenerateConfig(WorkflowConfig):
    """Generate trajectories from a trained model."""

    model: Path = Argument(description="model file")
    out: Path = Field(description="file to write: .npy holds (trajectories, frames, features); any other ending keeps the schema")
    frames: int = Field(gt=0, description="frames per trajectory, at the frame interval of the training data")
    trajectories: int = Field(1, gt=0, description="number of independent trajectories")
    start: str | None = Field(None, description="first frame or frames: an .npy file (frames, features), or numbers with commas")
    end: str | None = Field(None, description="last frame or frames, likewise; FRAMES at most one window and the start")
    given: Path | None = Field(None, description=".npy file (frames, features) of what must come out as it is, NaN elsewhere")
    label: list[str] = Field([], description="condition, for a model trained with labels: one for all, or one per trajectory")
    seed: int | None = Field(None, ge=0, description="root seed; none draws one")
    device: str = Field("cpu", description="where to generate, as PyTorch spells it")
    resume: bool = Field(False, description="continue an interrupted generation from OUT.checkpoint")
    force: bool = Field(False, description="replace an existing file")


def run(config: GenerateConfig) -> str:
    """Generate, write and return what was done in words."""
    require_new(config.out, force=config.force, inputs=(config.model, config.start, config.end, config.given))
    checkpoint = config.out.with_name(config.out.name + ".checkpoint")
    if checkpoint.exists() and not (config.resume or config.force):
        raise InputError(f"{checkpoint}: an interrupted generation is there; --resume continues it, --force begins anew")
    if not config.resume:
        config = config.with_seed()
    gan = TrajGAN.load(config.model, config.device)
    texts = gan.bundle.labels is not None and not gan.bundle.labels.continuous
    labels = config.label if texts else parse_labels(config.label)
    generated = gan.generate(
        config.frames,
        config.trajectories,
        start=_frames(config.start, "start"),
        end=_frames(config.end, "end"),
        given=None if config.given is None else load_array(config.given),
        label=labels[0] if len(labels) == 1 else labels or None,
        seed=config.seed,
        checkpoint=checkpoint,
        resume=config.resume,
        progress=True,
    )
    write_trajectories(generated, config.out)
    config.model_copy(update={"seed": int(generated.provenance["seed"])}).write_beside(config.out)
    checkpoint.unlink(missing_ok=True)
    nanoseconds = generated.n_frames * (generated.schema.frame_interval or 0.0) / 1000
    return (
        f"{config.out}: {config.trajectories} trajectories of {config.frames} frames, {nanoseconds:g} ns in all, "
        f"features {', '.join(generated.schema.names)}, seed {generated.provenance['seed']}"
    )


def _frames(text: str | None, name: str) -> NDArray[np.floating] | None:
    """Read frames from a file or from numbers with commas between them."""
    if text is None:
        return None
    if text.endswith(".npy"):
        return load_array(Path(text))
    try:
        return np.array([float(number) for number in text.split(",")])
    except ValueError:
        raise InputError(f"--{name} {text}: expected an .npy file or numbers with commas, for example 0.1,-2.5") from None


def write_trajectories(trajectories: FeatureTrajectories, path: Path) -> None:
    """Write ``(n_trajectories, n_frames, n_features)`` to ``.npy``, or series with their schema to another ending."""
    if path.suffix != ".npy":
        trajectories.save(path)
        return
    with replacing(path) as file:
        np.save(file, np.stack(trajectories.values), allow_pickle=False)
