import numpy as np
import pytest

from openmm_trajgan.analysis.verdict import judge, md_spread
from openmm_trajgan.analysis.yardstick import Score


def score(value, unit="nat", **missing):
    return Score("s", "dynamics", unit, "meaning", value, **missing)


@pytest.mark.statistical
@pytest.mark.parametrize("unit", ["nat", "ratio"])
def test_independent_md_is_outside_once_in_twenty(unit):
    """Log-normal figures, 6 groups of σ = 0.1: 4000 further runs lie inside with 95 %, s.e. √(0.95·0.05/4000) = 0.0034."""
    rng = np.random.default_rng(1)
    figures = np.exp(0.1 * rng.normal(size=(4000, 7)))
    spreads = np.array([md_spread(row[:6], unit) for row in figures])
    inside = np.mean((spreads[:, 0] <= figures[:, 6]) & (figures[:, 6] <= spreads[:, 1]))
    assert abs(inside - 0.95) < 4 * 0.0034


def test_one_group_stands_for_a_factor_of_two():
    assert md_spread(np.array([0.9]), "ratio") == pytest.approx((0.45, 1.8))
    assert md_spread(np.array([0.01]), "nat") == pytest.approx((0.0, 0.02))


def test_two_groups_that_scatter_do_not_excuse_everything():
    assert md_spread(np.array([0.5, 2.0]), "ratio") == pytest.approx((0.25, 4.0))


def test_verdicts():
    md = [score(0.01), score(0.012), score(0.011)]
    assert judge(score(0.011), md, None).verdict == "within"
    assert judge(score(0.0), md, None).verdict == "within"
    outside = judge(score(0.5), md, score(0.009))
    assert (outside.verdict, outside.train) == ("outside", 0.009)
    assert outside.excess == pytest.approx(0.5 / outside.spread[1])
    assert judge(score(0.011), [], None).verdict == "not judged"


def test_a_missing_number_tells_only_where_it_is_conclusive():
    md = [score(0.9, "ratio"), score(1.1, "ratio"), score(None, "ratio", reason="is short")]
    silent = judge(score(None, "ratio", reason="is short"), md, None)
    telling = judge(score(None, "ratio", reason="is fast", conclusive=True), md, None)
    assert (silent.verdict, telling.verdict) == ("not judged", "outside")
    assert telling.excess == np.inf
    assert telling.md == (0.9, 1.1, None)
    assert telling.remark == "is fast"


def test_figures_of_zero_do_not_divide():
    figure = judge(score(0.1), [score(0.0), score(0.0)], None)
    assert figure.verdict == "outside"
    assert figure.excess == np.inf
