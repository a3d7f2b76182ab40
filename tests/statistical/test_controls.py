"""The processes have the law they claim, and the controls the defects."""

from dataclasses import replace

import numpy as np
import pytest
from controls import CONTROLS, PROCESS_CONTROLS, WINDOW
from processes import (
    COLLAPSED,
    PROCESSES,
    Process,
    boltzmann,
    defects,
    ornstein_uhlenbeck,
    ornstein_uhlenbeck_probabilities,
    ornstein_uhlenbeck_timescales,
    overpopulating_tilt,
    populations,
    probabilities,
    timescales,
    torsion_surface,
    triple_well,
)

from openmm_trajgan.analysis.kinetics import implied_timescales
from openmm_trajgan.schema import FeatureTrajectories

every_process = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
ARGUMENTS = ({}, {"temperature": 1.3}, {"tilt": 1.0})


@every_process
def test_force_is_the_gradient_of_the_energy(process: Process):
    positions = np.random.default_rng(1).uniform(-2, 2, size=(2, 100))
    for axis, shift in enumerate(1e-5 * np.eye(2)[..., None]):
        slope = (process.energy(positions + shift, 0.3) - process.energy(positions - shift, 0.3)) / 2e-5
        np.testing.assert_allclose(process.force(positions.astype(np.float32), 0.3)[axis], -slope, atol=1e-4)


@every_process
def test_wells_are_populated_and_slow(process: Process):
    assert (populations(process) > 0.08).all()
    slowest = timescales(process, 3)
    assert 100 < slowest[0] < 150
    assert slowest[1] > 2 * slowest[2]
    assert process.well_of(process.centers).tolist() == [0, 1, 2]


@every_process
def test_defects_do_what_they_say(process: Process):
    plain, arguments = populations(process)[process.tilted], defects(process)
    assert set(arguments) == set(PROCESS_CONTROLS)
    assert populations(process, **arguments["overpopulated"])[process.tilted] == pytest.approx(1.2 * plain, rel=1e-6)
    assert populations(process, **arguments["collapsed"])[process.tilted] == pytest.approx(COLLAPSED, rel=1e-6)
    assert overpopulating_tilt(process, 1.0) == pytest.approx(0, abs=1e-6)


@every_process
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_probabilities_add_up(process: Process, arguments: dict[str, float]):
    edges = [np.linspace(*box, 31) for box in process.box]
    shares = probabilities(process, edges, **arguments)
    assert shares.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(probabilities(process, [edges[0], None], **arguments), shares.sum(axis=1), atol=1e-4)
    np.testing.assert_allclose(probabilities(process, [None, edges[1]], **arguments), shares.sum(axis=0), atol=1e-4)
    midpoints, weights = boltzmann(process, **arguments)
    direct, *_ = np.histogram2d(*midpoints.reshape(2, -1), bins=[ends[::3] for ends in edges], weights=weights.ravel())
    np.testing.assert_allclose(probabilities(process, [ends[::3] for ends in edges], **arguments), direct, atol=2e-3)


def test_timescales_against_closed_forms():
    """Harmonic well of stiffness 1 and 2: rates 1, 2, 2, 3 by x, y and x². Free rotors: rates 1, 1, 1, 1, 2."""
    harmonic = replace(triple_well, energy=lambda position, tilt: position[0] ** 2 / 2 + position[1] ** 2)
    harmonic = replace(harmonic, box=np.array([[-5.0, 5.0], [-4.0, 4.0]]))
    rates = 1 / timescales(harmonic, 4, 80) / harmonic.frame_time
    np.testing.assert_allclose(rates, [1, 2, 2, 3], rtol=0.01)
    free = replace(torsion_surface, energy=lambda position, tilt: 0 * position[0])
    np.testing.assert_allclose(1 / timescales(free, 5, 80) / free.frame_time, [1, 1, 1, 1, 2], rtol=0.01)


@pytest.mark.statistical
@every_process
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_simulated_shares_are_those_of_the_law(process: Process, arguments: dict[str, float]):
    """Law: quadrature, wells and 100 bins. 2000 independent replicas of 200 frames; s.e. from replicas, ≤ 0.008 for wells."""
    data = np.stack(process(2000, 200, rng=np.random.default_rng(1), **arguments).values)
    edges = [np.linspace(*box, 11) for box in process.box]
    shares = probabilities(process, edges, **arguments)
    bins = np.stack([np.clip(np.digitize(data[..., axis], edges[axis]) - 1, 0, 9) for axis in (0, 1)])
    cells = bins[0] * 10 + bins[1]
    for found, law in ((process.well_of(data), populations(process, **arguments)), (cells, shares.ravel())):
        for value in np.flatnonzero(law > 0.01):
            means = (found == value).mean(axis=1)
            assert abs(means.mean() - law[value]) < 4.5 * means.std() / np.sqrt(len(means))
    wells = process.well_of(data[:, [0, -1]])
    for frame in (0, 1):  # in equilibrium from the first frame to the last; s.e. √(p(1-p)/2000)
        law = populations(process, **arguments)
        assert (np.abs(np.bincount(wells[:, frame]) / 2000 - law) < 4 * np.sqrt(law * (1 - law) / 2000)).all()


@pytest.mark.statistical
def test_integrator_has_the_right_spread_at_a_finite_step():
    """Law: variance 1/20 for stiffness 20, where Euler-Maruyama at this step gives 5 % more. 2000 replicas, s.e. 0.5 %."""
    stiff = replace(
        triple_well, energy=lambda position, tilt: 10 * (position**2).sum(axis=0), force=lambda position, tilt: -20 * position
    )
    squares = 20 * (np.stack(stiff(2000, 100, rng=np.random.default_rng(1)).values).astype(np.float64) ** 2).mean(axis=1)
    errors = squares.std(axis=0) / np.sqrt(len(squares))
    assert (errors < 0.006).all()
    assert (np.abs(squares.mean(axis=0) - 1) < 4 * errors).all()


@pytest.mark.statistical
@every_process
def test_simulated_timescales_are_those_of_the_generator(process: Process):
    """Law: t2 and t3 of the generator. N = 3 × 10⁵ frames, s.e. t√(2t/N), ≤ 2.8 %, and 2 % for step and microstates."""
    data = process(250, 1200, rng=np.random.default_rng(2))
    law = timescales(process)
    found = implied_timescales(data, [30], n_states=60).values[0]
    assert (np.abs(found / law - 1) < 4 * np.sqrt(2 * law / data.n_frames) + 0.02).all()


@every_process
def test_simulation_is_repeatable_and_bounded(process: Process):
    first, again, other = (process(5, 50, rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert [series.shape for series in first] == [(50, 2)] * 5
    assert first.schema.frame_interval == 1.0
    np.testing.assert_array_equal(first.values, again.values)
    assert (np.stack(first.values) != np.stack(other.values)).all()
    frames = np.concatenate(process(500, 50, rng=np.random.default_rng(3)).values)
    assert ((frames >= process.box[:, 0] - 1e-6) & (frames <= process.box[:, 1] + 1e-6)).all()


@pytest.mark.statistical
def test_ornstein_uhlenbeck():
    """Law: N(3, 1), autocorrelation exp(-k/20). 2000 independent replicas of 200 frames; s.e. from the replicas."""
    data = ornstein_uhlenbeck(2000, 200, 20.0, 3.0, rng=np.random.default_rng(1))
    values = np.stack(data.values)[..., 0].astype(np.float64) - 3.0
    edges = np.array([-10.0, 2.0, 3.0, 4.5, 20.0])
    shares = ornstein_uhlenbeck_probabilities(edges, 3.0)
    assert shares.sum() == pytest.approx(1)
    for low, high, share in zip(edges[:-1], edges[1:], shares, strict=True):
        inside = ((values + 3 > low) & (values + 3 <= high)).mean(axis=1)
        assert abs(inside.mean() - share) < 4 * inside.std() / np.sqrt(2000)
    for lag in (0, 1, 10, 40):
        products = (values[:, : 200 - lag] * values[:, lag:]).mean(axis=1)
        assert abs(products.mean() - np.exp(-lag / 20)) < 4 * products.std() / np.sqrt(2000)
    starts = values[:, 0]
    assert abs(starts.var() - 1) < 4 * np.sqrt(2 / 2000)
    assert ornstein_uhlenbeck_timescales(20.0, 3).tolist() == [20, 10, 20 / 3]


def counted(start: int, lengths: list[int]) -> FeatureTrajectories:
    """Series whose x is the number of the frame over all of them, so that a control shows where each frame came from."""
    numbers = start + np.arange(sum(lengths))
    frames = np.stack([numbers, -numbers], axis=1)
    return FeatureTrajectories(
        np.split(frames, np.cumsum(lengths)[:-1]), triple_well.schema, [f"r{n}" for n in range(len(lengths))]
    )


MD, TRAIN = counted(0, [6400, 3230]), counted(100_000, [5000, 5000])


def made(name: str, md: FeatureTrajectories = MD, train: FeatureTrajectories = TRAIN, seed: int = 1) -> FeatureTrajectories:
    return CONTROLS[name].make(md, train, np.random.default_rng(seed))


def numbers(data: FeatureTrajectories) -> np.ndarray:
    frames = np.concatenate(data.values)
    np.testing.assert_array_equal(frames[:, 0], -frames[:, 1])  # features of one frame stay together
    return frames[:, 0].astype(int)


@pytest.mark.parametrize("name", CONTROLS)
def test_every_control_is_repeatable_and_leaves_its_input_alone(name: str):
    md, train = (triple_well(20, 300, rng=np.random.default_rng(seed)) for seed in (1, 2))
    before = [series.copy() for series in (*md, *train)]
    first, again = made(name, md, train), made(name, md, train)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    for series, copy in zip((*md, *train), before, strict=True):
        np.testing.assert_array_equal(series, copy)
    assert first.schema == md.schema
    assert set(first.replicas) <= set(md.replicas)
    assert not set(CONTROLS[name].flagged_by) & set(CONTROLS[name].passes)


def test_replayed_windows_are_training_windows_each_once():
    replayed = made("replayed_windows")
    assert [len(series) for series in replayed] == [6400, 3230]
    starts = []
    for series in replayed:
        for window in np.split(series[:, 0], np.arange(WINDOW, len(series), WINDOW)):
            np.testing.assert_array_equal(np.diff(window), 1)
            starts.append(int(window[0]))
    assert min(starts) >= 100_000
    assert len(set(starts)) == len(starts)
    assert (np.diff(starts) != WINDOW).mean() > 0.9
    short = numbers(made("replayed_windows", train=counted(100_000, [1000])))
    assert np.bincount(short - 100_000).max() <= 11  # 151 windows of the 15 at hand


def test_ten_percent_replayed():
    found = numbers(made("ten_percent_replayed"))
    original = np.arange(len(found))
    replaced = np.flatnonzero(found != original)
    assert len(replaced) == round(0.1 * 150) * WINDOW
    assert (found[replaced] >= 100_000).all()
    starts = replaced[::WINDOW]
    assert (((starts < 6400) & (starts % WINDOW == 0)) | ((starts - 6400) % WINDOW == 0)).all()
    for start in starts:
        np.testing.assert_array_equal(np.diff(found[start : start + WINDOW]), 1)


def test_time_shuffled_keeps_frames_only():
    found = numbers(made("time_shuffled"))
    np.testing.assert_array_equal(np.sort(found), np.arange(9630))
    assert (np.diff(found) == 1).mean() < 0.01


def test_glued_windows_have_a_seam_every_64_frames():
    glued = made("glued_windows")
    assert [len(series) for series in glued] == [6400, 3200]
    steps = np.diff(numbers(glued)) != 1
    assert set(np.flatnonzero(steps) % WINDOW) == {WINDOW - 1}  # the first series is 100 windows long
    assert steps.sum() > 0.9 * 149
    assert len(set(numbers(glued))) == 9600


@every_process
def test_one_mode_is_the_most_populated_well(process: Process):
    md = process(40, 800, rng=np.random.default_rng(1))
    mode = made("one_mode", md)
    frames = np.concatenate(mode.values)
    assert (process.well_of(frames) == populations(process).argmax()).mean() > 0.9
    assert len(frames) > 0.85 * populations(process).max() * md.n_frames
    for name, series in zip(mode.replicas, mode, strict=True):
        (whole,) = md.select([name])
        order = np.argsort(whole[:, 0], kind="stable")
        places = order[np.searchsorted(whole[order, 0], series[:, 0])]
        assert (np.diff(places) == 1).mean() > 0.8


def test_phase_randomised_keeps_spectra_and_cross_spectra():
    for n_frames in (999, 1000):
        md = triple_well(2, n_frames, rng=np.random.default_rng(1))
        for before, after in zip(md, made("phase_randomised", md), strict=True):
            one, two = (np.fft.rfft(series.astype(np.float64), axis=0) for series in (before, after))
            np.testing.assert_allclose(np.abs(two), np.abs(one), atol=1e-3)
            np.testing.assert_allclose(two[:, 0] * two[:, 1].conj(), one[:, 0] * one[:, 1].conj(), rtol=1e-3, atol=1e-2)
            assert np.corrcoef(before[:, 0], after[:, 0])[0, 1] < 0.9
            assert np.abs(np.angle(two[1:10, 0] / one[1:10, 0])).min() > 1e-3


@pytest.mark.statistical
def test_phase_randomised_is_gaussian():
    """Law of |x| < 0.3: quadrature for MD; for the surrogate the Gaussian of its own mean and spread. s.e. 0.004 at N = 10⁵."""
    md = triple_well(10, 10_000, rng=np.random.default_rng(1))
    before, after = (np.concatenate(data.values)[:, 0].astype(np.float64) for data in (md, made("phase_randomised", md)))
    edges = np.array([-0.3, 0.3])
    assert (np.abs(before) < 0.3).mean() == pytest.approx(probabilities(triple_well, [edges, None])[0], abs=0.016)
    gaussian = ornstein_uhlenbeck_probabilities((edges - after.mean()) / after.std())[0]
    assert gaussian > 0.2
    assert (np.abs(after) < 0.3).mean() == pytest.approx(gaussian, abs=0.016)


def test_phase_randomised_angles_do_not_see_the_seam():
    angles = np.pi + 0.2 * np.random.default_rng(1).standard_normal((2000, 2))
    md = FeatureTrajectories([torsion_surface.schema.wrap(angles)], torsion_surface.schema)
    (surrogate,) = made("phase_randomised", md)
    assert (np.abs(surrogate) <= np.float32(np.pi)).all()
    away = torsion_surface.schema.wrap(surrogate - np.pi)
    np.testing.assert_allclose(away.std(axis=0), (angles - np.pi).std(axis=0), rtol=1e-3)


def test_stretched():
    dropped, duplicated = made("stretched_dropped"), made("stretched_duplicated")
    assert dropped.values[0][:11, 0].tolist() == [0, 1, 2, 3, 5, 6, 7, 9, 10, 11, 13]
    assert duplicated.values[0][:14, 0].tolist() == [0, 0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 10]
    assert [len(series) for series in dropped] == [4924, 2485]
    assert [len(series) for series in duplicated] == [6400, 3230]
    assert dropped.values[0][-1, 0] in (6398, 6399)
