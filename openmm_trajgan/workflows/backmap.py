"""Generated or collected torsions in, coordinates out."""

from pathlib import Path

from pydantic import Field

from openmm_trajgan.backmap import to_universe, write_universe
from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import InputError
from openmm_trajgan.workflows.config import Argument, require_new
from openmm_trajgan.workflows.data import DataConfig, as_trajectories, load_data


class BackmapConfig(DataConfig):
    """Turn features into coordinates and write them as a trajectory with a PDB file."""

    features: Path = Argument(description="generated trajectories or a window buffer")
    out: Path = Field(description="trajectory file to write, for example generated.xtc; a .pdb with the same name goes beside it")
    topology: Path = Field(description="PDB file of the molecule, with its bonds")
    reference: Path | None = Field(None, description="window buffer whose structures give bonds and angles; default: the PDB file")
    trajectory: int = Field(0, ge=0, description="index of the generated trajectory to write")
    seed: int = Field(0, ge=0, description="seed of the choice of bonds and angles")
    force: bool = Field(False, description="replace existing files")


def run(config: BackmapConfig) -> str:
    """Backmap, write and return what was done in words."""
    pdb = config.out.with_suffix(".pdb")
    for path in (config.out, pdb):
        require_new(path, force=config.force)
    if not config.topology.is_file():
        raise InputError(f"{config.topology}: no such file; give a PDB file of the molecule")
    if config.topology.resolve() == pdb.resolve():
        raise InputError(f"{pdb}: is the --topology and would be replaced by the first frame; choose another --out")
    features = as_trajectories(load_data(config.features, config))
    reference = None if config.reference is None else load_data(config.reference, config)
    if reference is not None and not isinstance(reference, WindowBuffer):
        raise InputError(f"{config.reference}: holds no structures; give the window buffer of the simulation")
    universe = to_universe(features, config.topology, reference, trajectory=config.trajectory, seed=config.seed)
    write_universe(universe, config.out, overwrite=config.force)
    config.write_beside(config.out)
    frames = universe.trajectory
    return f"{config.out}, {pdb}: {frames.n_frames} frames of {len(universe.atoms)} atoms, one every {frames.dt:g} ps"
