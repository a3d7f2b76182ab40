from itertools import islice

import numpy as np
import pytest

from openmm_trajgan.analysis import plots
from openmm_trajgan.analysis.axes import Coordinate
from openmm_trajgan.analysis.pictures import Picture, overview, pictures, write_pictures

NAMES = [
    "worth",
    "surface_1",
    "profiles",
    "time_series",
    "autocorrelations",
    "displacements",
    "implied_timescales",
    "novelty",
    "lengths",
]


@pytest.fixture(scope="module")
def drawn(wells_audit):
    return list(pictures(wells_audit))


def test_pictures_are_files_of_the_same_bytes_for_the_same_audit(wells_audit, drawn, tmp_path):
    assert [one.name for one in drawn] == NAMES
    paths = write_pictures(wells_audit, tmp_path / "one", drawn)
    assert {path.name for path in paths} == {f"{name}.{kind}" for name in NAMES for kind in ("png", "svg")}
    for path in write_pictures(wells_audit, tmp_path / "two", islice(pictures(wells_audit), 3)):
        assert path.read_bytes() == (tmp_path / "one" / path.name).read_bytes(), path.name
    for path in (tmp_path / "one").glob("*.svg"):
        assert path.stat().st_size < 600_000, path.name
        assert "dc:date" not in path.read_text()


def test_a_format_does_not_depend_on_which_was_made_before(wells_audit, drawn):
    alone = next(pictures(wells_audit))
    assert drawn[0].png  # arranges
    assert alone.svg == drawn[0].svg
    assert alone.png == drawn[0].png


@pytest.mark.parametrize("highest", [0.5, 1.3, 7.0])
def test_labels_stay_within_the_picture(highest):
    edges, surface = (np.linspace(0, 1, 51), np.linspace(0, highest, 51)), np.zeros((50, 50))
    coordinates = Coordinate("native contacts", ""), Coordinate("rmsd", "nm")
    figure = plots.free_energy_surfaces({"MD": surface, "generated": surface}, edges, coordinates)
    assert Picture("surface", "", "", figure, None).png
    figure.draw_without_rendering()
    label = figure.axes[0].yaxis.label.get_window_extent()
    assert label.x0 >= 0
    assert label.y0 >= 0


def test_bands_hold_the_lines(drawn):
    picture = next(one for one in drawn if one.name == "autocorrelations")
    axes = picture.figure.axes[0]
    for line, band in zip(axes.lines[1:], axes.collections, strict=True):
        x, y = line.get_data()
        vertices = band.get_paths()[0].vertices
        inside = [vertices[np.isclose(vertices[:, 0], at)][:, 1] for at in x[1:-1]]
        assert np.mean([low.min() <= value <= low.max() for low, value in zip(inside, y[1:-1], strict=True)]) > 0.9
        assert np.median([np.ptp(one) for one in inside]) > 0.005


def test_overview_shows_a_pair_and_a_stretch(wells_audit):
    figure = overview(wells_audit)
    figure.draw_without_rendering()
    assert [axes.get_title() for axes in figure.axes[:2]] == ["held-out MD", "generated"]
