import pytest
import torch

from openmm_trajgan.models.objective import critic_loss, generator_loss, gradient_penalty, wasserstein_distance


@pytest.mark.parametrize("norm", [0.0, 0.5, 1.0, 3.0])
def test_penalty_of_a_linear_critic_has_its_closed_form(norm):
    """The gradient of w·x is w everywhere, so the penalty is (‖w‖ − 1)²."""
    weights = torch.randn(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights *= norm / weights.norm()
    real, fake = torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    penalty = gradient_penalty(lambda x: x @ weights, real, fake, torch.Generator().manual_seed(1))
    assert penalty.item() == pytest.approx((norm - 1) ** 2, abs=1e-5)


def test_penalty_is_measured_between_real_and_fake_only():
    seen = []

    def critic(x):
        seen.append(x.detach())
        return x.square().sum(dim=1)

    real, fake = torch.full((100, 3), -1.5), torch.full((100, 3), 2.0)
    gradient_penalty(critic, real, fake, torch.Generator().manual_seed(0))
    (mixed,) = seen
    assert ((mixed > -1.5) & (mixed < 2)).all()
    assert abs(mixed[:, 0].mean() - 0.25) < 4 * 3.5 / 1200**0.5, "uniform: within four standard errors of the middle"
    assert (mixed == mixed[:, :1]).all(), "each sample lies on its own line"
    assert mixed[:, 0].std() > 0.2, "each sample has a share of its own"


def test_penalty_reaches_the_weights_of_the_critic():
    """Second derivatives agree with finite differences, as a penalty on gradients needs."""
    torch.manual_seed(0)
    first, second = (
        torch.randn(4, 3, dtype=torch.float64, requires_grad=True),
        torch.randn(4, dtype=torch.float64, requires_grad=True),
    )
    real, fake = torch.randn(2, 6, 3, dtype=torch.float64)

    def penalty(a, b):
        return gradient_penalty(lambda x: torch.tanh(x @ a.T) @ b, real, fake, torch.Generator().manual_seed(2))

    assert torch.autograd.gradcheck(penalty, (first, second))


def test_losses_pull_in_opposite_directions():
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0])
    assert wasserstein_distance(real, fake).item() == pytest.approx(1.5)
    assert generator_loss(fake).item() == pytest.approx(-0.5)
    samples = torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(1))
    loss, distance = critic_loss(lambda x: 0 * x.sum(dim=1), *samples, 10.0, torch.Generator().manual_seed(0))
    assert distance.item() == 0
    assert loss.item() == pytest.approx(10.0, rel=1e-4), "a flat critic pays the whole penalty"


@pytest.mark.parametrize("penalty_weight", [0.0, 10.0])
def test_the_loss_of_a_linear_critic_has_its_closed_form(penalty_weight):
    """λ (‖w‖ − 1)² − w·(E[real] − E[fake]), which falls as the critic tells the two apart."""
    weights = torch.tensor([2.0, 0.0, 1.0], dtype=torch.float64)
    real, fake = torch.tensor([[3.0, 1.0, 0.0], [1.0, 0.0, 2.0]]).double(), torch.tensor([[0.5, 7.0, 0.0]]).double().expand(2, 3)
    loss, distance = critic_loss(lambda x: x @ weights, real, fake, penalty_weight, torch.Generator().manual_seed(0))
    assert distance.item() == pytest.approx(4.0)
    assert loss.item() == pytest.approx(penalty_weight * (5**0.5 - 1) ** 2 - 4.0)
