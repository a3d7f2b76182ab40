"""Generated beside held-out MD: the report."""

from pathlib import Path

from pydantic import Field

from openmm_trajgan.analysis.audit import audit
from openmm_trajgan.workflows.config import Argument, replace_folder, require_new, require_outside
from openmm_trajgan.workflows.data import DataConfig, load_data


class AuditConfig(DataConfig):
    """Judge generated trajectories by held-out MD, and held-out MD by other MD."""

    reference: Path = Argument(description="held-out MD: window buffer, .npy/.npz file or folder of .npy files")
    generated: Path = Argument(description="generated trajectories")
    out: Path = Field(description="folder to write audit.html and audit.json to")
    train: Path | None = Field(None, description="training MD, for the yardstick of MD against MD")
    seed: int = Field(0, ge=0, description="seed of the clustering")
    force: bool = Field(False, description="replace an existing report")


def run(config: AuditConfig) -> str:
    """Write the report and return its summary."""
    require_new(config.out, force=config.force, folder=True)
    for path in (config.reference, config.generated, *([config.train] if config.train else [])):
        require_outside(path, config.out)
    reference = load_data(config.reference, config)
    generated = load_data(config.generated, config, reference.schema)
    train = None if config.train is None else load_data(config.train, config, reference.schema)
    result = audit(reference, generated, train, seed=config.seed)
    replace_folder(config.out)
    result.to_json(config.out / "audit.json")
    result.to_html(config.out / "audit.html")
    config.write_beside(config.out)
    return f"{result.summary()}\n{config.out / 'audit.html'}"
