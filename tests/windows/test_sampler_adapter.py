"""Replica exchange: one stream per replica, a new segment wherever a replica changed its state."""

import random

import numpy as np
import openmm.app
import pytest

from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import StreamExistsError
from openmm_trajgan.features import Distances
from openmm_trajgan.windows.sampler_adapter import ReplicaExchangeWindows

pytestmark = pytest.mark.skipif(
    not hasattr(openmm.app, "ReplicaExchangeSampler"), reason="ReplicaExchangeSampler came with OpenMM 8.6"
)
N_ITERATIONS = 12


@pytest.fixture
def make_sampler(chain, monkeypatch):
    """Three temperatures close enough to exchange often."""
    monkeypatch.setattr(openmm.app.replicaexchangesampler, "random", random.Random(1))
    states = [{"temperature": temperature} for temperature in (300.0, 350.0, 400.0)]
    return lambda **options: openmm.app.ReplicaExchangeSampler(states, chain(**options), 10)


@pytest.fixture
def sampler(make_sampler):
    return make_sampler()


def test_streams_are_replicas_and_segments_end_at_exchanges(sampler, features):
    buffer = WindowBuffer(schema=features.schema)
    windows = ReplicaExchangeWindows(buffer, features, n_structures=4)
    states, frames, steps = [], [], []

    def log(sampler):
        states.append(list(sampler.replicaStateIndex))
        frames.append([features(c.getPositions(asNumpy=True)._value) for c in sampler.replicaConformation])
        steps.append(sampler.replicaConformation[0].getStepCount())

    sampler.reporters += [windows, log]
    sampler.simulate(N_ITERATIONS)
    windows.close()
    states, frames = np.array(states), np.array(frames)

    assert buffer.streams == ("replica0000", "replica0001", "replica0002")
    assert buffer.schema.frame_interval == pytest.approx(0.02)
    n_segments = []
    for index, stream in enumerate(buffer.streams):
        exchanges = np.flatnonzero(np.diff(states[:, index])) + 1
        expected = np.split(frames[:, index], exchanges)
        found = buffer.trajectories([stream])
        assert buffer.steps(stream).tolist() == steps
        assert [len(series) for series in found] == [len(series) for series in expected]
        assert np.array_equal(np.concatenate(list(found)), frames[:, index])
        n_segments.append(len(expected))
    assert 1 < max(n_segments) < N_ITERATIONS  # otherwise this run has shown nothing
    assert buffer.has_structures("replica0000")
    assert not buffer.has_structures("replica0001")


def test_existing_streams_are_not_clobbered(sampler, features):
    buffer = WindowBuffer(schema=features.schema)
    buffer.append(["replica0002"], step=10, time=0.02, segment=0, features=np.zeros((1, 3)))
    windows = ReplicaExchangeWindows(buffer, features)
    sampler.reporters.append(windows)
    for _ in range(2):
        with pytest.raises(StreamExistsError, match="'replica0002' holds frames up to step 10 already"):
            sampler.simulate(1)
    assert buffer.n_frames == 1


def test_a_stream_that_is_continued_begins_a_segment_as_nobody_knows_its_state_before(sampler, features):
    buffer = WindowBuffer(schema=features.schema)
    for n_iterations in (5, 3):
        windows = ReplicaExchangeWindows(buffer, features, append=True)
        sampler.reporters[:] = [windows]
        sampler.simulate(n_iterations)
        windows.close()
    for stream in buffer.streams:
        lengths = [len(series) for series in buffer.trajectories([stream])]
        assert 5 in np.cumsum(lengths)
        assert buffer.steps(stream).tolist() == list(range(10, 90, 10))


def test_frames_that_are_simulated_again_replace_the_old_ones(make_sampler, features):
    buffer = WindowBuffer(schema=features.schema)
    for n_iterations in (4, 2):
        sampler = make_sampler()
        sampler.reporters.append(ReplicaExchangeWindows(buffer, features, append=True))
        if n_iterations == 4:
            sampler.simulate(n_iterations)
        else:
            with pytest.warns(UserWarning, match="the simulation continues from step 0: 4 frames"):
                sampler.simulate(n_iterations)
    assert [buffer.steps(stream).tolist() for stream in buffer.streams] == [[10, 20]] * 3


def test_features_of_a_periodic_system_are_minimum_images(make_sampler):
    """The end of the chain lies within 0.5 nm of its beginning, and is given an image of it in a box of 2 nm."""
    features = Distances([[0, 3]])
    sampler, buffer = make_sampler(box=2.0), WindowBuffer(schema=features.schema)
    positions = sampler.simulation.context.getState(positions=True).getPositions(asNumpy=True)._value
    positions[3, 0] += 2.0
    sampler.simulation.context.setPositions(positions)
    again = openmm.app.ReplicaExchangeSampler(sampler.states, sampler.simulation, 10)
    again.reporters.append(ReplicaExchangeWindows(buffer, features))
    again.simulate(2)
    assert all((series < 0.6).all() for series in buffer.trajectories())
