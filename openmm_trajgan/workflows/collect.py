"""A simulation of this package, or stored MD, into a window buffer."""

import math
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from pydantic import Field, model_validator

from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import InputError, NonFiniteError, SchemaMismatchError, first_line
from openmm_trajgan.features.base import Featurizer
from openmm_trajgan.seeding import Seeds
from openmm_trajgan.systems import NAMES, get_system
from openmm_trajgan.systems.base import SimulatedSystem
from openmm_trajgan.systems.bound_complex import source_and_ligand
from openmm_trajgan.training.interrupt import deferred_interrupt
from openmm_trajgan.workflows.config import Argument, WorkflowConfig, replace_folder, require_new
from openmm_trajgan.workflows.progress import progress_bar
from openmm_trajgan.workflows.worker import simulate_replicas, start_worker

_POLL_SECONDS = 0.5
_NAMES_SHOWN = 8
_FOR_SYSTEMS = ("frames", "replicas", "label", "structure", "seed", "processes")
_FOR_STORED_MD = ("trajectory", "features")


class CollectConfig(WorkflowConfig):
    """Run a system of this package with the reporter attached, or read stored MD."""

    system: str | None = Argument(
        None, description=f"system to simulate: {', '.join(NAMES)}; none to read --topology and --trajectory"
    )
    out: Path = Field(description="window buffer to write, a folder")
    frames: int | None = Field(None, gt=0, description="frames per replica to simulate")
    replicas: int = Field(1, gt=0, description="independent replicas to simulate")
    label: list[float] = Field(
        [], description="condition to simulate at, such as a temperature, for replicas in turn; default those of the system"
    )
    structure: str | None = Field(
        None,
        description="for binding: PDB entry (downloaded) or PDB file to take instead, 2CPP or FILE, or FILE:RESIDUE of the ligand",
    )
    seed: int | None = Field(None, ge=0, description="root seed of the simulations; none draws one and records it")
    processes: int | None = Field(None, gt=0, description="simulations at a time; none means one per core")
    topology: Path | None = Field(None, description="PDB file of stored MD")
    trajectory: list[Path] = Field(
        [], description="trajectory files of stored MD, one replica each", json_schema_extra={"several": True}
    )
    features: Literal["torsions", "distances"] = Field(
        "torsions", description="features of stored MD: backbone torsions, or distances between alpha carbons"
    )
    structures: int = Field(
        500,
        ge=0,
        description="consecutive frames per simulation to keep with all positions (at most 64 MiB), for trajgan backmap and to "
        "compare structures with in trajgan audit",
    )
    resume: bool = Field(False, description="continue an interrupted simulation from its last checkpoint")
    force: bool = Field(False, description="replace an existing buffer")

    @model_validator(mode="after")
    def _one_source(self) -> "CollectConfig":
        if (self.system is None) == (self.topology is None):
            raise ValueError("give either the name of a system or --topology with --trajectory")
        if self.system is not None and self.frames is None:
            raise ValueError("--frames is missing: how many frames per replica to simulate")
        for name in _FOR_SYSTEMS if self.system is None else _FOR_STORED_MD:
            if getattr(self, name) != type(self).model_fields[name].default:  # a YAML file may tell the default
                raise ValueError(f"--{name} is for {'systems to simulate' if self.system is None else 'stored MD'}; leave it out")
        if self.topology is not None and not self.trajectory:
            raise ValueError("--trajectory is missing: one file per replica")
        return self


def run(config: CollectConfig) -> str:
    """Collect and return what was done in words."""
    structure = None if config.structure is None else source_and_ligand(config.structure)[0]
    inputs = (config.topology, *config.trajectory, structure)
    require_new(config.out, force=config.force, inputs=inputs, resume=config.resume, folder_of=CollectConfig)
    resumed = config.resume and config.out.exists()
    if resumed:
        config = config.continued(config.out, free={"frames", "processes", "resume", "force"})
    config = config if config.system is None else config.with_seed()  # reading stored MD draws nothing
    if config.system is not None:
        assert config.frames is not None
        system = get_system(config.system, config.structure)  # a wrong name must not cost a folder
        _labels(system, config.label)
        if not resumed:
            replace_folder(config.out)
            WindowBuffer(config.out, schema=system.features().schema).close()  # first: it wants a folder of its own
            config.write_beside(config.out)
        collect_system(
            config.system,
            config.out,
            n_frames=config.frames,
            n_replicas=config.replicas,
            seed=config.seed,
            n_structures=config.structures,
            labels=config.label,
            structure=config.structure,
            processes=config.processes,
            resume=config.resume,
        )
    else:
        assert config.topology is not None
        with TemporaryDirectory(dir=config.out.parent, prefix=f".{config.out.name}.") as unfinished:
            made = Path(unfinished) / "buffer"
            collect_stored(config.topology, config.trajectory, made, config.features, config.structures)
            replace_folder(config.out)
            made.replace(config.out)
        config.write_beside(config.out)
    buffer = WindowBuffer(config.out)
    interval = buffer.schema.frame_interval or 0.0
    labels = ", ".join(f"{label:g}" for label in sorted({float(label) for label in buffer.labels.values()}))
    names = buffer.schema.names
    shown = ", ".join(names) if len(names) <= _NAMES_SHOWN else f"{', '.join(names[:_NAMES_SHOWN])}, … {len(names)} in all"
    return (
        f"{config.out}: {buffer.n_frames} frames of {len(buffer.streams)} replicas, one every {interval:g} ps, "
        f"features {shown}{f', conditions {labels}' if labels else ''}"
    )


def collect_system(
    name: str,
    out: Path,
    *,
    n_frames: int,
    n_replicas: int,
    n_structures: int = 500,
    labels: Sequence[float] = (),
    structure: str | None = None,
    seed: int | None = None,
    processes: int | None = None,
    resume: bool = False,
    executor: Executor | None = None,
) -> WindowBuffer:
    """Simulate independent replicas of a system, several at a time, into one buffer on disk.

    Parameters
    ----------
    name
        A system of this package.
    out
        Folder of the buffer.
    n_frames, n_replicas
        Frames per replica and number of replicas.
    n_structures
        Consecutive frames per simulation to keep with all positions, for backmapping and to compare structures with; at most
        64 MiB, and none of systems whose features are coordinates.
    labels
        Conditions for replicas in turn, which the buffer keeps; default those of the system.
    structure
        PDB entry or file for systems that take another than their own.
    seed
        Root seed; replica k is the same whatever the number of processes.
    processes
        Simulations at a time; None means one per core.
    resume
        Continue simulations that left a checkpoint.
    executor
        Where to run the simulations instead, for example a cluster's; it must see the folder.

    Returns
    -------
    WindowBuffer
        What was collected.

    Raises
    ------
    InputError
        If there is no such system, structure or condition.
    KeyboardInterrupt
        After Ctrl-C or SIGTERM, with a checkpoint of every simulation that was running.
    """
    system = get_system(name, structure)
    conditions = _labels(system, labels)
    seeds = Seeds(seed)
    buffer = WindowBuffer(out, schema=system.features().schema)
    (out / "checkpoints").mkdir(exist_ok=True)
    per_context = system.replicas_per_context
    jobs: list[tuple[Any, ...]] = []
    kept: dict[str, float] = {}
    for start in range(0, n_replicas, per_context):
        n_here = min(per_context, n_replicas - start)
        stream = f"replica{start:04d}" if per_context == 1 else f"batch{start // per_context:04d}-replica"
        label = conditions[len(jobs) % len(conditions)] if conditions else None
        if label is not None:
            kept[stream] = label
        jobs.append(
            (name, out, stream, n_here, n_frames, n_structures, seeds.integer(f"replica {start}"), label, structure, resume)
        )
    if kept:
        buffer.set_labels(kept)
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pool = executor or ProcessPoolExecutor(
        min(processes or os.cpu_count() or 1, len(jobs)), mp_context=context, initializer=start_worker, initargs=(stop,)
    )
    futures: list[Future[None]] = [pool.submit(simulate_replicas, *job) for job in jobs]
    try:
        with (
            deferred_interrupt() as interrupted,
            progress_bar(n_frames * n_replicas, "simulating", "frame", done=buffer.n_frames) as bar,
        ):
            while not (interrupted() or all(future.done() for future in futures) or any(map(_failed, futures))):
                time.sleep(_POLL_SECONDS)
                bar.update(buffer.n_frames - bar.n)
        if interrupted():
            raise KeyboardInterrupt
        for future in futures:
            if future.done():  # all of them, unless one failed
                future.result()
    finally:
        stop.set()
        for future in futures:
            future.cancel()
        if executor is None:
            pool.shutdown()
    return buffer


def _failed(job: Future[None]) -> bool:
    return job.done() and job.exception() is not None


def _labels(system: SimulatedSystem, asked: Sequence[float]) -> tuple[float, ...]:
    """Conditions to simulate at: those asked for, or those of the system."""
    if asked and not system.labels:
        raise InputError(f"label: {system.name} has one condition only, found {asked[0]:g}; leave it out")
    for label in asked:
        if not 0 < system.temperature_at(label) < math.inf:
            raise InputError(f"label: expected a {system.label_name} above 0, found {label:g}; the default is {system.labels}")
    return tuple(asked) or system.labels


def collect_stored(topology: Path, trajectories: list[Path], out: Path, kind: str, n_structures: int = 500) -> WindowBuffer:
    """Featurise stored trajectories, one replica each, into a buffer on disk.

    Raises
    ------
    InputError
        If a file is missing or cannot be read, or the topology has no such features.
    """
    import MDAnalysis
    import mdtraj

    from openmm_trajgan.features import Distances, Torsions
    from openmm_trajgan.windows.from_universe import from_universe

    for path in (topology, *trajectories):
        if not path.is_file():
            raise InputError(f"{path}: no such file; give --topology and --trajectory of stored MD")
    try:
        universes = [MDAnalysis.Universe(str(topology), str(path)) for path in trajectories]
        atoms = mdtraj.load_topology(str(topology))
    except (OSError, ValueError, TypeError, EOFError, IndexError) as error:  # IndexError: a PDB file without atoms
        files = ", ".join(map(str, (topology, *trajectories)))
        raise InputError(f"{files}: cannot be read together ({first_line(error)})") from error
    if atoms.n_atoms != len(universes[0].atoms):
        raise InputError(
            f"{topology}: mdtraj reads {atoms.n_atoms} atoms and MDAnalysis {len(universes[0].atoms)}; "
            "leave one of alternate locations of each atom"
        )
    features: Featurizer = Torsions.backbone(atoms) if kind == "torsions" else Distances.alpha_carbons(atoms)
    buffer = WindowBuffer(out, schema=features.schema)
    with progress_bar(len(universes), "reading", "trajectory") as bar:
        for index, universe in enumerate(universes):
            try:
                from_universe(universe, features, buffer, stream=f"replica{index:04d}", n_structures=n_structures)
            except NonFiniteError as error:
                raise InputError(f"{trajectories[index]}: {error}") from error
            except SchemaMismatchError as error:
                raise SchemaMismatchError(
                    f"{trajectories[index]} has a frame every {universe.trajectory.dt:g} ps, {trajectories[0]} every "
                    f"{buffer.schema.frame_interval:g} ps; collect them into buffers of their own"
                ) from error
            bar.update()
    buffer.close()
    return buffer
