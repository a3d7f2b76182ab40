import pickle

import MDAnalysis
import numpy as np
import pytest
from MDAnalysis.analysis.base import AnalysisBase
from MDAnalysis.analysis.dihedrals import Dihedral
from MDAnalysis.analysis.results import ResultsGroup

from openmm_trajgan.backmap.reader import GeneratedReader

N_FRAMES, N_ATOMS = 12, 5


@pytest.fixture
def arrays():
    rng = np.random.default_rng(1)
    return {
        "positions": rng.normal(size=(N_FRAMES, N_ATOMS, 3)).astype(np.float32),
        "features": rng.normal(size=(N_FRAMES, 2)).astype(np.float32),
        "trajectories": np.repeat([0, 4], [5, 7]),
    }


@pytest.fixture
def universe(arrays):
    return MDAnalysis.Universe.empty(N_ATOMS).load_new(
        arrays["positions"], format=GeneratedReader, dt=0.25, features=arrays["features"], trajectories=arrays["trajectories"]
    )


def assert_all_there(universe, arrays, frames):
    frames = list(frames)
    assert frames
    for frame in frames:
        ts = universe.trajectory[frame]
        assert ts.frame == frame
        assert ts.time == 0.25 * frame
        np.testing.assert_array_equal(ts.positions, arrays["positions"][frame])
        np.testing.assert_array_equal(ts.data["features"], arrays["features"][frame])
        assert ts.data["trajectory"] == arrays["trajectories"][frame]
        assert universe.dimensions is None


def test_in_order_and_at_random(universe, arrays):
    assert_all_there(universe, arrays, range(N_FRAMES))
    assert_all_there(universe, arrays, [7, 0, 11, 3])


def test_iteration_and_slices(universe, arrays):
    for selection in (slice(None), slice(2, None, 3), slice(None, None, -1), [4, 1, 9]):
        frames = np.arange(N_FRAMES)[selection]
        seen = [(ts.frame, ts.data["features"].copy(), ts.data["trajectory"]) for ts in universe.trajectory[selection]]
        assert [frame for frame, _, _ in seen] == frames.tolist()
        np.testing.assert_array_equal([features for _, features, _ in seen], arrays["features"][frames])
        assert [trajectory for _, _, trajectory in seen] == arrays["trajectories"][frames].tolist()


def test_pickle_keeps_the_frame(universe, arrays):
    universe.trajectory[6]
    restored = pickle.loads(pickle.dumps(universe))
    assert restored.trajectory.ts.frame == 6
    np.testing.assert_array_equal(restored.trajectory.ts.data["features"], arrays["features"][6])
    assert_all_there(restored, arrays, [6, 2, 11])


def test_copy_is_independent(universe, arrays):
    universe.trajectory[6]
    twin = universe.copy()
    universe.trajectory[1]
    assert twin.trajectory.ts.frame == 6
    np.testing.assert_array_equal(twin.trajectory.ts.data["features"], arrays["features"][6])
    twin.trajectory.ts.data["features"][:] = 0
    assert_all_there(universe, arrays, range(N_FRAMES))
    assert_all_there(twin, arrays, range(N_FRAMES))


@pytest.mark.parametrize("order", ["fac", "afc", "cfa"])
def test_timeseries_of_some_atoms(universe, arrays, order):
    atoms = universe.atoms[[3, 1]]
    expected = np.einsum("fac->" + order, arrays["positions"])
    np.testing.assert_array_equal(universe.trajectory.timeseries(order=order), expected)
    np.testing.assert_array_equal(universe.trajectory.timeseries(atomgroup=universe.atoms, order=order), expected)
    some = universe.trajectory.timeseries(atomgroup=atoms, order=order, start=1, step=2)
    np.testing.assert_array_equal(some, np.einsum("fac->" + order, arrays["positions"][1::2, [3, 1]]))
    with pytest.raises(ValueError, match="at least one atom"):
        universe.trajectory.timeseries(atomgroup=universe.atoms[:0], order=order)


class FeaturesSeen(AnalysisBase):
    _analysis_algorithm_is_parallelizable = True

    @classmethod
    def get_supported_backends(cls):
        return ("serial", "multiprocessing")

    def __init__(self, universe):
        super().__init__(universe.trajectory)
        self.universe = universe

    def _prepare(self):
        self.results.features = []

    def _single_frame(self):
        self.results.features.append(self._ts.data["features"].copy())

    def _get_aggregator(self):
        return ResultsGroup(lookup={"features": ResultsGroup.flatten_sequence})


def test_analysis_in_several_processes(universe, arrays):
    seen = FeaturesSeen(universe).run(backend="multiprocessing", n_workers=2, step=2)
    np.testing.assert_array_equal(seen.results.features, arrays["features"][::2])
    dihedral = Dihedral([universe.atoms[:4]])
    together = dihedral.run(backend="multiprocessing", n_workers=2).results.angles
    np.testing.assert_array_equal(together, Dihedral([universe.atoms[:4]]).run().results.angles)
