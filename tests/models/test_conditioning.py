import math

import numpy as np
import pytest
import torch

from openmm_trajgan.errors import InputError
from openmm_trajgan.models.conditioning import Course, CourseEncoder, Given, LabelEncoding


@pytest.mark.parametrize(
    "labels",
    [[310.0, 290.0, 310.0], [310, 290], [np.float32(310), np.int64(290)], [310, np.float64(290.0)]],
    ids=["floats", "integers", "NumPy scalars", "both"],
)
def test_numbers_span_minus_one_to_one(labels):
    encoding = LabelEncoding.of(labels)
    assert encoding.values == (290.0, 310.0)
    assert all(type(value) is float for value in encoding.values), "plain values for a file"
    assert encoding.continuous
    assert encoding.size == 1
    encoded = encoding.encode([290, 295.0, np.float32(300), 310])
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded, [[-1.0], [-0.5], [0.0], [1.0]])


def test_texts_become_one_number_each():
    encoding = LabelEncoding.of(["wild type", "D76N", "wild type"])
    assert encoding.values == ("D76N", "wild type")
    assert not encoding.continuous
    assert encoding.size == 2
    np.testing.assert_array_equal(encoding.encode(["wild type", "D76N"]), [[0.0, 1.0], [1.0, 0.0]])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([300.0, "hot"], "expected all of them to be numbers, or all of them text; found both"),
        ([300.0, math.nan], "expected finite numbers, found NaN or infinity"),
        ([math.nan, math.nan], "expected finite numbers, found NaN or infinity"),
        ([300.0, -math.inf], "expected finite numbers, found NaN or infinity"),
        ([300.0, 300], "at least two different ones, found the same throughout; train without labels"),
        (["a", "a"], "at least two different ones"),
    ],
)
def test_labels_that_cannot_be_learned(labels, message):
    with pytest.raises(InputError, match=message):
        LabelEncoding.of(labels)


@pytest.mark.parametrize(
    ("trained", "asked", "message"),
    [
        (["a", "b"], ["a", "c"], "label: expected one of a, b, found c"),
        (["a", "b"], [1.0], "label: expected one of a, b, found 1"),
        ([290.0, 310.0], ["hot"], "label: expected a number between 290 and 310, found 'hot'"),
        ([290.0, 310.0], [300.0, 331], "label: expected a number between 290 and 310, found 331"),
        ([290.0, 310.0], [300.0, None], "label: expected a number between 290 and 310, found None"),
        ([290.0, 310.0], [269.0], "found 269"),
        ([290.0, 310.0], [300.0, math.nan], "found nan"),
    ],
)
def test_labels_that_were_not_trained(trained, asked, message):
    with pytest.raises(InputError, match=message):
        LabelEncoding.of(trained).encode(asked)


def test_numbers_somewhat_outside_are_extrapolated():
    """By the whole range at most."""
    np.testing.assert_allclose(LabelEncoding.of([290.0, 310.0]).encode([270.0, 330.0]), [[-3.0], [3.0]])


def differences(frames, base, spread):
    return (frames - base) / spread[:, None, None]


def test_what_is_given_around_a_frame_by_hand():
    """Eight frames of two features; frame 1 is given, of frame 6 the second feature, of frame 4 the first. Reach 3, spread 2.

    Frame 3 sees frame 1 two frames before it and frame 4 one after it; itself it is not given. Frame 4 does not see frame 1, three
    before it, but frame 6 two after it, and what is given of itself. Frame 7, the last one, sees frame 6 before it.
    """
    window = torch.full((2, 8, 1), math.nan)
    window[:, 1, 0], window[0, 4, 0], window[1, 6, 0] = torch.tensor([5.0, 6.0]), 7.0, 8.0
    base = torch.ones(2, 3, 1)
    around = Given(window, ~window.isnan()).around(torch.tensor([3, 4, 7]), 3, base, differences, torch.tensor([2.0, 2.0]))
    third, two_thirds, nothing = 1 / 3, 2 / 3, [0.0] * 5
    frame_3 = [2.0, 2.5, 1, 1, two_thirds, 3.0, 0, 1, 0, third, *nothing[:4]]
    frame_4 = [*nothing, 0, 3.5, 0, 1, two_thirds, 3.0, 0, 1, 0]
    frame_7 = [0, 3.5, 0, 1, third, *nothing, *nothing[:4]]
    torch.testing.assert_close(around, torch.tensor([frame_3, frame_4, frame_7]).t()[..., None])


def test_windows_have_what_is_given_in_places_of_their_own():
    window = torch.arange(12.0).reshape(2, 6).t()[None]
    mask = torch.zeros(1, 6, 2, dtype=torch.bool)
    mask[:, 0, 0] = mask[:, 5, 1] = True
    around = Given(window, mask).around(torch.tensor([2]), 4, torch.zeros(1, 1, 2), differences, torch.ones(1))
    before, after = [0.0, 1.0, 0.5], [11.0, 1.0, 0.75]
    nothing = [0.0, 0.0, 0.0]
    torch.testing.assert_close(around[:, 0].t(), torch.tensor([[*before, *nothing, 0, 0], [*nothing, *after, 0, 0]]))


def test_later_changes_of_the_window_are_not_seen():
    window, mask = torch.zeros(1, 4, 1), torch.ones(1, 4, 1, dtype=torch.bool)
    given = Given(window, mask)
    window.fill_(9.0)
    assert given.around(torch.tensor([1]), 2, torch.zeros(1, 1, 1), differences, torch.ones(1))[-2, 0, 0] == 0


def test_a_summary_sees_the_whole_course_of_single_features_and_nothing_else():
    """Every value of the first feature of windows of 21 frames changes every summary of its own window; the second is not read."""
    torch.manual_seed(0)
    encoder = CourseEncoder(n_embedded=2, window_length=20, size=16)
    frames, marks = torch.randn(2, 21, 2), torch.zeros(2, 21, 2, dtype=torch.bool)
    marks[0] = True
    frames[1] = math.nan
    summaries = encoder(frames, marks)
    for time in (0, 9, 20):
        changed = frames.clone()
        changed[0, time, 0] += 1
        seen = encoder(changed, marks) != summaries
        assert seen[..., 0].any(dim=0).all()
        assert not seen[..., 1].any()


def test_summaries_are_those_of_their_windows():
    """Windows 1 and 3 of four have one; of the first three only window 1."""
    course = Course(torch.tensor([1, 3]), torch.arange(12.0).reshape(2, 3, 2))
    nothing, one, three = torch.zeros(2, 1), torch.tensor([[4.0], [10.0]]), torch.tensor([[5.0], [11.0]])
    times = torch.tensor([2])
    torch.testing.assert_close(course.at(times, 4), torch.stack([nothing, one, nothing, three], dim=-1))
    torch.testing.assert_close(course.first(3).at(times, 3), torch.stack([nothing, one, nothing], dim=-1))
