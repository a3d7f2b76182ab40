import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

FAR = 1000  # frame i of series s is named s * FAR + i
SERIES = st.lists(st.integers(0, 60), min_size=1, max_size=8).filter(any)


def named(lengths):
    schema = FeatureSchema(names=("x",), units=("",), periods=(None,))
    return FeatureTrajectories([(number * FAR + np.arange(length))[:, None] for number, length in enumerate(lengths)], schema)


def cut(lengths, length):
    return Blocks.cut(named(lengths), length)


@given(SERIES, st.integers(1, 70))
def test_every_frame_is_in_one_block_and_blocks_are_numbered_in_order(lengths, length):
    blocks = cut(lengths, length)
    expected = np.concatenate(named(lengths).values)
    np.testing.assert_array_equal(np.sort(blocks.frames, axis=0), np.sort(expected, axis=0))
    assert blocks.n_frames == len(blocks.labels) == len(blocks.remaining) == sum(lengths)
    assert set(np.diff(blocks.labels)) <= {0, 1}
    assert blocks.labels[0] == 0
    assert blocks.sizes.shape == (blocks.n_blocks,)
    assert blocks.sizes.sum() == blocks.n_frames
    assert (blocks.sizes > 0).all()


@given(SERIES, st.integers(1, 70))
def test_series_that_are_long_enough_are_cut_into_equal_parts_of_at_least_the_length(lengths, length):
    blocks = cut(lengths, length)
    long = [number for number, n_frames in enumerate(lengths) if n_frames >= length]
    names = blocks.frames[:, 0].astype(int) // FAR
    for number in long:
        parts = np.unique(blocks.labels[names == number], return_counts=True)[1]
        assert parts.min() >= length
        assert len(parts) == lengths[number] // length
        assert np.ptp(parts) <= 1
    assert names[: sum(lengths[number] for number in long)].tolist() == np.repeat(long, [lengths[one] for one in long]).tolist()


@given(SERIES, st.integers(1, 70))
def test_short_series_stay_whole(lengths, length):
    blocks = cut(lengths, length)
    names = blocks.frames[:, 0].astype(int) // FAR
    short = np.array(lengths)[names] < length
    for number in np.unique(names[short]):
        assert len(np.unique(blocks.labels[names == number])) == 1


def test_short_series_are_taken_together_to_the_length_of_a_block():
    assert cut([9] * 10, 10).sizes.min() >= 10


@given(SERIES, st.integers(1, 70), st.integers(0, 70))
def test_starts_have_their_partner_in_the_same_series(lengths, length, lag):
    blocks = cut(lengths, length)
    starts = blocks.starts(lag)
    names = blocks.frames[:, 0]
    np.testing.assert_array_equal(names[starts + lag] - names[starts], np.full(len(starts), lag))
    assert len(starts) == sum(max(one - lag, 0) for one in lengths)


@given(SERIES, st.integers(1, 70))
def test_series_come_back_whole(lengths, length):
    blocks = cut(lengths, length)
    found = sorted((one.ravel().tolist() for one in blocks.series), key=lambda one: one[0])
    assert found == [one.ravel().tolist() for one in named(lengths) if len(one)]


def test_tallies_count_bins_of_all_or_some_frames_block_by_block():
    blocks = cut([6, 3], 3)
    bins = np.array([0, 2, 2, 1, 1, 1, 0, 0, 2])
    np.testing.assert_array_equal(blocks.tally(bins, 4), [[1, 0, 2, 0], [0, 3, 0, 0], [2, 0, 1, 0]])
    starts = blocks.starts(2)
    assert starts.tolist() == [0, 1, 2, 3, 6]
    np.testing.assert_array_equal(blocks.tally(bins[starts], 3, starts), [[1, 0, 2], [0, 1, 0], [1, 0, 0]])
    assert blocks.tally(bins, 4).dtype == np.float64


def test_pairs_that_begin_in_a_block_and_end_in_the_next_belong_to_the_first():
    blocks = cut([20], 5)
    assert np.bincount(blocks.labels[blocks.starts(4)], minlength=4).tolist() == [5, 5, 5, 1]
