import math

import pytest
import torch

from openmm_trajgan.models.generator import midpoint_strides


@pytest.fixture
def context():
    def make(generator, n):
        return 0.3 * torch.randn(n, generator.config.context_length + 1, 2, generator=torch.Generator().manual_seed(5))

    return make


def test_every_frame_of_a_window_is_drawn_once(make_generator, context):
    generator = make_generator(window_length=16)
    known = context(generator, 5)
    window = generator.sample(known, 4, torch.Generator().manual_seed(0))
    assert window.shape == (5, 4 + 1 + 16, 2)
    assert (window[:, :5] == known).all(), "given frames stay as they are"
    assert (window[:, 5:] != 0).all()
    assert midpoint_strides(16) == [8, 4, 2, 1]


def test_angles_stay_on_the_circle(make_generator, context):
    generator = make_generator()
    window = generator.sample(context(generator, 200), 4, torch.Generator().manual_seed(0))
    assert (window[..., 1].abs() <= math.pi + 1e-6).all()


def test_same_seed_same_window(make_generator, context):
    generator = make_generator()
    known = context(generator, 3)
    first, again, other = (generator.sample(known, 4, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first[:, 5:] != other[:, 5:]).all()


def test_differentiable_samples_are_the_same_samples(make_generator, context):
    generator = make_generator()
    known = context(generator, 3)
    plain = generator.sample(known, 4, torch.Generator().manual_seed(1))
    graph = generator.sample(known, 4, torch.Generator().manual_seed(1), differentiable=True)
    torch.testing.assert_close(plain, graph)


@pytest.mark.parametrize("known", [0, 2, 4])
def test_frames_that_are_not_known_are_not_looked_at(make_generator, context, known):
    generator = make_generator()
    given = context(generator, 3)
    changed = given.clone()
    changed[:, : 4 - known] += 1.0
    first = generator.sample(given, known, torch.Generator().manual_seed(1))
    second = generator.sample(changed, known, torch.Generator().manual_seed(1))
    torch.testing.assert_close(first[:, 5:], second[:, 5:])
    if known:
        changed = given.clone()
        changed[:, 4 - known] += 1.0
        third = generator.sample(changed, known, torch.Generator().manual_seed(1))
        assert (first[:, 5:] != third[:, 5:]).any(), "the oldest known frame matters"


def test_likelihood_ignores_frames_that_are_not_known(make_generator):
    generator = make_generator()
    windows = 0.3 * torch.randn(20, generator.config.n_frames, 2, generator=torch.Generator().manual_seed(5))
    changed = windows.clone()
    changed[:, :4] += 1.0
    losses = [generator.negative_log_likelihood(w, 0, 64, torch.Generator().manual_seed(0)) for w in (windows, changed)]
    assert losses[0].item() == pytest.approx(losses[1].item())


def test_every_parameter_is_reached(make_generator, context):
    generator = make_generator()
    windows = 0.3 * torch.randn(64, generator.config.n_frames, 2, generator=torch.Generator().manual_seed(5))
    generator.negative_log_likelihood(windows, 4, 256, torch.Generator().manual_seed(0)).backward()
    missing = [name for name, p in generator.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
    assert not missing
    generator.zero_grad()
    generator.sample(context(generator, 64), 4, torch.Generator().manual_seed(1), differentiable=True)[
        :, 5:
    ].square().sum().backward()
    missing = [name for name, p in generator.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
    assert all(name.startswith("start") for name in missing), "only the law of first frames is not used in a continuation"


@pytest.mark.statistical
def test_likelihood_training_finds_the_law_of_an_autoregressive_process(make_generator):
    """x(t+1) = 0.9 x(t) + e, e ~ N(0, 0.19): unit variance, correlation 0.9^k.

    4,000 windows of 8 frames drawn one after the other from 4,000 chains: the standard error of a variance is 0.022, of a
    correlation below 0.016; training error is allowed as much again.
    """
    generator = make_generator(window_length=8, context_length=2, hidden=32, n_components=2)
    generator.encoding.low[0], generator.encoding.high[0] = -4.0, 4.0
    rng = torch.Generator().manual_seed(1)

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
        start = generator.sample_start(4000, rng)
        window = generator.sample(start[:, None].expand(-1, 3, -1), 0, rng)
        window = generator.sample(window[:, -3:], 2, rng)[:, 3:]
    for feature, scale in ((0, 1.0), (1, 0.3)):
        x = window[..., feature] / scale
        assert x[:, -1].var().item() == pytest.approx(1.0, abs=0.09)
        for lag in (1, 4, 7):
            correlation = torch.corrcoef(torch.stack([x[:, 0], x[:, lag]]))[0, 1].item()
            assert correlation == pytest.approx(0.9**lag, abs=0.05)
