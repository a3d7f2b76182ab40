"""A long series is built a piece at a time, and comes out as if it were built at once."""

import pickle

import MDAnalysis
import numpy as np
import pytest
from MDAnalysis.analysis.rms import RMSF

from openmm_trajgan.backmap import Decoded, DistanceGeometry, Fragments, InternalCoordinates, to_universe
from openmm_trajgan.backmap.base import Structures, builds_pieces
from openmm_trajgan.backmap.frames import BuiltFrames
from openmm_trajgan.backmap.identity import Identity
from openmm_trajgan.features import Distances
from openmm_trajgan.features.torsions import Torsions
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories
from openmm_trajgan.seeding import Seeds
from openmm_trajgan.systems import tetraalanine

TOPOLOGY, START = tetraalanine.topology_and_positions()
BEADS = [atom.index for atom in TOPOLOGY.atoms() if atom.name in ("CA", "C")]
PAIRS = [[one, other] for place, one in enumerate(BEADS) for other in BEADS[place + 1 :]]
N_FRAMES = 40


@pytest.fixture(scope="module")
def frames():
    """Tetraalanine that bends more and more, at random, (40, 43, 3), nm."""
    bends = np.cumsum(np.random.default_rng(1).normal(0, 0.1, (N_FRAMES, 3, 3)), axis=0)
    return (START + np.sin(3 * START) @ bends * 0.3).astype(np.float32)


class Tenth:
    """A latent: distances over ten."""

    features = Distances(PAIRS)
    schema = FeatureSchema(
        names=tuple(f"latent {index}" for index in range(len(PAIRS))), units=("",) * len(PAIRS), periods=(None,) * len(PAIRS)
    )

    def __call__(self, positions, box=None):
        return self.features(positions, box) / np.float32(10)

    def decode(self, latents):
        return 10 * latents


CASES = {
    "internal_coordinates": Torsions.backbone(TOPOLOGY, omega=True),
    "distance_geometry": Distances(PAIRS),
    "fragments": Distances(PAIRS),
    "fragments decoded": Tenth(),
}


@pytest.fixture(params=CASES)
def case(request, frames):
    """Generated features of two trajectories, and the arguments of to_universe for them."""
    featurizer = CASES[request.param]
    features = featurizer(np.concatenate([frames, frames[::-1]]))
    generated = FeatureTrajectories([features[:50], features[50:]], featurizer.schema.with_frame_interval(0.2))
    reference = MDAnalysis.Universe(TOPOLOGY, 10 * frames[::2], dt=0.2)
    return generated, {"reference": reference, "featurizer": featurizer, "method": request.param.split()[0]}


def positions(universe):
    return np.array([ts.positions.copy() for ts in universe.trajectory])


@pytest.mark.filterwarnings("ignore:not set")
def test_pieces_are_the_whole(case, monkeypatch):
    generated, options = case
    if generated.schema.kinds[0] == "other":
        options["featurizer"] = type("Dated", (Tenth,), {"schema": generated.schema})()
    expected = to_universe(generated, TOPOLOGY, **options)
    monkeypatch.setattr("openmm_trajgan.backmap.universe.IN_MEMORY", 0)
    monkeypatch.setattr("openmm_trajgan.backmap.frames.POSITIONS_AT_ONCE", 7 * len(expected.atoms))  # seven frames in a piece
    lazy = to_universe(generated, TOPOLOGY, **options)
    assert isinstance(lazy.trajectory.frames.source, BuiltFrames)
    for frame in (47, 3, 66, 49, 50, 0):  # a late one first, then back, then over the seam
        np.testing.assert_allclose(lazy.trajectory[frame].positions, expected.trajectory[frame].positions, atol=1e-4)
    restored = pickle.loads(pickle.dumps(lazy))
    for universe in (lazy, restored):
        np.testing.assert_allclose(positions(universe), positions(expected), atol=1e-4)
    np.testing.assert_allclose(lazy.trajectory.timeseries(order="fac", start=5, stop=70), positions(expected)[5:70], atol=1e-4)
    for name, values in expected.trajectory[60].data.items():
        np.testing.assert_allclose(lazy.trajectory[60].data[name], values, atol=1e-4)
    spread = [RMSF(universe.atoms).run(backend="serial").results.rmsf for universe in (lazy, expected)]
    np.testing.assert_allclose(*spread, atol=1e-4)


class Counting:
    """Backmapper that counts on from piece to piece, and how often it is called."""

    pieces = "in order"
    atoms = np.arange(2)
    n_calls = 0

    def backmap(self, features, *, rng, before=None):
        type(self).n_calls += 1
        places = (0 if before is None else before) + np.arange(len(features))
        return Structures(np.broadcast_to(places[:, None, None], (len(places), 2, 3)).astype(np.float32), memory=places[-1] + 1)


def test_what_comes_before_is_built_once(monkeypatch):
    monkeypatch.setattr("openmm_trajgan.backmap.frames.POSITIONS_AT_ONCE", 2 * 5)  # five frames in a piece
    source = BuiltFrames(Counting(), np.zeros((40, 1), np.float32), np.repeat([0, 1], [23, 17]), Seeds(0))
    assert source.frame(22)[0][0, 0] == 22
    assert Counting.n_calls == 5
    assert source.frame(12)[0][0, 0] == 12
    assert Counting.n_calls == 6
    assert source.block(3, 40).positions[:, 0, 0].tolist() == [*range(3, 23), *range(17)]
    assert Counting.n_calls == 6 + 5 + 4


def test_the_hand_of_an_achiral_chain_goes_on_from_piece_to_piece():
    """A chain in four dimensions, turned until its shadow in three is its own mirror image."""
    rng = np.random.default_rng(3)
    x, y, z, w = np.cumsum(0.2 * rng.normal(size=(12, 4)), axis=0).T
    moving = np.stack([[x, y, z * np.cos(turn) + w * np.sin(turn)] for turn in np.linspace(0, np.pi, 200)])
    moving = moving.swapaxes(1, 2).astype(np.float32)
    universe = MDAnalysis.Universe.empty(12, n_residues=12, atom_resindex=np.arange(12), trajectory=True)
    both = np.concatenate([moving, moving * [1, 1, -1]])  # as often one hand as the other
    pairs = Distances(np.stack(np.triu_indices(12, 1), axis=1))
    geometry = DistanceGeometry().fit(pairs, universe.load_new(10 * both.astype(np.float32)))
    assert not geometry.chiral
    whole = geometry.backmap(pairs(moving), rng=rng)
    memory, made = None, []
    for piece in np.array_split(moving, 7):
        structures = geometry.backmap(pairs(piece), rng=rng, before=memory)
        memory = structures.memory
        made.append(structures.positions)
    np.testing.assert_allclose(np.concatenate(made), whole.positions, atol=1e-5)
    alone = np.concatenate([geometry.backmap(pairs(piece), rng=rng).positions for piece in np.array_split(moving, 7)])
    assert abs(alone - whole.positions).max() > 0.1  # which pieces built alone do not


def test_who_builds_pieces():
    assert [builds_pieces(each) for each in (InternalCoordinates(), DistanceGeometry(), Fragments(), Identity())] == [
        True,
        True,
        True,
        False,
    ]
    assert builds_pieces(Decoded(DistanceGeometry()))
    assert not builds_pieces(Decoded(Identity()))
