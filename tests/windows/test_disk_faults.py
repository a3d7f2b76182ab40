"""What a simulation does when its frames cannot be stored."""

import resource
import shutil
from contextlib import contextmanager

import pytest

from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import InputError, SchemaMismatchError
from openmm_trajgan.windows.reporter import WindowReporter

INTERVAL = 10


@pytest.fixture
def running(chain, features, tmp_path):
    """Make a simulation with a reporter that has stored the frames of steps 10, 20 and 30."""

    def run(**options):
        simulation, buffer = chain(), WindowBuffer(tmp_path / "buffer", features.schema)
        simulation.reporters.append(WindowReporter(buffer, INTERVAL, features, **options))
        simulation.step(30)
        return simulation, buffer

    return run


@contextmanager
def largest_file(size):
    """Let no file grow beyond `size` bytes; only within the block, since pytest may write to a file as well."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_stops_the_simulation_and_loses_no_frame_before(running, tmp_path):
    simulation, _ = running()
    shard = next((tmp_path / "buffer/streams/replica0").glob("*.rows"))
    with largest_file(shard.stat().st_size + 7), pytest.raises(OSError, match="no space left"):
        simulation.step(10)
    assert WindowBuffer(tmp_path / "buffer").steps("replica0").tolist() == [10, 20, 30]


def test_with_warn_the_simulation_outlives_a_full_disk_and_says_so_once(running, tmp_path):
    simulation, buffer = running(on_error="warn")
    failing = pytest.warns(UserWarning, match="step 40: .*File too large.*the simulation goes on without this frame")
    with failing as told, largest_file(7):
        simulation.step(20)
    assert len(told) == 1
    with pytest.warns(UserWarning, match="step 60: frames are stored again; 2 were lost so far"):
        simulation.step(20)
    assert simulation.currentStep == 70
    assert simulation.reporters[0].n_lost == 2
    buffer.close()
    assert WindowBuffer(tmp_path / "buffer").steps("replica0").tolist() == [10, 20, 30, 60, 70]
    assert [len(series) for series in WindowBuffer(tmp_path / "buffer").trajectories()] == [3, 2]


@pytest.mark.parametrize("on_error", ["raise", "warn"])
def test_a_vanished_folder_is_noticed_at_the_next_frame(running, tmp_path, on_error):
    simulation, _ = running(on_error=on_error)
    shutil.rmtree(tmp_path / "buffer")
    if on_error == "raise":
        with pytest.raises(FileNotFoundError, match="removed while frames were written"):
            simulation.step(10)
    else:
        with pytest.warns(UserWarning, match="removed while frames were written"):
            simulation.step(30)
    assert not (tmp_path / "buffer").exists()


def test_without_file_handles_nothing_is_lost(running, chain, features, tmp_path):
    simulation, buffer = running(on_error="warn")
    other = WindowReporter(buffer, INTERVAL, features, stream="other", on_error="warn")
    simulation.reporters.append(other)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.warns(UserWarning, match="Too many open files"):
            simulation.step(20)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with pytest.warns(UserWarning, match="stored again; 2 were lost"):
        simulation.step(10)
    assert buffer.steps("replica0").tolist() == [10, 20, 30, 40, 50, 60]
    assert buffer.steps("other").tolist() == [60]


def test_another_answer_than_raise_and_warn_is_refused(features):
    with pytest.raises(InputError, match="on_error: expected 'raise' or 'warn', found 'ignore'"):
        WindowReporter(WindowBuffer(schema=features.schema), INTERVAL, features, on_error="ignore")


def test_a_step_size_that_changes_is_noticed(running):
    simulation, buffer = running()
    simulation.integrator.setStepSize(0.001)
    with pytest.raises(SchemaMismatchError, match=r"frames come every 0.01 ps now, .* every 0.02 ps; the step size"):
        simulation.step(30)
    assert [len(series) for series in buffer.trajectories()] == [3, 1]
