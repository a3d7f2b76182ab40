"""Projections are what their names promise, keep to their features, and survive a file."""

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from deeptime.decomposition import TICA as DeeptimeTICA

from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import InputError, SchemaMismatchError
from openmm_trajgan.features import PCA, TICA, VAMP, Autoencoder, Distances, Latent, Torsions
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

PAIRS = Distances([[0, 1], [1, 2], [2, 3], [0, 3]])
TORSIONS = Torsions([[0, 1, 2, 3], [1, 2, 3, 4]])
ANGLE = FeatureSchema(names=("angle", "gap"), units=("rad", "nm"), periods=(2 * math.pi, None))


def slow_and_fast(seed, n_frames=4000):
    """A slow process of small variance and a fast one of large, hidden in four distances ``(n_frames, 4)``, and the slow one."""
    rng = np.random.default_rng(seed)
    slow, fast = np.empty(n_frames), rng.normal(scale=3, size=n_frames)
    slow[0] = rng.normal()
    for frame in range(1, n_frames):
        slow[frame] = 0.98 * slow[frame - 1] + math.sqrt(1 - 0.98**2) * rng.normal()
    mixing = np.array([[1.0, 0.5, 0.0, -1.0], [1.0, 1.0, 1.0, 1.0]])
    return 10 + np.stack([slow, fast], axis=1) @ mixing + rng.normal(scale=0.1, size=(n_frames, 4)), slow


@pytest.fixture(scope="module")
def data():
    return [slow_and_fast(seed)[0] for seed in (1, 2)]


@pytest.fixture(scope="module")
def latents(data):
    return {
        "PCA": PCA.fit(PAIRS, data),
        "TICA": TICA.fit(PAIRS, data, lag=5),
        "VAMP": VAMP.fit(PAIRS, data, lag=5),
        "Autoencoder": Autoencoder.fit(PAIRS, data, hidden=(16,), epochs=3, seed=3),
    }


class AsGiven:
    """A featurizer of any schema that is fed with values, never with positions."""

    def __init__(self, schema):
        self.schema = schema

    def __call__(self, positions, box=None):
        raise AssertionError


def test_pca_is_the_singular_value_decomposition(data):
    pca, points = PCA.fit(PAIRS, data), np.concatenate(data)
    centred = points.astype(np.float32).astype(np.float64) - points.mean(axis=0)
    singular, directions = np.linalg.svd(centred, full_matrices=False)[1:]
    np.testing.assert_allclose(abs(pca.transform(points)), abs(centred @ directions[:2].T), atol=1e-4)
    np.testing.assert_allclose(pca.explained_variance, (singular**2 / (singular**2).sum())[:2], rtol=1e-6)
    plane = centred @ directions[:2].T @ directions[:2] + points.mean(axis=0)
    np.testing.assert_allclose(pca.decode(pca.transform(points)), plane, atol=1e-4)
    assert pca.schema.units == ("nm", "nm")


def test_all_components_lose_nothing(data):
    for standardize in (False, True):
        pca = PCA.fit(PAIRS, data, 4, standardize=standardize)
        np.testing.assert_allclose(pca.decode(pca.transform(data[0])), data[0], atol=1e-4)
        assert pca.explained_variance.sum() == pytest.approx(1)


def test_time_lagged_projections_find_the_slow_process_and_pca_the_large(data, latents):
    """Law: the first TIC is the slow process (autocorrelation 0.98 a frame), the first PC the fast one of variance 9 along
    (1, 1, 1, 1). Over n = 4000 frames of a new series noise of 0.1 leaves a correlation above 0.98 with either; a projection
    that mistook one for the other has at most 3/√40 = 0.5 of chance (40 independent frames of the slow one)."""
    new, slow = slow_and_fast(3)
    for name in ("TICA", "VAMP"):
        assert abs(np.corrcoef(latents[name].transform(new)[:, 0], slow)[0, 1]) > 0.98
    assert abs(np.corrcoef(latents["PCA"].transform(new)[:, 0], new.sum(axis=1))[0, 1]) > 0.98
    assert abs(np.corrcoef(latents["PCA"].transform(new)[:, 0], slow)[0, 1]) < 0.5


def test_tica_is_the_one_of_deeptime(data, latents):
    model = DeeptimeTICA(lagtime=5, dim=2).fit_fetch([series.astype(np.float32).astype(np.float64) for series in data])
    theirs, mine = model.transform(data[0]), latents["TICA"].transform(data[0])
    np.testing.assert_allclose(abs(mine), abs(theirs), atol=1e-3)


def test_the_autoencoder_follows_a_curve_that_pca_cannot():
    """Law: of points on half a circle with noise of 0.02, one straight component leaves a fifth of the variance of the first
    feature and half of the variance of the second; a curve leaves only noise. n = 2000."""
    rng = np.random.default_rng(1)
    turn = rng.uniform(0, math.pi, 2000)
    arc = 3 + np.stack([np.cos(turn), np.sin(turn)], axis=1) + rng.normal(scale=0.02, size=(2000, 2))
    pairs = Distances([[0, 1], [1, 2]])
    curve, line = Autoencoder.fit(pairs, [arc], 1, hidden=(32, 32), epochs=60, seed=1), PCA.fit(pairs, [arc], 1)
    lost = [np.square(latent.decode(latent.transform(arc)) - arc).mean() for latent in (curve, line)]
    assert lost[0] < 0.1 * lost[1]
    assert curve.validation_error < 0.05
    latent = curve.transform(arc)
    assert (latent.mean(), latent.std()) == (pytest.approx(0, abs=1e-3), pytest.approx(1, abs=1e-3))


def test_the_seed_decides_the_autoencoder(data):
    first, again, other = (Autoencoder.fit(PAIRS, data, epochs=1, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.transform(data[0]), again.transform(data[0]))
    assert not np.allclose(first.transform(data[0]), other.transform(data[0]), atol=1e-5)


def test_angles_have_no_jump():
    angles = np.random.default_rng(1).vonmises(math.pi, 4.0, size=(500, 2))
    for latent in (PCA.fit(TORSIONS, [angles], 4), Autoencoder.fit(TORSIONS, [angles], epochs=1, seed=1)):
        np.testing.assert_allclose(latent.transform(angles + 2 * math.pi), latent.transform(angles), atol=1e-5)
    pca = PCA.fit(TORSIONS, [angles], 4)
    difference = pca.decode(pca.transform(angles)) - angles
    np.testing.assert_allclose(np.exp(1j * difference), 1, atol=1e-5)


def test_only_what_has_a_way_back_decodes(latents):
    assert {name for name, latent in latents.items() if hasattr(latent, "decode")} == {"PCA", "Autoencoder"}


def test_a_latent_of_a_latent(data):
    pca = PCA.fit(PAIRS, data, 3)
    tica = TICA.fit(pca, [pca.transform(series) for series in data], 1, lag=5)
    positions = np.random.default_rng(0).normal(size=(6, 4, 3))
    np.testing.assert_array_equal(tica(positions), tica.transform(pca.transform(PAIRS(positions))))


@pytest.mark.parametrize("name", ["PCA", "TICA", "VAMP", "Autoencoder"])
def test_a_file_holds_all_of_it(name, latents, tmp_path, data):
    latent = latents[name]
    latent.save(tmp_path / "file")
    assert not pickle_inside(tmp_path / "file")
    for kind, features in ((Latent, PAIRS), (type(latent), PAIRS), (Latent, None)):
        copy = kind.load(tmp_path / "file", features)
        assert type(copy) is type(latent)
        assert (copy.schema, copy.features.schema) == (latent.schema, PAIRS.schema)
        np.testing.assert_array_equal(copy.transform(data[0]), latent.transform(data[0]))
        if hasattr(latent, "decode"):
            np.testing.assert_array_equal(copy.decode(data[0][:, :2]), latent.decode(data[0][:, :2]))


def pickle_inside(path):
    try:
        pickle.loads(path.read_bytes())
    except Exception:
        with np.load(path, allow_pickle=False) as archive:
            return any(archive[name].dtype.hasobject for name in archive.files)
    return True


def test_files_of_other_features_or_kinds_are_refused(latents, tmp_path):
    path = tmp_path / "latent.npz"
    latents["PCA"].save(path)
    with pytest.raises(SchemaMismatchError, match="other features"):
        Latent.load(path, Distances([[0, 1], [1, 2], [2, 3], [1, 3]]))
    with pytest.raises(InputError, match="expected a projection of kind TICA, found PCA; use Latent.load"):
        TICA.load(path, PAIRS)
    with pytest.raises(InputError, match="no such file"):
        Latent.load(tmp_path / "none", PAIRS)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match="not a complete file"):
        Latent.load(path, PAIRS)
    FeatureTrajectories([np.zeros((3, 4))], PAIRS.schema).save(path)
    with pytest.raises(InputError, match="expected a fitted projection, found 'openmm-trajgan trajectories'"):
        Latent.load(path, PAIRS)


def test_two_fits_are_two_kinds_of_features(data, latents):
    same, other = PCA.fit(PAIRS, data), PCA.fit(PAIRS, data[:1])
    latents["PCA"].schema.require_same(same.schema, "mine", "theirs")
    with pytest.raises(SchemaMismatchError, match="other features"):
        latents["PCA"].schema.require_same(other.schema, "mine", "theirs")


def test_trajectories_keep_their_names_and_time(data, latents):
    trajectories = FeatureTrajectories(data, PAIRS.schema.with_frame_interval(0.5), ["a", "b"], {"source": "MD"})
    projected = latents["TICA"].transform_trajectories(trajectories)
    assert (projected.replicas, projected.provenance, projected.schema.frame_interval) == (("a", "b"), {"source": "MD"}, 0.5)
    assert projected.schema.kinds == ("latent", "latent")
    np.testing.assert_array_equal(projected.values[1], latents["TICA"].transform(trajectories.values[1]))
    with pytest.raises(SchemaMismatchError, match="the data has other features than the projection"):
        latents["TICA"].transform_trajectories(FeatureTrajectories([np.zeros((3, 2))], TORSIONS.schema))


@pytest.mark.parametrize("fit", [PCA.fit, lambda *data: TICA.fit(*data, lag=np.int64(1))])
def test_buffers_and_numpy_integers_are_as_good(fit, data, tmp_path):
    trajectories = FeatureTrajectories(data, PAIRS.schema.with_frame_interval(1.0))
    made = fit(PAIRS, WindowBuffer.from_trajectories(trajectories), np.int64(2))
    made.save(tmp_path / "latent.npz")
    assert np.array_equal(made(np.zeros((12, 3))), fit(PAIRS, trajectories, 2)(np.zeros((12, 3))))


def test_wrong_data_are_refused(data):
    with pytest.raises(SchemaMismatchError, match="the training data has other features than the featurizer"):
        PCA.fit(PAIRS, FeatureTrajectories([np.zeros((3, 2))], TORSIONS.schema))
    with pytest.raises(InputError, match=r"expected shape \(n_frames, 4\), found \(9, 3\)"):
        PCA.fit(PAIRS, [np.zeros((9, 3))])
    with pytest.raises(InputError, match="n_components: expected 1 to 4, as many as the data allow, found 5"):
        PCA.fit(PAIRS, data, 5)
    with pytest.raises(InputError, match="n_components: expected 1 to 3, as many as the data allow, found 4"):
        Autoencoder.fit(PAIRS, data, 4, seed=1)
    with pytest.raises(InputError, match="n_components: expected a positive whole number, found 0"):
        TICA.fit(PAIRS, data, 0, lag=1)
    with pytest.raises(InputError, match="expected 1 to 3999 frames, the longest series has 4000, found 4000"):
        TICA.fit(PAIRS, data, lag=4000)
    with pytest.raises(InputError, match=r"lag: expected a positive whole number, found 1\.5"):
        TICA.fit(PAIRS, data, lag=1.5)
    with pytest.raises(InputError, match="the data have 1 independent dimensions, found 2"):
        TICA.fit(PAIRS, [np.repeat(data[0][:, :1], 4, axis=1)], lag=1)
    for projection, settings in ((PCA, {}), (TICA, {"lag": 1}), (VAMP, {"lag": 1})):
        with pytest.raises(InputError, match="training data: expected features that change, found one value in all frames"):
            projection.fit(PAIRS, [np.full((50, 4), 0.1)], **settings)
    with pytest.raises(InputError, match="at least 10 frames, found 5"):
        Autoencoder.fit(PAIRS, [data[0][:5]], seed=1)
    with pytest.raises(InputError, match="expected one unit, found nm, none"):
        PCA.fit(AsGiven(ANGLE), [np.random.default_rng(0).normal(size=(50, 2))])
    assert PCA.fit(AsGiven(ANGLE), [np.random.default_rng(0).normal(size=(50, 2))], standardize=True).schema.units == ("", "")


@pytest.mark.parametrize("name", ["PCA", "TICA", "VAMP", "Autoencoder"])
def test_wrong_values_are_refused(name, latents):
    with pytest.raises(InputError, match=r"feature values: .* with 4 columns, found \(7, 3\)"):
        latents[name].transform(np.zeros((7, 3)))
    if hasattr(latents[name], "decode"):
        with pytest.raises(InputError, match=r"latent: .* with 2 columns, found \(7, 4\)"):
            latents[name].decode(np.zeros((7, 4)))


def test_a_constant_feature_does_no_harm(data):
    constant = [np.concatenate([series[:, :3], np.ones((len(series), 1))], axis=1) for series in data]
    for latent in (
        PCA.fit(PAIRS, constant, standardize=True),
        TICA.fit(PAIRS, constant, lag=5),
        Autoencoder.fit(PAIRS, constant, epochs=1, seed=1),
    ):
        assert np.isfinite(latent.transform(constant[0])).all()


def test_applying_an_autoencoder_needs_no_torch(latents, tmp_path):
    latents["Autoencoder"].save(tmp_path / "file")
    program = f"""
import sys
from openmm_trajgan.features import Distances, Latent
latent = Latent.load({str(tmp_path / "file")!r}, Distances([[0, 1], [1, 2], [2, 3], [0, 3]]))
latent.decode(latent([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]]))
print({{"torch", "deeptime"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
