import math

import pytest
import torch

from openmm_trajgan.models.mixture import ConditionalMixture


def mixture(periodic, spread, seed=0, n_components=3, n_inputs=2):
    torch.manual_seed(seed)
    network = ConditionalMixture(torch.tensor(periodic), n_inputs, torch.tensor(spread), n_components=n_components, hidden=16)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2.0)
    return network.double()


def density_on_grid(network, grid, base):
    """p(frame) at every grid point, in reduced coordinates."""
    inputs = torch.full((1, 2), 0.7, dtype=torch.float64)
    with torch.no_grad():
        nll = torch.stack([network.negative_log_likelihood(inputs, base[None], point[None]) for point in grid])
    n_features = grid.shape[1]
    return torch.exp(-nll) / ((2 * math.pi) ** (n_features / 2) * network.spread.prod())


@pytest.mark.parametrize(("periodic", "spread"), [([False], [0.3]), ([True], [0.2]), ([True], [1.0])])
def test_density_integrates_to_one(periodic, spread):
    network = mixture(periodic, spread)
    grid = torch.linspace(-math.pi if periodic[0] else -20, math.pi if periodic[0] else 20, 4001, dtype=torch.float64)[:, None]
    total = torch.trapezoid(density_on_grid(network, grid, torch.tensor([0.4], dtype=torch.float64)), grid[:, 0])
    # On the circle the nearest image leaves out the tails beyond half a turn: at most 0.2 %.
    assert 0.998 <= total.item() <= 1.0001


@pytest.mark.statistical
@pytest.mark.parametrize("differentiable", [False, True])
def test_samples_follow_the_density(differentiable):
    """40,000 samples of a line × circle mixture against the density on a 12 × 12 grid of bins: chi² within 4 standard errors."""
    network = mixture([False, True], [0.5, 0.8], seed=3)
    n = 40_000
    base = torch.tensor([0.2, 3.0], dtype=torch.float64)
    inputs = torch.full((n, 2), 0.7, dtype=torch.float64)
    samples = network.sample(inputs, base.expand(n, -1), torch.Generator().manual_seed(1), differentiable=differentiable).detach()
    assert (samples[:, 1].abs() <= math.pi + 1e-9).all()
    x_edges = torch.quantile(samples[:, 0], torch.linspace(0, 1, 13, dtype=torch.float64))
    y_edges = torch.linspace(-math.pi, math.pi, 13, dtype=torch.float64)
    counts, _ = torch.histogramdd(samples, bins=[x_edges, y_edges])
    fine = 10
    xs = torch.cat(
        [torch.linspace(a, b, fine + 1, dtype=torch.float64)[:-1] + (b - a) / (2 * fine) for a, b in x_edges.unfold(0, 2, 1)]
    )
    ys = torch.linspace(-math.pi, math.pi, 12 * fine + 1, dtype=torch.float64)[:-1] + math.pi / (12 * fine)
    grid = torch.cartesian_prod(xs, ys)
    inputs = torch.full((len(grid), 2), 0.7, dtype=torch.float64)
    density = []
    with torch.no_grad():
        log_weights, means, log_residuals, coefficients = network._parameters_of(inputs[:1])
        factor = torch.diag_embed(log_residuals[0].exp())
        factor[:, 1, 0] = coefficients[0, :, 0] * factor[:, 0, 0]
        factor = factor * network.spread[:, None]
        for start in range(0, len(grid), 2000):
            part = grid[start : start + 2000]
            offsets = part[:, None] - base - means
            offsets[..., 1] = torch.remainder(offsets[..., 1] + math.pi, 2 * math.pi) - math.pi
            images = [offsets + torch.tensor([0.0, 2 * math.pi * k], dtype=torch.float64) for k in (-1, 0, 1)]
            normal = torch.distributions.MultivariateNormal(torch.zeros(2, dtype=torch.float64), scale_tril=factor)
            density.append(sum((log_weights + normal.log_prob(image)).exp().sum(1) for image in images))
    widths = (x_edges.diff().repeat_interleave(fine) / fine).repeat_interleave(12 * fine)
    mass = (torch.cat(density) * widths * (2 * math.pi / (12 * fine))).reshape(12, fine, 12, fine).sum(dim=(1, 3))
    expected = n * mass
    kept = expected > 5
    chi_squared = ((counts - expected)[kept].square() / expected[kept]).sum().item()
    n_bins = int(kept.sum())
    assert abs(chi_squared - n_bins) < 4 * math.sqrt(2 * n_bins) + 0.1 * n_bins


def test_relaxed_choice_changes_no_sample():
    network = mixture([False, True], [0.5, 0.8])
    inputs, base = torch.randn(50, 2, dtype=torch.float64), torch.zeros(50, 2, dtype=torch.float64)
    plain = network.sample(inputs, base, torch.Generator().manual_seed(1))
    relaxed = network.sample(inputs, base, torch.Generator().manual_seed(1), differentiable=True)
    torch.testing.assert_close(plain, relaxed)


def test_every_direction_can_be_reached_from_every_base():
    """Trained to always answer 2 rad whatever the base angle, the law must not jump where base and answer are opposite."""
    torch.manual_seed(0)
    network = ConditionalMixture(torch.tensor([True]), 2, torch.tensor([1.0]), n_components=1, hidden=32)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    base = torch.linspace(-math.pi, math.pi, 257)[:-1, None]
    inputs = torch.cat([torch.sin(base), torch.cos(base)], dim=1)
    for _ in range(400):
        loss = network.negative_log_likelihood(inputs, base, 2.0 + 0.1 * torch.randn_like(base))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    _, means, _, _ = network._parameters_of(inputs)
    reached = torch.remainder(base + means[:, 0], 2 * math.pi)
    assert (reached - 2.0).abs().max() < 0.2


def test_likelihood_of_discrete_values_has_a_maximum():
    """However sharp the network wants to be, a frame met exactly scores no better than the floor of the residuals allows."""
    network = ConditionalMixture(torch.tensor([False]), 1, torch.tensor([1.0]), n_components=2, hidden=16).double()
    with torch.no_grad():
        network.layers[-1].weight.zero_()
        network.layers[-1].bias.fill_(-1e4)
    inputs, base = torch.ones(5, 1, dtype=torch.float64), torch.zeros(5, 1, dtype=torch.float64)
    loss = network.negative_log_likelihood(inputs, base, torch.full((5, 1), -1e4, dtype=torch.float64))
    assert loss.item() == pytest.approx(math.log(1e-3))


@pytest.mark.parametrize("n_features", [1, 3, 20])
def test_every_parameter_gets_a_gradient_from_likelihood_and_from_samples(n_features):
    torch.manual_seed(0)
    network = ConditionalMixture(torch.arange(n_features) % 2 == 0, 4, torch.ones(n_features), n_components=2, hidden=8)
    inputs, base = torch.randn(32, 4), torch.randn(32, n_features)
    network.negative_log_likelihood(inputs, base, torch.randn(32, n_features)).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())
    network.zero_grad()
    network.sample(inputs, base, torch.Generator().manual_seed(0), differentiable=True).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())
