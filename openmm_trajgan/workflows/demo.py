"""The whole promise on a real simulation: simulate, train, generate, backmap, report."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import MDAnalysis
from pydantic import Field

from openmm_trajgan.analysis.audit import Audit, audit
from openmm_trajgan.analysis.pictures import overview
from openmm_trajgan.backmap import to_universe, write_universe
from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureTrajectories
from openmm_trajgan.seeding import Seeds
from openmm_trajgan.storage import replacing
from openmm_trajgan.systems import get_system
from openmm_trajgan.workflows.collect import collect_system
from openmm_trajgan.workflows.config import Argument, WorkflowConfig, replace_folder, require_new
from openmm_trajgan.workflows.estimator import TrajGAN

_ANGSTROM = 10.0  # per nm
_FEWEST_STRUCTURES = 200


@dataclass(frozen=True)
class DemoProtocol:
    """How long a demonstration simulates, trains and generates."""

    n_replicas: int
    n_held_out: int
    n_frames: int
    minutes: float
    n_generated: int
    n_generated_frames: int


PROTOCOLS = {
    "alanine_dipeptide": DemoProtocol(
        n_replicas=6, n_held_out=1, n_frames=10_000, minutes=2.5, n_generated=4, n_generated_frames=50_000
    ),
    "triple_well": DemoProtocol(
        n_replicas=100, n_held_out=20, n_frames=2500, minutes=1.0, n_generated=20, n_generated_frames=10_000
    ),
}
QUICK = {
    "alanine_dipeptide": DemoProtocol(
        n_replicas=3, n_held_out=1, n_frames=1000, minutes=0.2, n_generated=2, n_generated_frames=3000
    ),
    "triple_well": DemoProtocol(n_replicas=20, n_held_out=5, n_frames=500, minutes=0.15, n_generated=4, n_generated_frames=2000),
}


class DemoConfig(WorkflowConfig):
    """Simulate a system, learn from it, generate more of it and report how good that is."""

    system: str = Argument("alanine_dipeptide", description=f"system: {', '.join(PROTOCOLS)}")
    out: Path = Field(description="folder to write everything to")
    minutes: float | None = Field(None, gt=0, description="how long to train, minutes; default: as suits the system")
    seed: int = Field(1, ge=0, description="root seed of simulation, training and generation")
    processes: int | None = Field(None, gt=0, description="simulations at a time; none means one per core")
    quick: bool = Field(False, description="smoke run: too little data and training to be any good")
    resume: bool = Field(False, description="continue an interrupted demonstration")
    force: bool = Field(False, description="replace an existing folder")


def run(config: DemoConfig) -> str:
    """Run all stages, each of which leaves its result in the folder, and return five lines about it."""
    system = get_system(config.system)
    if config.system not in PROTOCOLS:
        raise InputError(
            f"{config.system}: no demonstration of it yet, there are {', '.join(PROTOCOLS)}; "
            f"use trajgan collect {config.system}, then trajgan train"
        )
    protocol = (QUICK if config.quick else PROTOCOLS)[config.system]
    minutes = config.minutes or protocol.minutes
    out, seeds = config.out, Seeds(config.seed)
    require_new(out, force=config.force, resume=config.resume, folder=True)
    if config.resume and out.exists():
        config.continued(out, free={"processes", "resume", "force"})
    else:
        replace_folder(out)
        config.write_beside(out)
    model, trajectories, checkpoint = out / "model.trajgan", out / "generated.npz", out / "training.checkpoint"

    buffer = collect_system(
        config.system,
        out / "md.windows",
        n_frames=protocol.n_frames,
        n_replicas=protocol.n_replicas,
        n_structures=protocol.n_frames,
        seed=seeds.integer("simulation"),
        processes=config.processes,
        resume=config.resume,
    )
    shown, kept = buffer.streams[: -protocol.n_held_out], buffer.streams[-protocol.n_held_out :]
    train, held_out = buffer.trajectories(shown), buffer.trajectories(kept)

    if model.exists():
        gan = TrajGAN.load(model)
    else:
        gan = TrajGAN().fit(train, minutes=minutes, seed=seeds.integer("training"), checkpoint=checkpoint, resume=config.resume)
        gan.save(model)
        checkpoint.unlink(missing_ok=True)
    if trajectories.exists():
        generated = FeatureTrajectories.load(trajectories)
    else:
        generated = gan.generate(protocol.n_generated_frames, protocol.n_generated, seed=seeds.integer("generation"), progress=True)
        generated.save(trajectories)

    topology = system.topology()
    universe = to_universe(generated, topology, None if topology is None else buffer, trajectory=0)
    write_universe(universe, out / "generated.xtc", overwrite=True)
    simulated = None if topology is None else _held_out_structures(buffer, kept[0], topology)
    structures = None if simulated is None else (simulated, universe)
    result = audit(held_out, generated, train, structures=structures, seed=config.seed)
    result.to_json(out / "audit.json")
    result.to_html(out / "report.html")
    with replacing(out / "overview.png") as file:
        overview(result).savefig(file, format="png", dpi=150)
    return _five_lines(config, system.title, held_out, train, generated, universe, result)


def _held_out_structures(buffer: WindowBuffer, stream: str, topology: Any) -> MDAnalysis.Universe | None:
    """Return the structures kept of a replica; None if an interruption near its end left too few to compare with."""
    if not buffer.has_structures(stream):
        return None
    structures = buffer.structures([stream])
    return MDAnalysis.Universe(topology, _ANGSTROM * structures) if len(structures) >= _FEWEST_STRUCTURES else None


def _five_lines(
    config: DemoConfig,
    title: str,
    held_out: FeatureTrajectories,
    train: FeatureTrajectories,
    generated: FeatureTrajectories,
    universe: Any,
    result: Audit,
) -> str:
    out = config.out
    interval = (held_out.schema.frame_interval or 0.0) / 1000
    n_held_out = len(held_out.replica_names)
    n_replicas = len(train.replica_names) + n_held_out
    simulated = f"{n_replicas} replicas, {(train.n_frames + held_out.n_frames) * interval:.3g} ns in all"
    made = f"{len(generated)} trajectories of {len(generated.values[0])} frames, {generated.n_frames * interval:.3g} ns"
    size = f"{universe.trajectory.n_frames} frames, {len(universe.atoms)} atoms"
    lines = (
        f"Simulated {title}: {simulated}, {n_held_out} of them never shown to the model ({out / 'md.windows'}).",
        f"Generated {made}, one frame every {1000 * interval:g} ps like the simulation ({out / 'generated.npz'}).",
        f"Structures of the first one: {out / 'generated.pdb'} with {out / 'generated.xtc'} ({size}), for MDAnalysis, mdtraj, VMD.",
        result.headline(),
        f"Read {out / 'report.html'}: what each figure of the generated trajectories is worth in MD, beside the noise of MD.",
    )
    return "\n".join(lines)
