import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmm_trajgan.analysis.blocks import Blocks, still
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

FAR = 1000  # frame i of series s is named s * FAR + i
SERIES = st.lists(st.integers(0, 60), min_size=1, max_size=8).filter(any)


def named(lengths):
    schema = FeatureSchema(names=("x",), units=("",), periods=(None,))
    return FeatureTrajectories([(number * FAR + np.arange(length))[:, None] for number, length in enumerate(lengths)], schema)


def cut(lengths, length):
    return Blocks.cut(named(lengths), length)


def frames_of(blocks):
    return blocks.read(0, blocks.n_frames)


def labels_of(blocks):
    return blocks.labels(0, blocks.n_frames)


def names_of(blocks):
    return frames_of(blocks)[:, 0].astype(int) // FAR


@given(SERIES, st.integers(1, 70))
def test_every_frame_is_in_one_block_and_blocks_are_numbered_in_order(lengths, length):
    blocks = cut(lengths, length)
    expected = np.concatenate(named(lengths).values)
    np.testing.assert_array_equal(np.sort(frames_of(blocks), axis=0), np.sort(expected, axis=0))
    labels = labels_of(blocks)
    assert blocks.n_frames == len(labels) == len(blocks.remaining(0, blocks.n_frames)) == sum(lengths)
    assert set(np.diff(labels)) <= {0, 1}
    assert labels[0] == 0
    assert labels[-1] == blocks.n_blocks - 1
    assert blocks.sizes.shape == (blocks.n_blocks,)
    assert blocks.sizes.sum() == blocks.n_frames
    assert (blocks.sizes > 0).all()


@given(SERIES, st.integers(1, 70))
def test_series_that_are_long_enough_are_cut_into_equal_parts_of_at_least_the_length(lengths, length):
    blocks = cut(lengths, length)
    long = [number for number, n_frames in enumerate(lengths) if n_frames >= length]
    names = names_of(blocks)
    for number in long:
        parts = np.unique(labels_of(blocks)[names == number], return_counts=True)[1]
        assert parts.min() >= length
        assert len(parts) == lengths[number] // length
        assert np.ptp(parts) <= 1
    assert names[: sum(lengths[number] for number in long)].tolist() == np.repeat(long, [lengths[one] for one in long]).tolist()


@given(SERIES, st.integers(1, 70))
def test_short_series_stay_whole(lengths, length):
    blocks = cut(lengths, length)
    names = names_of(blocks)
    short = np.array(lengths)[names] < length
    for number in np.unique(names[short]):
        assert len(np.unique(labels_of(blocks)[names == number])) == 1


def test_short_series_are_taken_together_to_the_length_of_a_block():
    assert cut([9] * 10, 10).sizes.min() >= 10


@given(SERIES, st.integers(1, 70), st.integers(0, 70))
def test_starts_have_their_partner_in_the_same_series(lengths, length, lag):
    blocks = cut(lengths, length)
    starts = blocks.starts(lag)
    names = frames_of(blocks)[:, 0]
    np.testing.assert_array_equal(names[starts + lag] - names[starts], np.full(len(starts), lag))
    assert len(starts) == blocks.n_starts(lag) == sum(max(one - lag, 0) for one in lengths)
    np.testing.assert_array_equal(blocks.nth_starts(lag, np.arange(len(starts))), starts)
    expected = np.bincount(labels_of(blocks)[starts], minlength=blocks.n_blocks)
    np.testing.assert_array_equal(blocks.pairs(lag), expected)


@given(SERIES, st.integers(1, 70), st.data())
def test_any_stretch_is_read_as_from_one_array(lengths, length, data):
    blocks = cut(lengths, length)
    first, last = sorted(data.draw(st.integers(0, blocks.n_frames)) for _ in range(2))
    np.testing.assert_array_equal(blocks.read(first, last), frames_of(blocks)[first:last])
    np.testing.assert_array_equal(blocks.labels(first, last), labels_of(blocks)[first:last])
    names = names_of(blocks)
    remaining = [int((names[frame + 1 :] == names[frame]).sum()) for frame in range(first, last)]
    assert blocks.remaining(first, last).tolist() == remaining
    starts = blocks.starts(3)
    np.testing.assert_array_equal(blocks.starts(3, first, last), starts[(starts >= first) & (starts < last)])


def test_nothing_is_copied_of_a_long_series():
    data = named([50])
    assert np.shares_memory(Blocks.cut(data, 5).read(3, 40), data.values[0])


@given(SERIES, st.integers(1, 70))
def test_series_come_back_whole(lengths, length):
    blocks = cut(lengths, length)
    found = sorted((one.ravel().tolist() for one in blocks.series), key=lambda one: one[0])
    assert found == [one.ravel().tolist() for one in named(lengths) if len(one)]


@pytest.mark.parametrize("chunk", [1, 4, 2**18])
def test_tallies_count_bins_of_frames_and_pairs_block_by_block(monkeypatch, chunk):
    monkeypatch.setattr("openmm_trajgan.analysis.blocks.CHUNK", chunk)
    blocks = cut([6, 3], 3)
    bins = np.array([0, 2, 2, 1, 1, 1, 0, 0, 2])
    tally = blocks.tally(lambda first, last: bins[first:last], 4)
    np.testing.assert_array_equal(tally, [[1, 0, 2, 0], [0, 3, 0, 0], [2, 0, 1, 0]])
    assert tally.dtype == np.float64
    assert blocks.starts(2).tolist() == [0, 1, 2, 3, 6]
    found = blocks.tally_pairs(lambda starts: bins[starts], 3, 2)
    np.testing.assert_array_equal(found, [[1, 0, 2], [0, 1, 0], [1, 0, 0]])
    both = blocks.tally_pairs(lambda starts: np.stack([bins[starts], 2 - bins[starts]], axis=1), 3, 2, 2)
    np.testing.assert_array_equal(both, np.concatenate([found, found[:, ::-1]], axis=1))


@pytest.mark.parametrize("chunk", [7, 2**18])
def test_moments_and_extremes_are_those_of_all_frames(monkeypatch, chunk):
    monkeypatch.setattr("openmm_trajgan.analysis.blocks.CHUNK", chunk)
    frames = np.random.default_rng(1).normal(3, 2, (40, 2)).astype(np.float32)
    schema = FeatureSchema(names=("x", "y"), units=("", ""), periods=(None, None))
    blocks = Blocks.whole(FeatureTrajectories(np.split(frames, [9, 20]), schema))
    np.testing.assert_allclose(blocks.mean(), frames.mean(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(blocks.spread(), frames.std(axis=0, dtype=np.float64), rtol=1e-12)
    low, high = blocks.extremes(lambda some: 2 * some[:, :1])
    np.testing.assert_array_equal([low, high], [2 * frames[:, :1].min(axis=0), 2 * frames[:, :1].max(axis=0)])
    one = blocks.part([1])
    np.testing.assert_array_equal(one.read(3, 30), frames[3:30, 1:])
    assert one.schema.names == ("y",)


def test_features_that_stand_still_are_found():
    schema = FeatureSchema(names=("x", "y"), units=("", ""), periods=(None, None))
    assert still(FeatureTrajectories([[[1.0, 2.0]], [[1.0, 3.0]]], schema)).tolist() == [True, False]


def test_pairs_that_begin_in_a_block_and_end_in_the_next_belong_to_the_first():
    assert cut([20], 5).pairs(4).tolist() == [5, 5, 5, 1]
