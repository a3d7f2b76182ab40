"""Conditions on the command line: labels of replicas, first and last frames, and anything else that is given."""

import numpy as np
import pytest

from openmm_trajgan import TrajGAN
from openmm_trajgan.errors import InputError
from openmm_trajgan.workflows.labels import labels_by_replica


@pytest.fixture
def labelled(trajgan, train_options, folder_of_npy, tmp_path):
    """Train with one label for each of the three trajectories; path of the model."""

    def make(*labels):
        path = tmp_path / f"{'-'.join(labels)}.trajgan"
        options = [word for label in labels for word in ("--label", label)]
        status, _, err = trajgan("train", folder_of_npy, *train_options, *options, "--out", path)
        assert status == 0, err
        return path

    return make


def test_labels_of_training_and_generation(trajgan, labelled, tmp_path):
    model = labelled("300", "-1.5", "310")
    assert TrajGAN.load(model).bundle.labels.values == (-1.5, 300.0, 310.0)
    arrays = []
    for number, options in enumerate((("--label", "300"), ("--label", "300", "--label", "305.5"))):
        out = tmp_path / f"{number}.npy"
        status, _, err = trajgan("generate", model, "--frames", 20, "--trajectories", 2, "--seed", 1, *options, "--out", out)
        assert status == 0, err
        arrays.append(np.load(out))
    np.testing.assert_allclose(arrays[0][0], arrays[1][0], rtol=1e-5, atol=1e-5)
    assert (arrays[0][1] != arrays[1][1]).any()
    repeated = tmp_path / "repeated.trajgan"
    assert trajgan("train", "--config", f"{model}.config.yaml", "--out", repeated)[0] == 0
    first, second = (TrajGAN.load(path).generate(9, label=300, seed=1).values[0] for path in (model, repeated))
    assert (first == second).all()


def test_labels_in_an_order_that_nobody_expects_are_refused():
    """A buffer sorts replica10 before replica2."""
    names = sorted(f"replica{number}" for number in range(11))
    with pytest.raises(InputError, match="sorted as text, replica0, replica1, replica10, replica2 …; give labels by name"):
        labels_by_replica([300.0] * 11, names)
    by_name = {name: float(number) for number, name in enumerate(names)}
    assert labels_by_replica(by_name, names) == by_name
    for clear in ([f"replica{number}" for number in range(11)], [f"replica{number:04d}" for number in range(11)]):
        assert labels_by_replica([*range(11)], clear) == dict(zip(clear, map(float, range(11)), strict=True))


def test_texts_that_look_like_numbers_stay_texts(trajgan, labelled, tmp_path):
    model = labelled("300", "310", "melted")
    assert TrajGAN.load(model).bundle.labels.values == ("300", "310", "melted")
    status, _, err = trajgan("generate", model, "--frames", 5, "--label", "300", "--out", tmp_path / "g.npy")
    assert status == 0, err


def test_start_end_and_given(trajgan, model, tmp_path):
    end, given = np.array([[0.5, -0.5]]), np.full((9, 2), np.nan)
    given[4, 1] = 0.25
    np.save(tmp_path / "end.npy", end)
    np.save(tmp_path / "given.npy", given)
    options = ("--start", "-0.1,0.2", "--end", tmp_path / "end.npy", "--given", tmp_path / "given.npy")
    out = tmp_path / "gen.npy"
    status, _, err = trajgan("generate", model, "--frames", 9, "--trajectories", 3, *options, "--out", out)
    assert status == 0, err
    generated = np.load(out)
    assert (generated[:, 0] == np.float32([-0.1, 0.2])).all()
    assert (generated[:, -1] == end).all()
    assert (generated[:, 4, 1] == 0.25).all()
    again = tmp_path / "again.npy"
    assert trajgan("generate", "--config", f"{out}.config.yaml", "--out", again)[0] == 0
    assert (np.load(again) == generated).all()


def test_start_of_several_frames_from_a_file(trajgan, model, tmp_path):
    start = np.arange(10.0).reshape(5, 2) / 7
    np.save(tmp_path / "start.npy", start)
    out = tmp_path / "gen.npy"
    assert trajgan("generate", model, "--frames", 30, "--start", tmp_path / "start.npy", "--out", out)[0] == 0
    assert (np.load(out)[0, :5] == start.astype(np.float32)).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--label", 1, "--label", 2), ("labels", "one for each of 3 replicas, found 2")),
        (("--label", 1, "--label", "a", "--label", "a", "--label", 3), ("labels", "3 replicas, found 4")),
        (("--label", "a", "--label", "a", "--label", "a"), ("labels", "at least two different ones")),
        (("--label", 1, "--label", "nan", "--label", 2), ("labels", "finite numbers")),
    ],
)
def test_labels_that_do_not_fit_are_one_line(refused, train_options, folder_of_npy, tmp_path, options, words):
    line = refused("train", folder_of_npy, *train_options, *options, "--out", tmp_path / "m.trajgan")
    assert all(word in line for word in words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--label", 300), ("label: found 300.0", "trained without labels")),
        (("--start", "0.1;0.2"), ("--start 0.1;0.2", "an .npy file or numbers with commas, for example 0.1,-2.5")),
        (("--end", "a,b"), ("--end a,b", "numbers with commas")),
        (("--start", "0.1"), ("start: expected 2 features", "found shape (1, 1)")),
        (("--start", "nan,0.1"), ("start: expected finite values, found nan",)),
        (("--start", "nothing.npy"), ("nothing.npy",)),
        (("--given", "nothing.npy"), ("nothing.npy",)),
        (("--given", "short.npy"), ("given: expected shape (20, 2) or (1, 20, 2), found (3, 2)",)),
        (("--end", "0.1,0.2"), ("end: expected at most 9 frames", "found 20", "longer window_length")),
    ],
)
def test_given_frames_that_do_not_fit_are_one_line(refused, model, tmp_path, options, words):
    np.save(tmp_path / "short.npy", np.zeros((3, 2)))
    line = refused("generate", model, "--frames", 20, *options, "--out", tmp_path / "g.npy")
    assert all(word in line for word in words)


def test_labels_of_a_model_are_named_where_they_are_missing(refused, labelled, tmp_path):
    model = labelled("300", "310", "melted")
    for options, words in (((), ("needs one", "300, 310, melted")), (("--label", "320"), ("one of 300, 310, melted", "found 320"))):
        line = refused("generate", model, "--frames", 5, *options, "--out", tmp_path / "g.npy")
        assert all(word in line for word in words)
