import numpy as np
import pytest

from openmm_trajgan.analysis import plots
from openmm_trajgan.schema import FeatureSchema


@pytest.fixture
def mixed():
    return FeatureSchema(names=("phi", "d"), units=("rad", "nm"), periods=(2 * np.pi, None), frame_interval=2.0)


def test_torsions_in_degrees_and_one_colour_scale(mixed):
    edges = (np.linspace(-np.pi, np.pi, 11), np.linspace(0, 5, 11))
    surface = np.full((10, 10), np.inf)
    surface[2, 7] = 0.0
    figure = plots.free_energy_surfaces({"MD": surface, "generated": surface + 3}, edges, ("phi", "d"), mixed)
    first, second = figure.axes[:2]
    assert first.get_xlim() == (-180, 180)
    assert (first.get_xlabel(), first.get_ylabel()) == ("phi / °", "d / nm")
    assert first.collections[0].get_clim() == second.collections[0].get_clim()
    drawn = first.collections[0].get_array()
    assert not drawn.mask[7, 2]  # first feature along x
    assert drawn.mask.sum() == 99


def test_time_series_share_their_scales(mixed):
    series = {"MD": np.zeros((50, 2), dtype=np.float32), "generated": np.full((50, 2), 3, dtype=np.float32)}
    figure = plots.time_series(series, ("phi", "d"), mixed)
    limits = [axes.get_ylim() for axes in figure.axes]
    assert limits[0] == limits[1] == (-180, 180)
    assert limits[2] == limits[3]
    assert figure.axes[0].lines[0].get_xdata()[-1] == 49 * 2.0


def test_autocorrelation_band_is_the_range_of_md(mixed):
    curves = [np.stack([np.linspace(1, end, 20)] * 2, axis=1) for end in (0.0, 0.2, 0.4)]
    figure = plots.autocorrelations(curves[0], curves[1], curves, ("d",), mixed)
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    at_the_end = band[np.isclose(band[:, 0], 19 * 2.0)][:, 1]
    assert (at_the_end.min(), at_the_end.max()) == pytest.approx((0.0, 0.4))


def test_timescales_that_are_missing_everywhere_still_make_a_picture(mixed):
    nothing = np.full((3, 2), np.nan)
    figure = plots.implied_timescales(np.array([1, 2, 5]), nothing, nothing, [nothing], mixed)
    figure.draw_without_rendering()
    assert [axes.get_title() for axes in figure.axes] == ["t2", "t3"]
