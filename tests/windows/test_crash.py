"""A simulation that is killed again and again ends with the frames of one that never was."""

import subprocess
import sys
import time

import numpy as np

from openmm_trajgan.buffer import WindowBuffer

N_STEPS, N_KILLS = 12_000, 10
PROGRAM = f"""
import os, sys
from pathlib import Path
import openmm
from openmm import app
from openmm_trajgan.buffer import WindowBuffer, shards
from openmm_trajgan.features import Coordinates
from openmm_trajgan.windows.reporter import WindowReporter

shards.BYTES_PER_SHARD = 64 * 28
folder, checkpoint = Path(sys.argv[1]), Path(sys.argv[1]) / "checkpoint"

class Checkpoints:
    def describeNextReport(self, simulation):
        return {{"steps": 25 - simulation.currentStep % 25, "periodic": None, "include": []}}

    def report(self, simulation, state):
        simulation.saveCheckpoint(str(folder / "new"))
        os.replace(folder / "new", checkpoint)

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
if checkpoint.exists():
    simulation.loadCheckpoint(str(checkpoint))
features = Coordinates([0])
buffer = WindowBuffer(folder / "buffer", features.schema)
reporter = WindowReporter(buffer, 5, features, stream="r", n_replicas=2, append=True)
simulation.reporters += [reporter, Checkpoints()]
print("runs", flush=True)
simulation.step({N_STEPS} - simulation.currentStep)
reporter.close()
buffer.close()
"""


def start(folder):
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "runs\n", process.stderr.read()
    return process


def finish(folder):
    process = start(folder)
    began = time.monotonic()
    errors = process.communicate()[1]
    assert process.returncode == 0, errors
    return time.monotonic() - began


def test_ten_kills_at_random_moments_lose_and_repeat_no_frame(tmp_path):
    """SIGKILL after a time drawn from (0, 12 %) of an uninterrupted run, ten times in a row, then run to the end."""
    uninterrupted, killed = tmp_path / "uninterrupted", tmp_path / "killed"
    uninterrupted.mkdir()
    killed.mkdir()
    duration = finish(uninterrupted)
    rng = np.random.default_rng(1)
    n_killed, ends = 0, set()
    for fraction in rng.uniform(0, 0.12, N_KILLS):
        process = start(killed)
        time.sleep(fraction * duration)
        process.kill()
        process.communicate()
        n_killed += process.returncode == -9
        with_frames = WindowBuffer(killed / "buffer")
        ends.add(with_frames.last_frame("r0000"))
    finish(killed)

    assert n_killed == N_KILLS
    assert len(ends) > N_KILLS // 2  # the kills fell on different frames
    found, expected = WindowBuffer(killed / "buffer"), WindowBuffer(uninterrupted / "buffer")
    assert found.streams == expected.streams == ("r0000", "r0001")
    for stream in found.streams:
        assert found.steps(stream).tolist() == list(range(5, N_STEPS + 1, 5))
        assert len(found.trajectories([stream])) == 1
        assert np.array_equal(found.trajectories([stream]).values[0], expected.trajectories([stream]).values[0])
