"""What a simulation does when its frames cannot be stored."""

import errno
import os
import resource
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import openmm_trajgan
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


@pytest.mark.parametrize("on_error", ["raise", "warn"])
def test_a_folder_that_vanished_before_the_first_step_is_noticed_there(chain, features, tmp_path, on_error):
    simulation, buffer = chain(), WindowBuffer(tmp_path / "buffer", features.schema)
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features, on_error=on_error))
    shutil.rmtree(tmp_path / "buffer")
    if on_error == "raise":
        with pytest.raises(FileNotFoundError):
            simulation.step(10)
        assert simulation.currentStep == 0
    else:
        with pytest.warns(UserWarning, match="step 0: .*the simulation goes on without this frame"):
            simulation.step(10)


@pytest.mark.parametrize("n_steps", [0, 30])
def test_a_disk_that_fails_at_closing_is_told(chain, features, monkeypatch, n_steps):
    def flush():
        raise OSError(errno.EIO, "the disk is broken")

    for on_error in ("raise", "warn"):
        simulation, buffer = chain(), WindowBuffer(schema=features.schema)
        reporter = WindowReporter(buffer, INTERVAL, features, on_error=on_error)
        simulation.reporters.append(reporter)
        simulation.step(n_steps)
        monkeypatch.setattr(buffer, "flush", flush)
        if on_error == "raise":
            with pytest.raises(OSError, match="the disk is broken"):
                reporter.close()
        else:
            with pytest.warns(UserWarning, match=f"step {n_steps}: .*the disk is broken"):
                reporter.close()
        reporter.close()  # which is done


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


NOBODY = 65534


@pytest.fixture
def owned():
    """A folder that the tests may read, write and lock, and after `os.seteuid` to nobody, whom permissions hold off, too."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            if not os.access(openmm_trajgan.__file__, os.R_OK, effective_ids=True):
                pytest.skip("the package is installed where nobody but its owner can read it")
            yield folder
        finally:
            for path in (folder, *folder.rglob("*")):
                if path.is_dir():
                    path.chmod(0o700)
            if os.getuid() == 0:
                os.seteuid(0)


def locked(folder):
    """Let nobody write in a folder or in those in it."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o500)


def test_a_folder_without_permission_is_named_before_the_simulation_runs(features, owned):
    locked(owned)
    with pytest.raises(PermissionError, match=r"Permission denied: .*/buffer'"):
        WindowBuffer(owned / "buffer", features.schema)


@pytest.mark.parametrize("on_error", ["raise", "warn"])
def test_a_folder_that_becomes_read_only_costs_no_frame_that_is_safe(chain, features, owned, on_error):
    """The open file goes on growing; a new segment needs a new file, and has none until the folder may be written again."""
    simulation, buffer = chain(), WindowBuffer(owned / "buffer", features.schema)
    reporter = WindowReporter(buffer, INTERVAL, features, on_error=on_error)
    simulation.reporters.append(reporter)
    simulation.step(30)
    locked(owned)
    simulation.step(20)
    reporter.new_segment()
    if on_error == "raise":
        with pytest.raises(PermissionError, match="000001-000000000000.rows"):
            simulation.step(20)
    else:
        with pytest.warns(UserWarning, match="step 60: .*Permission denied.*the simulation goes on without this frame"):
            simulation.step(20)
    assert WindowBuffer(owned / "buffer").steps("replica0").tolist() == [10, 20, 30, 40, 50]
    for path in (owned, *owned.rglob("*")):
        if path.is_dir():
            path.chmod(0o700)
    if on_error == "raise":
        simulation.step(20)  # the frame that could not be stored comes first
        assert buffer.steps("replica0").tolist() == [10, 20, 30, 40, 50, 60, 70, 80]
    else:
        with pytest.warns(UserWarning, match="step 80: frames are stored again; 2 were lost so far"):
            simulation.step(10)
        assert buffer.steps("replica0").tolist() == [10, 20, 30, 40, 50, 80]
    buffer.close()


def test_a_read_only_buffer_is_read_and_not_repaired(features, owned):
    with WindowBuffer(owned / "buffer", features.schema) as buffer:
        for step in range(10):
            buffer.append(["a"], step=step, time=0.02 * step, segment=0, features=np.full((1, 3), step))
    shard = next(owned.rglob("*.npy"))
    locked(owned)
    buffer = WindowBuffer(owned / "buffer", features.schema)
    assert buffer.trajectories().values[0][:, 0].tolist() == list(range(10))
    assert buffer.windows(4).sample(5, np.random.default_rng(0)).shape == (5, 4, 3)
    with pytest.raises(PermissionError, match="Permission denied"):
        buffer.append(["b"], step=0, time=0.0, segment=0, features=np.zeros((1, 3)))
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    with pytest.raises(PermissionError, match="damaged"):
        buffer.repair()
    assert shard.read_bytes() == content[:-1]


def test_another_answer_than_raise_and_warn_is_refused(features):
    with pytest.raises(InputError, match="on_error: expected 'raise' or 'warn', found 'ignore'"):
        WindowReporter(WindowBuffer(schema=features.schema), INTERVAL, features, on_error="ignore")


def test_a_step_size_that_changes_is_noticed(running):
    simulation, buffer = running()
    simulation.integrator.setStepSize(0.001)
    with pytest.raises(SchemaMismatchError, match=r"frames come every 0.01 ps now, .* every 0.02 ps; the step size"):
        simulation.step(30)
    assert [len(series) for series in buffer.trajectories()] == [3, 1]
