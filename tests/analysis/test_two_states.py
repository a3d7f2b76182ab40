"""Two states by their cores, against a Markov chain whose law is known."""

import math
from dataclasses import asdict

import numpy as np
import pytest
from systems_results import rates_table

from openmm_trajgan.analysis import two_state_kinetics
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

SCHEMA = FeatureSchema(names=("phi", "x"), units=("rad", "nm"), periods=(2 * math.pi, None), frame_interval=0.5)
LEAVE = 0.02, 0.05  # probabilities per frame of leaving the first and the second state


def two_states(rng, n_trajectories, n_frames):
    """A Markov chain between 0 and 1 whose values recross the middle at random but stay clear of the other core."""
    series = []
    for _ in range(n_trajectories):
        state = int(rng.random() < LEAVE[0] / sum(LEAVE))
        draws, states = rng.random(n_frames), np.empty(n_frames)
        for frame in range(n_frames):
            states[frame] = state
            state = 1 - state if draws[frame] < LEAVE[state] else state
        values = states + rng.choice([0.0, 0.5, -0.5], p=[0.8, 0.1, 0.1], size=n_frames)
        series.append(np.stack([np.zeros(n_frames), np.where(abs(values - 0.5) < 0.2, 0.5, states)], axis=1))
    return FeatureTrajectories(series, SCHEMA)


def test_a_markov_chain_is_measured_within_its_error():
    """200 chains of 5 x 2000 frames, some 140 events each way.

    Means over the chains within four standard errors of the law, up to the 1 % that frames in the gap right after an event delay
    it on average by a tenth of a frame; and the scatter of the chains is the error told, within 20 % (its own error is 5 %).
    """
    rng = np.random.default_rng(1)
    found = [two_state_kinetics(two_states(rng, 5, 2000), "x", (0.1, 0.9), temperature=300.0) for _ in range(200)]
    energy = -8.31446261815324e-3 * 300 * math.log(LEAVE[1] / LEAVE[0])
    for values, errors, expected in (
        ([one.fraction for one in found], [one.fraction_error for one in found], LEAVE[1] / sum(LEAVE)),
        ([one.times[0] for one in found], [one.time_errors[0] for one in found], 0.5 / LEAVE[0]),
        ([one.times[1] for one in found], [one.time_errors[1] for one in found], 0.5 / LEAVE[1]),
        ([one.free_energy for one in found], [one.free_energy_error for one in found], energy),
    ):
        scatter = np.std(values, ddof=1)
        assert abs(np.mean(values) - expected) < 4 * scatter / math.sqrt(len(found)) + 0.01 * abs(expected)
        assert np.mean(errors) == pytest.approx(scatter, rel=0.2)


def test_the_table_of_results_says_the_same():
    """Of one seed, MD of all seeds is that MD; its two rows, made by different code, agree."""
    data = two_states(np.random.default_rng(2), 5, 2000)
    one = asdict(two_state_kinetics(data, "x", (0.1, 0.9), temperature=315.0))
    row = {"system": "trp_cage", "label": 315.0, "two_states": {"md": one, "generated": one}}
    md, generated = (line.split("|")[3:] for line in rates_table([row]).splitlines()[2:])
    assert md == generated


def test_cores_may_lie_either_way_and_no_event_crosses_a_seam():
    data = FeatureTrajectories([[[0, 0.0], [0, 0.0]], [[0, 1.0], [0, 0.5]]], SCHEMA)
    up, down = two_state_kinetics(data, "x", (0.1, 0.9)), two_state_kinetics(data, "x", (0.9, 0.1))
    assert up.n_events == down.n_events == (0, 0)
    assert up.fraction == down.fraction == 0.5
    assert math.isnan(up.times[0])
    assert up.free_energy_error == math.inf


def test_one_state_only():
    data = FeatureTrajectories([np.zeros((5, 2))], SCHEMA)
    assert two_state_kinetics(data, "x", (0.1, 0.9)).free_energy == -math.inf
    assert two_state_kinetics(data, "x", (0.9, 0.1)).free_energy == math.inf


@pytest.mark.parametrize(
    ("feature", "cores", "message"),
    [
        ("y", (0.1, 0.9), "expected one of phi, x, found 'y'"),
        ("phi", (0.1, 0.9), "found the angle 'phi'"),
        ("x", (0.5, 0.5), r"found \(0.5, 0.5\)"),
        ("x", (0, 1, 2), r"found \(0, 1, 2\)"),
        ("x", (math.nan, 1.0), r"found \(nan, 1.0\)"),
        ("x", (-2.0, 2.0), "never is in either"),
    ],
)
def test_what_cannot_be_measured(feature, cores, message):
    with pytest.raises(InputError, match=message):
        two_state_kinetics(FeatureTrajectories([np.zeros((5, 2))], SCHEMA), feature, cores)


@pytest.mark.parametrize("temperature", [-5, 0, math.inf, math.nan])
def test_temperatures_that_there_are_not(temperature):
    with pytest.raises(InputError, match=f"^temperature: expected a positive number of kelvin, found {temperature}"):
        two_state_kinetics(FeatureTrajectories([np.zeros((5, 2))], SCHEMA), "x", (0.1, 0.9), temperature=temperature)


def test_unknown_frame_interval():
    schema = FeatureSchema(names=("x",), units=("nm",), periods=(None,))
    with pytest.raises(InputError, match="frame interval"):
        two_state_kinetics(FeatureTrajectories([np.zeros((5, 1))], schema), "x", (0.1, 0.9))
