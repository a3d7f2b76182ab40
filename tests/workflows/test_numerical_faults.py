"""Data that training and generation are not made for: named and refused, or learned without a number that is not finite."""

import numpy as np
import pytest

from openmm_trajgan import FeatureSchema, FeatureTrajectories, TrajGAN, WindowBuffer
from openmm_trajgan.buffer.base import frame_dtype
from openmm_trajgan.errors import InputError
from openmm_trajgan.training.config import TrainingConfig

SMALL = TrainingConfig(likelihood_windows=64, likelihood_frames=64, adversarial_windows=8, patches_per_window=2)


def schema(n_features):
    names = tuple(f"x{index}" for index in range(n_features))
    return FeatureSchema(names=names, units=("nm",) * n_features, periods=(None,) * n_features, frame_interval=1.0)


def process(n_frames=300, seed=0):
    """An autoregressive process of variance near 5, ``(n_frames, 1)``."""
    rng, series = np.random.default_rng(seed), np.zeros((n_frames, 1))
    for frame in range(1, n_frames):
        series[frame] = 0.9 * series[frame - 1] + rng.normal()
    return series


def fitted(*series, steps=6):
    data = FeatureTrajectories(series, schema(series[0].shape[1]))
    return TrajGAN(8, training=SMALL).fit(data, steps=steps, seed=1, progress=False)


def drawn(gan):
    return np.concatenate(gan.generate(40, 8, seed=2).values)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", ["array", "buffer in memory", "buffer on disk"])
def test_a_number_that_is_not_finite_is_named_with_frame_feature_and_stream(tmp_path, value, place):
    series = np.repeat(process(), 2, axis=1)
    series[123, 1] = value
    path = tmp_path / "buffer" if place == "buffer on disk" else None

    def fit():
        if place == "array":
            data = FeatureTrajectories([series], schema(2), ["replica7"])
        else:
            data = WindowBuffer(path, schema(2))
            for step, row in enumerate(series):  # past `WindowBuffer.append`, which refuses them, as in buffers of before it did
                data._store.append("replica7", 0, np.array([(step, step, row)], frame_dtype(2)))
        TrajGAN(8).fit(data, steps=2, progress=False)

    with pytest.raises(InputError, match=r"'replica7': frame 123 of feature 'x1' is -?(nan|inf)"):
        fit()


@pytest.mark.parametrize("steps", [6, 150])
@pytest.mark.parametrize("deviation", [0.0, 0.03])
def test_copies_of_features_break_no_training(deviation, steps):
    x, noise = process(), deviation * np.random.default_rng(1).normal(size=(2, 300, 1))
    gan = fitted(np.concatenate([x, x + noise[0], -x + noise[1]], axis=1), steps=steps)
    values = drawn(gan)
    assert np.isfinite(values).all()
    assert gan.training_record["n_skipped"] == 0
    assert ((values.std(axis=0) > 0.1 * x.std()) & (values.std(axis=0) < 10 * x.std())).all()


def test_constant_features_beside_one_that_moves():
    x = process()
    values = drawn(fitted(np.concatenate([np.full_like(x, 3.5), x, np.zeros_like(x), np.full_like(x, -1e6)], axis=1)))
    assert values[:, 0] == pytest.approx(3.5, abs=1e-4)
    assert values[:, 2] == pytest.approx(0.0, abs=1e-4)
    assert values[:, 3] == pytest.approx(-1e6, rel=1e-4)
    assert 0.1 < values[:, 1].std() / x.std() < 10


def test_data_that_do_not_move_at_all():
    values = drawn(fitted(np.full((100, 2), 2.0)))
    assert values == pytest.approx(2.0, abs=1e-4)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_scales_that_differ_by_sixteen_orders_of_magnitude(offset):
    x, scales = process(), np.array([1e-8, 1.0, 1e8])
    series = scales * (x + offset) * np.ones(3)
    values = drawn(fitted(series))
    ratios = values.std(axis=0) / series.std(axis=0)
    assert np.isfinite(values).all()
    assert ((ratios > 0.1) & (ratios < 10)).all()
    assert (abs(values.mean(axis=0) - series.mean(axis=0)) < 10 * series.std(axis=0)).all()


@pytest.mark.parametrize("factor", [10, 1e6])
def test_a_start_far_outside_the_training_data(factor):
    """The first frames come out as given; what follows is finite and does not run away further."""
    x = process()
    gan, start = fitted(x), factor * x.std()
    values = np.stack(gan.generate(40, 8, start=[start], seed=2).values)
    assert values[:, 0, 0] == pytest.approx(start)
    assert np.isfinite(values).all()
    assert abs(values).max() < 10 * start


def test_one_frame_that_leaves_the_range_by_far():
    x = process()
    x[150] = 1e6
    assert np.isfinite(drawn(fitted(x))).all()


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ([], "expected at least one time series, found none"),
        ([np.empty((0, 1))], r"window_length=8 needs trajectories of at least 9 frames, the longest has 0"),
        ([np.zeros((1, 1))], r"window_length=8 needs trajectories of at least 9 frames, the longest has 1"),
        ([np.zeros((8, 1))], r"window_length=8 needs trajectories of at least 9 frames, the longest has 8"),
        ([np.zeros((9, 0))], r"expected shape \(n_frames, 1\), found \(9, 0\)"),
    ],
)
def test_data_that_are_empty_or_tiny(series, message):
    with pytest.raises(InputError, match=message):
        TrajGAN(8).fit(FeatureTrajectories(series, schema(1)), steps=2, progress=False)


def test_an_empty_buffer(tmp_path):
    with pytest.raises(InputError, match="holds no frames yet; run the simulation first"):
        TrajGAN(8).fit(WindowBuffer(tmp_path / "buffer", schema(1)), steps=2, progress=False)


def test_the_shortest_data_that_will_do():
    assert np.isfinite(drawn(fitted(process(9)))).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: np.where(np.arange(300)[:, None] == 7, np.inf, process()), ["frame 7, column 0 is inf", "must be finite"]),
        (lambda: np.empty((0, 2)), ["found (0, 2)"]),
        (lambda: np.empty((5, 0)), ["found (5, 0)"]),
        (lambda: process(5), ["needs trajectories of at least 9 frames", "the longest has 5"]),
        (lambda: np.array(3.0), ["(n_frames, n_features)", "found shape ()"]),
    ],
    ids=["infinite", "no frame", "no feature", "short", "a number"],
)
def test_the_command_line_says_so_in_one_line(trajgan, tmp_path, make, words):
    np.save(tmp_path / "data.npy", make())
    options = ("--frame-interval", "1", "--window-length", "8", "--steps", "4", "--out", tmp_path / "model")
    status, _, err = trajgan("train", tmp_path / "data.npy", *options)
    assert status == 2
    assert len(err.strip().splitlines()) == 1
    assert all(word in err for word in words), err
    assert not (tmp_path / "model").exists()
