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


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def density_on_grid(network, grid, base, given=None):
    """p(frame) at every grid point, or p(others | given features), in reduced coordinates."""
    inputs = torch.full((2, 1), 0.7, dtype=torch.float64)
    mask = None if given is None else given[:, None]
    with torch.no_grad():
        nll = torch.stack([network.negative_log_likelihood(inputs, base[:, None], point[:, None], mask) for point in grid])
    drawn = torch.ones(grid.shape[1], dtype=torch.bool) if given is None else ~given
    return torch.exp(-nll) / ((2 * math.pi) ** (int(drawn.sum()) / 2) * network.spread[drawn].prod())


@pytest.mark.parametrize(("periodic", "spread"), [([False], [0.3]), ([True], [0.2]), ([True], [1.0])])
def test_density_integrates_to_one(periodic, spread):
    network = mixture(periodic, spread)
    grid = torch.linspace(-math.pi if periodic[0] else -20, math.pi if periodic[0] else 20, 801, dtype=torch.float64)[:, None]
    total = torch.trapezoid(density_on_grid(network, grid, torch.tensor([0.4], dtype=torch.float64)), grid[:, 0])
    # On the circle the nearest image leaves out the tails beyond half a turn: at most 0.2 %.
    assert 0.998 <= total.item() <= 1.0001


@pytest.mark.parametrize("given", [(0,), (1,)])
@pytest.mark.parametrize("periodic", [[False, False], [False, True], [True, False]])
def test_density_given_a_feature_integrates_to_one_over_the_other(periodic, given):
    """The part of an angle that a line explains is not bounded, so more is left out on the circle; never is it more than one."""
    network = mixture(periodic, [0.4, 0.6], seed=5)
    mask = torch.tensor([index in given for index in range(2)])
    drawn = 1 - given[0]
    for value in (-0.5, 1.5):
        line = torch.linspace(*((-math.pi, math.pi) if periodic[drawn] else (-10, 10)), 201, dtype=torch.float64)
        grid = torch.full((len(line), 2), value, dtype=torch.float64)
        grid[:, drawn] = line
        density = density_on_grid(network, grid, torch.tensor([0.4, 0.1], dtype=torch.float64), mask)
        assert (0.997 if periodic[drawn] else 0.9999) <= torch.trapezoid(density, line).item() <= 1.0001


def test_density_is_that_of_the_first_features_times_that_of_the_others_given_them():
    network = mixture([False, True, False], [0.4, 0.6, 1.0], seed=5)
    inputs, base, frames = (torch.randn(n, 50, dtype=torch.float64, generator=seeded()) for n in (2, 3, 3))
    first = torch.tensor([True, False, False])[:, None].expand(-1, 50)
    losses = [network.negative_log_likelihood(inputs, base, frames, given) for given in (None, first, ~first)]
    torch.testing.assert_close(losses[0], losses[1] + losses[2])


@pytest.mark.statistical
@pytest.mark.parametrize("differentiable", [False, True])
def test_samples_follow_the_density(differentiable):
    """40,000 samples of a line × circle mixture against the density on a 12 × 12 grid of bins.

    chi² lies within 4 standard errors; a tenth more is for the density within a bin, of which ten by ten points are looked at.
    """
    network = mixture([False, True], [0.5, 0.8], seed=3)
    n = 40_000
    base = torch.tensor([0.2, 3.0], dtype=torch.float64)
    inputs = torch.full((2, n), 0.7, dtype=torch.float64)
    samples = network.sample(inputs, base[:, None].expand(-1, n), seeded(1), differentiable=differentiable).detach().t()
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
    inputs = torch.full((2, len(grid)), 0.7, dtype=torch.float64)
    offsets = (grid - base).t()
    with torch.no_grad():
        log_weights, means, log_deviations = network.components(inputs, offsets)
    normal = torch.distributions.Normal(means, network.spread[:, None, None] * log_deviations.exp())
    density = sum((log_weights + normal.log_prob(offsets[:, None] + k * 2 * math.pi)).exp().sum(1)[1] for k in (-1, 0, 1))
    density = density * (log_weights + normal.log_prob(offsets[:, None])).exp().sum(1)[0]  # the second feature is an angle
    widths = (x_edges.diff().repeat_interleave(fine) / fine).repeat_interleave(12 * fine)
    mass = (density * widths * (2 * math.pi / (12 * fine))).reshape(12, fine, 12, fine).sum(dim=(1, 3))
    expected = n * mass
    kept = expected > 5
    chi_squared = ((counts - expected)[kept].square() / expected[kept]).sum().item()
    n_bins = int(kept.sum())
    assert abs(chi_squared - n_bins) < 4 * math.sqrt(2 * n_bins) + 0.1 * n_bins


def test_relaxed_choice_changes_no_sample():
    network = mixture([False, True], [0.5, 0.8])
    inputs, base = torch.randn(2, 50, dtype=torch.float64), torch.zeros(2, 50, dtype=torch.float64)
    plain = network.sample(inputs, base, torch.Generator().manual_seed(1))
    relaxed = network.sample(inputs, base, torch.Generator().manual_seed(1), differentiable=True)
    torch.testing.assert_close(plain, relaxed)


def deviation_in_standard_errors(samples, mean, covariance):
    """Largest deviation of sample means and covariances from those of a normal law."""
    n = len(samples)
    variances = covariance.diagonal()
    of_means = (samples.mean(dim=0) - mean).abs() / (variances / n).sqrt()
    error = ((covariance.square() + variances[:, None] * variances) / n).sqrt()
    return max(of_means.max().item(), ((samples.T.cov() - covariance).abs() / error).max().item())


def coupled(n_features):
    """One component with zero weights: mean 0, deviations and slopes set by hand. Also the covariance they imply."""
    network = ConditionalMixture(
        torch.zeros(n_features, dtype=torch.bool), 1, torch.linspace(0.5, 2, n_features), n_components=1, hidden=4
    ).double()
    deviations = torch.linspace(0.3, 1.5, n_features, dtype=torch.float64)
    slopes = 0.4 * torch.randn(n_features, n_features, generator=seeded(2))  # of a row by the column before it; others are unused
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        floor = math.log(1e-3)
        network.describe.bias.view(n_features, 3)[:, 2] = floor + torch.log(torch.expm1(deviations.log() - floor))
        for of_later in (network.slopes, network.slopes_given):
            if of_later is not None:
                of_later.copy_(slopes.T[:-1, None])
    spread, identity = network.spread, torch.eye(n_features, dtype=torch.float64)
    factor = spread[:, None] * torch.linalg.inv(identity - slopes.tril(-1)) * deviations
    return network, factor @ factor.T


@pytest.mark.statistical
@pytest.mark.parametrize("differentiable", [False, True])
def test_samples_have_the_covariance_of_the_slopes(differentiable):
    """(I - A)⁻¹ D² (I - A)⁻ᵀ: all 14 means and 105 covariances of 100,000 samples within 4.5 of their standard errors."""
    network, covariance = coupled(14)
    inputs, base = torch.ones(1, 100_000, dtype=torch.float64), torch.zeros(14, 100_000, dtype=torch.float64)
    samples = network.sample(inputs, base, seeded(1), differentiable=differentiable).detach().t()
    assert deviation_in_standard_errors(samples, torch.zeros(14, dtype=torch.float64), covariance) < 4.5


def test_density_of_one_component_is_the_normal_one():
    network, covariance = coupled(14)
    frames = torch.randn(14, 1, dtype=torch.float64, generator=seeded())
    zero = torch.zeros(14, 1, dtype=torch.float64)
    loss = network.negative_log_likelihood(torch.ones(1, 1, dtype=torch.float64), zero, frames)
    normal = torch.distributions.MultivariateNormal(zero[:, 0], covariance)
    expected = -normal.log_prob(frames[:, 0]) - 7 * math.log(2 * math.pi) - network.spread.log().sum()
    assert loss.item() == pytest.approx(expected.item())


@pytest.mark.statistical
@pytest.mark.parametrize("n_features", [4, 14])
def test_samples_given_first_features_are_the_conditional_normal_law(n_features):
    """One component, 50,000 samples: means and covariances of the others given the first two within 4.5 standard errors."""
    network, covariance = coupled(n_features)
    mean = torch.zeros(n_features, dtype=torch.float64)
    n, first = 50_000, slice(0, 2)
    others = slice(2, None)
    values = torch.tensor([0.7, -1.1], dtype=torch.float64)
    gain = torch.linalg.solve(covariance[first, first], covariance[first, others]).T
    expected = mean[others] + gain @ (values - mean[first])
    left = covariance[others, others] - gain @ covariance[first, others]
    frames = torch.full((n, n_features), math.nan, dtype=torch.float64)
    frames[:, first] = values
    inputs, base = torch.ones(1, n, dtype=torch.float64), torch.zeros(n_features, n, dtype=torch.float64)
    samples = network.sample(inputs, base, seeded(4), given=~frames.isnan().t(), frames=frames.t()).detach().t()
    assert (samples[:, first] == values).all()
    assert deviation_in_standard_errors(samples[:, others], expected, left) < 4.5


@pytest.mark.statistical
def test_samples_given_a_later_feature_follow_the_density_given_it():
    """Earlier features do not depend on later ones but by the inputs, in samples as in the density: mean within 4.5 errors."""
    network = mixture([False, False], [0.5, 0.8], seed=5)
    n = 40_000
    inputs, base = torch.full((2, n), 0.7, dtype=torch.float64), torch.zeros(2, n, dtype=torch.float64)
    mask, frames = torch.tensor([False, True]), torch.full((2, n), 0.9, dtype=torch.float64)
    samples = network.sample(inputs, base, seeded(4), given=mask[:, None].expand(-1, n), frames=frames).detach()
    assert (samples[1] == 0.9).all()
    line = torch.linspace(-10, 10, 201, dtype=torch.float64)
    density = density_on_grid(network, torch.stack([line, torch.full_like(line, 0.9)], dim=1), base[:, 0], mask)
    mean, square = (torch.trapezoid(line**power * density, line).item() for power in (1, 2))
    assert abs(samples[0].mean().item() - mean) < 4.5 * math.sqrt((square - mean**2) / n)


def test_given_angles_deviate_by_the_nearest_image():
    network = mixture([True, False], [0.8, 0.5], n_components=1)
    inputs, base = torch.ones(2, 20, dtype=torch.float64), torch.full((2, 20), 3.0, dtype=torch.float64)
    mask = torch.tensor([True, False])[:, None].expand(-1, 20)
    frames = torch.full((2, 20), -3.0, dtype=torch.float64)
    first = network.sample(inputs, base, seeded(), given=mask, frames=frames)
    second = network.sample(inputs, base, seeded(), given=mask, frames=frames + 2 * math.pi)
    torch.testing.assert_close(first[1], second[1])


@pytest.mark.parametrize("n_features", [2, 13])
def test_given_features_come_out_unchanged_and_the_mixture_without_is_the_plain_one(n_features):
    network = mixture([False, True] * (n_features // 2) + [False] * (n_features % 2), [0.5] * n_features)
    inputs = torch.randn(2, 60, dtype=torch.float64, generator=seeded(3))
    base, frames = torch.zeros(n_features, 60, dtype=torch.float64), torch.rand(n_features, 60, dtype=torch.float64)
    mask = torch.rand(n_features, 60, generator=seeded(2)) < 0.4
    for differentiable in (False, True):
        sampled = network.sample(inputs, base, seeded(), given=mask, frames=frames, differentiable=differentiable)
        assert (sampled[mask] == frames[mask]).all()
        assert (sampled[~mask] != frames[~mask]).all()
    nothing = torch.zeros_like(mask)
    plain, masked = (network.sample(inputs, base, seeded(), given=given, frames=frames) for given in (None, nothing))
    torch.testing.assert_close(plain, masked)


def test_inputs_that_end_earlier_are_continued_by_zeros():
    network = mixture([False], [0.5], n_inputs=5)
    short, base = torch.randn(3, 9, dtype=torch.float64), torch.zeros(1, 9, dtype=torch.float64)
    whole = torch.cat([short, torch.zeros(2, 9, dtype=torch.float64)])
    torch.testing.assert_close(network.sample(short, base, seeded()), network.sample(whole, base, seeded()))


def test_every_direction_can_be_reached_from_every_base():
    """Trained to always answer 2 rad whatever the base angle, the law must not jump where base and answer are opposite."""
    torch.manual_seed(0)
    network = ConditionalMixture(torch.tensor([True]), 2, torch.tensor([1.0]), n_components=1, hidden=32)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    base = torch.linspace(-math.pi, math.pi, 257)[None, :-1]
    inputs = torch.cat([torch.sin(base), torch.cos(base)])
    for _ in range(400):
        loss = network.negative_log_likelihood(inputs, base, 2.0 + 0.1 * torch.randn_like(base))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    _, means, _ = network.components(inputs, torch.zeros_like(base))
    reached = torch.remainder(base + means[0], 2 * math.pi)
    assert (reached - 2.0).abs().max() < 0.2


def test_likelihood_of_discrete_values_has_a_maximum():
    """However sharp the network wants to be, a frame met exactly scores no better than the floor of the residuals allows."""
    network = ConditionalMixture(torch.tensor([False]), 1, torch.tensor([1.0]), n_components=2, hidden=16).double()
    with torch.no_grad():
        network.describe.weight.zero_()
        network.describe.bias.fill_(-1e4)
    inputs, base = torch.ones(1, 5, dtype=torch.float64), torch.zeros(1, 5, dtype=torch.float64)
    loss = network.negative_log_likelihood(inputs, base, torch.full((1, 5), -1e4, dtype=torch.float64))
    assert loss.item() == pytest.approx(math.log(1e-3))


@pytest.mark.parametrize("n_features", [1, 3, 20])
def test_every_parameter_gets_a_gradient_from_likelihood_and_from_samples(n_features):
    torch.manual_seed(0)
    network = ConditionalMixture(torch.arange(n_features) % 2 == 0, 4, torch.ones(n_features), n_components=2, hidden=8)
    inputs, base = torch.randn(4, 32), torch.randn(n_features, 32)

    def missing():
        return [name for name, p in network.named_parameters() if p.numel() and (p.grad is None or p.grad.abs().sum() == 0)]

    of_given = [name for name, _ in network.named_parameters() if name.endswith("_given")]
    network.negative_log_likelihood(inputs, base, torch.randn(n_features, 32)).backward()
    assert missing() == of_given
    network.zero_grad()
    network.sample(inputs, base, seeded(), differentiable=True).square().sum().backward()
    assert missing() == of_given


def test_many_features_have_slopes_of_their_own_where_something_is_given():
    """With one pair of slopes for both, 64 relaxation times came out a seventh too long."""
    network, _ = coupled(13)
    frames, given = torch.randn(13, 8, dtype=torch.float64), torch.zeros(13, 8, dtype=torch.bool)
    inputs, base = torch.ones(1, 8, dtype=torch.float64), torch.zeros_like(frames)
    network.negative_log_likelihood(inputs, base, frames, given).backward()
    assert network.linear.weight.grad is None
    assert network.slopes.grad is None
    assert network.linear_given.grad.all()
    assert network.slopes_given.grad.any()
    with torch.no_grad():
        network.linear_given.fill_(1.0)
    free, conditioned = (network.sample(inputs, base, seeded(), given=here, frames=frames) for here in (None, given))
    torch.testing.assert_close(conditioned[0] - free[0], network.spread[0].expand(8))


def test_slopes_get_gradients_for_later_features_only():
    network, _ = coupled(13)
    frames = torch.randn(13, 8, dtype=torch.float64)
    network.negative_log_likelihood(torch.ones(1, 8, dtype=torch.float64), torch.zeros_like(frames), frames).backward()
    reached = network.slopes.grad[:, 0] != 0
    assert (reached == torch.ones(12, 13, dtype=torch.bool).triu(1)).all()


@pytest.mark.statistical
def test_features_choose_among_states_independently_of_one_another():
    """Four features at -1 or 1 by even odds, 16 combinations: four components a feature learn them all.

    The entropy of a frame is 4 (ln 2 + ln 0.1 + 1/2) without the (2π)^½ factors; 4096 fresh frames give the mean of -ln p, whose
    deviation is √(4 · 1/2), to 0.022, and training may leave it 0.1 above. Four Gaussians of all features
    at once would leave 3 more.
    """
    torch.manual_seed(0)
    network = ConditionalMixture(torch.zeros(4, dtype=torch.bool), 1, torch.ones(4), n_components=4, hidden=16)
    torch.nn.init.normal_(network.describe.bias)  # components begin apart
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    rng = seeded(1)

    def loss(n):
        frames = 2.0 * torch.randint(2, (4, n), generator=rng) - 1 + 0.1 * torch.randn(4, n, generator=rng)
        return network.negative_log_likelihood(torch.ones(1, n), torch.zeros(4, n), frames)

    for _ in range(600):
        optimizer.zero_grad()
        loss(256).backward()
        optimizer.step()
    entropy = 4 * (math.log(2) + math.log(0.1) + 0.5)
    assert abs(loss(4096).item() - entropy) < 0.1 + 4 * 0.022
