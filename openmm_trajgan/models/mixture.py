"""A conditional mixture of Gaussians on lines and circles: exact likelihood, one-shot samples, gradients through both."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from openmm_trajgan.models.encoding import wrap_angles

_MIN_LOG_RESIDUAL = math.log(1e-3)  # of the spread; without a floor the likelihood of discrete values has no maximum
_MAX_ANGULAR_SPREAD = 1.0  # rad; a wrapped Gaussian this narrow has 0.2 % of its mass outside the nearest image
_OWN_COVARIANCE_UP_TO = 12  # features; beyond, all components share one matrix of regressions


@dataclass(frozen=True, eq=False)
class Dropout:
    """Leaves out hidden units at random, so that long training learns less of single trajectories (Srivastava et al. 2014).

    Parameters
    ----------
    share
        Of the units, from 0 to below 1.
    noise
        Chooses them.
    """

    share: float
    noise: torch.Generator

    def __call__(self, hidden: Tensor) -> Tensor:
        """Set some units to zero and scale up the others."""
        kept = torch.rand(hidden.shape, generator=self.noise, device=hidden.device, dtype=hidden.dtype) >= self.share
        return hidden * kept / (1 - self.share)


class ConditionalMixture(nn.Module):
    """Law of a frame given other frames: an MLP gives the weights, means and covariances of `n_components` Gaussians.

    A covariance is written as a regression: each feature deviates by a linear function of the deviations of the features before
    it, plus a residual of its own. With up to 12 features the regressions are outputs of the network; with more, one matrix of
    them serves all components and inputs, since their number grows with the square of the number of features. The means have a
    part that is linear in the inputs, so that the networks learn only what is not.

    A frame is described by its offset from a base frame in units of `spread`. For a periodic feature the mean offset is the angle
    ``atan2(s·o₁, 1 + s·o₂)`` of two network outputs: for a small spread s that is s·o₁, and for a large one every direction can be
    reached from every base without a jump. The distance to a component is measured to its nearest image, which makes the
    likelihood a lower bound of the wrapped one, tight because the angular spread of a component is bounded.

    Parameters
    ----------
    periodic
        Which features are angles, ``(n_features,)``.
    n_inputs
        Numbers the network reads at most; inputs that end earlier are continued by zeros.
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
        self.any_periodic = bool(periodic.any())
        own = 1 < n_features <= _OWN_COVARIANCE_UP_TO
        self.n_coefficients = n_features * (n_features - 1) // 2 if own else 0
        self.coupling = nn.Parameter(torch.zeros(n_features, n_features)) if n_features > _OWN_COVARIANCE_UP_TO else None
        n_outputs = (3 if self.any_periodic else 2) * n_features + self.n_coefficients
        self.first, self.second = nn.Linear(n_inputs, hidden), nn.Linear(hidden, hidden)
        self.choose, self.describe = nn.Linear(hidden, n_components), nn.Linear(hidden, n_components * n_outputs)
        self.linear = nn.Linear(n_inputs, n_features, bias=False)
        nn.init.zeros_(self.linear.weight)

    def _read(
        self, inputs: Float[Tensor, "batch inputs"], dropout: Dropout | None = None
    ) -> tuple[Float[Tensor, "batch hidden"], Float[Tensor, "batch features"]]:
        """Last hidden layer, and the linear part of the means."""
        n_inputs = inputs.shape[1]
        hidden = nn.functional.silu(nn.functional.linear(inputs, self.first.weight[:, :n_inputs], self.first.bias))
        hidden = nn.functional.silu(self.second(hidden if dropout is None else dropout(hidden)))
        return hidden if dropout is None else dropout(hidden), nn.functional.linear(inputs, self.linear.weight[:, :n_inputs])

    def _parameters_from(
        self, outputs: Float[Tensor, "*batch outputs"], linear: Float[Tensor, "... features"]
    ) -> tuple[Float[Tensor, "*batch features"], Float[Tensor, "*batch features"], Float[Tensor, "*batch pairs"]]:
        """Mean offsets (reduced), log residual deviations and regression coefficients (units of spread) of components."""
        n_features = len(self.periodic)
        sizes = [n_features] * (3 if self.any_periodic else 2) + [self.n_coefficients]
        along, log_residuals, *across, coefficients = torch.split(outputs, sizes, dim=-1)
        log_residuals = _MIN_LOG_RESIDUAL + nn.functional.softplus(log_residuals - _MIN_LOG_RESIDUAL)
        means = self.spread * (along + linear)
        if across:
            means = torch.where(self.periodic, torch.atan2(means, 1 + self.spread * across[0]), means)
            ceiling = math.log(_MAX_ANGULAR_SPREAD) - torch.log(self.spread)
            bounded = ceiling - nn.functional.softplus(ceiling - log_residuals)
            log_residuals = torch.where(self.periodic, bounded, log_residuals)
        return means, log_residuals, coefficients

    def components(
        self, inputs: Float[Tensor, "batch inputs"], dropout: Dropout | None = None
    ) -> tuple[
        Float[Tensor, "batch components"],
        Float[Tensor, "batch components features"],
        Float[Tensor, "batch components features"],
        Float[Tensor, "batch components pairs"],
    ]:
        """Log weights, mean offsets (reduced), log residual deviations and regression coefficients (units of spread)."""
        hidden, linear = self._read(inputs, dropout)
        outputs = self.describe(hidden).reshape(len(inputs), self.n_components, -1)
        return self.choose(hidden).log_softmax(dim=1), *self._parameters_from(outputs, linear[:, None])

    def _explained(
        self, coefficients: Float[Tensor, "*batch pairs"], earlier: Float[Tensor, "*batch earlier"]
    ) -> Float[Tensor, "*batch"]:
        """Part of the deviation of the next feature that the deviations of the earlier ones explain."""
        n_earlier = earlier.shape[-1]
        if self.coupling is not None:
            return earlier @ self.coupling[n_earlier, :n_earlier]
        first = n_earlier * (n_earlier - 1) // 2
        return (coefficients[..., first : first + n_earlier] * earlier).sum(dim=-1)

    def negative_log_likelihood(
        self,
        inputs: Float[Tensor, "batch inputs"],
        base: Float[Tensor, "batch features"],
        frames: Float[Tensor, "batch features"],
        given: Bool[Tensor, "batch features"] | None = None,
        *,
        dropout: Dropout | None = None,
    ) -> Float[Tensor, ""]:
        """Mean over the batch of −ln p(frame | inputs) per frame, in units where `spread` is 1 and without the (2π)^½ factors.

        Features marked as `given` are conditions: only the density of the others, given them, counts.
        """
        log_weights, means, log_residuals, coefficients = self.components(inputs, dropout)
        offsets = wrap_angles((frames - base)[:, None] - means, self.periodic) / self.spread
        if self.coupling is not None:
            residuals = offsets - offsets @ self.coupling.tril(-1).T
        elif self.n_coefficients:
            residuals = torch.stack(
                [offsets[..., i] - self._explained(coefficients, offsets[..., :i]) for i in range(len(self.periodic))], dim=-1
            )
        else:
            residuals = offsets
        log_densities = -0.5 * (residuals * torch.exp(-log_residuals)).square() - log_residuals
        if given is not None:
            log_densities = log_densities * (~given[:, None])
        log_likelihood: Tensor = (log_weights + log_densities.sum(-1)).logsumexp(dim=1).mean()
        return -log_likelihood

    def sample(
        self,
        inputs: Float[Tensor, "batch inputs"],
        base: Float[Tensor, "batch features"],
        generator: torch.Generator,
        *,
        given: Bool[Tensor, "batch features"] | None = None,
        frames: Float[Tensor, "batch features"] | None = None,
        differentiable: bool = False,
    ) -> Float[Tensor, "batch features"]:
        """Draw one frame per row.

        Features marked as `given` keep their values in `frames`, and the others are drawn given them. With `differentiable`, the
        choice of the component passes the gradients of its weights (straight-through, Bengio, Léonard & Courville 2013); the value
        is the same either way.
        """
        hidden, linear = self._read(inputs)
        logits = self.choose(hidden)
        cumulative = torch.exp(logits.detach() - logits.detach().amax(dim=1, keepdim=True)).cumsum(dim=1)
        uniform = torch.rand(len(logits), 1, generator=generator, device=logits.device, dtype=logits.dtype)
        chosen = (cumulative < uniform * cumulative[:, -1:]).sum(dim=1)
        outputs = self.describe(hidden).reshape(len(inputs), self.n_components, -1)
        if differentiable:
            weights = logits.softmax(dim=1)
            choice = nn.functional.one_hot(chosen, self.n_components).to(weights.dtype) - weights.detach() + weights
            parts = self._parameters_from(outputs, linear[:, None])
            mean, log_residuals, coefficients = ((choice[..., None] * values).sum(dim=1) for values in parts)
        else:
            firsts = torch.arange(0, chosen.numel() * self.n_components, self.n_components, device=chosen.device)
            outputs = outputs.flatten(0, 1).index_select(0, firsts + chosen)
            mean, log_residuals, coefficients = self._parameters_from(outputs, linear)
        noise = torch.randn(base.shape, generator=generator, device=base.device, dtype=base.dtype)
        known = None
        if given is not None and frames is not None:
            known = wrap_angles(frames - base - mean, self.periodic) / self.spread
        deviations = self._deviations(log_residuals.exp() * noise, coefficients, given, known)
        drawn = wrap_angles(base + mean + self.spread * deviations, self.periodic)
        return drawn if given is None or frames is None else torch.where(given, frames, drawn)

    def _deviations(
        self,
        residuals: Float[Tensor, "batch features"],
        coefficients: Float[Tensor, "batch pairs"],
        given: Bool[Tensor, "batch features"] | None,
        known: Float[Tensor, "batch features"] | None,
    ) -> Float[Tensor, "batch features"]:
        """Deviations that leave these residuals in the regressions; given features deviate by what is known."""
        n_features = len(self.periodic)
        if given is None or known is None:
            if self.coupling is not None:
                matrix = torch.eye(n_features, device=residuals.device, dtype=residuals.dtype) - self.coupling.tril(-1)
                solved: Tensor = torch.linalg.solve_triangular(matrix, residuals.T, upper=False, unitriangular=True).T
                return solved
            if not self.n_coefficients:
                return residuals
        columns: list[Tensor] = []
        for i in range(n_features):
            earlier = torch.stack(columns, dim=-1) if columns else residuals[:, :0]
            column = residuals[:, i] + self._explained(coefficients, earlier) if i else residuals[:, 0]
            columns.append(column if given is None or known is None else torch.where(given[:, i], known[:, i], column))
        return torch.stack(columns, dim=-1)
