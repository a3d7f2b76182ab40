import numpy as np

from openmm_trajgan.analysis.axes import Curve, TimeAxis
from openmm_trajgan.analysis.lengths import LengthPanel, Worth, lengths, worths


def test_what_is_worth_more_than_can_be_told_is_an_arrow_at_the_edge():
    rows = [Worth("$a$", "dynamics", 100, 50, 200, True), Worth("b", "kinetics", np.inf, 80, np.inf, False)]
    figure = worths(rows, {"generated": 300}, TimeAxis("ps", 2.0))
    axes = figure.axes[0]
    markers = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert [line.get_marker() for line in markers] == ["s", ">"]
    assert markers[0].get_xdata()[0] == 200
    assert markers[1].get_xdata()[0] == axes.get_xlim()[1]
    assert axes.get_yticklabels()[0].get_text() == r"\$a\$"  # a name is no formula


def test_a_length_is_marked_where_it_can_be_told():
    falling = Curve(np.array([1.0, 0.1]), np.array([0.5, 0.05]), np.array([2.0, 0.2]))
    panels = [LengthPanel("f", "divergence", np.array([10.0, 100.0]), falling, 0.5, worth) for worth in (30.0, np.inf)]
    figure = lengths(panels, 100, TimeAxis("ps", 0.1))
    told, untold = figure.axes
    assert len(told.lines) == len(untold.lines) + 1
    assert told.lines[-1].get_xdata()[0] == 3.0
