import copy

import numpy as np
import pytest
import torch

from openmm_trajgan.errors import InputError, NonFiniteError
from openmm_trajgan.generation.sampler import generate_trajectories
from openmm_trajgan.models.coarse_to_fine import GeneratorConfig
from openmm_trajgan.models.encoding import FeatureEncoding
from openmm_trajgan.models.generator import WindowGenerator
from openmm_trajgan.schema import FeatureSchema

SCHEMA = FeatureSchema(names=("x", "angle"), units=("nm", "deg"), periods=(None, 360.0), frame_interval=0.5)
REAL_FRAMES = torch.tensor([[-11.0, 0.0], [21.0, 90.0], *[[5.0, 45.0]] * 126])  # mean 5 and standard deviation 2 on the line


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    encoding = FeatureEncoding(SCHEMA, REAL_FRAMES)
    config = GeneratorConfig(window_length=8, context_length=3, hidden=16, n_components=2)
    return WindowGenerator(encoding, config, 0.3 * torch.ones(5, 2)).eval()


@pytest.mark.parametrize("n_frames", [1, 2, 8, 9, 10, 40])
def test_shape_units_and_time(generator, n_frames):
    generated = generate_trajectories(generator, SCHEMA, n_frames=n_frames, n_trajectories=3, seed=1)
    assert [series.shape for series in generated] == [(n_frames, 2)] * 3
    assert generated.schema == SCHEMA
    angles = np.concatenate(generated.values)[:, 1]
    assert np.abs(angles).max() <= 180.001
    assert np.isfinite(np.concatenate(generated.values)).all()


def test_deterministic_for_a_seed_and_different_for_another(generator):
    first, again, other = (generate_trajectories(generator, SCHEMA, n_frames=30, n_trajectories=2, seed=seed) for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert all((a != b).any() for a, b in zip(first, other, strict=True))
    assert (first.values[0] != first.values[1]).any(), "trajectories are independent"


def test_fresh_seed_is_recorded_and_repeats(generator):
    fresh = generate_trajectories(generator, SCHEMA, n_frames=10, n_trajectories=1)
    again = generate_trajectories(generator, SCHEMA, n_frames=10, n_trajectories=1, seed=int(fresh.provenance["seed"]))
    assert (fresh.values[0] == again.values[0]).all()


def test_global_random_state_is_neither_used_nor_changed(generator):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = generate_trajectories(generator, SCHEMA, n_frames=10, n_trajectories=1, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(4)
    second = generate_trajectories(generator, SCHEMA, n_frames=10, n_trajectories=1, seed=1)
    assert (first.values[0] == second.values[0]).all()


def test_longer_runs_begin_like_shorter_ones(generator):
    short = generate_trajectories(generator, SCHEMA, n_frames=20, n_trajectories=2, seed=1)
    long = generate_trajectories(generator, SCHEMA, n_frames=50, n_trajectories=2, seed=1)
    assert all((a == b[:20]).all() for a, b in zip(short, long, strict=True))


def test_a_model_that_is_not_trained_does_not_run_away(generator):
    generated = generate_trajectories(generator, SCHEMA, n_frames=1500, n_trajectories=4, seed=1)
    assert np.isfinite(np.concatenate(generated.values)).all()


def test_what_is_not_finite_is_named(generator):
    broken = copy.deepcopy(generator)
    with torch.no_grad():
        broken.end.describe.bias.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match="trajectory 0, frame 1: generated feature 'x' is nan; .* train it longer"):
        generate_trajectories(broken, SCHEMA, n_frames=20, n_trajectories=1, seed=1)


def given_array(n_frames, n_trajectories=1):
    """Nothing given; values to give, whose last digits do not survive reduced coordinates."""
    rng = np.random.default_rng(3)
    values = np.stack(
        [5 + rng.normal(size=(n_trajectories, n_frames)), rng.uniform(-180, 180, (n_trajectories, n_frames))], axis=-1
    )
    return np.full((n_trajectories, n_frames, 2), np.nan), values


def whole(trajectories):
    return np.stack(trajectories.values)


PLACES = {
    "start": (30, lambda mask: mask[:, :3].fill(True)),
    "a long start": (30, lambda mask: mask[:, :20].fill(True)),
    "end only": (9, lambda mask: mask[:, -1].fill(True)),
    "long end": (12, lambda mask: mask[:, -6:].fill(True)),
    "both ends": (11, lambda mask: (mask[:, :3].fill(True), mask[:, -2:].fill(True))),
    "every 7th frame": (41, lambda mask: mask[:, ::7].fill(True)),
    "every 20th frame": (41, lambda mask: mask[:, ::20].fill(True)),
    "one feature": (30, lambda mask: mask[:, :, 1].fill(True)),
    "one feature at times": (30, lambda mask: mask[:, 5::4, 0].fill(True)),
    "one feature of the first frame": (5, lambda mask: mask[:, 0, 0].fill(True)),
    "other frames in every trajectory": (40, lambda mask: [mask[k, 3 * k :: 6].fill(True) for k in range(3)]),
    "everything": (20, lambda mask: mask.fill(True)),
    "all but one value": (20, lambda mask: (mask.fill(True), mask[1, 13, 0:1].fill(False))),
}


@pytest.mark.parametrize("places", PLACES)
def test_what_is_given_comes_out_bit_for_bit(generator, places):
    n_frames, mark = PLACES[places]
    given, values = given_array(n_frames, 3)
    mask = np.zeros(given.shape, bool)
    mark(mask)
    given[mask] = values[mask]
    generated = whole(generate_trajectories(generator, SCHEMA, n_frames=n_frames, n_trajectories=3, given=given, seed=1))
    assert generated.dtype == np.float32
    assert (generated[mask] == given[mask].astype(np.float32)).all()
    assert np.isfinite(generated).all()
    assert not (generated[~mask] == 0).any(), "everything else is drawn"


def test_provenance_tells_where_windows_begin_unless_they_may_end_early(generator):
    """Windows of eight frames."""
    for places, told in (([], "1"), ([0], "1"), ([0, 1, 2], "3"), ([0, 8], "1"), ([0, 9], None), ([0, 30], None)):
        given = given_array(40)[0]
        given[:, places] = 4.0
        made = generate_trajectories(generator, SCHEMA, n_frames=40, n_trajectories=3, given=given, seed=1)
        assert made.provenance["window length"] == "8"
        assert made.provenance.get("first window") == told


def test_one_array_is_given_to_all_trajectories(generator):
    given, values = given_array(20)
    given[:, ::5] = values[:, ::5]
    generated = whole(generate_trajectories(generator, SCHEMA, n_frames=20, n_trajectories=4, given=given, seed=1))
    assert (generated[:, ::5] == given[:, ::5].astype(np.float32)).all()
    assert (generated[0, 1] != generated[1, 1]).all(), "what is drawn differs"


def test_given_arrays_are_not_changed(generator):
    given, values = given_array(20)
    given[:, ::5] = values[:, ::5]
    before = given.copy()
    generate_trajectories(generator, SCHEMA, n_frames=20, n_trajectories=4, given=given, seed=1)
    np.testing.assert_array_equal(given, before)


def test_nothing_given_changes_nothing(generator):
    given, _ = given_array(30, 2)
    plain, other = (
        generate_trajectories(generator, SCHEMA, n_frames=30, n_trajectories=2, given=one, seed=1) for one in (None, given)
    )
    assert (whole(plain) == whole(other)).all()


@pytest.fixture
def windows_of(generator, monkeypatch):
    """Generate, and list for every window which frames it starts from and gives: known frames, given times after the newest."""

    def run(given, n_frames):
        seen = []
        sample = generator.sample

        def remember(window, known, noise, *, labels, given):
            times = [] if given is None else (np.flatnonzero(given[0, 4:].all(dim=-1).numpy()) + 1).tolist()
            seen.append((known, times))
            return sample(window, known, noise, labels=labels, given=given)

        monkeypatch.setattr(generator, "sample", remember)
        generate_trajectories(generator, SCHEMA, n_frames=n_frames, n_trajectories=1, given=given, seed=1)
        return seen

    return run


def test_every_seventh_frame_over_five_windows(windows_of):
    """Windows of 8 frames end where a frame is given, so each but the first starts from a frame that is given, knowing the next."""
    given, values = given_array(36)
    given[:, ::7] = values[:, ::7]
    assert windows_of(given, 36) == [(0, [7]), (3, [7]), (3, [7]), (3, [7]), (3, [7])]


def test_a_chain_ends_its_windows_at_the_last_given_frame_in_reach(windows_of):
    given, values = given_array(30)
    for frame in (0, 3, 5, 20):
        given[:, frame] = values[:, frame]
    # To 5, since 20 is still to come; to 13; to 21, since nothing is to come any more; to the end.
    assert windows_of(given, 30) == [(0, [3, 5]), (3, []), (3, [7]), (3, [])]


def test_frames_of_one_trajectory_alone_end_no_window(generator, monkeypatch):
    """All trajectories advance together, so windows end where all of them have a frame."""
    given, values = given_array(18, 2)
    given[0, 5], given[:, 17] = values[0, 5], values[:, 17]
    generated = whole(generate_trajectories(generator, SCHEMA, n_frames=18, n_trajectories=2, given=given, seed=1))
    assert (generated[0, 5] == given[0, 5].astype(np.float32)).all()
    assert (generated[1, 5] != generated[0, 5]).all()


def test_a_given_end_is_known_from_the_first_frame_on(generator):
    """Another end, another trajectory: the first frame is drawn in view of it, too."""
    generated = []
    for end in (4.0, 6.0):
        given, _ = given_array(9)
        given[:, -1] = end
        generated.append(whole(generate_trajectories(generator, SCHEMA, n_frames=9, n_trajectories=5, given=given, seed=1)))
    assert (generated[0][:, 1:] != generated[1][:, 1:]).all()


def test_what_is_given_beyond_a_window_is_not_known_yet(generator):
    first, second = given_array(40)[0], given_array(40)[0]
    first[:, 30], second[:, 30] = 4.0, 6.0
    series = [
        whole(generate_trajectories(generator, SCHEMA, n_frames=40, n_trajectories=2, given=given, seed=1))
        for given in (first, second)
    ]
    assert (series[0][:, :25] == series[1][:, :25]).all()
    assert (series[0][:, 27:] != series[1][:, 27:]).all()


@pytest.mark.parametrize("shape", [(20, 2), (2, 20, 2), (3, 19, 2), (3, 20, 1), (20,)])
def test_given_of_another_shape_is_refused(generator, shape):
    with pytest.raises(InputError, match=r"given: expected shape \(3, 20, 2\) with NaN for what is to be drawn, found"):
        generate_trajectories(generator, SCHEMA, n_frames=20, n_trajectories=3, given=np.zeros(shape), seed=1)


def test_labels_are_those_of_their_trajectories():
    torch.manual_seed(0)
    encoding = FeatureEncoding(SCHEMA, REAL_FRAMES)
    config = GeneratorConfig(window_length=6, context_length=3, n_labels=1, hidden=16, n_components=2)
    labelled = WindowGenerator(encoding, config, 0.3 * torch.ones(5, 2)).eval()
    first, second = (
        whole(generate_trajectories(labelled, SCHEMA, n_frames=20, n_trajectories=2, labels=np.array(labels), seed=1))
        for labels in ([[-1.0], [1.0]], [[-1.0], [0.0]])
    )
    np.testing.assert_allclose(first[0], second[0], rtol=1e-5, atol=1e-4)
    assert (first[1, 1:] != second[1, 1:]).all()


def test_nothing_to_generate_is_refused(generator):
    with pytest.raises(InputError, match="at least 1 frame and 1 trajectory, found 0 and 1"):
        generate_trajectories(generator, SCHEMA, n_frames=0, n_trajectories=1)
