"""Data that support little or nothing: a report that says so, or one line that says what to do; never a traceback."""

import json
import re

import numpy as np
import pytest

OPTIONS = ("--frame-interval", 1.0)

pytestmark = pytest.mark.usefixtures("coarse")


def wells(n_frames, n_features=2, seed=0):
    """Features that jump between -1 and 1, with noise."""
    rng = np.random.default_rng([seed, n_frames])
    shape = (n_frames, n_features)
    return (2 * (np.cumsum(rng.random(shape) < 0.03, axis=0) % 2) - 1 + rng.normal(0, 0.3, shape)).astype(np.float32)


def one_state(seed):
    return np.random.default_rng(seed).normal(size=(600, 2)).astype(np.float32)


def constant(array, column):
    array = array.copy()
    array[:, column] = 0.5
    return array


def not_finite(array, value):
    array = array.copy()
    array[7, 1] = value
    return array


REPORTED = {
    "one state": (one_state(1), one_state(2), one_state(3), "no process outlives the lag"),
    "generated data in one state": (wells(600), one_state(2) / 10 + 1, wells(600, seed=1), "Kinetics"),
    "a constant feature in the reference": (constant(wells(600), 0), wells(600, seed=1), wells(600, seed=2), "constant"),
    "a constant feature in the generated data": (wells(600), constant(wells(600, seed=1), 1), wells(600, seed=2), "constant"),
    "generated data that do not move": (wells(600), np.ones((600, 2), np.float32), wells(600, seed=2), "does not relax"),
    "generated data shorter than the lag": (wells(600), wells(6), wells(600, seed=2), "shorter than"),
    "one feature": (wells(600, 1), wells(600, 1, seed=1), wells(600, 1, seed=2), "feature 0"),
    "two frames": (wells(2), wells(2, seed=1), wells(2, seed=2), "could not be judged"),
    "two frames of one feature": (wells(2, 1), wells(2, 1, seed=1), wells(2, 1, seed=2), "could not be judged"),
    "two generated frames": (wells(600), wells(2), wells(600, seed=2), "could not be judged"),
}


@pytest.mark.parametrize("name", REPORTED)
def test_a_report_says_what_the_data_cannot_support(trajgan, tmp_path, name):
    *sets, expected = REPORTED[name]
    paths = [tmp_path / f"{label}.npy" for label in ("reference", "generated", "train")]
    for path, values in zip(paths, sets, strict=True):
        np.save(path, values)
    report = tmp_path / "report"
    status, out, err = trajgan("audit", *paths[:2], "--train", paths[2], *OPTIONS, "--out", report)
    assert status == 0, err
    page = re.sub(r"data:image/png;base64,[^\"]+", "", (report / "audit.html").read_text())
    assert expected in page
    assert not re.search(r">\s*(nan|inf|None)\b", page)
    content = json.loads((report / "audit.json").read_text())
    assert out.startswith(content["verdict"])
    assert content["warnings"]
    assert (report / "tables" / "figures.csv").exists()


REFUSED = {
    "NaN in the generated data": (wells(50), not_finite(wells(50), np.nan), "generated.npy: frame 7, column 1 is nan"),
    "infinity in the reference": (not_finite(wells(50), np.inf), wells(50, seed=1), "reference.npy: frame 7, column 1 is inf"),
    "a reference that does not move": (np.ones((50, 2)), wells(50), "reference: expected features that change"),
    "two frames of many features": (wells(2, 5), wells(2, 5, seed=1), "reference: expected features that change in its first half"),
    "one frame": (wells(50), wells(1), "generated: expected series of at least 2 frames, found 1"),
    "no frame": (wells(50), wells(0), "generated.npy: expected at least one frame and one feature, found (0, 2)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_judged_is_refused_in_one_line(trajgan, tmp_path, name):
    *sets, expected = REFUSED[name]
    paths = [tmp_path / f"{label}.npy" for label in ("reference", "generated")]
    for path, values in zip(paths, sets, strict=True):
        np.save(path, values)
    status, out, err = trajgan("audit", *paths, *OPTIONS, "--out", tmp_path / "report")
    assert (status, out) == (2, "")
    (line,) = [line for line in err.splitlines() if line.startswith("trajgan:")]
    assert expected in line
    assert not (tmp_path / "report").exists()
