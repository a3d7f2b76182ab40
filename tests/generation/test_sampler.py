import copy

import numpy as np
import pytest
import torch

from openmm_trajgan.errors import InputError, NonFiniteError
from openmm_trajgan.generation.sampler import generate_trajectories
from openmm_trajgan.models.encoding import FeatureEncoding
from openmm_trajgan.models.generator import GeneratorConfig, WindowGenerator
from openmm_trajgan.schema import FeatureSchema

SCHEMA = FeatureSchema(names=("x", "angle"), units=("nm", "deg"), periods=(None, 360.0), frame_interval=0.5)


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    encoding = FeatureEncoding(SCHEMA, torch.tensor([[3.0, 0.0], [7.0, 90.0]]))
    config = GeneratorConfig(window_length=8, context_length=3, hidden=16, n_components=2)
    return WindowGenerator(encoding, config, 0.3 * torch.ones(5, 2)).eval()


@pytest.mark.parametrize("n_frames", [1, 2, 8, 9, 10, 40])
def test_shape_units_and_time(generator, n_frames):
    generated = generate_trajectories(generator, SCHEMA, n_frames=n_frames, n_trajectories=3, seed=1)
    assert [series.shape for series in generated] == [(n_frames, 2)] * 3
    assert generated.schema == SCHEMA
    angles = np.concatenate(generated.values)[:, 1]
    assert np.abs(angles).max() <= 180.001
    assert np.isfinite(np.concatenate(generated.values)).all()


def test_deterministic_for_a_seed_and_different_for_another(generator):
    first, again, other = (generate_trajectories(generator, SCHEMA, n_frames=30, n_trajectories=2, seed=seed) for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert all((a != b).any() for a, b in zip(first, other, strict=True))
    assert (first.values[0] != first.values[1]).any(), "trajectories are independent"


def test_fresh_seed_is_recorded_and_repeats(generator):
    fresh = generate_trajectories(generator, SCHEMA, n_frames=10, n_trajectories=1)
    again = generate_trajectories(generator, SCHEMA, n_frames=10, n_trajectories=1, seed=int(fresh.provenance["seed"]))
    assert (fresh.values[0] == again.values[0]).all()


def test_global_random_state_is_neither_used_nor_changed(generator):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = generate_trajectories(generator, SCHEMA, n_frames=10, n_trajectories=1, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(4)
    second = generate_trajectories(generator, SCHEMA, n_frames=10, n_trajectories=1, seed=1)
    assert (first.values[0] == second.values[0]).all()


def test_longer_runs_begin_like_shorter_ones(generator):
    short = generate_trajectories(generator, SCHEMA, n_frames=20, n_trajectories=2, seed=1)
    long = generate_trajectories(generator, SCHEMA, n_frames=50, n_trajectories=2, seed=1)
    assert all((a == b[:20]).all() for a, b in zip(short, long, strict=True))


def test_a_model_that_is_not_trained_does_not_run_away(generator):
    generated = generate_trajectories(generator, SCHEMA, n_frames=1500, n_trajectories=4, seed=1)
    assert np.isfinite(np.concatenate(generated.values)).all()


def test_what_is_not_finite_is_named(generator):
    broken = copy.deepcopy(generator)
    with torch.no_grad():
        broken.end.layers[-1].bias.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match="trajectory 0, frame 1: generated feature 'x' is nan; .* train it longer"):
        generate_trajectories(broken, SCHEMA, n_frames=20, n_trajectories=1, seed=1)


def test_nothing_to_generate_is_refused(generator):
    with pytest.raises(InputError, match="at least 1 frame and 1 trajectory, found 0 and 1"):
        generate_trajectories(generator, SCHEMA, n_frames=0, n_trajectories=1)
