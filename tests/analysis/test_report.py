import re

import numpy as np
import pytest

from openmm_trajgan.analysis.audit import audit
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories


@pytest.fixture(scope="module")
def page(wells, tmp_path_factory):
    schema = FeatureSchema(
        names=("<script>", "$psi$ & co"), units=("rad", "rad"), periods=(2 * np.pi, 2 * np.pi), frame_interval=0.5
    )
    reference, generated, train = (
        FeatureTrajectories(wells(seed, replicas, 5000).values, schema, None, {"note": "<img src=x onerror=alert(1)>"})
        for seed, replicas in ((1, 1), (2, 2), (3, 4))
    )
    path = tmp_path_factory.mktemp("report") / "audit.html"
    audit(reference, generated, train).to_html(path)
    return path.read_text()


def test_the_page_needs_nothing_else(page):
    assert page.startswith("<!DOCTYPE html>")
    assert len(page) < 2e6
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', page)
    assert len(sources) == 5
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "http" not in re.sub(r"data:image/png;base64,[^\"]+", "", page)


def test_everything_from_the_data_is_escaped(page):
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "$psi$ &amp; co" in page


def test_the_page_says_what_was_compared_and_with_which_seed(page):
    assert "5,000 frames (2.5 ns) in one series" in page
    assert "10,000 frames (5 ns) in 2 series" in page
    assert "4 groups of 5,000 frames, from the training MD" in page
    assert "<dt>seed</dt><dd>0</dd>" in page
    for heading in (
        "Distributions",
        "Dynamics",
        "Kinetics",
        "Time series",
        "Autocorrelation",
        "Implied timescales",
        "Provenance",
    ):
        assert heading in page


def test_one_feature_many_features_and_missing_numbers_make_a_page(line, tmp_path):
    rng = np.random.default_rng(1)
    schema = FeatureSchema(names=tuple(f"d{i}" for i in range(11)), units=("nm",) * 11, periods=(None,) * 11)
    many = FeatureTrajectories([rng.normal(size=(60, 11))], schema)
    audit(many, many).to_html(tmp_path / "many.html")
    text = (tmp_path / "many.html").read_text()
    assert "<summary>2 more</summary>" in text
    assert "The first 6 of 11 features are shown." in text
    single = FeatureTrajectories([[[0.0], [1.0], [1.0]]], line)
    train = FeatureTrajectories([[[1.0], [0.0], [1.0]]], line)
    audit(single, single, train).to_html(tmp_path / "single.html")
    assert "–" in (tmp_path / "single.html").read_text()
