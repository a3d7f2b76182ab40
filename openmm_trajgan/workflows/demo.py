"""The whole promise on a real simulation: simulate, train, generate, backmap, report."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import MDAnalysis
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from openmm_trajgan.analysis.audit import audit
from openmm_trajgan.analysis.pictures import overview
from openmm_trajgan.analysis.two_states import measured, two_state_kinetics
from openmm_trajgan.backmap import to_universe, write_universe
from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.features.base import Featurizer
from openmm_trajgan.schema import FeatureTrajectories
from openmm_trajgan.seeding import Seeds
from openmm_trajgan.storage import replacing
from openmm_trajgan.systems import NAMES, get_system
from openmm_trajgan.systems.base import SimulatedSystem, StatePair
from openmm_trajgan.workflows.backmap import featurizer_of
from openmm_trajgan.workflows.collect import collect_system
from openmm_trajgan.workflows.config import Argument, WorkflowConfig, replace_folder, require_new
from openmm_trajgan.workflows.demo_protocols import PROTOCOLS, QUICK, DemoProtocol
from openmm_trajgan.workflows.estimator import TrajGAN

_ANGSTROM = 10.0  # per nm
_FEWEST_STRUCTURES = 200


class DemoConfig(WorkflowConfig):
    """Simulate a system, learn from it, generate more of it and report how good that is."""

    system: str = Argument("alanine_dipeptide", description=f"system: {', '.join(NAMES)}")
    out: Path = Field(description="folder to write everything to")
    minutes: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="how long to train, minutes; default: by the amount of data"
    )
    seed: int = Field(1, ge=0, description="root seed of simulation, training and generation")
    processes: int | None = Field(None, gt=0, description="simulations at a time; none means one per core")
    quick: bool = Field(False, description="smoke run: too little data and training to be any good")
    resume: bool = Field(False, description="continue an interrupted demonstration")
    force: bool = Field(False, description="replace an existing folder")


@dataclass(frozen=True)
class _Condition:
    """What was simulated at one condition, such as a temperature, or at the only one there is.

    Parameters
    ----------
    label
        The condition; None for the only one.
    words
        How to begin a sentence about it.
    suffix
        Of file names.
    train, held_out
        Features of the simulations.
    """

    label: float | None
    words: str
    suffix: str
    train: FeatureTrajectories
    held_out: FeatureTrajectories


def run(config: DemoConfig) -> str:
    """Run all stages, each of which leaves its result in the folder, and return a few lines about it."""
    system = get_system(config.system)
    protocol = (QUICK if config.quick else PROTOCOLS)[config.system]
    out, seeds = config.out, Seeds(config.seed)
    require_new(out, force=config.force, resume=config.resume, folder_of=DemoConfig)
    if config.resume and out.exists():
        config.continued(out, free={"processes", "resume", "force"})
    else:
        replace_folder(out)
        config.write_beside(out)

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
    features: Featurizer = system.features()
    if protocol.latent is not None:  # fitted on the training replicas; the held-out ones are seen through it
        latent = protocol.latent(features, train)
        latent.save(out / "latent.npz")
        train, held_out, features = latent.transform_trajectories(train), latent.transform_trajectories(held_out), latent
    gan = _trained(config, protocol, train, buffer.labels, seeds)

    verdicts = []
    for condition in _conditions(system, buffer.labels, train, held_out):
        generated = _generated(config, protocol, gan, condition, seeds)
        universe = _structures(config, system, buffer, features, condition, generated)
        verdicts.append(condition.words + _verdict(config, system, buffer, features, condition, generated, universe))
        if system.states is not None:
            verdicts.append(
                condition.words + _rates(system.states, system.temperature_at(condition.label), condition.held_out, generated)
            )
    each = "-*" if system.labels else ""
    lines = (
        f"Simulated {system.title}: {protocol.n_replicas} replicas, {_time(train.n_frames + held_out.n_frames, train)} in all, "
        f"{protocol.n_held_out} of them never shown to the model ({out / 'md.windows'}).",
        *_made(out, each, generated, universe),
        *verdicts,
        f"Read {out / 'report'}{each}.html: what each figure of the generated trajectories is worth in MD, beside the noise of MD.",
    )
    return "\n".join(lines)


def _trained(
    config: DemoConfig, protocol: DemoProtocol, train: FeatureTrajectories, labels: dict[str, str | float], seeds: Seeds
) -> TrajGAN:
    """Train, or read the model that an earlier run left."""
    model, checkpoint = config.out / "model.trajgan", config.out / "training.checkpoint"
    if model.exists():
        return TrajGAN.load(model)
    gan = TrajGAN().fit(
        train,
        labels={name: labels[name] for name in train.replica_names} if labels else None,
        minutes=config.minutes or protocol.minutes,
        seed=seeds.integer("training"),
        checkpoint=checkpoint,
        resume=config.resume,
    )
    gan.save(model)
    checkpoint.unlink(missing_ok=True)
    return gan


def _conditions(
    system: SimulatedSystem, labels: dict[str, str | float], train: FeatureTrajectories, held_out: FeatureTrajectories
) -> Iterator[_Condition]:
    """Yield the simulations at each condition, which have a law of their own and are judged on their own."""
    if not system.labels:
        yield _Condition(None, "", "", train, held_out)
    for label in system.labels:
        here = [data.select([name for name in data.replica_names if labels[name] == label]) for data in (train, held_out)]
        quantity, _, unit = system.label_name.partition(", ")
        yield _Condition(label, f"{quantity.capitalize()} {label:g} {unit}: ", f"-{label:g}", *here)


def _generated(
    config: DemoConfig, protocol: DemoProtocol, gan: TrajGAN, condition: _Condition, seeds: Seeds
) -> FeatureTrajectories:
    """Generate, or read what an earlier run left."""
    path = config.out / f"generated{condition.suffix}.npz"
    if path.exists():
        return FeatureTrajectories.load(path)
    generated = gan.generate(
        protocol.n_generated_frames,
        protocol.n_generated,
        label=condition.label,
        seed=seeds.integer(f"generation{condition.suffix}"),
        progress=True,
    )
    generated.save(path)
    return generated


def _structures(
    config: DemoConfig,
    system: SimulatedSystem,
    buffer: WindowBuffer,
    features: Featurizer,
    condition: _Condition,
    generated: FeatureTrajectories,
) -> MDAnalysis.Universe:
    """Build structures of the first trajectory with those of the training replicas, and write them."""
    topology = system.topology()
    reference = None if topology is None else _kept_structures(buffer, condition.train.replica_names)
    universe = to_universe(generated, topology, reference, featurizer=features, trajectory=0)
    write_universe(universe, config.out / f"generated{condition.suffix}.xtc", overwrite=True)
    return universe


def _kept_structures(buffer: WindowBuffer, streams: Sequence[str]) -> NDArray[np.float32] | None:
    """Return structures kept of simulations, ``(n_structures, n_atoms, 3)``, nm; None if an interruption left none of them."""
    return buffer.structures(streams) if any(map(buffer.has_structures, streams)) else None


def _verdict(
    config: DemoConfig,
    system: SimulatedSystem,
    buffer: WindowBuffer,
    features: Featurizer,
    condition: _Condition,
    generated: FeatureTrajectories,
    universe: MDAnalysis.Universe,
) -> str:
    """Judge by the held-out simulations, write the report, and return what it says."""
    out, suffix, held_out = config.out, condition.suffix, condition.held_out
    simulated = _kept_structures(buffer, held_out.replica_names)
    structures = None
    if simulated is not None and len(simulated) >= _FEWEST_STRUCTURES:
        interval = held_out.schema.frame_interval
        structures = MDAnalysis.Universe(system.topology(), _ANGSTROM * simulated, dt=interval), universe
    result = audit(
        held_out,
        generated,
        condition.train,
        temperature=system.temperature_at(condition.label),
        structures=structures,
        featurizer=featurizer_of(universe, features),
        seed=config.seed,
    )
    result.to_json(out / f"audit{suffix}.json")
    result.to_html(out / f"report{suffix}.html")
    with replacing(out / f"overview{suffix}.png") as file:
        overview(result).savefig(file, format="png", dpi=150)
    return result.headline()


def _rates(states: StatePair, temperature: float, held_out: FeatureTrajectories, generated: FeatureTrajectories) -> str:
    """Say how long each of the two states lasts, in held-out MD and generated, and how much the first is preferred."""
    both = [two_state_kinetics(data, states.feature, states.cores, temperature=temperature) for data in (held_out, generated)]
    first, second = (
        f"{name} for {' and '.join(measured(one.times[index], one.time_errors[index]) for one in both)} ps"
        for index, name in enumerate(states.names)
    )
    energies = " and ".join(measured(one.free_energy, one.free_energy_error) for one in both)
    free = f"free energy of {states.names[0]} {energies} kJ/mol (± standard error)."
    return f"States of held-out MD and generated: {first}, {second}; {free}"


def _made(out: Path, suffix: str, generated: FeatureTrajectories, universe: MDAnalysis.Universe) -> tuple[str, str]:
    """Say what was generated, under each condition, and where it is."""
    npz, pdb, xtc = (out / f"generated{suffix}.{ending}" for ending in ("npz", "pdb", "xtc"))
    made = f"{len(generated)} trajectories of {len(generated.values[0])} frames, {_time(generated.n_frames, generated)}"
    size = f"{universe.trajectory.n_frames} frames, {len(universe.atoms)} atoms"
    interval = generated.schema.frame_interval or 0.0
    return (
        f"Generated {'at each condition ' if suffix else ''}{made}, one frame every {interval:g} ps like the simulation ({npz}).",
        f"Structures of the first one: {pdb} with {xtc} ({size}), for MDAnalysis, mdtraj, VMD.",
    )


def _time(n_frames: int, data: FeatureTrajectories) -> str:
    return f"{n_frames * (data.schema.frame_interval or 0.0) / 1000:.3g} ns"
