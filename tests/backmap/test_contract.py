"""What every backmapper promises; a new one joins by a line in CASES."""

import copy

import MDAnalysis
import numpy as np
import pytest

from openmm_trajgan.backmap import Backmapper, Identity, InternalCoordinates
from openmm_trajgan.errors import InputError
from openmm_trajgan.features import Coordinates

N_FRAMES = 30


def particle(featurizer, md):
    values = np.random.default_rng(0).normal(size=(N_FRAMES, 2)).astype(np.float32)
    return Identity(), Coordinates([0], axes="xy"), MDAnalysis.Universe.empty(1, trajectory=True), values


def internal_coordinates(geometry):
    def case(featurizer, md):
        values = np.random.default_rng(0).uniform(-3, 3, (N_FRAMES, 2)).astype(np.float32)
        return InternalCoordinates(geometry), featurizer, md, values

    return case


# name → function of the fixtures `featurizer` and `md` that returns backmapper, featurizer, reference and features (30, n_features)
CASES = {
    "identity": particle,
    "internal_coordinates nearest": internal_coordinates("nearest"),
    "internal_coordinates conditional": internal_coordinates("conditional"),
}


@pytest.fixture(params=CASES)
def case(request, featurizer, md):
    return CASES[request.param](featurizer, md)


def made(structures, reference, backmapper):
    """Positions (n_frames, n_atoms, 3), nm, whether built or frames of the reference."""
    if structures.positions is not None:
        return structures.positions
    return np.array([reference.trajectory[frame].positions[backmapper.atoms] / 10 for frame in structures.reference_frames])


def test_fit_returns_the_backmapper(case):
    backmapper, featurizer, reference, _ = case
    assert backmapper.fit(featurizer, reference) is backmapper
    assert isinstance(backmapper, Backmapper)


def test_one_structure_per_row(case):
    backmapper, featurizer, reference, features = case
    structures = backmapper.fit(featurizer, reference).backmap(features, rng=np.random.default_rng(1))
    assert (structures.positions is None) != (structures.reference_frames is None)
    assert set(backmapper.atoms.tolist()) <= set(range(len(reference.atoms)))
    positions = made(structures, reference, backmapper)
    assert positions.shape == (N_FRAMES, len(backmapper.atoms), 3)
    assert np.isfinite(positions).all()
    if structures.positions is not None:
        assert structures.positions.dtype == np.float32
    for flag in structures.flags.values():
        assert flag.shape[0] == N_FRAMES


def test_features_come_back_and_are_not_altered(case):
    backmapper, featurizer, reference, features = case
    given = features.copy()
    structures = backmapper.fit(featurizer, reference).backmap(features, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(features, given)
    if len(backmapper.atoms) == len(reference.atoms) and structures.positions is not None:
        error = featurizer.schema.wrap(featurizer(structures.positions) - features)
        assert abs(error).max() < 1e-5


def test_randomness_is_the_generator(case):
    backmapper, featurizer, reference, features = case
    backmapper.fit(featurizer, reference)
    np.random.seed(0)  # noqa: NPY002  # the global generator must not matter
    one, again = (made(backmapper.backmap(features, rng=np.random.default_rng(5)), reference, backmapper) for _ in range(2))
    np.testing.assert_array_equal(one, again)


def test_a_second_fit_starts_anew(case):
    backmapper, featurizer, reference, features = case
    fresh = copy.deepcopy(backmapper).fit(featurizer, reference)
    twice = backmapper.fit(featurizer, reference).fit(featurizer, reference)
    structures = (each.backmap(features, rng=np.random.default_rng(2)) for each in (fresh, twice))
    np.testing.assert_array_equal(*(made(each, reference, backmapper) for each in structures))


def test_no_frames(case):
    backmapper, featurizer, reference, features = case
    structures = backmapper.fit(featurizer, reference).backmap(features[:0], rng=np.random.default_rng(1))
    assert len(made(structures, reference, backmapper)) == 0


def test_features_of_other_width(case):
    backmapper, featurizer, reference, features = case
    backmapper.fit(featurizer, reference)
    for wrong in (features[:, :1], features[0]):
        with pytest.raises(InputError, match=r"expected features \(n_frames, 2\), found"):
            backmapper.backmap(wrong, rng=np.random.default_rng(1))
