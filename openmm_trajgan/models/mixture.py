"""A conditional mixture of Gaussians on lines and circles: exact likelihood, one-shot samples, gradients through both."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from openmm_trajgan.models.encoding import wrap_angles

_MIN_LOG_RESIDUAL = math.log(1e-3)  # of the spread; without a floor the likelihood of discrete values has no maximum
_MAX_ANGULAR_SPREAD = 1.0  # rad; a wrapped Gaussian this narrow has 0.2 % of its mass outside the nearest image
_FULL_COVARIANCE_UP_TO = 12  # features; beyond, components have diagonal covariance
_RELAXATION_TEMPERATURE = 0.5


class ConditionalMixture(nn.Module):
    """Law of a frame given other frames: an MLP gives the weights, means and covariances of `n_components` Gaussians.

    A covariance is written as a regression: each feature deviates by a linear function of the deviations of the features before
    it, plus a residual of its own.

    A frame is described by its offset from a base frame in units of `spread`. For a periodic feature the mean offset is the angle
    ``atan2(s·o₁, 1 + s·o₂)`` of two network outputs: for a small spread s that is s·o₁, and for a large one every direction can be
    reached from every base without a jump. The distance to a component is measured to its nearest image, which makes the
    likelihood a lower bound of the wrapped one, tight because the angular spread of a component is bounded.

    Parameters
    ----------
    periodic
        Which features are angles, ``(n_features,)``.
    n_inputs
        Numbers the MLP reads.
    spread
        Typical offset of each feature, reduced coordinates, ``(n_features,)``.
    n_components
        Gaussians in the mixture.
    hidden
        Width of the two hidden layers.
    """

    spread: Tensor
    periodic: Tensor

    def __init__(
        self,
        periodic: Bool[Tensor, " features"],
        n_inputs: int,
        spread: Float[Tensor, " features"],
        *,
        n_components: int,
        hidden: int,
    ) -> None:
        super().__init__()
        n_features = len(periodic)
        self.n_components = n_components
        self.register_buffer("periodic", periodic, persistent=False)
        self.register_buffer("spread", torch.where(periodic, spread.clamp(1e-6, 1.0), spread.clamp_min(1e-6)))
        self.full = 1 < n_features <= _FULL_COVARIANCE_UP_TO
        self.n_coefficients = n_features * (n_features - 1) // 2 if self.full else 0
        n_outputs = n_components * (1 + 3 * n_features + self.n_coefficients)
        self.layers = nn.Sequential(
            nn.Linear(n_inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, n_outputs)
        )

    def _parameters_of(
        self, inputs: Float[Tensor, "batch inputs"]
    ) -> tuple[
        Float[Tensor, "batch components"],
        Float[Tensor, "batch components features"],
        Float[Tensor, "batch components features"],
        Float[Tensor, "batch components pairs"],
    ]:
        """Log weights, mean offsets (reduced), log residual deviations and regression coefficients (units of spread)."""
        n_features = len(self.periodic)
        outputs = self.layers(inputs).reshape(len(inputs), self.n_components, -1)
        logits, along, across, log_residuals, coefficients = outputs.split(
            [1, n_features, n_features, n_features, self.n_coefficients], dim=-1
        )
        log_residuals = _MIN_LOG_RESIDUAL + nn.functional.softplus(log_residuals - _MIN_LOG_RESIDUAL)
        straight = self.spread * along
        if bool(self.periodic.any()):
            turned = torch.atan2(straight, 1 + self.spread * across)
            means = torch.where(self.periodic, turned, straight)
            ceiling = math.log(_MAX_ANGULAR_SPREAD) - torch.log(self.spread)
            bounded = ceiling - nn.functional.softplus(ceiling - log_residuals)
            log_residuals = torch.where(self.periodic, bounded, log_residuals)
        else:
            means = straight
        return logits[..., 0].log_softmax(dim=1), means, log_residuals, coefficients

    def _explained(
        self, coefficients: Float[Tensor, "*batch pairs"], earlier: Float[Tensor, "*batch earlier"]
    ) -> Float[Tensor, "*batch"]:
        """Part of the deviation of the next feature that the deviations of the earlier ones explain."""
        n_earlier = earlier.shape[-1]
        first = n_earlier * (n_earlier - 1) // 2
        return (coefficients[..., first : first + n_earlier] * earlier).sum(dim=-1)

    def negative_log_likelihood(
        self,
        inputs: Float[Tensor, "batch inputs"],
        base: Float[Tensor, "batch features"],
        frames: Float[Tensor, "batch features"],
    ) -> Float[Tensor, ""]:
        """Mean over the batch of −ln p(frame | inputs) per frame, in units where `spread` is 1 and without the (2π)^½ factors."""
        log_weights, means, log_residuals, coefficients = self._parameters_of(inputs)
        offsets = wrap_angles(frames[:, None] - base[:, None] - means, self.periodic) / self.spread
        residuals = offsets
        if self.full:
            residuals = torch.stack(
                [offsets[..., i] - self._explained(coefficients, offsets[..., :i]) for i in range(len(self.periodic))], dim=-1
            )
        white = residuals * torch.exp(-log_residuals)
        log_density = -0.5 * white.square().sum(-1) - log_residuals.sum(-1)
        log_likelihood: Tensor = (log_weights + log_density).logsumexp(dim=1).mean()
        return -log_likelihood

    def sample(
        self,
        inputs: Float[Tensor, "batch inputs"],
        base: Float[Tensor, "batch features"],
        generator: torch.Generator,
        *,
        differentiable: bool = False,
    ) -> Float[Tensor, "batch features"]:
        """Draw one frame per row.

        With `differentiable`, the choice of the component passes gradients through a relaxed choice (straight-through
        Gumbel-softmax, Jang et al. 2017); the value is the same either way.
        """
        log_weights, means, log_residuals, coefficients = self._parameters_of(inputs)
        uniform = torch.rand(log_weights.shape, generator=generator, device=inputs.device).clamp(1e-7, 1 - 1e-7)
        scores = log_weights - torch.log(-torch.log(uniform))
        choice = nn.functional.one_hot(scores.argmax(dim=1), self.n_components).to(scores.dtype)
        if differentiable:
            relaxed = (scores / _RELAXATION_TEMPERATURE).softmax(dim=1)
            choice = choice - relaxed.detach() + relaxed
        noise = torch.randn(base.shape, generator=generator, device=base.device, dtype=base.dtype)
        mean, log_residuals, coefficients = (
            (choice[..., None] * values).sum(dim=1) for values in (means, log_residuals, coefficients)
        )
        deviations = log_residuals.exp() * noise
        if self.full:
            columns: list[Tensor] = []
            for i in range(len(self.periodic)):
                earlier = torch.stack(columns, dim=-1) if columns else deviations[:, :0]
                columns.append(deviations[:, i] + self._explained(coefficients, earlier))
            deviations = torch.stack(columns, dim=-1)
        return wrap_angles(base + mean + self.spread * deviations, self.periodic)
