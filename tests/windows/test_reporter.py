"""The reporter in real simulations, uninterrupted and abused."""

import subprocess
import sys

import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import InputError, NonFiniteError, SchemaMismatchError, StreamExistsError
from openmm_trajgan.features import Distances
from openmm_trajgan.systems import alanine_dipeptide
from openmm_trajgan.windows import recorder
from openmm_trajgan.windows.reporter import WindowReporter

INTERVAL = 10  # steps of 2 fs


def test_frames_are_the_features_of_the_states_at_real_steps_and_times(chain, features, tmp_path):
    simulation = chain()
    simulation.step(7)
    simulation.context.setTime(5.0)
    states = []
    with WindowBuffer(tmp_path / "buffer", features.schema) as buffer:
        simulation.reporters.append(WindowReporter(buffer, INTERVAL, features))
        for n_steps in (13, 10, 10):
            simulation.step(n_steps)
            states.append(simulation.context.getState(positions=True))
    assert buffer.schema.frame_interval == pytest.approx(0.02)
    assert buffer.steps("replica0").tolist() == [10, 20, 30, 40]
    rows = np.load(tmp_path / "buffer/streams/replica0/000000-000000000000.npy")
    assert rows["time"] == pytest.approx([5.006, 5.026, 5.046, 5.066])
    for row, state in zip(rows[1:], states, strict=True):
        assert np.array_equal(row["features"], features(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)))


def test_openmm_is_asked_for_positions_only(chain, features):
    simulation = chain()
    simulation.step(3)
    reporter = WindowReporter(WindowBuffer(schema=features.schema), INTERVAL, features)
    assert reporter.describeNextReport(simulation) == {"steps": 7, "periodic": False, "include": ["positions"]}
    wrapped = WindowReporter(WindowBuffer(schema=features.schema), 2, features, enforcePeriodicBox=True)
    assert wrapped.describeNextReport(simulation) == {"steps": 1, "periodic": True, "include": ["positions"]}


def test_the_simulation_is_bit_identical_with_and_without(chain, features):
    states = []
    for report in (False, True):
        simulation = chain()
        if report:
            simulation.reporters.append(WindowReporter(WindowBuffer(schema=features.schema), 7, features))
        simulation.step(200)
        states.append(simulation.context.getState(positions=True, velocities=True))
    for name in ("getPositions", "getVelocities"):
        without, with_reporter = (getattr(state, name)(asNumpy=True)._value for state in states)
        assert np.array_equal(without, with_reporter)


def test_alanine_dipeptide_gives_its_torsions(tmp_path):
    simulation, features = alanine_dipeptide.build(1), alanine_dipeptide.features()
    with WindowBuffer(tmp_path / "buffer", features.schema) as buffer:
        with WindowReporter(buffer, 50, features) as reporter:
            simulation.reporters.append(reporter)
            simulation.step(500)
        assert buffer.structures().shape == (10, 22, 3)
        assert np.array_equal(features(buffer.structures()), buffer.trajectories().values[0])
    assert buffer.schema.frame_interval == pytest.approx(0.2)
    assert len(buffer.windows(4)) == 7


# What ends a segment


def test_a_rewind_in_the_process_begins_a_new_segment(chain, features, tmp_path):
    simulation, buffer = chain(), WindowBuffer(schema=features.schema)
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features))
    simulation.step(30)
    simulation.saveCheckpoint(str(tmp_path / "checkpoint"))
    simulation.step(20)
    simulation.loadCheckpoint(str(tmp_path / "checkpoint"))
    simulation.step(30)
    assert buffer.steps("replica0").tolist() == [10, 20, 30, 40, 50, 40, 50, 60]
    first, second = buffer.trajectories()
    assert np.array_equal(first[3:], second[:2])
    assert len(second) == 3


def test_a_gap_begins_a_new_segment(chain, features):
    simulation, buffer = chain(), WindowBuffer(schema=features.schema)
    reporter = WindowReporter(buffer, INTERVAL, features)
    simulation.reporters.append(reporter)
    simulation.step(30)
    simulation.reporters.clear()
    simulation.step(20)
    simulation.reporters.append(reporter)
    simulation.step(40)
    assert buffer.steps("replica0").tolist() == [10, 20, 30, 60, 70, 80, 90]
    assert [len(series) for series in buffer.trajectories()] == [3, 4]


def test_a_jump_in_time_begins_a_new_segment(chain, features):
    simulation, buffer = chain(), WindowBuffer(schema=features.schema)
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features))
    simulation.step(30)
    simulation.context.setTime(1.0)
    simulation.step(20)
    assert [len(series) for series in buffer.trajectories()] == [3, 2]


def test_counting_steps_anew_begins_a_new_segment(chain, features):
    simulation, buffer = chain(), WindowBuffer(schema=features.schema)
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features))
    simulation.step(30)
    simulation.currentStep = 0
    simulation.step(20)
    assert buffer.steps("replica0").tolist() == [10, 20, 30, 10, 20]
    assert [len(series) for series in buffer.trajectories()] == [3, 2]


def test_new_segment_keeps_windows_off_moves_by_hand(chain, features):
    simulation, buffer = chain(), WindowBuffer(schema=features.schema)
    reporter = WindowReporter(buffer, INTERVAL, features)
    simulation.reporters.append(reporter)
    simulation.step(30)
    simulation.minimizeEnergy()
    reporter.new_segment()
    simulation.step(20)
    assert [len(series) for series in buffer.trajectories()] == [3, 2]
    assert len(buffer.windows(2)) == 3


def test_a_frame_reported_by_hand_is_stored_once(chain, features):
    simulation, buffer = chain(), WindowBuffer(schema=features.schema)
    reporter = WindowReporter(buffer, INTERVAL, features)
    reporter.report(simulation, simulation.context.getState(positions=True))
    simulation.reporters.append(reporter)
    simulation.step(20)
    again = WindowReporter(buffer, INTERVAL, features, append=True)
    again.report(simulation, simulation.context.getState(positions=True))
    assert buffer.steps("replica0").tolist() == [0, 10, 20]
    assert len(buffer.trajectories()) == 1


# What is refused


def test_an_existing_stream_is_not_clobbered(chain, features, uninterrupted):
    with pytest.raises(StreamExistsError, match=r"'replica0' holds frames up to step 100 already; pass append=True"):
        WindowReporter(uninterrupted, INTERVAL, features)
    WindowReporter(uninterrupted, INTERVAL, features, stream="other")
    assert uninterrupted.n_frames == 10


def test_a_second_reporter_does_not_set_aside_the_frames_of_the_first(chain, features):
    buffer = WindowBuffer(schema=features.schema)
    simulations = [chain(seed=1), chain(seed=2)]
    for simulation in simulations:  # both streams are new at this moment
        simulation.reporters.append(WindowReporter(buffer, INTERVAL, features))
    simulations[0].step(30)
    with pytest.raises(StreamExistsError, match="another stream name"):
        simulations[1].step(30)
    assert buffer.steps("replica0").tolist() == [10, 20, 30]


def test_another_interval_is_refused(chain, features, uninterrupted):
    simulation = chain()
    simulation.reporters.append(WindowReporter(uninterrupted, 2 * INTERVAL, features, append=True))
    with pytest.raises(SchemaMismatchError, match=r"a frame every 0.04 ps, this buffer every 0.02 ps; use the same"):
        simulation.step(20)
    assert uninterrupted.n_frames == 10


def test_other_features_are_refused(features):
    with pytest.raises(SchemaMismatchError, match="the featurizer has other features than the buffer"):
        WindowReporter(WindowBuffer(schema=features.schema), INTERVAL, Distances([[0, 1]]))


@pytest.mark.parametrize(
    "integrator", [openmm.VariableVerletIntegrator(0.001), openmm.VariableLangevinIntegrator(300, 1.0, 0.001)], ids=type
)
def test_a_variable_step_is_refused(chain, features, integrator):
    simulation = chain(integrator=integrator)
    simulation.reporters.append(WindowReporter(WindowBuffer(schema=features.schema), INTERVAL, features))
    with pytest.raises(InputError, match=r"Variable\w+Integrator changes its step size, .* use an integrator with a fixed step"):
        simulation.step(10)


@pytest.mark.parametrize("interval", [0, -5, 2.5, "10", None, True, float("nan"), float("inf")])
def test_a_wrong_interval_or_number_of_replicas_is_refused(features, interval):
    with pytest.raises(InputError, match="reportInterval: expected a positive whole number, found"):
        WindowReporter(WindowBuffer(schema=features.schema), interval, features)
    with pytest.raises(InputError, match="n_replicas: expected a positive whole number, found"):
        WindowReporter(WindowBuffer(schema=features.schema), 10, features, n_replicas=interval)


def test_streams_in_a_list_are_refused(features):
    with pytest.raises(InputError, match=r"stream: expected a name, found \['a', 'b'\]; several replicas are told by n_replicas"):
        WindowReporter(WindowBuffer(schema=features.schema), INTERVAL, features, stream=["a", "b"])


def test_particles_that_are_no_equal_copies_are_refused(chain, features):
    simulation = chain(n_copies=2)
    simulation.reporters.append(WindowReporter(WindowBuffer(schema=features.schema), INTERVAL, features, n_replicas=3))
    with pytest.raises(InputError, match="n_replicas=3: expected that many equal copies one after the other, found 8 particles"):
        simulation.step(10)


@pytest.mark.parametrize("n_replicas", [1, 2])
def test_a_position_that_is_nan_is_refused_by_name(chain, features, n_replicas):
    simulation, buffer = chain(n_copies=2), WindowBuffer(schema=features.schema)
    reporter = WindowReporter(buffer, INTERVAL, features, stream="r", n_replicas=n_replicas)
    positions = simulation.context.getState(positions=True).getPositions(asNumpy=True)._value
    positions[6, 1] = np.nan
    simulation.context.setPositions(positions)
    name = r"'r': Particle position is NaN or infinite \(atom 6\)" if n_replicas == 1 else r"'r0001': .* \(atom 2\)"
    with pytest.raises(NonFiniteError, match=f"step 0 .0 ps., stream {name}; the simulation blew up, nothing of this frame"):
        reporter.report(simulation, simulation.context.getState(positions=True))
    assert buffer.n_frames == 0


def test_a_feature_that_is_nan_is_refused_by_name(chain, features):
    simulation, buffer = chain(n_copies=2), WindowBuffer(schema=features.schema)
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features, stream="r", n_replicas=2))
    simulation.step(10)
    positions = simulation.context.getState(positions=True).getPositions(asNumpy=True)._value
    positions[4:, 1:] = 0.0  # the second chain on one line: its torsion is undefined
    simulation.context.setPositions(positions)
    with pytest.raises(NonFiniteError, match=r"stream 'r0001': feature 'torsion 0-1-2-3' is nan; nothing of this frame"):
        simulation.reporters[0].report(simulation, simulation.context.getState(positions=True))
    assert buffer.n_frames == 2


# Boxes, replicas, structures, closing


@pytest.mark.parametrize("wrapped", [False, True])
def test_features_of_a_periodic_system_are_minimum_images(chain, wrapped):
    features, box = Distances([[0, 4], [0, 1]]), 2.0
    simulation, buffer = chain(n_copies=2, box=box), WindowBuffer(schema=features.schema)
    positions = simulation.context.getState(positions=True).getPositions(asNumpy=True)._value
    positions[4:] += [5.5, -4.4, 3.8]  # (1.5, -0.4, 1.8) and (-0.5, -0.4, -0.2) from the first in its own image
    simulation.context.setPositions(positions)
    simulation.reporters.append(WindowReporter(buffer, 1, features, enforcePeriodicBox=wrapped))
    simulation.step(1)
    positions = simulation.context.getState(positions=True).getPositions(asNumpy=True)._value
    vector = positions[4] - positions[0]
    vector -= box * np.round(vector / box)
    near, bond = buffer.trajectories().values[0][0]
    assert near == pytest.approx(np.linalg.norm(vector), abs=1e-5)
    assert near == pytest.approx(np.linalg.norm([0.5, 0.4, 0.2]), abs=0.02)
    assert bond == pytest.approx(np.linalg.norm(positions[1] - positions[0]), abs=1e-5)


def test_the_default_box_of_a_system_without_one_is_not_used(chain):
    features = Distances([[0, 4]])
    simulation, buffer = chain(n_copies=2), WindowBuffer(schema=features.schema)
    positions = simulation.context.getState(positions=True).getPositions(asNumpy=True)._value
    positions[4:] += [50.0, 0.0, 0.0]
    simulation.context.setPositions(positions)
    simulation.reporters.append(WindowReporter(buffer, 1, features))
    simulation.step(1)
    assert buffer.trajectories().values[0][0, 0] == pytest.approx(50.0, abs=0.1)


def test_a_featurizer_may_return_a_list(chain, features):
    class Listed:
        schema = features.schema

        def __call__(self, positions, box):
            return features(positions, box).tolist()

    buffers = [WindowBuffer(schema=features.schema) for _ in range(2)]
    simulation = chain()
    for buffer, each in zip(buffers, (features, Listed()), strict=True):
        simulation.reporters.append(WindowReporter(buffer, INTERVAL, each))
    simulation.step(20)
    assert np.array_equal(buffers[0].trajectories().values[0], buffers[1].trajectories().values[0])


def test_structures_of_a_periodic_system_keep_their_boxes(chain):
    features = Distances([[0, 4], [0, 1]])
    simulation, buffer = chain(n_copies=2, box=2.0), WindowBuffer(schema=features.schema)
    positions = simulation.context.getState(positions=True).getPositions(asNumpy=True)._value
    positions[4:] += [5.5, -4.4, 3.8]
    simulation.context.setPositions(positions)
    with WindowReporter(buffer, 1, features) as reporter:
        simulation.reporters.append(reporter)
        simulation.step(3)
        simulation.context.setPeriodicBoxVectors(*(2.2 * np.eye(3)))
        simulation.step(3)
    assert buffer.boxes()[:, 0, 0] == pytest.approx([2.0, 2.0, 2.0, 2.2, 2.2, 2.2])
    assert np.array_equal(features(buffer.structures(), buffer.boxes()), buffer.trajectories().values[0])


def test_replicas_of_one_context_are_streams_of_their_own(chain, features):
    simulation, buffer = chain(n_copies=3), WindowBuffer(schema=features.schema)
    with WindowReporter(buffer, INTERVAL, features, stream="chain", n_replicas=3) as reporter:
        simulation.reporters.append(reporter)
        simulation.step(30)
    positions = simulation.context.getState(positions=True).getPositions(asNumpy=True)._value.reshape(3, 4, 3)
    assert buffer.streams == ("chain0000", "chain0001", "chain0002")
    for stream, copy in zip(buffer.streams, positions, strict=True):
        assert buffer.steps(stream).tolist() == [10, 20, 30]
        assert np.array_equal(buffer.trajectories([stream]).values[0][-1], features(copy))
    assert buffer.structures().shape == (3, 4, 3)
    assert np.array_equal(buffer.structures()[-1], positions[0].astype(np.float32))


def test_so_many_structures_are_kept_and_no_more(chain, features):
    simulation, buffer = chain(), WindowBuffer(schema=features.schema)
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features, n_structures=4))
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features, stream="none", n_structures=0))
    simulation.step(30)
    assert not buffer.has_structures("replica0")
    simulation.step(30)
    assert np.array_equal(features(buffer.structures()), buffer.trajectories(["replica0"]).values[0][:4])
    assert not buffer.has_structures("none")


@pytest.mark.parametrize(("wanted", "n_bytes", "kept"), [(1, 2**20, 1), (10, 3 * 4 * 12 + 1, 3), (10, 1, 1)])
def test_structures_take_bounded_memory(chain, features, monkeypatch, wanted, n_bytes, kept):
    monkeypatch.setattr(recorder, "_STRUCTURE_BYTES", n_bytes)  # of four atoms with three coordinates of four bytes
    simulation, buffer = chain(), WindowBuffer(schema=features.schema)
    with WindowReporter(buffer, INTERVAL, features, n_structures=wanted) as reporter:
        simulation.reporters.append(reporter)
        simulation.step(5 * INTERVAL)
    assert len(buffer.structures()) == kept


def test_structures_are_consecutive_in_time(chain, features):
    simulation, buffer = chain(), WindowBuffer(schema=features.schema)
    reporter = WindowReporter(buffer, INTERVAL, features, n_structures=6)
    simulation.reporters.append(reporter)
    for n_frames in (2, 4, 3):
        simulation.step(n_frames * INTERVAL)
        reporter.new_segment()
    reporter.close()
    assert np.array_equal(features(buffer.structures()), buffer.trajectories().values[1])


def test_flushing_and_closing_reach_the_buffer(chain, features, monkeypatch):
    simulation, buffer, flushed = chain(), WindowBuffer(schema=features.schema), []
    monkeypatch.setattr(buffer, "flush", lambda: flushed.append(buffer.n_frames))
    reporter = WindowReporter(buffer, INTERVAL, features)
    simulation.reporters.append(reporter)
    simulation.step(10)
    reporter.flush()
    simulation.step(10)
    reporter.close()
    assert flushed == [1, 2]


def test_a_closed_reporter_reports_no_more(chain, features, tmp_path):
    simulation = chain()
    with WindowBuffer(tmp_path / "buffer", features.schema) as buffer:
        with WindowReporter(buffer, INTERVAL, features) as reporter:
            simulation.reporters.append(reporter)
            simulation.step(20)
            reporter.flush()
        assert buffer.has_structures("replica0")
        reporter.close()
        with pytest.raises(InputError, match="this WindowReporter is closed; remove it from simulation.reporters"):
            simulation.step(10)
        assert buffer.n_frames == 2


def test_frames_can_be_read_from_elsewhere_before_anything_is_closed(chain, features, tmp_path):
    simulation = chain()
    with WindowBuffer(tmp_path / "buffer", features.schema) as buffer:
        simulation.reporters.append(WindowReporter(buffer, INTERVAL, features))
        simulation.step(50)
        assert len(WindowBuffer(tmp_path / "buffer").windows(5)) == 1


def test_it_stands_beside_other_reporters(chain, features, tmp_path, uninterrupted):
    simulation, buffer = chain(), WindowBuffer(schema=features.schema)
    simulation.reporters.append(app.StateDataReporter(str(tmp_path / "log"), 4, step=True, potentialEnergy=True))
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features))
    simulation.reporters.append(app.CheckpointReporter(str(tmp_path / "checkpoint"), 20))
    simulation.step(100)
    assert np.array_equal(buffer.trajectories().values[0], uninterrupted.trajectories().values[0])


def test_reporting_needs_no_torch():
    program = """
import sys
from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.systems import alanine_dipeptide
from openmm_trajgan.windows.reporter import WindowReporter
features = alanine_dipeptide.features()
simulation = alanine_dipeptide.build(1)
simulation.reporters.append(WindowReporter(WindowBuffer(schema=features.schema), 10, features))
simulation.step(20)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
