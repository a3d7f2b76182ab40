"""``kill -9`` at random instants of everything that writes, and what is found afterwards.

Run ``python tests/faults/crash_rounds.py --rounds 40 --out crash_rounds.json``. Work runs in forked children that are killed at a
uniformly random instant; afterwards another process looks at what they left. A fault is a frame that was acknowledged and is not
there, one that is there twice or differs from that of a run that was never killed, a file that cannot be read, or one at its final
name that is not complete.
"""

import argparse
import json
import mmap
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import MDAnalysis
import numpy as np
import openmm
import torch
from openmm import app

from openmm_trajgan import FeatureSchema, FeatureTrajectories, TrajGAN, WindowBuffer, audit, to_universe
from openmm_trajgan.backmap import write_universe
from openmm_trajgan.buffer import shards
from openmm_trajgan.features import Coordinates
from openmm_trajgan.models.bundle import ModelBundle
from openmm_trajgan.systems import alanine_dipeptide
from openmm_trajgan.training.checkpoint import load_checkpoint
from openmm_trajgan.training.config import TrainingConfig
from openmm_trajgan.training.trainer import Trainer
from openmm_trajgan.windows.reporter import WindowReporter
from openmm_trajgan.workflows import audit as audit_workflow
from openmm_trajgan.workflows import generate

N_WRITERS, N_STEPS, N_FRAMES, N_TRAINING = 4, 2000, 3000, 24
SCHEMA = FeatureSchema(names=("x", "y"), units=("nm", "nm"), periods=(None, None), frame_interval=1.0)
TRAINING = TrainingConfig(likelihood_windows=16, likelihood_frames=32, adversarial_windows=8, patches_per_window=2)
shared = mmap.mmap(-1, 8 * N_WRITERS)  # last frame that each writer was told to be safe; outlives it
acknowledged = np.frombuffer(shared, np.int64)
said = tempfile.TemporaryFile()  # noqa: SIM115 (what the processes print)


def begun(work: Callable[[], object]) -> int:
    """Process that does some work and then ends."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.dup2(said.fileno(), 2)
        warnings.simplefilter("ignore")
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def killed(children: list[int], seconds: float, rng: np.random.Generator) -> int:
    """Kill processes one after the other at random instants within `seconds`; how many were still at work.

    Raises
    ------
    RuntimeError
        If one had failed.
    """
    n_killed, last = 0, 0.0
    for child, instant in zip(children, np.sort(rng.uniform(0, seconds, len(children))), strict=True):
        time.sleep(instant - last)
        last = instant
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            raise failure()
        n_killed += os.WIFSIGNALED(status)
    return n_killed


def failure() -> RuntimeError:
    """What the processes said last."""
    said.seek(max(0, said.tell() - 2000))
    return RuntimeError(f"a process failed by itself: {said.read().decode(errors='replace')}")


def timed(work: Callable[[], object]) -> float:
    """Seconds that work takes when nobody kills it."""
    start = time.monotonic()
    _, status = os.waitpid(begun(work), 0)
    if status:
        raise failure()
    return time.monotonic() - start


class Checkpoints:
    """Saves the simulation every 25 steps, and tells every 5 that the frame is safe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def describeNextReport(self, simulation: Any) -> dict[str, Any]:
        return {"steps": 5 - simulation.currentStep % 5, "periodic": None, "include": []}

    def report(self, simulation: Any, state: Any) -> None:
        acknowledged[0] = simulation.currentStep
        if simulation.currentStep % 25 == 0:
            simulation.saveCheckpoint(str(self.folder / "new"))
            (self.folder / "new").replace(self.folder / "checkpoint")


class Reporter:
    """Two replicas in one context on the Reference platform, reported every 5 steps, continued from checkpoints."""

    def work(self, folder: Path) -> None:
        system, topology = openmm.System(), app.Topology()
        well = openmm.CustomExternalForce("2*((x^2-1)^2+y^2+z^2)")
        chain = topology.addChain()
        for particle in range(2):
            system.addParticle(1.0)
            well.addParticle(particle, [])
            topology.addAtom("X", None, topology.addResidue("X", chain))
        system.addForce(well)
        integrator = openmm.LangevinMiddleIntegrator(300, 1.0, 0.01)
        integrator.setRandomNumberSeed(1)
        simulation = app.Simulation(topology, system, integrator, openmm.Platform.getPlatformByName("Reference"))
        simulation.context.setPositions([[1, 0, 0], [-1, 0, 0]])
        simulation.context.setVelocitiesToTemperature(300, 1)
        if (folder / "checkpoint").exists():
            simulation.loadCheckpoint(str(folder / "checkpoint"))
        features = Coordinates([0])
        with WindowBuffer(folder / "buffer", features.schema) as buffer:
            simulation.reporters.append(WindowReporter(buffer, 5, features, stream="r", n_replicas=2, append=True))
            simulation.reporters.append(Checkpoints(folder))
            simulation.step(N_STEPS - simulation.currentStep)

    def begin(self, folder: Path) -> list[int]:
        acknowledged[:] = 0
        return [begun(lambda: self.work(folder))]

    def look(self, folder: Path, reference: Path) -> tuple[list[str], bool]:
        if not (folder / "buffer/buffer.json").exists():
            return (["no buffer although frames are safe"] if acknowledged[0] else []), False
        found, expected, faults, n_frames = WindowBuffer(folder / "buffer"), WindowBuffer(reference / "buffer"), [], []
        for stream in found.streams:
            steps = found.steps(stream)
            n_frames.append(len(steps))
            if steps.tolist() != list(range(5, 5 * len(steps) + 1, 5)) or len(found.segment_lengths) != len(found.streams):
                faults.append(f"{stream}: steps {steps.tolist()}")
            elif len(steps) * 5 < acknowledged[0]:
                faults.append(f"{stream}: {acknowledged[0]} was safe, the last step is {steps[-1:]}")
            elif len(steps):
                (series,), (whole,) = found.trajectories([stream]).values, expected.trajectories([stream]).values
                if not np.array_equal(series, whole[: len(series)]):
                    faults.append(f"{stream}: other frames than those of the run that was never killed")
        return faults, n_frames == [N_STEPS // 5] * 2


class Writers:
    """Four processes that append to one buffer side by side, flush now and then, and are killed one by one."""

    def work(self, folder: Path, writer: int) -> None:
        with WindowBuffer(folder / "buffer", SCHEMA) as buffer:
            last = buffer.last_frame(f"w{writer}")
            for step in range(0 if last is None else last[1] + 1, N_FRAMES):
                values = np.array([[writer, step]])
                buffer.append([f"w{writer}"], step=step, time=step, segment=0, features=values)
                acknowledged[writer] = step + 1
                if step % 100 == 0:
                    buffer.flush()

    def begin(self, folder: Path) -> list[int]:
        acknowledged[:] = 0
        return [begun(lambda writer=writer: self.work(folder, writer)) for writer in range(N_WRITERS)]

    def look(self, folder: Path, reference: Path) -> tuple[list[str], bool]:
        if not (folder / "buffer/buffer.json").exists():
            return (["no buffer although frames are safe"] if acknowledged.any() else []), False
        faults, buffer = [], WindowBuffer(folder / "buffer")
        n_frames = {stream: len(buffer.steps(stream)) for stream in buffer.streams}
        for writer in range(N_WRITERS):
            n, stream = n_frames.get(f"w{writer}", 0), f"w{writer}"
            if n < acknowledged[writer]:
                faults.append(f"{stream}: {acknowledged[writer]} frames were safe, there are {n}")
            if n:
                (series,) = buffer.trajectories([stream]).values
                if not np.array_equal(series, np.stack([np.full(n, writer), np.arange(n)], axis=1)):
                    faults.append(f"{stream}: lost, repeated or other frames")
        return faults, list(n_frames.values()) == [N_FRAMES] * N_WRITERS


class Training:
    """Training with a checkpoint after every step, continued until it is done; the weights of the model are compared bit by bit."""

    def __init__(self) -> None:
        series = 0.1 * np.cumsum(np.random.default_rng(0).normal(size=(2, 200, 2)), axis=1)
        self.data = FeatureTrajectories(series, SCHEMA)
        assert Trainer.run.__kwdefaults__ is not None
        Trainer.run.__kwdefaults__["checkpoint_seconds"] = 0.0

    def work(self, folder: Path) -> None:
        gan = TrajGAN(8, training=TRAINING)
        gan.fit(self.data, steps=N_TRAINING, seed=1, checkpoint=folder / "checkpoint", resume=True, progress=False)
        gan.save(folder / "model")

    def begin(self, folder: Path) -> list[int]:
        return [begun(lambda: self.work(folder))]

    def look(self, folder: Path, reference: Path) -> tuple[list[str], bool]:
        faults = []
        if (folder / "checkpoint").exists():
            load_checkpoint(folder / "checkpoint")
        if not (folder / "model").exists():
            return faults, False
        found, expected = (ModelBundle.load(path / "model") for path in (folder, reference))
        weights, wanted = found.generator.state_dict(), expected.generator.state_dict()
        if not all(torch.equal(weights[name], wanted[name]) for name in wanted):
            faults.append("other weights than those of the training that was never killed")
        if found.training["history"] != expected.training["history"]:
            faults.append("another learning curve")
        return faults, True


class Files:
    """One kind of output, replaced by itself again and again; what stands at the final names must always be whole."""

    def __init__(self, replace: Callable[[Path], object], names: dict[str, Callable[[Path], object]]) -> None:
        self.replace, self.names = replace, names

    def work(self, folder: Path) -> None:
        self.replace(folder)

    def begin(self, folder: Path) -> list[int]:
        def forever() -> None:
            while True:
                self.replace(folder)

        return [begun(forever)]

    def look(self, folder: Path, reference: Path) -> tuple[list[str], bool]:
        known = set(self.names)
        faults = [f"{path.name}: unknown" for path in folder.iterdir() if path.name[0] != "." and path.name not in known]
        for name, read in self.names.items():
            path = folder / name
            if path.exists() and not same(read(path), read(reference / name)):
                faults.append(f"{name}: not that of a run that was never killed")
        return faults, False


def same(one: Any, other: Any) -> bool:
    """Whether two readings agree, arrays included."""
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(np.array_equal(one, other)) if isinstance(one, np.ndarray) else bool(one == other)


def frames_of(path: Path) -> tuple[int, Any]:
    """Number of frames and positions of the first and last one."""
    universe = MDAnalysis.Universe(alanine_dipeptide.topology(), str(path))
    return len(universe.trajectory), [universe.trajectory[frame].positions.copy() for frame in (0, -1)]


def reports(folder: Path) -> dict[str, Files]:
    """The report of one judgement, and one that was rendered before, which is killed more often while it is put in place."""
    walks = 0.1 * np.random.default_rng(1).normal(size=(4, 300, 2))
    judged = audit(FeatureTrajectories(walks[:2], SCHEMA), FeatureTrajectories(walks[2:], SCHEMA))
    for name in ("reference", "generated"):
        FeatureTrajectories(walks[:2], SCHEMA).save(folder / f"{name}.npz")
    audit_workflow.audit = lambda *_, **__: judged  # the judgement is made once, its report again and again
    timed(lambda: judged.to_folder(folder / "premade"))

    def report(path: Path) -> None:
        inputs = {name: folder / f"{name}.npz" for name in ("reference", "generated")}
        audit_workflow.run(audit_workflow.AuditConfig(**inputs, out=path / "report", force=True))

    def premade(path: Path) -> None:
        quick = SimpleNamespace(to_folder=lambda target: shutil.copytree(folder / "premade", target) / "audit.html", summary=str)
        audit_workflow.replace = lambda *_, **__: quick
        report(path)

    def read_report(path: Path) -> object:
        page = (path / "audit.html").read_text()
        files = sorted(str(each.relative_to(path)) for each in path.rglob("*") if each.is_file())
        return files, json.loads((path / "audit.json").read_text())["verdict"], page.rstrip().endswith("</html>")

    return {"report": Files(report, {"report": read_report}), "report, made before": Files(premade, {"report": read_report})}


def outputs(folder: Path) -> dict[str, Files]:
    """Models, generated trajectories and structures."""
    model = folder / "model"
    timed(lambda: TrajGAN(8, training=TRAINING).fit(Training().data, steps=4, seed=1, progress=False).save(model))
    bundle = ModelBundle.load(model)
    topology, positions = alanine_dipeptide.topology_and_positions()
    angles = np.random.default_rng(2).uniform(-3, 3, (1, 60, 2))
    universe = to_universe(
        FeatureTrajectories(angles, alanine_dipeptide.features().schema.with_frame_interval(0.2)), topology, positions[None]
    )

    def generated(name: str) -> Callable[[Path], object]:
        return lambda path: generate.run(
            generate.GenerateConfig(model=model, out=path / name, frames=400, trajectories=4, seed=3, force=True)
        )

    def export(ending: str) -> Callable[[Path], object]:
        return lambda path: write_universe(universe, path / f"made{ending}", overwrite=True)

    beside = {
        "made.pdb": lambda path: path.read_text(),
        "made.features.npz": lambda path: FeatureTrajectories.load(path).values,
        "made.provenance.json": lambda path: json.loads(path.read_text()),
    }
    yaml = {"made.npz.config.yaml": lambda path: len(path.read_text().splitlines())}
    return {
        "model": Files(lambda path: bundle.save(path / "made"), {"made": lambda path: len(ModelBundle.load(path).training)}),
        "generation": Files(generated("made.npz"), {"made.npz": lambda path: FeatureTrajectories.load(path).values, **yaml}),
        "backmap .xtc": Files(export(".xtc"), {"made.xtc": frames_of, **beside}),
        "backmap .dcd": Files(export(".dcd"), {"made.dcd": frames_of, **beside}),
        "backmap .trajgan": Files(export(".trajgan"), {"made.trajgan": frames_of, "made.pdb": beside["made.pdb"]}),
    }


def rounds(case: Any, n_rounds: int, root: Path, rng: np.random.Generator) -> dict[str, Any]:
    """Kill a case again and again; a new folder whenever it has come to its end."""
    reference = root / "reference"
    reference.mkdir(parents=True)
    finish = (lambda: [os.waitpid(child, 0) for child in case.begin(reference)]) if isinstance(case, Writers) else None
    duration = timed(finish or (lambda: case.work(reference)))
    counts = {"rounds": 0, "killed": 0, "finished": 0, "seconds_of_a_run": round(duration, 3)}
    faults: list[str] = []
    folder = root / "0"
    folder.mkdir()
    while counts["rounds"] < n_rounds:
        counts["rounds"] += 1
        try:
            counts["killed"] += killed(case.begin(folder), (2 if isinstance(case, Files) else 0.8) * duration, rng) > 0
            found, finished = case.look(folder, reference)
        except Exception as error:
            found, finished = [f"{type(error).__name__}: {error}"], True
        faults += [f"round {counts['rounds']}: {fault}"[:300] for fault in found]
        counts["finished"] += finished
        if finished or found:
            folder = root / str(counts["rounds"])
            folder.mkdir()
    return {**counts, "faults": faults}


def main(n_rounds: int, seed: int, only: list[str] | None = None) -> dict[str, Any]:
    """All cases, `n_rounds` rounds of each."""
    shards.BYTES_PER_SHARD = 64 * 32  # so that shards are sealed all the time
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        cases: dict[str, Any] = {"reporter": Reporter(), "four writers": Writers(), "training": Training()}
        cases |= outputs(root)
        if only is None or any("report" in each for each in only if each not in cases):
            cases |= reports(root)
        chosen = {each: case for each, case in cases.items() if only is None or each in only}
        results = {each: rounds(case, n_rounds, root / "cases" / each, rng) for each, case in chosen.items()}
    total = {key: sum(result[key] for result in results.values()) for key in ("rounds", "killed", "finished")}
    n_faults = sum(len(result["faults"]) for result in results.values())
    return {"seed": seed, "total": {**total, "faults": n_faults}, "cases": results}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="of each case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", help="cases to run")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    found = main(arguments.rounds, arguments.seed, arguments.only)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(found["total"]["faults"] > 0)
