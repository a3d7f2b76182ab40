"""DATA in, a model out."""

from pathlib import Path
from typing import Any, Self

from pydantic import Field

from openmm_trajgan.errors import InputError
from openmm_trajgan.workflows.config import Argument, require_new
from openmm_trajgan.workflows.data import DataConfig, load_data
from openmm_trajgan.workflows.estimator import TrajGAN
from openmm_trajgan.workflows.labels import parse_labels, stored_labels


class TrainConfig(DataConfig):
    """Train a model on time series."""

    data: Path = Argument(description="window buffer, .npy/.npz file, or folder of .npy files (one trajectory each)")
    out: Path = Field(description="model file to write, for example model.trajgan")
    window_length: int | None = Field(
        None, description="frames drawn in one shot, trajectories need one frame more; none chooses by the data"
    )
    label: list[str] = Field(
        [],
        description="condition of each replica in turn, for example its temperature; once per replica, numbers or texts; "
        "default what a window buffer holds",
    )
    validation: Path | None = Field(None, description="other trajectories, by which to choose between stages of the training")
    validation_label: list[str] = Field(
        [], description="condition of each of these in turn, as --label; default what a window buffer holds"
    )
    minutes: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="how long to train, minutes; default: by the number of frames"
    )
    steps: int | None = Field(None, ge=2, description="training steps, instead of minutes: repeats a run exactly")
    seed: int | None = Field(None, ge=0, description="root seed; none draws one and records it")
    device: str = Field("cpu", description="where to train, as PyTorch spells it")
    resume: bool = Field(False, description="continue an interrupted training from OUT.checkpoint")
    force: bool = Field(False, description="replace an existing model")

    @classmethod
    def parse(cls, values: dict[str, Any], file: Path | None = None) -> Self:
        """Build as every configuration; minutes or steps take the place of the other one in the file."""
        if ("minutes" in values) != ("steps" in values):
            values = {"minutes": None, "steps": None, **values}
        return super().parse(values, file)


def run(config: TrainConfig) -> str:
    """Train, write the model and return what was done in words."""
    require_new(config.out, force=config.force, inputs=(config.data, config.validation))
    checkpoint = config.out.with_name(config.out.name + ".checkpoint")
    if checkpoint.exists() and not (config.resume or config.force):
        raise InputError(f"{checkpoint}: an interrupted training is there; --resume continues it, --force begins anew")
    if not config.resume:
        config = config.with_seed()
    gan = TrajGAN(config.window_length, device=config.device)
    data = load_data(config.data, config)
    validation = None if config.validation is None else load_data(config.validation, config, data.schema)
    labels = parse_labels(config.label) or stored_labels(data)
    gan.fit(
        data,
        labels=labels,
        validation=validation,
        validation_labels=parse_labels(config.validation_label) or None,
        minutes=config.minutes,
        steps=config.steps,
        seed=config.seed,
        checkpoint=checkpoint,
        resume=config.resume,
    )
    gan.save(config.out)
    record = gan.training_record
    config.model_copy(update={"seed": record["seed"]}).write_beside(config.out)
    checkpoint.unlink(missing_ok=True)
    steps = record["n_likelihood_steps"] + record["n_adversarial_steps"]
    conditions = ", ".join(map(str, gan.bundle.labels.values)) if gan.bundle.labels is not None else ""
    return (
        f"{config.out}: trained on {record['n_frames']} frames of {len(record['replicas'])} trajectories "
        f"in {record['seconds']:.0f} s, {record['choice']}{', conditions ' + conditions if conditions else ''}; "
        f"seed {record['seed']} (repeat exactly with --steps {steps} --window-length {record['window_length']})"
    )
