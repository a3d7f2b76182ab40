"""Ctrl-C, a full disk, a simulation that blows up and an interpreter that ends cost no frame that is not named."""

import gc
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest

from openmm_trajgan.buffer import WindowBuffer, shards
from openmm_trajgan.errors import NonFiniteError
from openmm_trajgan.windows.reporter import WindowReporter

INTERVAL = 10


def only_series(buffer, stream="replica0"):
    (series,) = buffer.trajectories([stream]).values
    return series


@contextmanager
def interrupts():
    """Let a timer raise KeyboardInterrupt as Ctrl-C does; yields what sets the timer, in seconds, and a list of those that came."""
    came = []

    def interrupt(*_):
        came.append(True)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds), came
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # files that an interrupted call left to the collector
def test_ctrl_c_at_any_moment_of_stepping_costs_no_frame(chain, features, tmp_path, monkeypatch):
    """As in a notebook: interrupted again and again, `simulation.step` goes on in the end as if nothing had been."""
    monkeypatch.setattr(shards, "BYTES_PER_SHARD", 32 * 28)
    n_steps = 1000

    def simulate(buffer):
        simulation = chain(n_copies=2)
        simulation.reporters.append(WindowReporter(buffer, 1, features, stream="r", n_replicas=2, n_structures=n_steps))
        return simulation

    expected = WindowBuffer(schema=features.schema)
    simulation = simulate(expected)
    simulation.step(n_steps)
    simulation.reporters[0].close()

    n_interrupts, rng = 0, np.random.default_rng(1)
    with WindowBuffer(tmp_path / "buffer", features.schema) as buffer, interrupts() as (after, came):
        simulation = simulate(buffer)
        while simulation.currentStep < n_steps:
            try:
                after(rng.uniform(1e-5, 0.01))
                simulation.step(n_steps - simulation.currentStep)
                after(0)
            except BaseException:  # C code of CPython and NumPy may make another exception of it
                n_interrupts += 1
                assert len(came) == n_interrupts
        simulation.step(1)  # takes the frame of the last step if the last interrupt fell between step and report
        simulation.reporters[0].close()
    assert n_interrupts > 20
    for stream in ("r0000", "r0001"):
        assert buffer.steps(stream).tolist() == list(range(1, n_steps + 2))
        assert np.array_equal(only_series(buffer, stream)[:-1], only_series(expected, stream))
    assert np.array_equal(buffer.structures()[:n_steps], expected.structures())


@pytest.mark.parametrize("n_rows", [0, 1], ids=["before the first replica", "between two replicas"])
@pytest.mark.parametrize("begins", [False, True], ids=["within a segment", "first of a segment"])
def test_a_frame_cut_short_is_stored_once_by_all_replicas(chain, features, monkeypatch, tmp_path, n_rows, begins):
    """Disk full, an exception, room made, and on."""
    buffer = WindowBuffer(tmp_path / "buffer", features.schema)
    simulation, whole = chain(n_copies=2), buffer._store.append
    reporter = WindowReporter(buffer, INTERVAL, features, stream="r", n_replicas=2)
    simulation.reporters.append(reporter)
    simulation.step(25)
    if begins:
        reporter.new_segment()
    left = [n_rows]

    def append(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        whole(*arguments)

    monkeypatch.setattr(buffer._store, "append", append)
    with pytest.raises(OSError, match="No space"):
        simulation.step(30)
    assert simulation.currentStep == 30
    monkeypatch.undo()
    simulation.step(20)
    for stream in ("r0000", "r0001"):
        assert buffer.steps(stream).tolist() == [10, 20, 30, 40, 50]
        assert [len(series) for series in buffer.trajectories([stream])] == ([2, 3] if begins else [5])
    state = simulation.context.getState(positions=True).getPositions(asNumpy=True)._value
    assert np.array_equal(buffer.trajectories(["r0001"]).values[-1][-1], features(state[4:]))
    assert reporter.n_lost == 0


def test_a_blown_up_simulation_that_is_repaired_by_hand_begins_a_new_segment(chain, features):
    simulation, buffer = chain(), WindowBuffer(schema=features.schema)
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features))
    simulation.step(25)
    good = simulation.context.getState(positions=True).getPositions()
    simulation.context.setPositions(np.outer(np.arange(4), [0.1, 0.1, 0.1]))  # on one line: no torsion
    simulation.context.setVelocities(np.zeros((4, 3)))
    simulation.integrator.setStepSize(1e-30)
    with pytest.raises(NonFiniteError, match="step 30"):
        simulation.step(5)
    simulation.integrator.setStepSize(0.002)
    simulation.context.setPositions(good)
    simulation.context.setTime(0.06)
    simulation.step(20)
    assert buffer.steps("replica0").tolist() == [10, 20, 40, 50]
    assert [len(series) for series in buffer.trajectories()] == [2, 2]


PROGRAM = """
import sys
import openmm
from openmm import app
from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.features import Coordinates
from openmm_trajgan.windows.reporter import WindowReporter

system, topology = openmm.System(), app.Topology()
system.addParticle(1.0)
topology.addAtom("X", None, topology.addResidue("X", topology.addChain()))
simulation = app.Simulation(topology, system, openmm.VerletIntegrator(0.01), openmm.Platform.getPlatformByName("Reference"))
simulation.context.setPositions([[1, 0, 0]])
features = Coordinates([0])
buffer = WindowBuffer(sys.argv[1], features.schema)
simulation.reporters.append(WindowReporter(buffer, 5, features))
simulation.step(50)
cycle = [buffer, simulation]; cycle.append(cycle)  # freed by nobody but the interpreter's end
{end}
"""


@pytest.mark.parametrize(
    ("end", "status"), [("", 0), ("raise SystemExit(3)", 3), ("1 / 0", 1), ("import os; os._exit(4)", 4), ("del buffer, cycle", 0)]
)
def test_the_interpreter_may_end_with_an_open_buffer(tmp_path, end, status):
    program = PROGRAM.format(end=end)
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore::DeprecationWarning", "-c", program, str(tmp_path / "buffer")],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == status
    assert "ZeroDivisionError" in ended.stderr if "/" in end else not ended.stderr, ended.stderr
    buffer = WindowBuffer(tmp_path / "buffer")
    assert buffer.steps("replica0").tolist() == list(range(5, 51, 5))
    buffer.append(["replica0"], step=55, time=0.55, segment=0, features=np.zeros((1, 3)))  # nobody holds its lock
    assert buffer.n_frames == 11


def test_a_buffer_that_is_dropped_lets_go_of_its_files(features, tmp_path):
    gc.collect()  # what the tests before have left open
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    try:
        for step in range(200):
            buffer = WindowBuffer(tmp_path / "buffer", features.schema)
            buffer.append([f"s{step}"], step=step, time=0.0, segment=0, features=np.zeros((1, 3)))
            del buffer
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert WindowBuffer(tmp_path / "buffer").n_frames == 200
