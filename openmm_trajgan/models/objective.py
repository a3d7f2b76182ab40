"""The Wasserstein objective with gradient penalty, as mathematics only: nothing here steps, logs or moves data.

I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville, "Improved Training of Wasserstein GANs", NeurIPS 2017, equation 3:
L = E[D(fake)] − E[D(real)] + λ E[(‖∇D(mixed)‖₂ − 1)²], the mixed samples lying uniformly on lines between real and fake ones.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Critic = Callable[[Tensor], Tensor]


def wasserstein_distance(real_scores: Float[Tensor, " rows"], fake_scores: Float[Tensor, " rows"]) -> Float[Tensor, ""]:
    """E[D(real)] − E[D(fake)], what the critic raises and the generator lowers."""
    return real_scores.mean() - fake_scores.mean()


def gradient_penalty(
    critic: Critic, real: Float[Tensor, "rows inputs"], fake: Float[Tensor, "rows inputs"], generator: torch.Generator
) -> Float[Tensor, ""]:
    """E[(‖∇D(mixed)‖₂ − 1)²], the last term of equation 3 without λ; each row is one sample."""
    share = torch.rand(len(real), 1, generator=generator, device=real.device)
    mixed = (share * real + (1 - share) * fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
    norm = gradient.square().sum(dim=1).add(1e-12).sqrt()
    return (norm - 1).square().mean()


def critic_loss(
    critic: Critic,
    real: Float[Tensor, "rows inputs"],
    fake: Float[Tensor, "rows inputs"],
    penalty_weight: float,
    generator: torch.Generator,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Equation 3, and the Wasserstein distance in it."""
    scores = critic(torch.cat([real, fake]))
    distance = wasserstein_distance(scores[: len(real)], scores[len(real) :])
    return penalty_weight * gradient_penalty(critic, real, fake, generator) - distance, distance


def generator_loss(fake_scores: Float[Tensor, " rows"]) -> Float[Tensor, ""]:
    """−E[D(fake)]."""
    return -fake_scores.mean()
