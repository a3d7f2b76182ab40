import pickle

import MDAnalysis
import numpy as np
import pytest
from MDAnalysis.analysis.base import AnalysisBase
from MDAnalysis.analysis.dihedrals import Dihedral
from MDAnalysis.analysis.results import ResultsGroup
from MDAnalysis.transformations import translate

from openmm_trajgan.backmap.archive import save_frames
from openmm_trajgan.backmap.frames import BuiltFrames, GeneratedFrames, LibraryFrames, StoredFrames
from openmm_trajgan.backmap.reader import GeneratedReader
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureSchema
from openmm_trajgan.seeding import Seeds

N_FRAMES, N_ATOMS, N_LIBRARY = 12, 5, 7
SCHEMA = FeatureSchema(names=("a", "b"), units=("nm", "nm"), periods=(None, None), frame_interval=0.25)
BOX = np.array([30, 31, 32, 90, 90, 90], dtype=np.float32)


class Counting:
    """Backmapper whose frames tell their features, their place in the series and the generator's first number."""

    atoms = np.arange(N_ATOMS)
    pieces = "any"

    def backmap(self, features, *, rng, first=0):
        from openmm_trajgan.backmap.base import Structures

        positions = np.zeros((len(features), N_ATOMS, 3), dtype=np.float32)
        positions[:, :, :2] = features[:, None]
        positions[:, 0, 2] = first + np.arange(len(features))
        positions[:, 1, 2] = rng.random()
        return Structures(positions, None, {"place": first + np.arange(len(features))})


@pytest.fixture
def features():
    return np.random.default_rng(1).normal(size=(N_FRAMES, 2)).astype(np.float32)


@pytest.fixture
def trajectories():
    return np.repeat([0, 4], [5, 7])


@pytest.fixture(params=["stored", "library", "built", "stored file", "library file", "built file"])
def case(request, features, trajectories, tmp_path, monkeypatch):
    """What a reader is given, and the positions, Å, boxes and flags that must come out."""
    rng = np.random.default_rng(2)
    kind = request.param.split()[0]
    rows = None
    if kind == "stored":
        positions = rng.normal(size=(N_FRAMES, N_ATOMS, 3)).astype(np.float32)
        flags = {"stress": rng.random(N_FRAMES)}
        source, boxes = StoredFrames(positions, flags), [None] * N_FRAMES
    elif kind == "library":
        library = MDAnalysis.Universe.empty(N_ATOMS + 2)
        angstrom = 10 * rng.normal(size=(N_LIBRARY, N_ATOMS + 2, 3)).astype(np.float32)
        growing = BOX + np.outer(np.arange(N_LIBRARY), [1, 1, 1, 0, 0, 0])
        library.load_new(angstrom, dimensions=growing.astype(np.float32))
        rows = rng.integers(N_LIBRARY, size=N_FRAMES)
        flags = {"library_distance": rng.random(N_FRAMES)}
        source = LibraryFrames(library.trajectory, rows, np.arange(2, N_ATOMS + 2), flags)
        positions, boxes = angstrom[rows, 2:] / 10, growing[rows]
    else:
        monkeypatch.setattr("openmm_trajgan.backmap.frames.POSITIONS_AT_ONCE", 3 * N_ATOMS)  # blocks of three frames
        source = BuiltFrames(Counting(), features, trajectories, Seeds(3))
        series = (slice(0, 5), 0), (slice(5, 12), 4)
        made = [Counting().backmap(features[part], rng=Seeds(3).numpy(f"backmap {index}")) for part, index in series]
        positions = np.concatenate([each.positions for each in made])
        flags, boxes = {"place": np.concatenate([each.flags["place"] for each in made])}, [None] * N_FRAMES
    given = GeneratedFrames(source, features, trajectories, SCHEMA, rows, {"seed": 3, "method": kind})
    if request.param.endswith("file"):
        save_frames(given, tmp_path / "frames.trajgan")
        given = tmp_path / "frames.trajgan"
    expected = {"positions": 10 * positions, "features": features, "trajectories": trajectories}
    return given, expected | {"rows": rows, "boxes": boxes, "flags": flags, "method": kind}


@pytest.fixture
def expected(case):
    return case[1]


@pytest.fixture
def universe(case):
    return MDAnalysis.Universe.empty(N_ATOMS).load_new(case[0])


def assert_all_there(universe, expected, frames):
    frames = list(frames)
    assert frames
    for frame in frames:
        ts = universe.trajectory[frame]
        assert ts.frame == frame
        assert ts.time == 0.25 * frame
        np.testing.assert_allclose(ts.positions, expected["positions"][frame], rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(ts.data["features"], expected["features"][frame])
        assert ts.data["trajectory"] == expected["trajectories"][frame]
        if expected["rows"] is not None:
            assert ts.data["reference_frame"] == expected["rows"][frame]
        for name, values in expected["flags"].items():
            assert ts.data[name] == values[frame]
        if expected["boxes"][frame] is None:
            assert universe.dimensions is None
        else:
            np.testing.assert_allclose(universe.dimensions, expected["boxes"][frame], rtol=1e-6)


def test_in_order_and_at_random(universe, expected):
    assert universe.trajectory.dt == 0.25
    assert_all_there(universe, expected, range(N_FRAMES))
    assert_all_there(universe, expected, [7, 0, 11, 3, -1 % N_FRAMES])


def test_iteration_and_slices(universe, expected):
    for selection in (slice(None), slice(2, None, 3), slice(None, None, -1), [4, 1, 9]):
        frames = np.arange(N_FRAMES)[selection]
        seen = [(ts.frame, ts.data["features"].copy(), ts.data["trajectory"]) for ts in universe.trajectory[selection]]
        assert [frame for frame, _, _ in seen] == frames.tolist()
        np.testing.assert_array_equal([features for _, features, _ in seen], expected["features"][frames])
        assert [trajectory for _, _, trajectory in seen] == expected["trajectories"][frames].tolist()


def test_pickle_keeps_the_frame(universe, expected):
    universe.trajectory[6]
    restored = pickle.loads(pickle.dumps(universe))
    assert restored.trajectory.ts.frame == 6
    np.testing.assert_array_equal(restored.trajectory.ts.data["features"], expected["features"][6])
    assert_all_there(restored, expected, [6, 2, 11])
    assert restored.trajectory.provenance["method"] == expected["method"]


def test_copy_is_independent(universe, expected):
    universe.trajectory[6]
    twin = universe.copy()
    universe.trajectory[1]
    assert twin.trajectory.ts.frame == 6
    np.testing.assert_array_equal(twin.trajectory.ts.data["features"], expected["features"][6])
    twin.trajectory.ts.data["features"][:] = 0
    twin.atoms.positions = 0
    assert_all_there(universe, expected, range(N_FRAMES))
    assert_all_there(twin, expected, range(N_FRAMES))


@pytest.mark.parametrize("order", ["fac", "afc", "cfa"])
def test_timeseries_of_some_atoms(universe, expected, order):
    atoms = universe.atoms[[3, 1]]
    for group, rows in ((None, slice(None)), (universe.atoms, slice(None)), (atoms, [3, 1])):
        for start, stop, step in ((None, None, None), (1, None, 2), (2, 11, 5), (10, 1, -3), (3, 3, 1)):
            some = universe.trajectory.timeseries(atomgroup=group, order=order, start=start, stop=stop, step=step)
            wanted = np.einsum("fac->" + order, expected["positions"][start:stop:step][:, rows])
            np.testing.assert_allclose(some, wanted, rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match="at least one atom"):
        universe.trajectory.timeseries(atomgroup=universe.atoms[:0], order=order)


def test_transformations_reach_every_frame(universe, expected):
    universe.trajectory.add_transformations(translate([1, 2, 3]))
    moved = expected["positions"] + np.array([1, 2, 3])
    for frame in (4, 0, 4):
        np.testing.assert_allclose(universe.trajectory[frame].positions, moved[frame], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(universe.trajectory.timeseries(step=2), moved[::2], rtol=1e-5, atol=1e-5)


def test_transfer_to_memory(universe, expected):
    universe.transfer_to_memory(step=2)
    assert universe.trajectory.dt == 0.5
    np.testing.assert_allclose(universe.trajectory.timeseries(order="fac"), expected["positions"][::2], rtol=1e-6, atol=1e-6)


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


def test_analysis_in_several_processes(universe, expected):
    seen = FeaturesSeen(universe).run(backend="multiprocessing", n_workers=2, step=2)
    np.testing.assert_array_equal(seen.results.features, expected["features"][::2])
    dihedral = Dihedral([universe.atoms[:4]])
    together = dihedral.run(backend="multiprocessing", n_workers=2).results.angles
    np.testing.assert_array_equal(together, Dihedral([universe.atoms[:4]]).run().results.angles)


def test_files_are_numpy_archives(features, trajectories, tmp_path):
    rows = np.array([2, 2, 5, 0, 5, 5, 2, 1, 1, 1, 1, 2])
    library = MDAnalysis.Universe.empty(N_ATOMS).load_new(np.random.default_rng(0).normal(size=(6, N_ATOMS, 3)).astype(np.float32))
    source = LibraryFrames(library.trajectory, rows, np.arange(N_ATOMS), {})
    save_frames(GeneratedFrames(source, features, trajectories, SCHEMA, rows), tmp_path / "frames.trajgan")
    with np.load(tmp_path / "frames.trajgan") as arrays:
        assert set(arrays.files) == {"header", "features", "trajectories", "positions", "rows", "reference_frames"}
        assert arrays["positions"].shape == (4, N_ATOMS, 3)  # every frame that was chosen, once
        np.testing.assert_allclose(arrays["positions"][arrays["rows"]], [library.trajectory[row].positions / 10 for row in rows])


def test_large_files_are_mapped(features, trajectories, tmp_path):
    positions = np.zeros((N_FRAMES, N_ATOMS, 3), dtype=np.float32)
    save_frames(GeneratedFrames(StoredFrames(positions), features, trajectories, SCHEMA), tmp_path / "frames.trajgan")
    block = GeneratedReader(tmp_path / "frames.trajgan").frames.source.block(2, 5).positions
    while isinstance(block, np.ndarray) and not isinstance(block, np.memmap):
        block = block.base
    assert isinstance(block, np.memmap)


def test_what_is_no_file_of_frames(features, trajectories, tmp_path):
    whole = tmp_path / "frames.trajgan"
    save_frames(GeneratedFrames(StoredFrames(np.zeros((N_FRAMES, 1, 3), np.float32)), features, trajectories, SCHEMA), whole)
    (tmp_path / "half.trajgan").write_bytes(whole.read_bytes()[:-100])
    (tmp_path / "model.trajgan").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}")
    newer = whole.read_bytes().replace(b'"version": 1', b'"version": 9')
    (tmp_path / "newer.trajgan").write_bytes(newer)
    for name, message in (
        ("missing", "no such file"),
        ("half", "not a complete file of generated structures"),
        ("model", r"holds no generated structures \(perhaps a model or features\)"),
        ("newer", "format 9 is newer than 1"),
    ):
        with pytest.raises(InputError, match=rf"{name}\.trajgan: {message}"):
            GeneratedReader(tmp_path / f"{name}.trajgan")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": np.full(4, 3)}, "rows leave the 3 positions"),
        ({"rows": np.array([0, 1, -1, 2])}, "rows leave the 3 positions"),
        ({"rows": np.zeros(5, int)}, "rows has 5 frames, features have 4"),
        ({"trajectories": np.zeros(3, int)}, "trajectories has 3 frames, features have 4"),
        ({"flags/clash": np.zeros(1, bool)}, "flags/clash has 1 frames, features have 4"),
        ({"boxes": np.zeros((2, 6), np.float32)}, r"boxes \(2, 6\) do not fit 3 positions"),
        ({"positions": np.zeros((3, 1), np.float32)}, r"positions \(3, 1\)"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path, changes, message):
    """Four frames that stand for three of a library."""
    features, trajectories = np.zeros((4, 2), np.float32), np.zeros(4, int)
    library = StoredFrames(np.zeros((3, 1, 3), np.float32), {}, np.array([0, 1, 1, 2]))
    save_frames(GeneratedFrames(library, features, trajectories, SCHEMA, np.array([0, 1, 1, 2])), tmp_path / "whole.trajgan")
    GeneratedReader(tmp_path / "whole.trajgan")
    with np.load(tmp_path / "whole.trajgan") as archive:
        arrays = dict(archive) | changes
    with (tmp_path / "changed.trajgan").open("wb") as file:
        np.savez(file, **arrays)
    with pytest.raises(InputError, match=rf"not a complete file of generated structures \({message}"):
        GeneratedReader(tmp_path / "changed.trajgan")
