import warnings

import numpy as np
import pytest
from scipy.signal import lfilter

from openmm_trajgan import FeatureSchema, FeatureTrajectories, TrajGAN
from openmm_trajgan.workflows.choices import choose_steps, choose_window_length

SCHEMA = FeatureSchema(names=("x",), units=("nm",), periods=(None,), frame_interval=1.0)


def ornstein_uhlenbeck(relaxation, *lengths):
    """Series whose autocorrelation falls to 1/e in `relaxation` frames."""
    memory = np.exp(-1 / relaxation)
    rng = np.random.default_rng(1)
    noise = [rng.normal(size=length + 2000) for length in lengths]
    return FeatureTrajectories([lfilter([1.0], [1.0, -memory], one)[2000:, None] for one in noise], SCHEMA)


@pytest.mark.parametrize(("relaxation", "expected"), [(1, 16), (30, 32), (128, 128)])
def test_about_the_time_of_the_slowest_process(relaxation, expected):
    """√2 either way rounds to the same power of two; 10,000 relaxation times give the time to some 1.5 %."""
    chosen, why = choose_window_length(ornstein_uhlenbeck(relaxation, *[1000 * max(relaxation, 20)] * 10))
    assert chosen == expected
    assert why.startswith(f"windows of {expected} frames: the slowest process takes ")


@pytest.mark.parametrize(("n_frames", "expected"), [(20_000, 32), (600_000, 32), (1_300_000, 128)])
def test_longer_than_32_frames_only_with_ten_thousand_of_them(n_frames, expected):
    chosen, why = choose_window_length(ornstein_uhlenbeck(128, n_frames))
    assert chosen == expected
    assert why.endswith(f"but {n_frames} frames are few for longer ones") == (expected < 128)


def test_no_longer_than_half_of_most_trajectories():
    chosen, why = choose_window_length(ornstein_uhlenbeck(60, *[50] * 120, 30, 2000))
    assert chosen == 16
    assert why.endswith("but most trajectories have 50 at most")


def test_no_relaxation_no_choice():
    chosen, why = choose_window_length(FeatureTrajectories([np.ones((100_000, 1))], SCHEMA))
    assert (chosen, why) == (32, "windows of 32 frames: nothing relaxes within the data")


def test_too_few_transitions_are_told():
    with pytest.warns(UserWarning, match=r"the slowest process of the data takes .* frames, and there are 2000 in all: .*simulate"):
        choose_window_length(ornstein_uhlenbeck(100, 2000))


def test_fit_tells_what_it_chose(capsys):
    data = ornstein_uhlenbeck(30, 5000)
    gan = TrajGAN().fit(data, steps=2, seed=1)
    assert gan.training_record["window_length"] == gan.bundle.generator.config.window_length == 32
    assert gan.training_record["choice"] in capsys.readouterr().err
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asked = TrajGAN(8).fit(data, steps=2, seed=1, progress=False)
    assert asked.training_record["choice"] == "windows of 8 frames, as asked; 2 steps, as asked"


@pytest.mark.parametrize(("n_frames", "expected"), [(10, 500), (50_000, 2000), (200_000, 4000), (10**8, 6000)])
def test_steps_grow_with_the_square_root_of_the_frames(n_frames, expected):
    assert choose_steps(n_frames) == expected


def test_fit_without_time_or_steps_trains_as_long_as_suits_the_data(monkeypatch):
    monkeypatch.setattr("openmm_trajgan.workflows.choices.FEWEST_STEPS", 4)
    monkeypatch.setattr("openmm_trajgan.workflows.choices.STEPS_OF_50_000", 4)
    record = TrajGAN(8).fit(ornstein_uhlenbeck(5, 100), seed=1, progress=False).training_record
    assert record["n_likelihood_steps"] + record["n_adversarial_steps"] == 4
    assert record["choice"] == "windows of 8 frames, as asked; 4 steps, for 100 frames"
