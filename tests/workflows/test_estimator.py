import numpy as np
import pytest

from openmm_trajgan import FeatureSchema, FeatureTrajectories, TrajGAN
from openmm_trajgan.errors import InputError

SCHEMA = FeatureSchema(names=("x",), units=("nm",), periods=(None,), frame_interval=1.0)


def data(*lengths):
    rng = np.random.default_rng(0)
    return FeatureTrajectories([rng.normal(size=(length, 1)) for length in lengths], SCHEMA)


@pytest.mark.parametrize(("lengths", "context_length"), [((9, 40, 40), 0), ((12, 40), 3), ((40, 40), 16)])
def test_every_trajectory_is_learned_from(lengths, context_length):
    gan = TrajGAN(window_length=8).fit(data(*lengths), steps=2, seed=1, progress=False)
    assert gan.bundle.generator.config.context_length == context_length


def test_trajectories_too_short_are_named():
    with pytest.warns(UserWarning, match="1 of 2 trajectories are shorter .* are left out: 8 of 48"):
        TrajGAN(window_length=8).fit(data(8, 40), steps=2, seed=1, progress=False)
    with pytest.raises(InputError, match="needs trajectories of at least 9 frames, the longest has 8"):
        TrajGAN(window_length=8).fit(data(8), steps=2)


def test_minutes_can_be_repeated_in_steps():
    timed = TrajGAN(window_length=8).fit(data(60), minutes=0.005, seed=1, progress=False)
    record = timed.training_record
    steps = record["n_likelihood_steps"] + record["n_adversarial_steps"]
    again = TrajGAN(window_length=8).fit(data(60), steps=steps, seed=1, progress=False)
    assert (timed.generate(30, seed=2).values[0] == again.generate(30, seed=2).values[0]).all()


def test_a_constant_feature_stays_constant():
    series = np.c_[np.random.default_rng(0).normal(size=200), np.full(200, 300.1)]
    schema = FeatureSchema(names=("x", "c"), units=("", ""), periods=(None, None), frame_interval=1.0)
    gan = TrajGAN(window_length=8).fit(FeatureTrajectories([series], schema), steps=20, seed=1, progress=False)
    generated = gan.generate(500, seed=1).values[0][:, 1]
    assert np.abs(generated - 300.1).max() < 0.05


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TrajGAN(window_length=50), "expected a power of two of at least 4, found 50"),
        (lambda: TrajGAN(context_length=-1), "context_length: expected 0 or more frames, found -1"),
        (lambda: TrajGAN(device="banana"), "device 'banana' is not available here"),
        (lambda: TrajGAN.load("m.trajgan", "cuda:7"), "device 'cuda:7' is not available here"),
        (lambda: TrajGAN().fit(data(100), seed=-1), "seed: expected 0 or more, found -1"),
        (lambda: TrajGAN().fit(data(100), minutes=float("nan")), "expected a positive time or at least 2 steps"),
        (lambda: TrajGAN().generate(5), "has not been trained; call fit"),
    ],
)
def test_what_is_wrong_is_said(make, message):
    with pytest.raises(InputError, match=message):
        make()
