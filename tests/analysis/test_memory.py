"""Memory of what an audit fits does not grow with the frames; that of tallies stands in `test_metric.py`."""

import tracemalloc

import numpy as np
import pytest

from openmm_trajgan.analysis import blocks, dynamics, held_out, kinetics, training_windows
from openmm_trajgan.analysis.blocks import Blocks, still
from openmm_trajgan.analysis.densities import Observable
from openmm_trajgan.analysis.displacements import Displacements
from openmm_trajgan.analysis.dynamics import autocorrelation
from openmm_trajgan.analysis.held_out import require_held_out
from openmm_trajgan.analysis.kinetics import Microstates, SlowCoordinates, implied_timescales
from openmm_trajgan.analysis.novelty import NearestTrainingWindow
from openmm_trajgan.analysis.relaxation import Relaxation
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

PERIOD = 2 * np.pi
FEWER, MORE = 20_000, 60_000  # frames
SMALL = [
    *((blocks, "CHUNK", 2**11), (kinetics, "CHUNK", 2**10), (kinetics, "FITTED_FRAMES", 1000)),
    *((training_windows, "CHUNK", 2**15), (training_windows, "MOST_IN_TREE", 2000)),
    *((held_out, "PIECE", 2**11), (dynamics, "LEAST_LAGS", 2**10), (dynamics, "MOST_LAGS", 2**11)),
]
FITS = {
    "constant features": still,
    "microstates": Microstates.fit,
    "slow coordinates": lambda data: SlowCoordinates.fit(data, 10),
    "implied timescales": lambda data: implied_timescales(data, [1, 10, 100]),
    "relaxation": lambda data: Relaxation.fit(Blocks.cut(data, 30_000)),
    "displacements": lambda data: Displacements.fit(Blocks.cut(data, 5000), (Blocks.cut(data, 5000),)),
    "bins": lambda data: Observable.over("x", lambda frames: frames[:, :1], [Blocks.whole(data)]),
    "training windows": lambda data: NearestTrainingWindow.fit(data, data, queries_per_block=20),
    "autocorrelations": lambda data: autocorrelation(data, 1000),
    "digest": lambda data: data.digest,
    "parts of training data": lambda data: require_held_out(*(FeatureTrajectories([one], data.schema) for one in data)),
}


@pytest.mark.parametrize("fit", FITS)
def test_three_times_the_frames_take_as_much_memory(wells, monkeypatch, fit):
    """Beyond the data, 8 bytes a frame. What may grow is a microstate of every frame, a byte, twice where states are renamed."""
    for module, name, value in SMALL:
        monkeypatch.setattr(module, name, value)
    schema = FeatureSchema(names=("phi 2", "psi 2"), units=("rad", "rad"), periods=(PERIOD, PERIOD), frame_interval=10.0)
    values = wells(1, n_frames=MORE, rate=0.02).values[0]
    FITS[fit](FeatureTrajectories(np.split(values[:2000], 2), schema))  # what is imported once
    peaks = []
    for n_frames in (FEWER, MORE):
        data = FeatureTrajectories(np.split(values[:n_frames], 2), schema)
        tracemalloc.start()
        FITS[fit](data)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 2.5 * (MORE - FEWER)
