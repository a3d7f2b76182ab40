from dataclasses import replace

import numpy as np
import pytest

from openmm_trajgan.analysis.floor import FloorCurve
from openmm_trajgan.analysis.metric import Figure, Missing
from openmm_trajgan.analysis.novelty import FIGURES as NOVELTY
from openmm_trajgan.analysis.uncertainty import Estimate
from openmm_trajgan.analysis.verdict import FAILING, SIGNIFICANCE, FigureOfMerit, group_verdict, judged, length_in_words

N = 10_000
LENGTHS = np.geomspace(100, 10_000, 21)
SCATTER = np.linspace(0.9, 1.1, 21)  # of draws about their median
EQUAL = {"generated": N, "given": N}


def off(length):
    """The discrepancy of independent MD of a length."""
    return 1 / length + 1 / N


def figure(name="JSD x", length=None, verdict="like MD", group="distribution", scale=1.0, **arguments):
    """A divergence worth a length of MD."""
    what = Figure(name, group, "divergence", "Meaning.", "nat")
    curve = FloorCurve(what, LENGTHS, scale * off(LENGTHS)[:, None] * SCATTER, N)
    one = FigureOfMerit(what, verdict=verdict, curve=curve, floor=curve.at(N), **arguments)
    if length is None:
        return one
    value = scale * off(length)
    return replace(one, estimate=Estimate(value, value / 2, value * 2), md_equivalent=curve.md_equivalent(value))


def without(reason, conclusive, **arguments):
    missing = Missing(reason, conclusive)
    return figure(missing=missing, verdict="unlike MD" if conclusive else "not judged", **arguments)


@pytest.mark.parametrize("n_tested", [1, 7, 50])
def test_significance_is_divided_by_the_number_of_tested_figures(n_tested):
    threshold = SIGNIFICANCE / n_tested
    tested = [figure(f"figure {index}", p_value=0.9) for index in range(n_tested - 1)]
    shown = FigureOfMerit(Figure("shown", "kinetics", "share", "Meaning.", judged=False), p_value=0.0)
    untested = [shown, figure("none", p_value=None)]
    for p_value, expected in ((0.99 * threshold, "unlike MD"), (1.01 * threshold, "like MD"), (0.0, "unlike MD"), (1.0, "like MD")):
        found = judged([*untested, *tested, figure("last", p_value=p_value)])
        assert [one.figure.name for one in found] == ["shown", "none", *(one.figure.name for one in tested), "last"]
        assert [one.verdict for one in found] == ["not judged", "not judged", *["like MD"] * (n_tested - 1), expected]


@pytest.mark.statistical
def test_md_is_called_unlike_md_once_in_a_hundred_reports():
    """Law: 20 independent uniform p-values, P(any < 0.01/20) = 0.00995. 5000 reports: s.e. 0.0014."""
    what = Figure("JSD x", "distribution", "divergence", "Meaning.")
    reports = np.random.default_rng(1).random((5000, 20)).tolist()
    wrong = [any(one.verdict == "unlike MD" for one in judged([FigureOfMerit(what, p_value=p) for p in row])) for row in reports]
    assert abs(np.mean(wrong) - 0.00995) < 4 * 0.0014


def test_nothing_tested_is_nothing_judged():
    assert judged([]) == ()


def test_a_group_in_which_no_figure_is_unlike_md():
    found = group_verdict("distribution", [figure(length=8000), figure("JSD y", 8000)], EQUAL, 0.2)
    assert found.standing == "indistinguishable from MD"
    assert found.md_equivalent.value == pytest.approx(8000, rel=0.05)
    assert found.sentence == "Distributions: indistinguishable from MD; the figures are those of about 1.6 ns of MD."


def test_a_group_without_verdicts_says_why():
    found = group_verdict("kinetics", [without("has no series longer than the lag of 5 frames", False)], EQUAL, None)
    assert (found.standing, found.md_equivalent) == ("not judged", None)
    assert found.sentence == "Kinetics: not judged; has no series longer than the lag of 5 frames."
    empty = group_verdict("coverage", [], EQUAL, None)
    assert empty.sentence == "Coverage: not judged; the data support no figure."


@pytest.mark.parametrize(("length", "standing"), [(1500, "worth less than MD"), (500, "fails")])
def test_a_group_is_worth_a_length_or_fails_below_a_tenth(length, standing):
    found = group_verdict("dynamics", [figure(length=length, verdict="unlike MD", group="dynamics")], EQUAL, 0.2)
    assert found.standing == standing
    assert found.md_equivalent.value == pytest.approx(length, rel=0.1)
    if standing == "fails":
        assert found.sentence == "Dynamics: fails because JSD x is 0.0021 (MD of that length 0.00018 to 0.00022)."
    else:
        assert found.sentence.startswith("Dynamics: worth 300 ps of MD of 2 ns; JSD x is 0.000767 (MD of that length")


@pytest.mark.parametrize(("generated", "given"), [(N, 4000), (4000, N)])
def test_the_shorter_of_the_given_and_the_generated_data_counts(generated, given):
    one = figure(length=500, verdict="unlike MD")
    assert group_verdict("dynamics", [one], {"generated": generated, "given": given}, None).standing == "worth less than MD"
    assert FAILING * N > 500  # by the longer one they would fail


def test_the_worst_figure_is_named_first_and_no_more_than_two():
    figures = [figure(name, length, "unlike MD") for name, length in (("c", 3000), ("a", 100), ("b", 1000), ("d", 4000))]
    found = group_verdict("distribution", figures, EQUAL, None)
    because = found.sentence.split("; ", 1)[-1].removeprefix("Distributions: fails because ")
    assert because.startswith("a is ")
    assert ", b is " in because
    assert "c is" not in found.sentence
    assert "d is" not in found.sentence


def test_the_worst_figures_weigh_most_and_units_do_not_matter():
    """Mean discrepancy of 100 and 10 000 frames, each in units of its scatter: ((1/100 + 1/N) + 2/N)/2 = 1/n + 1/N."""
    for scale in (1.0, 1000.0):
        figures = [figure("a", 100, "unlike MD"), figure("b", 10_000, scale=scale)]
        expected = 1 / ((off(100) + off(10_000)) / 2 - 1 / N)
        assert group_verdict("distribution", figures, EQUAL, None).md_equivalent.value == pytest.approx(expected, rel=0.1)


def test_a_missing_number_that_is_conclusive_fails():
    figures = [without("never leaves state A", True), figure("b", 10_000)]
    found = group_verdict("kinetics", figures, EQUAL, None)
    assert found.standing == "fails"
    assert found.md_equivalent == Estimate(0.0, 0.0, 0.0)
    assert found.sentence == "Kinetics: fails because JSD x has no number: it never leaves state A."


def test_a_bound_beside_which_md_scatters_little_fails_and_one_that_md_reaches_counts_as_a_number():
    rest = [figure("b", 10_000)]
    for length, verdict, standing in ((10, "unlike MD", "fails"), (5_000, "like MD", "indistinguishable from MD")):
        number = figure("a", length, verdict)
        bound = replace(number, estimate=None, missing=Missing("does not relax", bound=number.value))
        found = group_verdict("dynamics", [bound, *rest], EQUAL, None)
        assert found.standing == standing
        if verdict == "like MD":
            assert found == group_verdict("dynamics", [number, *rest], EQUAL, None)
        else:
            assert found.md_equivalent == Estimate(0.0, 0.0, 0.0)


def test_a_missing_number_that_is_not_conclusive_changes_nothing():
    rest = [figure("b", 9000)]
    alone, beside = (group_verdict("kinetics", more + rest, EQUAL, None) for more in ([], [without("is short", False)]))
    assert alone == beside


def test_a_group_whose_md_supports_no_length_fails_on_any_difference():
    what = Figure("JSD x", "distribution", "divergence", "Meaning.", "nat")
    curve = FloorCurve(what, LENGTHS, np.full((21, 20), np.nan), N)
    one = FigureOfMerit(what, Estimate(0.5, 0.4, 0.6), verdict="unlike MD", curve=curve)
    found = group_verdict("distribution", [one], EQUAL, None)
    assert (found.standing, found.md_equivalent) == ("fails", None)
    assert found.sentence == "Distributions: fails because JSD x is 0.5."


def novelty(index, value, verdict="unlike MD"):
    return FigureOfMerit(NOVELTY[index], Estimate(value, value, value), verdict=verdict)


@pytest.mark.parametrize(
    ("index", "value", "nearer"),
    [(1, -0.2, True), (1, 0.2, False), (2, 0.5, True), (2, 2.0, False), (3, 0.5, True), (4, 0.2, True)],
)
def test_copying_is_told_from_being_off_the_manifold(index, value, nearer):
    found = group_verdict("copying", [novelty(0, 3.0, "not judged"), novelty(index, value)], EQUAL, None)
    assert (found.standing, found.md_equivalent) == ("fails", None)
    name = NOVELTY[index].name
    why = "windows are nearer to the training data than those of MD" if nearer else "no sign of copying, but windows unlike MD"
    assert found.sentence == f"Nearness to the training data: fails, {why}; {name} is {value:.3g}."


def test_no_copying():
    found = group_verdict("copying", [novelty(1, 0.01, "like MD"), novelty(2, 1.1, "like MD")], EQUAL, None)
    assert (found.standing, found.md_equivalent) == ("indistinguishable from MD", None)
    assert found.sentence == "Nearness to the training data: indistinguishable from MD."


@pytest.mark.parametrize(
    ("n_frames", "interval", "expected"),
    [
        (1000, None, "1,000 frames"),
        (98_765, None, "99,000 frames"),
        (10, 0.2, "2 ps"),
        (4999, 0.2, "1,000 ps"),
        (4_500_000, 1.0, "4.5 µs"),
        (2_500_000, 100.0, "250 µs"),
        (1, 0.002, "0.002 ps"),
        (np.inf, 1.0, "more than can be told"),
        (np.nan, None, "more than can be told"),
    ],
)
def test_lengths_in_words(n_frames, interval, expected):
    assert length_in_words(n_frames, interval) == expected
