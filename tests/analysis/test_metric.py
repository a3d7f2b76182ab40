"""What every metric of the audit promises, and the figures they are made of."""

import tracemalloc
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from processes import torsion_surface, triple_well

from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.coverage import Coverage
from openmm_trajgan.analysis.densities import Densities, Observable
from openmm_trajgan.analysis.displacements import Displacements
from openmm_trajgan.analysis.distributions import columns
from openmm_trajgan.analysis.kinetics import Microstates, implied_timescales
from openmm_trajgan.analysis.markov import MarkovModels
from openmm_trajgan.analysis.metric import NOUNS, Figure
from openmm_trajgan.analysis.novelty import NearestTrainingWindow
from openmm_trajgan.analysis.relaxation import Relaxation
from openmm_trajgan.schema import FeatureTrajectories

LENGTH = 250  # of a block
PROCESSES = {"line": triple_well, "angles": torsion_surface}
METRICS = ("densities", "displacements", "relaxation", "markov", "novelty", "coverage")
BLOCKWISE = ("novelty",)  # looks up as many windows in every block, so another cut looks up others
OF_THE_DATA_ALONE = ("Chapman–Kolmogorov error",)
BEST = {"divergence": 0, "ratio": 1, "difference": 0, "share": 1}


def observable(schema, names, sets):
    def coordinates(values):
        return columns(FeatureTrajectories([values], schema), names)

    return Observable.over(", ".join(names), coordinates, sets)


@pytest.fixture(scope="module", params=PROCESSES)
def sets(request):
    """Reference, other data at another temperature, training data, and what was fitted on the reference."""
    process = PROCESSES[request.param]
    simulate = partial(process, 4, rng=np.random.default_rng(1))
    reference, data, train = simulate(3000), simulate(2001, temperature=1.2), simulate(2500)
    return reference, data, train


@pytest.fixture(scope="module")
def metrics(sets):
    reference, _, train = sets
    blocks = [Blocks.cut(one, LENGTH) for one in sets]
    names = reference.schema.names
    microstates = Microstates.fit(reference, 20)
    markov = MarkovModels.fit(blocks[0], microstates, implied_timescales(reference, microstates=microstates), 300.0)
    return {
        "densities": Densities(tuple(observable(reference.schema, one, blocks) for one in ((names[0],), (names[1],), names))),
        "displacements": Displacements.fit(blocks[0], tuple(blocks)),
        "relaxation": Relaxation.fit(blocks[0]),
        "markov": markov,
        "novelty": NearestTrainingWindow.fit(reference, train, queries_per_block=20),
        "coverage": Coverage(microstates, markov.lag),
    }


@pytest.fixture(params=METRICS)
def metric(request, metrics):
    return metrics[request.param]


@pytest.fixture
def additive(metric, request):
    if request.node.callspec.params["metric"] in BLOCKWISE:
        pytest.skip("takes other windows from other blocks")
    return metric


def test_four_times_the_frames_take_as_much_memory(metric, sets, monkeypatch):
    """In as many blocks. What may grow is the microstate of every frame, a byte."""
    monkeypatch.setattr("openmm_trajgan.analysis.blocks.CHUNK", 2**12)
    monkeypatch.setattr("openmm_trajgan.analysis.training_windows.CHUNK", 2**16)
    peaks, n_frames = [], 20_000
    metric.tally(Blocks.cut(sets[1], LENGTH))  # what is made once
    for times in (1, 4):
        data = FeatureTrajectories([np.tile(sets[1].values[0], (10 * times, 1))], sets[1].schema)
        blocks = Blocks.cut(data, 1000 * times)
        tracemalloc.start()
        metric.tally(blocks)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 1.2 * 3 * n_frames


def resampled(metric, data, n=5, seed=1):
    """Sums of random blocks, ``(n, n_statistics)``."""
    tally = metric.tally(Blocks.cut(data, LENGTH))
    return np.random.default_rng(seed).multinomial(len(tally), np.full(len(tally), 1 / len(tally)), n).astype(float) @ tally


def test_a_tally_has_one_finite_row_for_each_block(metric, sets):
    rows = []
    for data in sets:
        blocks = Blocks.cut(data, LENGTH)
        tally = metric.tally(blocks)
        assert tally.dtype == np.float64
        assert tally.ndim == 2
        assert len(tally) == blocks.n_blocks
        assert np.isfinite(tally).all()
        np.testing.assert_array_equal(tally, metric.tally(blocks))
        rows.append(tally.shape[1])
    assert len(set(rows)) == 1


def test_tallies_add_up_over_blocks(additive, sets):
    for data in sets:
        whole = sum(additive.tally(Blocks.cut(FeatureTrajectories([one], data.schema), len(one)))[0] for one in data)
        for length in (LENGTH, 60, 3001):
            found = additive.tally(Blocks.cut(data, length)).sum(axis=0)
            np.testing.assert_allclose(found, whole, rtol=1e-6, atol=1e-2)


def test_the_order_of_series_does_not_matter(additive, sets):
    reference, data, _ = sets
    turned = FeatureTrajectories(data.values[::-1], data.schema)
    here = resampled(additive, reference, 1)
    sums = [additive.tally(Blocks.cut(one, LENGTH)).sum(axis=0, keepdims=True) for one in (data, turned)]
    np.testing.assert_allclose(*(additive.evaluate(here, one) for one in sums), rtol=1e-4, atol=1e-9)


def test_evaluate_is_that_of_every_row(metric, sets):
    reference, data = (resampled(metric, one) for one in sets[:2])
    found = metric.evaluate(reference, data)
    assert found.shape == (5, len(metric.figures))
    assert found.dtype == np.float64
    rows = [metric.evaluate(one[None], other[None]) for one, other in zip(reference, data, strict=True)]
    assert {row.shape for row in rows} == {(1, len(metric.figures))}
    np.testing.assert_allclose(found, np.concatenate(rows), rtol=1e-9, atol=1e-12)
    assert (found[1:] != found[:-1]).any()


def test_one_row_stands_for_all(metric, sets):
    reference, data = (resampled(metric, one) for one in sets[:2])
    for here, there in ((reference[:1], data), (reference, data[:1])):
        same = np.broadcast_arrays(here, there)
        np.testing.assert_allclose(metric.evaluate(here, there), metric.evaluate(*map(np.array, same)), rtol=1e-9, atol=1e-12)


def test_evaluate_leaves_its_arguments_alone(metric, sets):
    reference, data = (resampled(metric, one, 2) for one in sets[:2])
    kept = reference.copy(), data.copy()
    metric.evaluate(reference, data)
    np.testing.assert_array_equal(reference, kept[0])
    np.testing.assert_array_equal(data, kept[1])


def test_the_reference_itself_is_best_in_every_figure(metric, sets):
    itself = metric.tally(Blocks.cut(sets[0], LENGTH)).sum(axis=0, keepdims=True)
    for figure, value in zip(metric.figures, metric.evaluate(itself, itself)[0], strict=True):
        if figure.name not in OF_THE_DATA_ALONE:
            assert value == pytest.approx(BEST[figure.kind], abs=1e-6), figure.name
            assert figure.discrepancy(np.array([value]))[0] == pytest.approx(0, abs=1e-6)


def test_data_of_another_law_are_worse_in_every_group(metric, sets):
    itself, other = (metric.tally(Blocks.cut(one, LENGTH)).sum(axis=0, keepdims=True) for one in sets[:2])
    values = metric.evaluate(itself, other)[0]
    assert max(figure.discrepancy(np.array([value]))[0] for figure, value in zip(metric.figures, values, strict=True)) > 1e-3


def test_values_are_in_the_range_of_their_kind(metric, sets):
    values = metric.evaluate(resampled(metric, sets[0]), resampled(metric, sets[1], seed=2))
    for figure, column in zip(metric.figures, values.T, strict=True):
        found = column[np.isfinite(column)]
        if figure.kind == "divergence":
            assert (found >= 0).all()
            assert figure.unit != "nat" or (found <= np.log(2) + 1e-12).all()
        elif figure.kind == "ratio":
            assert (found > 0).all()
        elif figure.kind == "share":
            assert (found <= 1 + 1e-12).all()


def odd(data):
    """Data that do not support all numbers."""
    first = data.values[0]
    yield FeatureTrajectories([first[:1]], data.schema)
    yield FeatureTrajectories([np.repeat(first[:1], 2000, axis=0)], data.schema)
    yield FeatureTrajectories([part for one in data for part in np.split(one[:2000], 500)], data.schema)
    yield FeatureTrajectories([one[:1] for one in data], data.schema)
    yield FeatureTrajectories(
        [np.concatenate([np.repeat(first[:1], 1000, axis=0), np.repeat(first[-1:], 1000, axis=0)])], data.schema
    )


def test_no_number_has_a_reason_and_does_not_warn(metric, sets):
    reference = metric.tally(Blocks.cut(sets[0], LENGTH)).sum(axis=0, keepdims=True)
    for data in odd(sets[0]):
        sums = metric.tally(Blocks.cut(data, LENGTH)).sum(axis=0, keepdims=True)
        values = metric.evaluate(reference, sums)
        assert values.shape == (1, len(metric.figures))
        assert not np.isinf(values).any()
        for index in np.flatnonzero(np.isnan(values[0])):
            missing = metric.missing(int(index), reference[0], sums[0])
            assert missing.reason
            assert not missing.reason.endswith(".")
            assert bool(missing.conclusive) in (True, False)


def test_data_that_are_only_short_are_never_condemned(metric, sets):
    """Four frames in a series: MD of such series would have no number either."""
    reference = metric.tally(Blocks.cut(sets[0], LENGTH)).sum(axis=0)
    pieces = FeatureTrajectories([part for one in sets[0] for part in np.split(one[:2000], 500)], sets[0].schema)
    sums = metric.tally(Blocks.cut(pieces, LENGTH)).sum(axis=0)
    for index in np.flatnonzero(np.isnan(metric.evaluate(reference[None], sums[None])[0])):
        assert not metric.missing(int(index), reference, sums).conclusive


def test_all_the_world_is_the_reference_in_any_proportion(additive, sets):
    """Twice the frames of the same data are no other data."""
    reference, data = (resampled(additive, one, 2) for one in sets[:2])
    np.testing.assert_allclose(additive.evaluate(2 * reference, 3 * data), additive.evaluate(reference, data), rtol=1e-3, atol=1e-5)


def test_figures_can_be_told_apart_and_are_explained(metrics):
    figures = [figure for metric in metrics.values() for figure in metric.figures]
    assert len({figure.name for figure in figures}) == len(figures)
    for figure in figures:
        assert figure.group in NOUNS
        assert figure.meaning.endswith(".")
    assert {figure.group for figure in figures} == set(NOUNS)


def test_discrepancies_are_0_at_best_and_grow_either_way():
    expected = {
        "divergence": ([0.0, 0.1, 0.5], [0.0, 0.1, 0.5]),
        "ratio": ([1.0, 2.0, 0.5, 4.0], np.log([1, 2, 2, 4]) ** 2),
        "difference": ([0.0, -2.0, 3.0], [0.0, 4.0, 9.0]),
        "share": ([1.0, 0.9, 0.0], [0.0, 0.1, 1.0]),
    }
    for kind, (values, distances) in expected.items():
        figure = Figure("figure", "dynamics", kind, "Meaning.")
        np.testing.assert_allclose(figure.discrepancy(np.array(values)), distances, atol=1e-12)
        assert np.isnan(figure.discrepancy(np.array([np.nan])))[0]
    assert Figure("figure", "dynamics", "ratio", "Meaning.").discrepancy(np.array([0.0]))[0] == np.inf


@pytest.mark.statistical
def test_discrepancies_fall_like_one_over_the_number_of_frames():
    """Law: means of n normal numbers, as difference and as ratio of exponentials; 4000 each, s.e. of the quotient 3.2 %."""
    rng = np.random.default_rng(1)
    lengths = (100, 200, 400)
    means = [rng.normal(size=(4000, n)).mean(axis=1) for n in lengths]
    for kind, values in (("difference", means), ("ratio", [np.exp(one) for one in means])):
        figure = Figure("figure", "dynamics", kind, "Meaning.")
        found = [figure.discrepancy(one).mean() for one in values]
        for longer, shorter in pairwise(found[::-1]):
            assert abs(shorter / longer / 2 - 1) < 4 * 0.032
