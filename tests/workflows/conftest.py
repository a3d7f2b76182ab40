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
