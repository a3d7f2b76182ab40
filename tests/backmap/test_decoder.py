import MDAnalysis
import numpy as np
import pytest

from openmm_trajgan.backmap.base import Backmapper
from openmm_trajgan.backmap.decoder import Decoded
from openmm_trajgan.backmap.distance_geometry import DistanceGeometry
from openmm_trajgan.backmap.internal_coordinates import InternalCoordinates
from openmm_trajgan.backmap.nearest_frames import NearestFrames
from openmm_trajgan.errors import InputError
from openmm_trajgan.features import Distances
from openmm_trajgan.schema import FeatureSchema

RNG = np.random.default_rng(0)


class Turned:
    """A latent without loss: features turned by a matrix, and turned back by its decoder."""

    def __init__(self, features, seed=1):
        n = features.schema.n_features
        self.features = features
        self.schema = FeatureSchema(names=tuple(f"latent {i}" for i in range(n)), units=("",) * n, periods=(None,) * n)
        self.matrix = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]

    def __call__(self, positions, box=None):
        return self.features(positions, box) @ self.matrix

    def decode(self, latent):
        return latent @ self.matrix.T


@pytest.fixture(scope="module")
def distances():
    return Distances(np.stack(np.triu_indices(6, 1), axis=1))


@pytest.fixture(scope="module")
def walk():
    steps = np.random.default_rng(2).normal(0, 0.02, (100, 6, 3))
    beads = np.random.default_rng(3).normal(size=(6, 3)) + np.cumsum(steps, axis=0)
    return MDAnalysis.Universe.empty(6, trajectory=True).load_new(10 * beads.astype(np.float32))


def test_through_distances(distances, walk):
    latent = Turned(distances)
    positions = np.stack([ts.positions / 10 for ts in walk.trajectory])
    decoded = Decoded(DistanceGeometry()).fit(latent, walk)
    assert isinstance(decoded, Backmapper)
    np.testing.assert_array_equal(decoded.atoms, np.arange(6))
    structures = decoded.backmap(latent(positions), rng=RNG)
    np.testing.assert_allclose(latent(structures.positions), latent(positions), atol=1e-4)
    assert set(structures.flags) >= {"not_3d", "stress"}


def test_a_decoder_that_overshoots(distances, walk):
    latent = Turned(distances)
    features = distances(np.stack([ts.positions / 10 for ts in walk.trajectory]))
    features[3, 0] = -0.1
    structures = Decoded(DistanceGeometry()).fit(latent, walk).backmap(features @ latent.matrix, rng=RNG)
    assert np.flatnonzero(structures.flags["below_zero"]).tolist() == [3]
    assert np.isfinite(structures.positions).all()


def test_through_torsions(featurizer, md, reference):
    latent = Turned(featurizer)
    structures = Decoded(InternalCoordinates()).fit(latent, md).backmap(latent(reference), rng=RNG)
    differences = featurizer(structures.positions) - featurizer(reference)
    assert np.abs((differences + np.pi) % (2 * np.pi) - np.pi).max() < 1e-4


def test_through_frames(distances, walk):
    latent = Turned(distances)
    positions = np.stack([ts.positions / 10 for ts in walk.trajectory])
    structures = Decoded(NearestFrames()).fit(latent, walk).backmap(latent(positions), rng=RNG)
    np.testing.assert_array_equal(structures.reference_frames, np.arange(100))


def test_latents_are_not_altered(distances, walk):
    latent = Turned(distances)
    values = latent(np.stack([ts.positions / 10 for ts in walk.trajectory]))
    before = values.copy()

    def in_place(values):
        values *= 0
        return values + 1

    latent.decode = in_place
    Decoded(NearestFrames()).fit(latent, walk).backmap(values, rng=RNG)
    np.testing.assert_array_equal(values, before)


def test_no_decoder(distances, walk):
    with pytest.raises(InputError, match="expected a latent with a decoder, found Distances without; use method nearest_frames"):
        Decoded(DistanceGeometry()).fit(distances, walk)


def test_decoder_of_other_features(distances, walk):
    latent = Turned(distances)
    decoded = Decoded(DistanceGeometry())
    latent.decode = lambda values: values[:, :3]
    with pytest.raises(InputError, match=r"expected decoded features \(2, 15\), found \(2, 3\)"):
        decoded.fit(latent, walk).backmap(np.ones((2, 15)), rng=RNG)


@pytest.mark.parametrize(
    ("features", "message"),
    [(np.ones(15), r"expected latents \(n_frames, 15\), found \(15,\)"), (np.full((2, 15), np.nan), "frame 0 has a latent")],
)
def test_latents_that_cannot_be_used(distances, walk, features, message):
    with pytest.raises(InputError, match=message):
        Decoded(DistanceGeometry()).fit(Turned(distances), walk).backmap(features, rng=RNG)


def test_before_fit():
    with pytest.raises(InputError, match=r"call fit\(featurizer, reference\) first"):
        Decoded(NearestFrames()).backmap([[1.0]], rng=RNG)
