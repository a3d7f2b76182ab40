import re
from dataclasses import replace
from html import escape

import numpy as np
import pytest
from matplotlib.figure import Figure

from openmm_trajgan.analysis.audit import audit
from openmm_trajgan.analysis.pictures import overview, pictures
from openmm_trajgan.analysis.report import render, write_report
from openmm_trajgan.analysis.structure_comparison import StructureComparison, StructureFigure
from openmm_trajgan.analysis.validity_report import ValidityFigure, ValidityReport
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories


@pytest.fixture(scope="module")
def drawn(wells_audit):
    return list(pictures(wells_audit))


@pytest.fixture(scope="module")
def page(wells_audit, drawn):
    return render(wells_audit, drawn=drawn)


def without_pictures(page):
    return re.sub(r"data:image/png;base64,[^\"]+", "", page)


def test_the_page_needs_nothing_else(page, drawn):
    assert page.startswith("<!DOCTYPE html>")
    assert len(page) < 2.5e6
    sources = re.findall(r'src="([^"]{0,40})', page)
    assert len(sources) == len(drawn) > 5
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"https?:|url\(|@import|<script|<link", without_pictures(page))
    inside = re.findall(r'href="#(\w+)"', page)
    assert set(inside) <= set(re.findall(r'id="(\w+)"', page))


def test_everything_from_the_data_is_escaped(page):
    assert "&lt;script&gt;" in page
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "$psi$ &amp; co" in page


def test_the_page_says_what_the_audit_says(page, wells_audit):
    text = re.sub(r"\s+", " ", without_pictures(page))
    assert wells_audit.headline() in page
    for one in wells_audit.groups:
        assert f'id="{one.group}"' in page
        assert one.standing in page
    for one in wells_audit.figures:
        assert escape(one.figure.name, quote=False) in page
    for name, chosen in wells_audit.choices().items():
        assert f"<dt>{name}</dt><dd>{chosen}</dd>" in text
    assert "Nearness to the training data: the generated data beat the bootstrap" in page
    assert "4,000 frames (2 ns) in 2 series" in page
    assert "<dt>seed</dt><dd>0</dd>" in page
    tested = sum(one.verdict != "not judged" for one in wells_audit.figures)
    assert f"Unlike MD: p below {0.01 / tested:.3g}," in text
    assert "In the conventions of MDGen" in page
    assert "120" in text[text.index("Metastable states") :]  # degrees


def test_structures_stand_in_the_page(wells_audit, drawn):
    figures = (
        StructureFigure("bond length", "nm", "Mean of <b>.", 0.1234, 0.05, (0.0, 0.2), (0.0, 0.1), "unlike MD"),
        StructureFigure("handedness", "share of frames", "Share.", reason="no alpha carbon"),
    )
    validity = ValidityReport((ValidityFigure("jump", "nm", "From the <i>frame before.", 0.2, 0.1),), 20, 40, {})
    more = replace(wells_audit, structure=StructureComparison(figures, 20, validity))
    vars(more)["literature"] = wells_audit.literature  # known already
    sketch = Figure(figsize=(2, 1))
    page = render(more, [sketch], drawn[:1])
    assert "0.123" in page
    assert "Mean of &lt;b&gt;." in page
    assert "no alpha carbon" in page
    assert "From the &lt;i&gt;frame before." in page
    assert re.search(r'data-label="ratio"><strong>2</strong>', page)
    assert page.count("<img") == 2
    assert "Generated structure 1" in page


def line(n_features):
    names = tuple(f"d{index}" for index in range(n_features))
    return FeatureSchema(names=names, units=("nm",) * n_features, periods=(None,) * n_features)


def test_one_feature_no_training_data_no_timescale_make_a_report(coarse, tmp_path):
    rng = np.random.default_rng(1)
    noise = [FeatureTrajectories([rng.normal(size=(200, 1))], line(1)) for _ in range(2)]
    result = audit(*noise)
    assert result.yardstick.markov is None
    page = write_report(result, tmp_path).read_text()
    assert "not judged" in page
    assert "implied timescale" in page.lower()
    assert not (tmp_path / "figures" / "implied_timescales.png").exists()
    assert (tmp_path / "tables" / "figures.csv").exists()
    overview(result).draw_without_rendering()


def test_numbers_that_are_missing_are_said_to_be(coarse):
    rng = np.random.default_rng(2)
    moving = [FeatureTrajectories([rng.normal(size=(300, 2))], line(2)) for _ in range(2)]
    still = FeatureTrajectories([np.ones((300, 2))], line(2))
    result = audit(moving[0], still, moving[1])
    assert "surface_1" in [one.name for one in pictures(result)]
    page = render(result, drawn=())
    assert "No number: constant." in page
    assert re.search(r"<strong>–</strong>", page)


def test_of_many_features_the_first_are_shown_and_the_page_says_so(coarse):
    rng = np.random.default_rng(3)
    schema = line(12)
    result = audit(*(FeatureTrajectories([rng.normal(size=(60, 12))], schema) for _ in range(3)))
    page = render(result, drawn=[one for one in pictures(result) if one.name == "profiles"])
    assert "The first 6 of 12 features are shown." in page
    assert re.search(r"<summary>\d+ more, nearer to MD</summary>", page)
