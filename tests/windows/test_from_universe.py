"""The frames of a live reporter against those from the trajectory file of the same run."""

from types import SimpleNamespace

import MDAnalysis
import numpy as np
import pytest
from openmm import app

from openmm_trajgan.backmap import to_universe
from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import InputError, NonFiniteError, StreamExistsError
from openmm_trajgan.features import CollectiveVariable, Distances
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories
from openmm_trajgan.windows.from_universe import from_universe
from openmm_trajgan.windows.reporter import WindowReporter

PAIR = Distances([[0, 1]])


def universe_of(separations, dt=1.0, dimensions=None):
    """Two atoms at these separations in Å."""
    positions = np.zeros((len(separations), 2, 3), np.float32)
    positions[:, 1, 0] = separations
    universe = MDAnalysis.Universe.empty(2)
    universe.load_new(positions, dt=dt, dimensions=dimensions)
    return universe


@pytest.mark.filterwarnings("ignore:DCDReader currently makes independent timesteps:DeprecationWarning")
@pytest.mark.parametrize("box", [None, 2.0])
def test_the_same_windows_as_a_live_reporter(chain, features, tmp_path, box):
    """Tolerance: DCD holds Å as float32, so 1e-6 relative of coordinates below 10 Å, 1e-5 in nm and rad with margin."""
    features = features if box is None else Distances([[0, 5], [1, 4], [0, 3]])
    simulation, live = chain(n_copies=1 if box is None else 2, box=box), WindowBuffer(schema=features.schema)
    if box is not None:
        positions = simulation.context.getState(positions=True).getPositions(asNumpy=True)._value
        positions[4:] += [3.2, 0.3, -2.4]  # another image
        simulation.context.setPositions(positions)
    reporter = WindowReporter(live, 10, features)
    simulation.reporters.append(reporter)
    dcd = tmp_path / "run.dcd"
    simulation.reporters.append(app.DCDReporter(str(dcd), 10, enforcePeriodicBox=False))
    simulation.step(300)
    reporter.close()
    simulation.reporters.clear()  # which closes the DCD file
    universe = MDAnalysis.Universe(simulation.topology, str(dcd))
    stored = WindowBuffer(schema=features.schema)
    from_universe(universe, features, stored)
    assert stored.schema.frame_interval == pytest.approx(live.schema.frame_interval, rel=1e-4)
    windows = [buffer.windows(8).sample(50, np.random.default_rng(1)) for buffer in (live, stored)]
    np.testing.assert_allclose(*windows, rtol=0, atol=1e-5)
    assert len(stored.windows(8)) == len(live.windows(8)) == 23
    np.testing.assert_allclose(live.structures(), stored.structures(), rtol=0, atol=1e-5)


def test_a_box_in_angstrom_gives_minimum_images():
    buffer = WindowBuffer(schema=PAIR.schema)
    from_universe(universe_of([19.0, 2.0], dimensions=[20, 20, 20, 90, 90, 90]), PAIR, buffer)
    assert buffer.trajectories().values[0][:, 0] == pytest.approx([0.1, 0.2], abs=1e-6)


def test_every_nth_frame():
    buffer = WindowBuffer(schema=PAIR.schema)
    from_universe(universe_of(range(1, 11), dt=0.5), PAIR, buffer, step=3, n_structures=2)
    assert buffer.schema.frame_interval == 1.5
    assert buffer.steps("replica0").tolist() == [0, 3, 6, 9]
    assert len(buffer.windows(4)) == 1
    assert buffer.trajectories().values[0][:, 0] == pytest.approx([0.1, 0.4, 0.7, 1.0])
    assert buffer.structures()[:, 1, 0] == pytest.approx([0.1, 0.4])


def test_a_second_trajectory_is_a_new_segment():
    buffer = WindowBuffer(schema=PAIR.schema)
    from_universe(universe_of([1, 2, 3]), PAIR, buffer)
    with pytest.raises(StreamExistsError, match="pass append=True"):
        from_universe(universe_of([4, 5]), PAIR, buffer)
    from_universe(universe_of([4, 5]), PAIR, buffer, append=True)
    from_universe(universe_of([6]), PAIR, buffer, stream="other")
    assert buffer.steps("replica0").tolist() == [0, 1, 2, 3, 4]
    assert [len(series) for series in buffer.trajectories(["replica0"])] == [3, 2]


def test_a_jump_of_the_times_in_the_file_begins_a_new_segment(tmp_path):
    """One frame is missing behind the third; the third itself is 0.4 of an interval late, less than half of one."""
    universe = universe_of([1, 2, 3, 4, 5])
    path = tmp_path / "gap.xtc"
    with MDAnalysis.Writer(str(path), 2) as writer:
        for timestep, time in zip(universe.trajectory, (100.0, 100.2, 100.48, 100.88, 101.08), strict=True):
            timestep.time = time
            writer.write(universe.atoms)
    universe.load_new(str(path))
    buffer = WindowBuffer(schema=PAIR.schema)
    from_universe(universe, PAIR, buffer)
    assert [len(series) for series in buffer.trajectories()] == [3, 2]
    universe.load_new(str(path), dt=7.0)  # who gives the interval overrules the times in the file
    buffer = WindowBuffer(schema=PAIR.schema)
    from_universe(universe, PAIR, buffer)
    assert buffer.schema.frame_interval == 7.0
    assert [len(series) for series in buffer.trajectories()] == [5]


def test_generated_trajectories_stay_apart():
    schema = FeatureSchema(
        names=("x", "y"), units=("nm", "nm"), periods=(None, None), kinds=("position", "position"), frame_interval=0.5
    )
    generated = FeatureTrajectories([np.zeros((30, 2)), np.ones((20, 2))], schema)
    along_x = CollectiveVariable(lambda positions, _: positions[:, 0], ["x"], ["nm"])
    buffer = WindowBuffer(schema=along_x.schema)
    from_universe(to_universe(generated), along_x, buffer)
    assert [np.unique(series).tolist() for series in buffer.trajectories()] == [[0.0], [1.0]]
    assert buffer.segment_lengths == [30, 20]


def test_wrong_input_is_refused():
    buffer = WindowBuffer(schema=PAIR.schema)
    for step in (0, -1, 1.5):
        with pytest.raises(InputError, match="step: expected a positive whole number, found"):
            from_universe(universe_of([1, 2]), PAIR, buffer, step=step)
    with pytest.raises(InputError, match=r"expected a positive time between frames, found 0.0 ps; .*Universe\(.*dt="):
        from_universe(universe_of([1, 2], dt=0.0), PAIR, buffer)
    reader = type("NoFrames", (list,), {"filename": "none.xtc"})()
    with pytest.raises(InputError, match=r"none.xtc: the trajectory holds no frames"):
        from_universe(SimpleNamespace(trajectory=reader), PAIR, buffer)
    with pytest.raises(
        NonFiniteError, match=r"step 1 \(1 ps\), stream 'replica0': Particle position is NaN or infinite \(atom 1\)"
    ):
        from_universe(universe_of([1, np.nan]), PAIR, buffer)
