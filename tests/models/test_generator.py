import math

import pytest
import torch

from openmm_trajgan.models.coarse_to_fine import GeneratorConfig
from openmm_trajgan.models.encoding import FeatureEncoding
from openmm_trajgan.models.generator import WindowGenerator, features_first
from openmm_trajgan.models.scales import typical_spreads, whiten_inputs
from openmm_trajgan.schema import FeatureSchema

LENGTHS = (4, 5, 7, 16, 40, 100)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def marked(walks):
    """Windows with everything random, and what of the new frames is given: the last, one in the middle, a single feature."""

    def make(generator, n=6):
        config = generator.config
        first = config.context_length
        windows = walks(n, config.n_frames, 9)
        mask = torch.zeros(windows.shape, dtype=torch.bool)
        mask[: n // 2, -1] = True
        mask[:, first + config.window_length // 2] = True
        mask[n // 2 :, first + 2, 0] = True
        return windows, mask

    return make


@pytest.mark.parametrize("differentiable", [False, True])
@pytest.mark.parametrize("window_length", LENGTHS)
def test_every_frame_is_drawn_once_and_from_known_frames_only(make_generator, begun, window_length, differentiable, monkeypatch):
    """What is to be drawn is NaN, which spreads to whatever reads it before it is there."""
    generator = make_generator(window_length)
    first = generator.config.context_length + 1
    drawn = []
    write = generator._drawn
    monkeypatch.setattr(generator, "_drawn", lambda *arguments: drawn.extend(arguments[2].tolist()) or write(*arguments))
    windows = begun(generator, 5)
    window = generator.sample(windows, 4, seeded(), differentiable=differentiable)
    assert torch.isfinite(window).all()
    assert sorted(drawn) == list(range(first, first + window_length))
    assert drawn[0] == first + window_length - 1
    assert (window[:, :first] == windows[:, :first]).all(), "what is known stays"
    assert windows[:, first:].isnan().all(), "what was passed stays as it was"


@pytest.mark.parametrize("window_length", LENGTHS)
def test_what_is_not_given_is_not_read(make_generator, marked, window_length):
    """Neither frames nor single features, wherever others are given, nor a context that is not known."""
    generator = make_generator(window_length)
    windows, mask = marked(generator)
    hidden = windows.masked_fill(~mask, math.nan)
    newest = generator.config.context_length
    hidden[:, newest - 2 : newest + 1] = windows[:, newest - 2 : newest + 1]
    window = generator.sample(hidden, 2, seeded(), given=mask)
    assert torch.isfinite(window[:, newest:]).all()
    assert (window[mask] == windows[mask]).all()
    mask[:, newest, 1] = True
    start = generator.sample_start(windows.masked_fill(~mask, math.nan), seeded(), given=mask)
    assert torch.isfinite(start).all()
    assert (start[:, 1] == windows[:, newest, 1]).all()


def test_midpoints_start_between_their_neighbours_however_close_the_right_one_is(make_generator, encoding, monkeypatch):
    """Features that grow by 0.01 a frame: the frame between the neighbours at its own time has the true value."""
    generator = make_generator(window_length=11)
    line = 0.01 * torch.arange(16.0)[None, :, None].expand(3, -1, 2)
    bases, given = {}, torch.ones(2, 16, 3, dtype=torch.bool)
    write = generator._drawn

    def remember(network, window, times, inputs, base, *others):
        if network is not generator.end:  # 3 embedded coordinates, 2 features of each neighbour, their marks: left ones, right ones
            stride = generator.config.strides[list(generator.midpoints).index(network)]
            n_reaches = len(generator.config.reaches(stride))
            n_neighbours = 2 * n_reaches + len(generator.config.lags(stride))
            assert (inputs[3 + n_neighbours * 2 + n_reaches] == 1).all(), "the neighbour on the right is seen, too"
        bases.update(zip(times.tolist(), base.view(2, len(times), 3).permute(2, 1, 0).unbind(1), strict=True))
        return write(network, features_first(line), times, inputs, base, given, *others[1:])

    monkeypatch.setattr(generator, "_drawn", remember)
    generator.sample(line.clone(), 4, seeded())
    assert bases.keys() == set(range(5, 16))
    for time in range(5, 15):
        torch.testing.assert_close(bases[time], line[:, time], msg=f"frame {time}")


def test_spreads_are_those_of_the_deviations_from_the_middle(encoding):
    """Independent steps of variance v: the last frame is off by T v, a midpoint at stride s by s v / 2."""
    config = GeneratorConfig(window_length=12, context_length=6)
    windows = 0.1 * torch.randn(20_000, config.n_frames, 2, generator=seeded()).cumsum(dim=1)
    expected = torch.tensor([1.0, *(0.1 * math.sqrt(v) for v in (12, 4, 2, 1, 0.5))])
    found = typical_spreads(encoding, config, windows)
    torch.testing.assert_close(found, expected[:, None].expand(-1, 2), rtol=0.03, atol=0)  # standard errors below 0.5 %


def test_strides_that_fit_in_no_window_take_the_spread_of_the_end(encoding, walks):
    spreads = typical_spreads(encoding, GeneratorConfig(5, 0), walks(50, 6, 0))
    assert spreads.shape == (5, 2)
    assert (spreads[2] == spreads[1]).all()
    assert (spreads > 0).all()


def test_networks_see_of_the_second_of_two_like_features_what_the_first_does_not_tell():
    """y = x + d, of which d is a tenth as large: correlations ρ = 1/√1.01, of which 0.01 % is taken off, at every step."""
    schema = FeatureSchema(names=("x", "angle", "y"), units=("", "rad", ""), periods=(None, 2 * math.pi, None), frame_interval=1.0)
    config = GeneratorConfig(window_length=4, context_length=2)
    x, angle, d = torch.randn(3, 20_000, config.n_frames, generator=seeded())
    windows = torch.stack([x, 0.1 * angle, (x + 0.1 * d) / math.sqrt(1.01)], dim=-1)
    encoding = FeatureEncoding(schema, windows.flatten(0, 1))
    windows = encoding.reduce(windows)
    generator = WindowGenerator(encoding, config, typical_spreads(encoding, config, windows))
    before = {name: weight.clone() for name, weight in generator.state_dict().items()}
    whiten_inputs(generator, windows)
    correlation = 0.9999 / math.sqrt(1.01)
    remains = math.sqrt(1 - correlation**2)
    # embedded x, y, sine and cosine; then x, angle and y of each frame that is seen
    n_frames = {"end": 2, "midpoints.0": 9, "midpoints.1": 10}
    for network, n in n_frames.items():
        old, new = before.pop(f"{network}.first.weight"), generator.get_submodule(network).first.weight.detach()
        pairs = [(0, 1), *((4 + 3 * frame, 6 + 3 * frame) for frame in range(n))]
        alone = [column for column in range(old.shape[1]) if column not in sum(pairs, ())]
        assert (new[:, alone] == old[:, alone]).all(), network
        for first, second in pairs:  # standard error of a correlation so close to 1: 1e-4 of it
            torch.testing.assert_close(new[:, second], old[:, second] / remains, rtol=2e-2, atol=0)
            expected = old[:, first] - old[:, second] * correlation / remains
            torch.testing.assert_close(new[:, first], expected, rtol=0, atol=0.02 * float(old.abs().max()) / remains)
    after = generator.state_dict()
    assert all((after[name] == weight).all() for name, weight in before.items()), "all else is as it was"


def test_angles_stay_on_the_circle(make_generator, begun):
    generator = make_generator()
    window = generator.sample(begun(generator, 200), 4, seeded())
    assert (window[..., 1].abs() <= math.pi + 1e-6).all()


@pytest.mark.parametrize("name", ["start", "end", "midpoints"])
def test_no_frame_lies_far_beyond_the_real_ones_unless_it_is_given(make_generator, marked, name):
    generator = make_generator()
    window, given = marked(generator)
    for network in generator.midpoints if name == "midpoints" else [getattr(generator, name)]:
        torch.nn.init.constant_(network.describe.bias, 10.0)  # means of ten spreads, deviations of e¹⁰
    line = ~generator.encoding.periodic
    low, high = generator.encoding.low[line], generator.encoding.high[line]
    now = generator.config.context_length
    wild = torch.where(given, 1e3, window)
    drawn = generator.sample(wild, now, seeded(), given=given)[:, now + 1 :]
    started = generator.sample_start(wild, seeded(), given=given)
    for frames, here in ((drawn, given[:, now + 1 :]), (started, given[:, now])):
        assert (frames[here] == 1e3).all()
        free = torch.where(here, 0.0, frames)[..., line]
        assert (free >= low - 0.25 * (high - low)).all()
        assert (free <= high + 0.25 * (high - low)).all()
    reached = started if name == "start" else drawn
    assert (reached[..., line] == high + 0.25 * (high - low)).any()


def test_same_seed_same_window(make_generator, begun):
    generator = make_generator()
    windows = begun(generator, 3)
    first, again, other = (generator.sample(windows, 4, seeded(seed)) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first[:, 5:] != other[:, 5:]).all()


@pytest.mark.parametrize("window_length", [7, 8])
def test_differentiable_samples_are_the_same_samples(make_generator, marked, window_length):
    generator = make_generator(window_length, n_labels=1)
    windows, mask = marked(generator)
    labels = torch.linspace(-1, 1, len(windows))[:, None]
    for given in (None, mask):
        plain = generator.sample(windows, 4, seeded(1), labels=labels, given=given)
        graph = generator.sample(windows, 4, seeded(1), labels=labels, given=given, differentiable=True)
        torch.testing.assert_close(plain, graph)


def test_samples_drawn_in_inference_mode_do_not_stand_in_the_way_of_training(make_generator, marked):
    """What generators of one shape share is made by the first of them that is used."""
    generator = make_generator(23)  # a length that no other test has
    windows, _ = marked(generator)
    with torch.inference_mode():
        generator.sample(windows, 4, seeded(1))
    generator.sample(windows, 4, seeded(1), differentiable=True).sum().backward()
    assert generator.end.describe.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("known", [0, 2, 4])
def test_frames_that_are_not_known_are_not_looked_at(make_generator, begun, known):
    generator = make_generator()
    windows = begun(generator, 3)
    changed = windows.clone()
    changed[:, : 4 - known] = math.nan
    first = generator.sample(windows, known, seeded(1))
    second = generator.sample(changed, known, seeded(1))
    assert (first[:, 5:] == second[:, 5:]).all()
    if known:
        changed = windows.clone()
        changed[:, 4 - known] += 1.0
        third = generator.sample(changed, known, seeded(1))
        assert (first[:, 5:] != third[:, 5:]).any(), "the oldest known frame matters"


def test_likelihood_ignores_frames_that_are_not_known(make_generator, walks):
    generator = make_generator()
    windows = walks(20, generator.config.n_frames, 5)
    changed = windows.clone()
    changed[:, :4] = math.nan
    losses = [generator.negative_log_likelihood(w, 0, 64, seeded()) for w in (windows, changed)]
    assert losses[0].item() == losses[1].item()


def test_given_frames_change_what_is_drawn_beside_them(make_generator, begun):
    """A given frame is seen by every step that draws between its neighbours, through the inputs for given frames alone."""
    generator = make_generator(window_length=16)
    windows = begun(generator, 4)
    mask = torch.zeros(windows.shape, dtype=torch.bool)
    given = 5 + 4  # the sixth new frame is drawn at stride 1, frames 4 and 8 before it
    mask[:, given] = True
    windows[:, given] = 0.2
    first = generator.sample(windows, 4, seeded(), given=mask)
    windows[:, given] = 0.4
    second = generator.sample(windows, 4, seeded(), given=mask)
    assert (first[:, -1] != second[:, -1]).all(), "the last frame knows it"
    assert (first[:, 12] != second[:, 12]).all(), "the frame half-way knows it"
    ends = [generator._end_inputs(features_first(w), 4, None, None)[0] for w in (first, windows)]
    assert (ends[0] == ends[1]).all(), "without the inputs for given frames nothing of it is seen"


def test_conditions_on_one_window_do_not_reach_another(make_generator, begun):
    generator = make_generator()
    windows = begun(generator, 4)
    mask = torch.zeros(windows.shape, dtype=torch.bool)
    plain = generator.sample(windows, 4, seeded(), given=mask)
    mask[0, -1], windows[0, -1] = True, 0.5
    other = generator.sample(windows, 4, seeded(), given=mask)
    torch.testing.assert_close(plain[1:], other[1:])
    assert (plain[0, 5:] != other[0, 5:]).all()


def test_nothing_given_is_the_plain_window(make_generator, begun):
    """A mask without marks adds zeros to the inputs."""
    generator = make_generator()
    windows = begun(generator, 4)
    plain = generator.sample(windows, 4, seeded())
    masked = generator.sample(windows, 4, seeded(), given=torch.zeros(windows.shape, dtype=torch.bool))
    torch.testing.assert_close(plain, masked)


def test_labels_change_every_step(make_generator, begun):
    generator = make_generator(window_length=7, n_labels=2)
    windows = begun(generator, 3)
    first, second = (generator.sample(windows, 4, seeded(), labels=label.expand(3, -1)) for label in torch.eye(2)[:, None])
    assert (first[:, 5:] != second[:, 5:]).all()
    starts = [generator.sample_start(windows, seeded(), labels=label.expand(3, -1)) for label in torch.eye(2)[:, None]]
    assert (starts[0] != starts[1]).any()


def test_likelihood_of_given_windows_counts_what_is_drawn_only(make_generator, walks):
    """With everything given there is nothing left to be likely, so only the residual of nothing, 0, is left."""
    generator = make_generator()
    windows = walks(20, generator.config.n_frames, 5)
    mask = torch.ones(windows.shape, dtype=torch.bool)
    loss = generator.negative_log_likelihood(windows, 4, 512, seeded(), given=mask)
    assert loss.item() == pytest.approx(0, abs=1e-5)
    mask[:, -1, 0] = False
    assert generator.negative_log_likelihood(windows, 4, 512, seeded(), given=mask).item() != pytest.approx(0, abs=1e-3)


def missing(generator):
    return {name for name, p in generator.named_parameters() if p.grad is None or p.grad.abs().sum() == 0}


def test_every_parameter_is_reached(make_generator, marked):
    generator = make_generator(window_length=11, n_labels=1)
    windows, mask = marked(generator, 64)
    labels = torch.linspace(-1, 1, 64)[:, None]
    generator.negative_log_likelihood(windows, 4, 256, seeded(), labels=labels, given=mask).backward()
    assert not missing(generator)
    generator.zero_grad()
    window = generator.sample(windows, 4, seeded(1), labels=labels, given=mask, differentiable=True)
    window[:, 5:].square().sum().backward()
    assert all(name.startswith("start") for name in missing(generator)), "only the law of first frames is not used"


def test_every_column_of_inputs_is_reached(make_generator, walks):
    """Columns for labels and given frames too, with all kinds of things given; without, columns for given frames get nothing."""
    generator = make_generator(window_length=12, n_labels=1)
    windows, labels = walks(256, generator.config.n_frames, 3), torch.linspace(-1, 1, 256)[:, None]
    mask = torch.rand(windows.shape, generator=seeded()) < 0.3
    mask[:, :4] = False
    n_given = 6 * 2 + 2 + 16
    for given in (None, mask):
        generator.zero_grad()
        for known in (0, 4):
            generator.negative_log_likelihood(windows, known, 1024, seeded(), labels=labels, given=given).backward()
        for name, network in (("start", generator.start), ("end", generator.end), ("midpoints", generator.midpoints[-2])):
            reached = network.first.weight.grad.abs().sum(dim=0) > 0
            assert reached[:-n_given].all(), name
            if given is None:
                assert not reached[-n_given:].any(), name
            else:  # what is given before (5 columns), after (5) and at the time (4); nothing is before the start or after the end
                unused = {"start": slice(0, 5), "end": slice(5, 10), "midpoints": slice(0)}[name]
                expected = torch.ones(n_given, dtype=torch.bool)
                expected[unused] = False
                assert (reached[-n_given:] == expected).all(), name


@pytest.mark.statistical
def test_likelihood_training_finds_the_law_of_an_autoregressive_process(make_generator):
    """x(t+1) = 0.9 x(t) + e, e ~ N(0, 0.19): unit variance, correlation 0.9^k.

    4,000 windows of 8 frames drawn one after the other from 4,000 chains: the standard error of a variance is 0.022, of a
    correlation below 0.016; for sampling and training together four of the former and three of the latter are allowed.
    """
    generator = make_generator(window_length=8, context_length=2, hidden=32, n_components=2)
    generator.encoding.low[0], generator.encoding.high[0] = -4.0, 4.0
    rng = seeded(1)

    def process(n, length):
        frames = [torch.randn(n, 2, generator=rng)]
        for _ in range(length - 1):
            frames.append(0.9 * frames[-1] + math.sqrt(0.19) * torch.randn(n, 2, generator=rng))
        windows = torch.stack(frames, dim=1)
        windows[..., 1] *= 0.3  # the angle must not go around
        return windows

    optimizer = torch.optim.Adam(generator.parameters(), 1e-2)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / 401)
        loss = generator.negative_log_likelihood(process(256, generator.config.n_frames), step % 3, 512, rng)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        window = torch.full((4000, 11, 2), math.nan)
        window[:, 2] = generator.sample_start(window, rng)
        window = generator.sample(window, 0, rng)
        window[:, :3] = window[:, -3:].clone()
        window = generator.sample(window, 2, rng)[:, 3:]
    for feature, scale in ((0, 1.0), (1, 0.3)):
        x = window[..., feature] / scale
        assert x[:, -1].var().item() == pytest.approx(1.0, abs=4 * 0.022)
        for lag in (1, 4, 7):
            correlation = torch.corrcoef(torch.stack([x[:, 0], x[:, lag]]))[0, 1].item()
            assert correlation == pytest.approx(0.9**lag, abs=3 * 0.016)


@pytest.mark.statistical
def test_the_whole_course_of_a_given_feature_decides_what_is_drawn(make_generator):
    """x is noise but for a pulse at the ninth of 17 frames; the angle has the sign of the pulse, ±1 ± 0.1, in all frames.

    Of 1,000 windows drawn given x, half have the right sign in their first frame (standard error 0.016) if only the nearest frames
    are seen; here more than nine of ten must have it, in all frames.
    """
    generator = make_generator(window_length=16, context_length=0, hidden=32, n_components=2)
    generator.encoding.low[0], generator.encoding.high[0] = -4.0, 4.0
    rng = seeded(1)

    def process(n):
        sign = torch.randint(0, 2, (n, 1), generator=rng) * 2.0 - 1
        windows = 0.1 * torch.randn(n, 17, 2, generator=rng)
        windows[..., 1] += sign
        windows[:, 8, 0] += 2 * sign[:, 0]
        return windows, sign

    only_x = torch.zeros(1000, 17, 2, dtype=torch.bool)
    only_x[..., 0] = True
    optimizer = torch.optim.Adam(generator.parameters(), 1e-2)
    for step in range(150):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / 151)
        loss = generator.negative_log_likelihood(process(128)[0], 0, 256, rng, given=only_x[:128])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    windows, sign = process(1000)
    window = windows.masked_fill(~only_x, math.nan)
    with torch.no_grad():
        window[:, 0] = generator.sample_start(window, rng, given=only_x)
        drawn = generator.sample(window, 0, rng, given=only_x)
    assert ((drawn[..., 1] * sign > 0).float().mean(dim=0) > 0.9).all()
