import math

import numpy as np
import pytest
import torch

from openmm_trajgan import FeatureSchema, FeatureTrajectories, TrajGAN
from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import InputError

SCHEMA = FeatureSchema(names=("x",), units=("nm",), periods=(None,), frame_interval=1.0)


def data(*lengths):
    rng = np.random.default_rng(0)
    return FeatureTrajectories([rng.normal(size=(length, 1)) for length in lengths], SCHEMA)


@pytest.mark.parametrize(("lengths", "context_length"), [((9, 40, 40), 0), ((12, 40), 3), ((40, 40), 31), ((100, 100), 64)])
def test_all_but_a_tenth_of_the_frames_are_learned_from(lengths, context_length):
    gan = TrajGAN(window_length=8).fit(data(*lengths), steps=2, seed=1, progress=False)
    assert gan.bundle.generator.config.context_length == context_length


def test_a_short_piece_does_not_set_the_context():
    """Such as a crash leaves; it would take the context of the whole model away."""
    with pytest.warns(UserWarning, match=r"1 of 2 .* its context of 64 frames and one frame \(73\) and are left out: 9 of 409"):
        gan = TrajGAN(window_length=8).fit(data(9, 400), steps=2, seed=1, progress=False)
    assert gan.bundle.generator.config.context_length == 64


def test_no_condition_is_left_out():
    """Half of the frames at each condition are learned from, so the shortest condition sets the context."""
    replicas = FeatureTrajectories([*data(1000, 1000, 60).values, np.zeros((10, 1))], SCHEMA, ["a", "b", "c", "d"])
    with pytest.warns(UserWarning, match="1 of 4 trajectories are shorter"):
        gan = TrajGAN(8).fit(replicas, labels=["x", "y", "z", "z"], steps=2, seed=1, progress=False)
    assert gan.bundle.generator.config.context_length == 60 - 9
    assert (gan.training_record["replicas"], gan.training_record["n_frames"]) == (["a", "b", "c"], 2060)
    with pytest.raises(InputError, match="needs trajectories of at least 17 frames, the longest at w has 10"):
        TrajGAN(16).fit(replicas, labels=["x", "y", "z", "w"], steps=2)


def test_the_range_is_that_of_all_frames():
    """Also of one frame in so many that no window that scales are measured on holds it."""
    series = data(500_000).values[0].copy()
    series[70_000] = 50.0
    gan = TrajGAN(window_length=8, context_length=0).fit(FeatureTrajectories([series], SCHEMA), steps=2, seed=1, progress=False)
    encoding = gan.bundle.generator.encoding
    extremes = encoding.reduce(torch.tensor([[series.min()], [50.0]]))
    torch.testing.assert_close(torch.stack([encoding.low, encoding.high]), extremes)


def test_trajectories_too_short_are_named():
    with pytest.warns(UserWarning, match="1 of 2 trajectories are shorter .* are left out: 8 of 48"):
        TrajGAN(window_length=8).fit(data(8, 40), steps=2, seed=1, progress=False)
    with pytest.raises(InputError, match="needs trajectories of at least 9 frames, the longest has 8"):
        TrajGAN(window_length=8).fit(data(8), steps=2)


def test_minutes_can_be_repeated_in_steps():
    timed = TrajGAN(window_length=8).fit(data(60), minutes=0.005, seed=1, progress=False)
    record = timed.training_record
    steps = record["n_likelihood_steps"] + record["n_adversarial_steps"]
    again = TrajGAN(window_length=8).fit(data(60), steps=steps, seed=1, progress=False)
    assert (timed.generate(30, seed=2).values[0] == again.generate(30, seed=2).values[0]).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TrajGAN(window_length=3), "window_length: expected a whole number from 4 on, found 3"),
        (lambda: TrajGAN(window_length=8.5), "window_length: expected a whole number from 4 on, found 8.5"),
        (lambda: TrajGAN(context_length=-1), "context_length: expected a whole number from 0 on, found -1"),
        (lambda: TrajGAN(device="banana"), "device 'banana' is not available here"),
        (lambda: TrajGAN.load("m.trajgan", "cuda:7"), "device 'cuda:7' is not available here"),
        (lambda: TrajGAN().fit(data(100), seed=-1), "seed: expected a whole number from 0 on, found -1"),
        (lambda: TrajGAN().fit(data(100), seed=1.5), "seed: expected a whole number from 0 on, found 1.5"),
        (lambda: TrajGAN().fit(data(100), steps=2.5), "steps: expected a whole number from 2 on, found 2.5"),
        (lambda: TrajGAN().fit(np.zeros((100, 1))), "expected FeatureTrajectories or a WindowBuffer, found ndarray; say what"),
        (lambda: TrajGAN(8).fit(data(100), steps=2, validation=data(0)), "validation: expected frames, found none"),
        (lambda: TrajGAN(8).fit(data(100), steps=2, validation=3), "validation: expected FeatureTrajectories, .* found int"),
        (lambda: TrajGAN().fit(data(100), minutes=float("nan")), "minutes: expected a positive number of minutes, found nan"),
        (lambda: TrajGAN().fit(data(100), minutes=float("inf")), "minutes: expected a positive number of minutes, found inf"),
        (lambda: TrajGAN().fit(data(100), minutes=3, steps=100), "expected minutes or steps, found both, 3 and 100; leave one out"),
        (lambda: TrajGAN().generate(5), "has not been trained; call fit"),
    ],
)
def test_what_is_wrong_is_said(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("window_length", [4, 5, 50])
def test_any_window_length_of_at_least_four_will_do(window_length):
    gan = TrajGAN(window_length).fit(data(150), steps=2, seed=1, progress=False)
    assert gan.bundle.generator.config.context_length == min(64, 150 - window_length - 1)
    assert np.isfinite(gan.generate(120, seed=1).values[0]).all()


def labelled_data(replicas):
    """Every replica stays at ten times its number."""
    rng = np.random.default_rng(0)
    series = [10 * int(name) + rng.normal(size=(40, 1)) for name in replicas]
    return FeatureTrajectories(series, SCHEMA, list(replicas))


def labels_in_training(monkeypatch, data, labels, **arguments):
    """Labels that the trainer pairs with values, as ten times the label should be."""
    from openmm_trajgan.training.trainer import Trainer

    pairs = set()
    draw = Trainer._draw

    def remember(self, n, source):
        windows, encoded = draw(self, n, source)
        values = self.generator.encoding.restore(windows)[..., 0].mean(dim=1)
        pairs.update((round(float(value) / 10), tuple(label)) for value, label in zip(values, encoded.tolist(), strict=True))
        return windows, encoded

    monkeypatch.setattr(Trainer, "_draw", remember)
    gan = TrajGAN(window_length=8).fit(data, labels=labels, steps=4, seed=1, progress=False, **arguments)
    return gan, pairs


@pytest.mark.parametrize("kept", ["trajectories", "buffer"])
def test_labels_by_replica(monkeypatch, kept):
    """Replica 10 comes before replica 2 in a buffer, and after it in the data."""
    data = labelled_data(["2", "10", "6", "2"])
    if kept == "buffer":
        data = WindowBuffer.from_trajectories(data)
    gan, pairs = labels_in_training(monkeypatch, data, {"10": 300, "2": np.float32(100), "6": 200.0})
    assert pairs == {(2, (-1.0,)), (6, (0.0,)), (10, (1.0,))}
    assert gan.bundle.labels.values == (100.0, 200.0, 300.0)
    assert gan.training_record["labels"] == {"2": 100.0, "10": 300.0, "6": 200.0}


@pytest.mark.parametrize("labels", [(100, 300, 200), np.array([100, 300, 200])])
def test_labels_in_the_order_of_the_replicas(monkeypatch, labels):
    _, pairs = labels_in_training(monkeypatch, labelled_data(["2", "10", "6", "2"]), labels)
    assert pairs == {(2, (-1.0,)), (6, (0.0,)), (10, (1.0,))}


def test_labels_in_the_order_of_the_streams_of_a_buffer(monkeypatch):
    buffer = WindowBuffer.from_trajectories(labelled_data(["02", "10", "06"]))
    assert buffer.streams == ("02", "06", "10")
    _, pairs = labels_in_training(monkeypatch, buffer, ["a", "b", "c"])
    assert pairs == {(2, (1.0, 0.0, 0.0)), (6, (0.0, 1.0, 0.0)), (10, (0.0, 0.0, 1.0))}
    with pytest.raises(InputError, match="sorted as text, 10, 2, 6"):
        TrajGAN().fit(WindowBuffer.from_trajectories(labelled_data(["2", "10", "6"])), labels=["a", "b", "c"])


def test_trajectories_too_short_for_windows_in_a_row_take_their_label_along(monkeypatch):
    """Windows are drawn from all three, windows in a row from the long ones."""
    rng = np.random.default_rng(0)
    series = [10 * number + rng.normal(size=(length, 1)) for number, length in ((1, 80), (2, 1000), (3, 1000))]
    _, pairs = labels_in_training(monkeypatch, FeatureTrajectories(series, SCHEMA, ["1", "2", "3"]), [10.0, 20.0, 30.0])
    assert pairs == {(1, (-1.0,)), (2, (0.0,)), (3, (1.0,))}


def test_trajectories_too_short_take_their_label_along(monkeypatch):
    """The labels that are left still belong to their own series."""
    data = labelled_data(["1", "2", "3", "4"])
    data = FeatureTrajectories([data.values[0], data.values[1][:5], *data.values[2:]], SCHEMA, data.replicas)
    with pytest.warns(UserWarning, match="1 of 4 trajectories are shorter"):
        _, pairs = labels_in_training(monkeypatch, data, [10.0, 20.0, 30.0, 20.0])
    assert pairs == {(1, (-1.0,)), (3, (1.0,)), (4, (0.0,))}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1.0], "labels: expected one for each of 2 replicas, found 1"),
        ([], "labels: expected one for each of 2 replicas, found 0"),
        ({"2": 1.0}, "labels: no label for '10'; give one for each of 2, 10"),
        ([1.0, "hot"], "all of them to be numbers, or all of them text"),
        ([1.0, 1.0], "at least two different ones"),
        ([1.0, math.nan], "expected finite numbers"),
        ([1.0, None], "labels: expected a number or a text for '10', found None"),
    ],
)
def test_labels_that_do_not_fit_the_data(labels, message):
    with pytest.raises(InputError, match=message):
        TrajGAN(8).fit(labelled_data(["2", "10"]), labels=labels, steps=2, progress=False)


@pytest.fixture(scope="module")
def plain():
    """A model of one feature without labels, windows of 8 frames."""
    return TrajGAN(8).fit(data(60), steps=2, seed=1, progress=False)


@pytest.fixture(scope="module")
def by_number():
    return TrajGAN(8).fit(labelled_data(["2", "10"]), labels=[290, 310], steps=6, seed=1, progress=False)


@pytest.fixture(scope="module")
def by_text():
    return TrajGAN(8).fit(labelled_data(["2", "10"]), labels=["300", "folded"], steps=6, seed=1, progress=False)


@pytest.mark.parametrize("label", [300, 300.0, np.float32(300), np.int64(300), [300, 300], np.array([300, 300])], ids=repr)
def test_numbers_may_come_in_every_form(by_number, label):
    expected = by_number.generate(12, 2, label=300.0, seed=1)
    assert (np.stack(by_number.generate(12, 2, label=label, seed=1).values) == np.stack(expected.values)).all()


def test_one_label_for_each_trajectory(by_text):
    mixed = np.stack(by_text.generate(12, 2, label=["300", "folded"], seed=1).values)
    same = np.stack(by_text.generate(12, 2, label="300", seed=1).values)
    np.testing.assert_allclose(mixed[0], same[0], rtol=1e-5)
    assert (mixed[1] != same[1]).any()


@pytest.mark.parametrize(
    ("model", "label", "message"),
    [
        ("plain", 300, "label: found 300, but this model was trained without labels; leave it out"),
        ("by_number", None, "trained with labels and needs one; give one of 290.0 to 310.0"),
        ("by_text", None, "trained with labels and needs one; give one of 300, folded"),
        ("by_text", "melted", "label: expected one of 300, folded, found melted"),
        ("by_number", "hot", "label: expected a number between 290 and 310, found 'hot'"),
        ("by_number", 500.0, "label: expected a number between 290 and 310, found 500"),
        ("by_number", [300.0] * 3, "label: expected one label or 2, found 3"),
    ],
)
def test_labels_that_do_not_fit_the_model(model, label, message, request):
    with pytest.raises(InputError, match=message):
        request.getfixturevalue(model).generate(12, 2, label=label)


@pytest.mark.parametrize(
    ("numbers", "seed", "message"),
    [
        ((2.5,), 1, "n_frames: expected a positive whole number, found 2.5"),
        ((5, 0), 1, "n_trajectories: expected a positive whole number, found 0"),
        ((5,), -1, "seed: expected a whole number from 0 on, found -1"),
    ],
)
def test_numbers_that_cannot_be_generated(plain, numbers, seed, message):
    with pytest.raises(InputError, match=message):
        plain.generate(*numbers, seed=seed)


@pytest.mark.parametrize(("model", "label"), [("by_number", 305.0), ("by_text", "folded")])
def test_a_loaded_model_knows_its_labels(model, label, request, tmp_path):
    gan = request.getfixturevalue(model)
    gan.save(tmp_path / "model.trajgan")
    loaded = TrajGAN.load(tmp_path / "model.trajgan")
    assert loaded.bundle.labels == gan.bundle.labels
    assert loaded.training_record["labels"] == gan.training_record["labels"]
    first, second = (each.generate(20, label=label, seed=1).values[0] for each in (gan, loaded))
    assert (first == second).all()
    with pytest.raises(InputError, match="needs one"):
        loaded.generate(20)


@pytest.mark.parametrize(
    ("start", "end"),
    [([0.5], None), (0.5, None), ([[0.5], [0.25], [0.1]], None), (None, [0.5]), ([[0.1], [0.2]], [[0.3], [0.4]]), ([0.1], 0.2)],
)
def test_start_and_end_come_out_as_they_are(plain, start, end):
    generated = np.stack(plain.generate(9, 3, start=start, end=end, seed=1).values)
    if start is not None:
        first = np.atleast_2d(np.float32(start))
        assert (generated[:, : len(first)] == first).all()
    if end is not None:
        last = np.atleast_2d(np.float32(end))
        assert (generated[:, -len(last) :] == last).all()
    assert len(np.unique(generated[:, 4])) == 3


def test_every_trajectory_may_have_its_own_start_and_end(plain):
    start, end = np.arange(6, dtype=np.float32).reshape(3, 2, 1) / 10, np.arange(3, dtype=np.float32).reshape(3, 1, 1) / 7
    generated = np.stack(plain.generate(10, 3, start=start, end=end, seed=1).values)
    assert (generated[:, :2] == start).all()
    assert (generated[:, -1:] == end).all()


def test_given_is_joined_with_start_and_end(plain):
    given = np.full((9, 1), np.nan)
    given[4] = 0.3
    generated = plain.generate(9, start=[0.1], end=[0.2], given=given, seed=1).values[0][:, 0]
    assert (generated[[0, 4, 8]] == np.float32([0.1, 0.3, 0.2])).all()


def test_the_end_may_be_a_window_after_the_last_frame_of_the_start(plain):
    """8 frames are drawn at once: frames 3 to 10 after a start of three, the last of which may be the end."""
    start = [[0.1], [0.2], [0.3]]
    assert plain.generate(11, start=start, end=[0.5], seed=1).values[0][-1] == 0.5
    assert plain.generate(14, start=start, end=[[0.5]] * 4, seed=1).values[0][10] == 0.5
    assert plain.generate(9, end=[0.5], seed=1).values[0][-1] == 0.5
    message = "end: expected at most {} frames, since only one window of 8 frames can know of its end, found {}"
    for n_frames, first, last, most in ((12, start, [0.5], 11), (15, start, [[0.5]] * 4, 14), (10, None, [0.5], 9)):
        with pytest.raises(InputError, match=message.format(most, n_frames)):
            plain.generate(n_frames, start=first, end=last)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": [0.1, 0.2]}, r"start: expected 1 features for up to 9 frames, found shape \(1, 2\)"),
        ({"start": np.zeros((10, 1))}, r"start: expected 1 features for up to 9 frames, found shape \(10, 1\)"),
        ({"end": np.zeros((3, 1, 1))}, r"end: expected 1 features for up to 9 frames, found shape \(3, 1, 1\)"),
        ({"start": [math.nan]}, "start: expected finite values, found nan; give NaN in `given` only"),
        ({"end": [math.inf]}, "end: expected finite values, found inf"),
        ({"given": np.zeros((8, 1))}, r"given: expected shape \(9, 1\) or \(2, 9, 1\), found \(8, 1\)"),
        ({"given": np.zeros((1, 9, 1))}, "given: expected shape"),
        ({"start": [0.1], "given": np.full((9, 1), 0.2)}, "start: found frames that are given with other values too"),
        ({"given": np.full((9, 1), math.inf)}, "given: expected finite values, or NaN for what is to be drawn, found inf"),
    ],
)
def test_given_frames_that_do_not_fit(plain, arguments, message):
    with pytest.raises(InputError, match=message):
        plain.generate(9, 2, **arguments)


def test_a_checkpoint_of_other_labels_is_not_resumed(tmp_path, monkeypatch):
    from openmm_trajgan.training.trainer import Trainer

    def stop(self, **arguments):
        arguments["checkpoint"]()
        raise KeyboardInterrupt

    series = labelled_data(["2", "10"])
    arguments = {"steps": 4, "seed": 1, "progress": False, "checkpoint": tmp_path / "c"}
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", stop)
        with pytest.raises(KeyboardInterrupt):
            TrajGAN(8).fit(series, labels=["a", "b"], **arguments)
    with pytest.raises(InputError, match="belongs to a training with labels"):
        TrajGAN(8).fit(series, labels=["b", "a"], resume=True, **arguments)
    other = labelled_data(["4", "12"])
    labels = {"2": "a", "10": "b", "4": "a", "12": "b"}
    with pytest.raises(InputError, match="belongs to a training with validation None"):
        TrajGAN(8).fit(series, labels=labels, validation=other, resume=True, **arguments)
    TrajGAN(8).fit(series, labels=["a", "b"], resume=True, **arguments)
