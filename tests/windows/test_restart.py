"""A simulation that died goes on from its checkpoint, and the buffer is as if it had not died."""

import numpy as np
import pytest

from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.windows.reporter import WindowReporter

INTERVAL = 10  # steps of 2 fs


class Died(Exception):
    """The process died here."""


class Checkpoints:
    """Writes a checkpoint every `interval` steps and can die at one step before or after doing so."""

    def __init__(self, path, interval, dies_at=None, after=False):
        self.path, self.interval, self.dies_at, self.after = path, interval, dies_at, after

    def describeNextReport(self, simulation):
        steps = self.interval - simulation.currentStep % self.interval
        return {"steps": steps, "periodic": False, "include": ["positions"]}

    def report(self, simulation, state):
        dies = state.getStepCount() == self.dies_at
        if dies and not self.after:
            raise Died
        simulation.saveCheckpoint(str(self.path))
        if dies:
            raise Died


def assert_same_frames(buffer, expected, stream="replica0"):
    assert buffer.steps(stream).tolist() == expected.steps(stream).tolist()
    found, wanted = buffer.trajectories([stream]), expected.trajectories([stream])
    assert len(found) == len(wanted) == 1
    assert np.array_equal(found.values[0], wanted.values[0])


def test_restart_after_a_crash_behind_the_checkpoint(chain, features, tmp_path, uninterrupted, die):
    buffer = WindowBuffer(tmp_path / "buffer", features.schema)
    simulation = chain()
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features))
    simulation.step(30)
    simulation.saveCheckpoint(str(tmp_path / "checkpoint"))
    simulation.step(25)
    die(buffer)

    simulation, buffer = chain(seed=99), WindowBuffer(tmp_path / "buffer")
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features, append=True))
    simulation.loadCheckpoint(str(tmp_path / "checkpoint"))  # after the reporter was made
    with pytest.warns(UserWarning, match="continues from step 30: 2 frames after step 30 .*'replica0' will be simulated again"):
        simulation.step(70)
    buffer.close()
    assert_same_frames(WindowBuffer(tmp_path / "buffer"), uninterrupted)


@pytest.mark.parametrize("step", [10, 40], ids=["at the first frame", "later"])
@pytest.mark.parametrize("checkpoint_first", [True, False])
def test_restart_after_a_crash_between_checkpoint_and_frame(chain, features, tmp_path, uninterrupted, die, checkpoint_first, step):
    path = tmp_path / "checkpoint"
    buffer, simulation = WindowBuffer(tmp_path / "buffer", features.schema), chain()
    simulation.saveCheckpoint(str(path))
    reporters = [WindowReporter(buffer, INTERVAL, features), Checkpoints(path, INTERVAL, dies_at=step, after=checkpoint_first)]
    simulation.reporters.extend(reversed(reporters) if checkpoint_first else reporters)
    with pytest.raises(Died):
        simulation.step(100)
    assert (buffer.last_frame("replica0") or (0, 0))[1] == (step - INTERVAL if checkpoint_first else step)
    die(buffer)

    simulation, buffer = chain(seed=99), WindowBuffer(tmp_path / "buffer")
    simulation.loadCheckpoint(str(path))
    assert simulation.currentStep == (step if checkpoint_first else step - INTERVAL)
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features, append=True))
    if checkpoint_first:
        simulation.step(100 - step)
    else:
        with pytest.warns(UserWarning, match="1 frames"):
            simulation.step(100 - step + INTERVAL)
    buffer.close()
    assert_same_frames(buffer, uninterrupted)


def test_restart_from_scratch_after_a_crash_before_the_first_checkpoint(chain, features, tmp_path, uninterrupted, die):
    buffer, simulation = WindowBuffer(tmp_path / "buffer", features.schema), chain()
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features))
    simulation.step(55)
    die(buffer)
    simulation, buffer = chain(), WindowBuffer(tmp_path / "buffer", features.schema)
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features, append=True))
    with pytest.warns(UserWarning, match="continues from step 0: 5 frames"):
        simulation.step(100)
    buffer.close()
    assert buffer.last_frame("replica0") == (0, 100)
    assert_same_frames(buffer, uninterrupted)


def test_restart_with_a_frame_at_every_step(chain, features, tmp_path):
    buffer = WindowBuffer(schema=features.schema)
    for n_steps, again in ((8, False), (4, True)):
        simulation = chain()
        simulation.reporters.append(WindowReporter(buffer, 1, features, append=again))
        if again:
            simulation.loadCheckpoint(str(tmp_path / "checkpoint"))
            with pytest.warns(UserWarning, match="continues from step 5: 3 frames after step 5"):
                simulation.step(n_steps)
        else:
            simulation.step(5)
            simulation.saveCheckpoint(str(tmp_path / "checkpoint"))
            simulation.step(n_steps - 5)
    assert buffer.steps("replica0").tolist() == list(range(1, 10))
    assert len(buffer.trajectories()) == 1


def test_restart_of_replicas_that_ended_one_frame_apart(chain, features, tmp_path):
    """The process died after the checkpoint of step 30 and one of two rows of its frame."""
    streams = ["replica0000", "replica0001"]
    expected = WindowBuffer(schema=features.schema)
    simulation = chain(n_copies=2)
    simulation.reporters.append(WindowReporter(expected, INTERVAL, features, stream="replica", n_replicas=2))
    simulation.step(60)
    buffer, simulation = WindowBuffer(schema=features.schema), chain(n_copies=2)
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features, stream="replica", n_replicas=2))
    simulation.step(30)
    simulation.saveCheckpoint(str(tmp_path / "checkpoint"))
    buffer.truncate(streams[1], 30)

    simulation = chain(seed=99, n_copies=2)
    simulation.loadCheckpoint(str(tmp_path / "checkpoint"))
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features, stream="replica", n_replicas=2, append=True))
    with pytest.warns(UserWarning, match="1 frames after step 20 in stream 'replica0000' and its siblings"):
        simulation.step(30)
    for stream in streams:
        assert_same_frames(buffer, expected, stream)


def test_restart_without_the_frames_before_begins_a_new_segment(chain, features):
    simulation, buffer = chain(), WindowBuffer(schema=features.schema)
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features))
    simulation.step(30)
    simulation.reporters.clear()
    simulation.step(25)
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features, append=True))
    simulation.step(25)
    assert buffer.steps("replica0").tolist() == [10, 20, 30, 60, 70, 80]
    assert [len(series) for series in buffer.trajectories()] == [3, 3]
