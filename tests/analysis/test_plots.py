from itertools import pairwise

import numpy as np
import pytest

from openmm_trajgan.analysis import plots
from openmm_trajgan.analysis.axes import Coordinate, Curve, TimeAxis

PHI, D = Coordinate("phi", "rad", 2 * np.pi), Coordinate("d", "nm")


def curve(values):
    values = np.asarray(values, dtype=float)
    return Curve(values, values - 0.1, values + 0.1)


def band(axes, index=0):
    return axes.collections[index].get_paths()[0].vertices


def test_surfaces_share_one_colour_scale_and_their_difference_is_generated_minus_reference():
    edges = (np.linspace(-np.pi, np.pi, 11), np.linspace(0, 5, 11))
    surface = np.full((10, 10), np.inf)
    surface[2, 7] = 0.0
    other = surface + 3
    other[4, 4] = 1.0
    figure = plots.free_energy_surfaces({"MD": surface, "generated": other}, edges, (PHI, D), {"A": (1.0, 2.0)})
    first, second, difference = figure.axes[:3]
    assert first.get_xlim() == (-180, 180)
    assert (first.get_xlabel(), first.get_ylabel()) == ("phi / °", "d / nm")
    assert first.collections[0].get_clim() == second.collections[0].get_clim()
    drawn = first.collections[0].get_array()
    assert not drawn.mask[7, 2]  # first feature along x
    assert drawn.mask.sum() == 99
    low, high = difference.collections[0].get_clim()
    assert low == -high
    shown = difference.collections[0].get_array()
    assert shown.compressed().tolist() == [3.0]  # only where both have been
    assert [text.get_text() for text in first.texts] == ["A"]
    assert first.texts[0].get_position()[0] == pytest.approx(180 / np.pi)


def test_profiles_show_bands_and_leave_out_what_was_never_visited():
    free_energy = np.array([np.inf, 1.0, 0.0, 2.0])
    curves = {"MD": {"d": curve(free_energy)}, "generated": {"d": curve(free_energy + 1)}}
    figure = plots.free_energy_profiles(curves, {"d": np.linspace(0, 4, 5)}, {"d": D})
    line = figure.axes[0].lines[0]
    assert np.isnan(line.get_ydata()[0])
    assert line.get_xdata().tolist() == [0.5, 1.5, 2.5, 3.5]
    assert len(figure.axes[0].collections) == 2


def test_time_series_share_their_scales():
    series = {"MD": np.zeros((50, 2)), "generated": np.full((50, 2), 3.0)}
    figure = plots.time_series(series, [PHI, D], TimeAxis("ps", 2.0))
    limits = [axes.get_ylim() for axes in figure.axes]
    assert limits[0] == limits[1] == (-180, 180)
    assert limits[2] == limits[3]
    assert figure.axes[2].lines[0].get_xdata()[-1] == 49 * 2.0


def test_long_series_are_thinned():
    figure = plots.time_series(dict.fromkeys(("MD", "generated"), np.zeros((100_000, 1))), [D], TimeAxis("ps", 1.0))
    assert len(figure.axes[0].lines[0].get_xdata()) <= plots.LONGEST_STRETCH


def test_autocorrelations_carry_their_bands():
    values = np.linspace(1, 0, 20)[:, None]
    figure = plots.autocorrelations({"MD": curve(values), "generated": curve(values)}, np.arange(20), ["d"], TimeAxis("ps", 2.0))
    vertices = band(figure.axes[0])
    at_the_end = vertices[np.isclose(vertices[:, 0], 38.0)][:, 1]
    assert (at_the_end.min(), at_the_end.max()) == pytest.approx((-0.1, 0.1))


def test_displacements_have_a_row_per_feature_and_a_column_per_number_of_frames():
    edges = {1: [np.linspace(-1, 1, 5)] * 2, 4: [np.linspace(-2, 2, 5)] * 2}
    shares = curve([0.0, 0.5, 0.5, 0.0])
    curves = {name: {(steps, row): shares for steps in edges for row in range(2)} for name in ("MD", "generated")}
    figure = plots.displacements(curves, edges, [PHI, D], TimeAxis("ps", 0.2))
    assert [axes.get_title() for axes in figure.axes] == ["1 frame (0.2 ps)", "4 frames (0.8 ps)", "", ""]
    assert figure.axes[0].get_yscale() == "log"
    assert figure.axes[2].get_xlabel().split() == ["change", "of", "d", "/", "nm"]


def test_long_names_stand_apart():
    name = Coordinate("ligand displacement", "nm")
    edges = {steps: [np.linspace(-1, 1, 5)] for steps in (1, 4, 16, 64)}
    curves = {title: {(steps, 0): curve([0.0, 0.5, 0.5, 0.0]) for steps in edges} for title in ("MD", "generated")}
    beside = plots.displacements(curves, edges, [name], TimeAxis("ps", 8.0))
    frames = np.random.default_rng(1).uniform(size=(100, 2))
    above = plots.time_series({"MD": frames, "generated": frames}, [name, name], TimeAxis("ps", 8.0))
    for figure, axis in ((beside, "xaxis"), (above, "yaxis")):
        figure.draw_without_rendering()
        boxes = [getattr(axes, axis).label.get_window_extent() for axes in figure.axes]
        assert not any(first.overlaps(second) for first, second in pairwise(boxes))


def test_timescales_stand_in_units_of_time_with_the_lag_marked():
    values = np.array([[10.0], [20.0], [np.nan]])
    curves = {"MD": curve(values), "generated": curve(values)}
    figure = plots.implied_timescales(curves, np.array([1, 2, 5]), TimeAxis("ps", 0.5), lag=2)
    axes = figure.axes[0]
    assert axes.lines[0].get_ydata()[:2].tolist() == [5.0, 10.0]
    assert axes.lines[-1].get_xdata()[0] == 1.0


def test_timescales_that_are_missing_everywhere_still_make_a_picture():
    nothing = Curve(*(np.full((3, 2), np.nan),) * 3)
    figure = plots.implied_timescales({"MD": nothing, "generated": nothing}, np.array([1, 2, 5]), TimeAxis("frames", 1.0))
    figure.draw_without_rendering()
    assert [axes.get_title() for axes in figure.axes] == ["t2"]


def test_a_process_without_a_number_has_no_panel():
    values = np.array([[10.0, np.nan], [20.0, np.nan]])
    figure = plots.implied_timescales({"MD": curve(values), "generated": curve(values)}, np.array([1, 2]), TimeAxis("ps", 0.5))
    assert [axes.get_title() for axes in figure.axes] == ["t2"]


def test_copies_stand_apart_from_distances():
    edges = np.geomspace(0.1, 10, 5)
    figure = plots.nearest_windows({"MD": np.array([0, 0, 0.5, 0.5, 0]), "generated": np.array([0.7, 0, 0.3, 0, 0])}, edges)
    axes = figure.axes[0]
    bars = [patch for patch in axes.patches if getattr(patch, "get_height", None)]
    assert [bar.get_height() for bar in bars] == [0, 0.7]
    assert all(bar.get_x() + bar.get_width() < edges[1] for bar in bars)
    assert [text.get_text() for text in axes.texts] == ["copies"]
    nothing_copied = plots.nearest_windows({"MD": np.array([0, 0, 0.5, 0.5, 0]), "generated": np.array([0, 0, 1, 0, 0])}, edges)
    assert not nothing_copied.axes[0].texts
