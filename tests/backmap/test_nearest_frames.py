from copy import copy

import MDAnalysis
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openmm_trajgan.backmap.base import Backmapper
from openmm_trajgan.backmap.frame_library import FrameLibrary
from openmm_trajgan.backmap.nearest_frames import NearestFrames
from openmm_trajgan.errors import InputError
from openmm_trajgan.features import Distances, Torsions

RNG = np.random.default_rng(0)


def universe_of(positions, dimensions=None):
    """Positions in nm as a Universe."""
    return MDAnalysis.Universe.empty(positions.shape[1], trajectory=True).load_new(
        10 * positions.astype(np.float32), dimensions=dimensions
    )


def wandering(n_frames, n_atoms, seed, step=0.02):
    """Atoms that walk at random, (n_frames, n_atoms, 3), nm."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.3, (n_atoms, 3)) + np.cumsum(rng.normal(0, step, (n_frames, n_atoms, 3)), axis=0)


@pytest.fixture(scope="module")
def walk():
    return universe_of(wandering(600, 6, seed=1))


GAP = Distances([[0, 1]])


@pytest.fixture(scope="module")
def nearest(walk):
    return NearestFrames().fit(GAP, walk)


def gaps(walk, frames):
    return GAP(np.stack([walk.trajectory[frame].positions / 10 for frame in frames]))


def test_follows_the_protocol(nearest, walk):
    assert isinstance(nearest, Backmapper)
    np.testing.assert_array_equal(nearest.atoms, np.arange(6))


def test_the_reference_comes_back_as_itself(walk):
    """All distances between few atoms: the frame itself is the only one without deviation, and its steps are the simulation's."""
    everything = Distances(np.stack(np.triu_indices(6, 1), axis=1))
    features = everything(np.stack([ts.positions / 10 for ts in walk.trajectory]))
    structures = NearestFrames().fit(everything, walk).backmap(features, rng=RNG)
    np.testing.assert_array_equal(structures.reference_frames, np.arange(600))
    assert structures.positions is None
    assert structures.flags["feature_error"].max() < 1e-5


def test_same_answer_again_and_whatever_the_rng(nearest):
    features = GAP(wandering(300, 6, seed=2))
    once, again = (nearest.backmap(features, rng=np.random.default_rng(seed)) for seed in (0, 1))
    np.testing.assert_array_equal(once.reference_frames, again.reference_frames)


def test_features_are_not_altered(nearest):
    features = GAP(wandering(50, 6, seed=2))
    before = features.copy()
    nearest.backmap(features, rng=RNG)
    np.testing.assert_array_equal(features, before)


def test_flags_are_what_they_say(nearest, walk):
    features = GAP(wandering(200, 6, seed=3))
    structures = nearest.backmap(features, rng=RNG)
    library = gaps(walk, range(600))
    scale = library.astype(float).std()
    frames = structures.reference_frames
    np.testing.assert_allclose(structures.flags["feature_error"], np.abs(library[frames] - features)[:, 0] / scale, atol=1e-5)
    nearest_of_all = np.abs(library[:, 0] - features).min(axis=1) / scale
    np.testing.assert_allclose(structures.flags["library_distance"], nearest_of_all, atol=1e-5)
    pairs = Distances(np.stack(np.triu_indices(6, 1), axis=1))
    distances = pairs(np.stack([walk.trajectory[frame].positions / 10 for frame in frames])).astype(float)
    jumps = np.sqrt(np.square(np.diff(distances, axis=0)).mean(axis=1))
    np.testing.assert_allclose(structures.flags["jump"][1:], jumps, atol=0.1 * nearest._library.step)
    assert structures.flags["jump"][0] == 0


def test_summary_counts_the_path(nearest):
    structures = nearest.backmap(GAP(wandering(200, 6, seed=3)), rng=RNG)
    frames, summary = structures.reference_frames, nearest.summary
    assert summary.unique_share == len(set(frames.tolist())) / 200
    assert summary.repeat_share == pytest.approx(np.mean(frames[1:] == frames[:-1]))
    assert summary.successor_share == pytest.approx(np.mean(frames[1:] == frames[:-1] + 1))
    assert summary.feature_error == pytest.approx(structures.flags["feature_error"].mean())


def test_library_distance_tells_where_the_simulation_was_not(nearest, walk):
    library = gaps(walk, range(600))
    structures = nearest.backmap(np.full((5, 1), library.max() + 1.0), rng=RNG)
    np.testing.assert_allclose(structures.flags["library_distance"], 1.0 / library.std(), rtol=1e-4)
    assert nearest.summary.library_distance == pytest.approx(1.0 / library.std(), rel=1e-4)


def objective(library, features, frames, weight):
    """What the path is chosen by, from its definition with the repeat penalty of one half."""
    structures = library.structures[frames]
    excess = np.maximum(np.square(np.diff(structures, axis=0)).sum(axis=1) - 1, 0)
    steps = np.where(frames[1:] == frames[:-1], 0.5, excess)
    return library.mismatch(features, frames).sum() + weight * steps.sum()


@given(seed=st.integers(0, 10_000), weight=st.sampled_from([0.0, 0.01, 0.3, 10.0]))
@settings(max_examples=20, deadline=None)
def test_never_worse_than_the_nearest_frames_by_the_same_measure(nearest, seed, weight):
    nearest = copy(nearest)
    nearest.weight = weight
    features = GAP(wandering(60, 6, seed=seed)).astype(float)
    path = nearest.backmap(features, rng=RNG).reference_frames
    library = nearest._library
    closest = library.nearest(features, 1)[:, 0]
    mine, theirs = (objective(library, features, frames, weight) for frames in (path, closest))
    assert mine <= theirs * (1 + 1e-4) + 1e-6


def test_the_second_path_costs_less_than_the_first():
    """One distance of a molecule that shakes about one structure after the other.

    The few frames nearest in a distance that is new in every frame are structures of all kinds; more of them are looked at for
    those that follow each other.
    """
    rng = np.random.default_rng(13)
    shapes = rng.normal(0, 0.3, (1, 8, 3)) + rng.normal(0, 0.05, (30, 8, 3))
    nearest = NearestFrames(weight=0.1).fit(GAP, universe_of(shapes.repeat(100, axis=0) + rng.normal(0, 0.02, (3000, 8, 3))))
    features = GAP(shapes[:3].repeat(100, axis=0) + rng.normal(0, 0.02, (300, 8, 3))).astype(float)
    library = nearest._library
    candidates, costs = nearest._candidates(features, library.nearest(features, 16).astype(np.int32))
    first = candidates[np.arange(300), nearest._paths(candidates, costs, np.array([0.1]))[0]]
    second = nearest.backmap(features, rng=RNG).reference_frames
    assert objective(library, features, second, 0.1) < 0.6 * objective(library, features, first, 0.1)


def test_smoother_than_the_nearest_frames(nearest):
    """One distance of six wandering atoms leaves the rest open: without a path, structures change at random."""
    features = GAP(wandering(400, 6, seed=4, step=0.01)) % 0.4 + 0.3
    nearest.backmap(features, rng=RNG)
    library = nearest._library
    closest = library.jumps(library.nearest(features.astype(float), 1)[:, 0]).mean() / library.mean_jump
    assert nearest.summary.jump_ratio < closest
    assert nearest.summary.feature_error < 0.1 + np.mean(nearest.backmap(features, rng=RNG).flags["library_distance"])


def test_periodic_features_meet_at_the_seam():
    """A torsion that turns round and round: -π is next to π."""
    angles = np.linspace(-np.pi, np.pi, 400, endpoint=False)
    corner = np.array([[0.1, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.1]])
    last = np.stack([0.1 * np.cos(angles), 0.1 * np.sin(angles), np.full(400, 0.1)], axis=1)
    universe = universe_of(np.concatenate([np.repeat(corner[None], 400, axis=0), last[:, None]], axis=1))
    torsion = Torsions([[0, 1, 2, 3]])
    measured = torsion(np.stack([ts.positions / 10 for ts in universe.trajectory]))
    wanted = np.array([[np.pi - 0.001], [-np.pi + 0.001], [np.pi + 0.02], [-np.pi - 0.02]])
    nearest = NearestFrames(weight=0.0).fit(torsion, universe)
    frames = nearest.backmap(wanted, rng=RNG).reference_frames
    errors = (measured[frames] - wanted + np.pi) % (2 * np.pi) - np.pi
    assert np.abs(errors).max() <= np.pi / 400 + 1e-5


def test_many_features_go_by_brute_force():
    universe = universe_of(wandering(200, 6, seed=5))
    everything = Distances(np.stack(np.triu_indices(6, 1), axis=1))
    library = FrameLibrary(everything, universe, n_pairs=200, selection=None, seed=0)
    features = everything(wandering(20, 6, seed=6)).astype(float)
    every = np.broadcast_to(np.arange(200), (20, 200))
    np.testing.assert_array_equal(library.nearest(features, 3)[:, 0], library.mismatch(features, every).argmin(axis=1))


def test_squared_jumps_of_the_library_are_those_of_its_distances():
    positions = wandering(300, 40, seed=7)
    library = FrameLibrary(GAP, universe_of(positions), n_pairs=100, selection=None, seed=0)
    now, before = np.array([[0, 5, 299]]), np.array([[1, 5, 100]])
    plain = np.square(library.structures[now[0]][:, None] - library.structures[before[0]]).sum(axis=-1)
    np.testing.assert_allclose(library.excess(now, before)[0], np.maximum(plain - 1, 0), rtol=1e-3, atol=1e-3)


def test_frames_of_a_periodic_box_with_a_ligand():
    """A ligand that leaves through one face and comes in by the other has not moved; the frames keep their boxes."""
    rng = np.random.default_rng(8)
    positions = np.zeros((100, 3, 3))
    positions[:, 0] = [0.1, 1.5, 1.5]
    positions[:, 1] = [0.25, 1.5, 1.5]
    positions[:, 2, 0] = np.where(np.arange(100) % 2 == 0, 2.9, -0.1) + rng.normal(0, 0.01, 100)
    positions[:, 2, 1:] = 1.5
    boxes = np.tile([30.0, 30.0, 30.0, 90.0, 90.0, 90.0], (100, 1)).astype(np.float32)
    gap = Distances([[1, 2]])
    nearest = NearestFrames().fit(gap, universe_of(positions, dimensions=boxes))
    structures = nearest.backmap([[0.35]], rng=RNG)
    assert nearest._library.features.max() < 0.5
    assert structures.flags["library_distance"][0] < 0.5


def test_a_gap_in_time_is_no_step():
    positions = wandering(20, 4, seed=9, step=0.001)
    positions[10:] += wandering(1, 4, seed=10)  # another molecule begins here

    class Gapped(MDAnalysis.coordinates.memory.MemoryReader):
        def _read_next_timestep(self, ts=None):
            ts = super()._read_next_timestep(ts)
            ts.data["time"] = ts.frame * 1.0 + 100.0 * (ts.frame >= 10)
            return ts

    universe = MDAnalysis.Universe.empty(4).load_new((10 * positions).astype(np.float32), format=Gapped)
    library = FrameLibrary(GAP, universe, n_pairs=200, selection=None, seed=0)
    np.testing.assert_array_equal(np.flatnonzero(~library.continues), [9])
    assert library.step < 0.01


def test_structures_are_compared_by_heavy_atoms_of_the_solute():
    universe = universe_of(wandering(5, 4, seed=11))
    universe.add_TopologyAttr("names", ["CA", "HA", "CB", "O"])
    universe.add_TopologyAttr("resnames", ["ALA"])
    heavy = FrameLibrary(GAP, universe, n_pairs=200, selection=None, seed=0)
    chosen = FrameLibrary(GAP, universe, n_pairs=200, selection="name CA CB O", seed=0)
    assert heavy.step == chosen.step


@pytest.mark.parametrize("n_frames", [2, 5])
def test_a_small_library_is_used_up(n_frames):
    universe = universe_of(wandering(n_frames, 3, seed=12))
    frames = NearestFrames().fit(GAP, universe).backmap(np.ones((50, 1)), rng=RNG).reference_frames
    assert set(frames.tolist()) <= set(range(n_frames))


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        (wandering(1, 3, seed=0), "at least two consecutive reference frames, found 1; give the trajectory"),
        (np.repeat(wandering(1, 3, seed=0), 5, axis=0), "the structure is the same in all reference frames"),
    ],
)
def test_references_that_cannot_be_used(positions, message):
    with pytest.raises(InputError, match=message):
        NearestFrames().fit(GAP, universe_of(positions))


def test_reference_with_a_feature_that_is_not_finite():
    positions = wandering(5, 3, seed=0)
    positions[3, 1] = np.nan
    with pytest.raises(InputError, match="reference frame 3: feature 'distance 0-1' is nan; leave it out"):
        NearestFrames().fit(GAP, universe_of(positions))


def test_selection_of_one_atom(walk):
    with pytest.raises(InputError, match="at least two atoms to compare structures by, found 1; select more"):
        NearestFrames(selection="index 0").fit(GAP, walk)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.ones(3), r"expected features \(n_frames, 1\) with at least one frame, found \(3,\)"),
        (np.ones((3, 2)), r"expected features \(n_frames, 1\) .* found \(3, 2\)"),
        (np.ones((0, 1)), r"with at least one frame, found \(0, 1\)"),
        ([[1.0], [np.nan]], "frame 1 has a feature that is not finite"),
    ],
)
def test_features_that_cannot_be_used(nearest, features, message):
    with pytest.raises(InputError, match=message):
        nearest.backmap(features, rng=RNG)


def test_before_fit():
    with pytest.raises(InputError, match=r"call fit\(featurizer, reference\) first"):
        NearestFrames().backmap([[1.0]], rng=RNG)


@pytest.mark.parametrize("seed", [4, 7])
def test_waiting_at_the_edge_of_the_library_does_not_count_as_smooth(walk, seed):
    """Half of the series lies beyond the library, where the path stays in one frame; the other half is found as without it."""
    nearest = NearestFrames().fit(GAP, walk)
    known = gaps(walk, range(600))
    inside = np.clip(GAP(wandering(300, 6, seed=seed)), known.min(), known.max())
    nearest.backmap(inside, rng=RNG)
    alone = nearest.summary
    nearest.backmap(np.concatenate([inside, np.full((300, 1), known.max() + 3)]), rng=RNG)
    assert alone.repeat_share < 0.3
    assert nearest.summary.repeat_share > 0.5
    assert nearest.summary.weight == alone.weight


@pytest.mark.parametrize("seed", range(3))
def test_smoothness_costs_no_more_than_a_tenth_of_a_deviation(walk, seed):
    """Two features with noise, which no path of small steps follows closely."""
    nearest = NearestFrames().fit(Distances([[0, 1], [2, 3]]), walk)
    known = nearest._library.features[100:500]
    noise = 0.2 * known.std(axis=0) * np.random.default_rng(seed).normal(size=known.shape)
    flags = nearest.backmap(known + noise, rng=RNG).flags
    assert flags["library_distance"].mean() < 0.1
    assert nearest.summary.feature_error < 0.11  # the second path is not bound to 0.1


@pytest.mark.parametrize(("options", "message"), [({"n_pairs": 0}, "at least 1 pair"), ({"weight": -1.0}, "not below 0")])
def test_options_that_make_no_sense(options, message):
    with pytest.raises(InputError, match=message):
        NearestFrames(**options)
