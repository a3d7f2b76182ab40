import sys

import numpy as np
import pytest

from openmm_trajgan.cli import main


@pytest.fixture
def trajgan(monkeypatch, capsys):
    """Run the command line in this process: exit status, standard output, standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["trajgan", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        streams = capsys.readouterr()
        return stopped.value.code or 0, streams.out, streams.err

    return run


@pytest.fixture
def folder_of_npy(tmp_path):
    """Three trajectories of an autoregressive process with two features."""
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(3):
        series = np.zeros((300, 2))
        for frame in range(1, 300):
            series[frame] = 0.9 * series[frame - 1] + rng.normal(size=2)
        np.save(folder / f"run{index}.npy", series)
    return folder


@pytest.fixture
def train_options():
    """Options of the shortest training there is."""
    return ("--frame-interval", "1.0", "--window-length", "8", "--steps", "4", "--seed", "1")


@pytest.fixture
def model(trajgan, train_options, folder_of_npy, tmp_path):
    """Model of these three trajectories."""
    path = tmp_path / "model.trajgan"
    status, _, err = trajgan("train", folder_of_npy, *train_options, "--out", path)
    assert status == 0, err
    return path


@pytest.fixture
def refused(trajgan, tmp_path, monkeypatch):
    """Run the command line in `tmp_path` and return the one line of its refusal; what is there must not change."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        before = {path: path.read_bytes() if path.is_file() else None for path in tmp_path.rglob("*")}
        status, out, err = trajgan(*arguments)
        assert status == 2, err
        assert out == ""
        assert {path: path.read_bytes() if path.is_file() else None for path in tmp_path.rglob("*")} == before
        (line,) = err.splitlines()
        assert line.startswith("trajgan: ")
        return line

    return run
