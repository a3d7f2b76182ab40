import numpy as np
import pytest

from openmm_trajgan.training.given import draw_given

SHAPE = (4000, 5 + 1 + 16, 3)


@pytest.fixture(scope="module")
def given():
    """Marks of 4,000 windows of three features with 16 new frames behind a context of 5."""
    return draw_given(SHAPE, 16, np.random.default_rng(0))


def test_shape_and_type(given):
    assert given.shape == SHAPE
    assert given.dtype == bool


@pytest.mark.parametrize("window_length", [4, 7, 16])
def test_nothing_is_given_before_the_newest_known_frame(window_length):
    given = draw_given((500, 22, 2), window_length, np.random.default_rng(1))
    newest = 22 - 1 - window_length
    assert not given[:, :newest].any()
    assert given[:, newest:].any(axis=(0, 2)).all(), "every later frame is at times"


@pytest.mark.parametrize("shape", [(64, 5, 1), (64, 9, 2), (64, 22, 3)])
def test_something_is_left_to_draw_in_every_batch(shape):
    for seed in range(50):
        given = draw_given(shape, 4, np.random.default_rng(seed))
        whole = given[:, -4:].all(axis=(1, 2))
        assert whole.mean() < 0.25
        assert (~given[:, -4:].any(axis=(1, 2))).sum() < 60, "and something is given"


@pytest.mark.statistical
def test_every_task_comes_in_its_share(given):
    """Shares of 4,000 windows within four standard errors of what the tasks make.

    Of 35 % the end is given, of 30 % every n-th frame, of the others any. Of 30 % only some of the three features are given, each
    with a probability that is itself uniform: none in a quarter of the cases, one or two in a half. In half of these 30 % the
    features are given throughout, but never all three.
    """
    n = np.arange(2, 17)
    weights = np.diff(np.log(np.arange(2, 18))) / np.log(17 / 2)  # spacings are uniform in their logarithm
    by_chance = (weights * (1 - 1 / n) ** 16 / n).sum()  # any frames: the last of 17 alone
    nothing = (weights * (1 - 1 / n) ** 17).sum()
    frames, features = given.any(axis=2)[:, 5:], given.any(axis=1)
    end = frames[:, -1] & ~frames[:, :-1].any(axis=1)
    assert end.mean() == pytest.approx((0.7 + 0.15 * 0.75) * 0.35 * (1 + by_chance), abs=4 * 0.0072), "the end alone"
    some = given.any(axis=(1, 2)) & ~features.all(axis=1)
    assert some.mean() == pytest.approx(0.15 * 0.75 + 0.15 * 0.5 * (1 - 0.35 * nothing), abs=4 * 0.0061), "some features only"
    throughout = given[:, 5:].all(axis=1)
    assert (throughout.any(axis=1) & ~throughout.all(axis=1)).mean() == pytest.approx(0.15 * 0.75, abs=4 * 0.005), "some throughout"
    assert not throughout.all(axis=1).any()
    for spacing in (2, 4, 7):
        regular = [np.arange(17) % spacing == offset for offset in range(spacing)]
        assert any((frames == one).all(axis=1).any() for one in regular), f"every {spacing}th frame"
    irregular = [np.diff(np.flatnonzero(row)) for row in frames if row.sum() > 2]
    assert any(len(set(distances)) > 1 for distances in irregular), "any frames"


def test_frames_are_whole_unless_features_are_chosen(given):
    """Where a feature is given in one frame, it is in every frame with anything given."""
    marked = given.any(axis=2, keepdims=True)
    assert (given == (marked & given.any(axis=1, keepdims=True))).all()


def test_single_features_are_given_as_a_whole_or_not_at_all():
    given = draw_given((300, 9, 1), 8, np.random.default_rng(0))
    assert (given.any(axis=(1, 2))).mean() > 0.8
    assert not given.all(axis=(1, 2)).any()


def test_one_seed_one_draw():
    first, again, other = (draw_given((100, 12, 2), 8, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
