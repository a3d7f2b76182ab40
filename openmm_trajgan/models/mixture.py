"""A conditional mixture of Gaussians on lines and circles: exact likelihood, one-shot samples, gradients through both."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from openmm_trajgan.models.encoding import wrap_angles

_MIN_LOG_RESIDUAL = math.log(1e-3)  # of the spread; without a floor the likelihood of discrete values has no maximum
_MAX_ANGULAR_SPREAD = 1.0  # rad; a wrapped Gaussian this narrow has 0.2 % of its mass outside the nearest image
_FARTHEST = 10.0  # spreads that an earlier feature is seen away from the base
_TOLD_UP_TO = 12  # features; with more, telling each where those before are would take most of the time


class ConditionalMixture(nn.Module):
    """Law of a frame given other frames, feature by feature: a mixture of Gaussians for each, given the features before it.

    An MLP reads the inputs. Its last hidden layer is also told where the features before are (Uria, Murray & Larochelle 2013), and
    gives the weights, means and deviations of `n_components` Gaussians for each feature. So many features that choose among some
    states each need no more components than one of them. The means have a part that is linear in the inputs and in the features
    before, so that the networks learn only what is not. With more than 12 features, this part is all that tells of those before,
    and windows of which something is given have one of their own: the slope towards a given frame belongs to no other window.

    A feature is described by its offset from that of a base frame in units of `spread`. For a periodic one the mean offset is the
    angle ``atan2(s·o₁, 1 + s·o₂)`` of two network outputs: for a small spread s that is s·o₁, and for a large one every direction
    can be reached from every base without a jump. The distance to a component is measured to its nearest image, which makes the
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
        Gaussians in the mixture of each feature.
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
        self.n_features, self.n_components = len(periodic), n_components
        self.register_buffer("periodic", periodic, persistent=False)
        self.register_buffer("spread", torch.where(periodic, spread.clamp(1e-6, 1.0), spread.clamp_min(1e-6)))
        self.any_periodic = bool(periodic.any())
        n_numbers = 2 if self.any_periodic else 1  # that tell where a feature is
        self.first, self.second = nn.Linear(n_inputs, hidden), nn.Linear(hidden, hidden)
        tell = torch.empty(self.n_features - 1, n_numbers, hidden).uniform_(-1, 1) / math.sqrt(hidden)
        self.tell = nn.Parameter(tell) if self.n_features <= _TOLD_UP_TO else None
        self.describe = nn.Linear(hidden, self.n_features * n_components * (2 + n_numbers))
        self.linear = nn.Linear(n_inputs, self.n_features, bias=False)
        nn.init.zeros_(self.linear.weight)
        self.slopes = nn.Parameter(torch.zeros(self.n_features - 1, n_numbers, self.n_features))
        own = self.tell is None
        self.linear_given = nn.Parameter(torch.zeros_like(self.linear.weight)) if own else None
        self.slopes_given = nn.Parameter(torch.zeros_like(self.slopes)) if own else None

    def _read(self, inputs: Float[Tensor, "inputs rows"]) -> Float[Tensor, "hidden rows"]:
        """Last hidden layer before its nonlinearity, of the inputs alone."""
        hidden = nn.functional.silu(_affine(self.first.weight[:, : len(inputs)], inputs, self.first.bias))
        return _affine(self.second.weight, hidden, self.second.bias)

    def _linear_part(
        self, inputs: Float[Tensor, "inputs rows"], conditioned: bool
    ) -> tuple[Float[Tensor, "features rows"], Float[Tensor, "earlier numbers features"]]:
        """Part of the means that is linear in the inputs, and slopes of the features behind each, zero for the others."""
        weight, slopes = self.linear.weight, self.slopes
        if conditioned and self.linear_given is not None and self.slopes_given is not None:
            weight, slopes = self.linear_given, self.slopes_given
        return weight[:, : len(inputs)] @ inputs, slopes.transpose(0, 1).triu(1).transpose(0, 1)

    def _places(
        self, offsets: Float[Tensor, "... rows"], spread: Float[Tensor, "..."], periodic: Bool[Tensor, "..."]
    ) -> Float[Tensor, "... numbers rows"]:
        """Numbers that tell where features are, which do not jump at half a turn."""
        on_line = offsets / spread
        if not self.any_periodic:
            return on_line.unsqueeze(-2)
        return torch.stack(
            [
                torch.where(periodic, torch.sin(offsets) / spread, on_line),
                torch.where(periodic, (torch.cos(offsets) - 1) / spread, 0.0),
            ],
            dim=-2,
        )

    def _described(
        self,
        outputs: Float[Tensor, "outputs ... rows"],
        linear: Float[Tensor, "..."],
        spread: Float[Tensor, "..."],
        periodic: Bool[Tensor, "..."],
    ) -> tuple[Float[Tensor, "... rows"], Float[Tensor, "... rows"]]:
        """Mean offsets (reduced) and log deviations (units of spread) of components."""
        means = spread * (outputs[1] + linear)
        log_deviations = _MIN_LOG_RESIDUAL + nn.functional.softplus(outputs[2] - _MIN_LOG_RESIDUAL)
        if self.any_periodic:
            means = torch.where(periodic, torch.atan2(means, 1 + spread * outputs[3]), means)
            ceiling = math.log(_MAX_ANGULAR_SPREAD) - torch.log(spread)
            bounded = ceiling - nn.functional.softplus(ceiling - log_deviations)
            log_deviations = torch.where(periodic, bounded, log_deviations)
        return means, log_deviations

    def components(
        self,
        inputs: Float[Tensor, "inputs rows"],
        offsets: Float[Tensor, "features rows"],
        *,
        conditioned: bool = False,
    ) -> tuple[
        Float[Tensor, "features components rows"],
        Float[Tensor, "features components rows"],
        Float[Tensor, "features components rows"],
    ]:
        """Log weights, mean offsets (reduced) and log deviations (units of spread), given the offsets of the features before.

        Where something of a window is given, it is `conditioned`.
        """
        read, (linear, slopes) = self._read(inputs), self._linear_part(inputs, conditioned)
        spread, periodic = self.spread[:, None], self.periodic[:, None]
        places = self._places(offsets[:-1], spread[:-1], periodic[:-1])
        if self.tell is not None:
            told = torch.einsum("fnr,fnh->fhr", places.clamp(-_FARTHEST, _FARTHEST), self.tell).cumsum(dim=0)
            read = read + nn.functional.pad(told, (0, 0, 0, 0, 1, 0))
        hidden = nn.functional.silu(read)
        linear = linear + torch.einsum("fnr,fng->gr", places, slopes)
        outputs = self._outputs(hidden).movedim(2, 0)
        means, log_deviations = self._described(outputs, linear[:, None], spread[..., None], periodic[..., None])
        return outputs[0].log_softmax(dim=1), means, log_deviations

    def _outputs(self, hidden: Float[Tensor, "... hidden rows"]) -> Float[Tensor, "features components outputs rows"]:
        """Return what describes each component of each feature, from a hidden layer for each or one for all."""
        if self.tell is None:
            outputs = _affine(self.describe.weight, hidden, self.describe.bias)
        else:
            weight = self.describe.weight.view(self.n_features, -1, self.describe.in_features)
            outputs = torch.baddbmm(self.describe.bias.view(self.n_features, -1, 1), weight, hidden)
        return outputs.reshape(self.n_features, self.n_components, -1, hidden.shape[-1])

    def negative_log_likelihood(
        self,
        inputs: Float[Tensor, "inputs rows"],
        base: Float[Tensor, "features rows"],
        frames: Float[Tensor, "features rows"],
        given: Bool[Tensor, "features rows"] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean over the rows of −ln p(frame | inputs) per frame, in units where `spread` is 1 and without the (2π)^½ factors.

        Features marked as `given` are conditions: only the densities of the others, each given the features before it, count.
        """
        offsets = wrap_angles(frames - base, self.periodic[:, None])
        log_weights, means, log_deviations = self.components(inputs, offsets, conditioned=given is not None)
        distances = wrap_angles(offsets[:, None] - means, self.periodic[:, None, None]) / self.spread[:, None, None]
        log_densities = -0.5 * (distances * torch.exp(-log_deviations)).square() - log_deviations
        log_likelihoods = (log_weights + log_densities).logsumexp(dim=1)
        if given is not None:
            log_likelihoods = log_likelihoods * ~given
        return -log_likelihoods.sum(dim=0).mean()

    def sample(
        self,
        inputs: Float[Tensor, "inputs rows"],
        base: Float[Tensor, "features rows"],
        generator: torch.Generator,
        *,
        given: Bool[Tensor, "features rows"] | None = None,
        frames: Float[Tensor, "features rows"] | None = None,
        differentiable: bool = False,
    ) -> Float[Tensor, "features rows"]:
        """Draw one frame per row.

        Features marked as `given` keep their values in `frames`, and the features after them are drawn given them. With
        `differentiable`, the choice of a component passes the gradients of its weights (straight-through, Bengio, Léonard &
        Courville 2013); the value is the same either way.
        """
        hidden, (linear, slopes) = self._read(inputs), self._linear_part(inputs, given is not None)
        uniform = torch.rand(base.shape, generator=generator, device=base.device, dtype=base.dtype)
        noise = torch.randn(base.shape, generator=generator, device=base.device, dtype=base.dtype)
        known = None if given is None or frames is None else wrap_angles(frames - base, self.periodic[:, None])
        weights, biases = (part.chunk(self.n_features) for part in (self.describe.weight, self.describe.bias))
        of_all = None if self.tell is not None else self._outputs(nn.functional.silu(hidden))
        offsets: list[Tensor] = []
        for i in range(self.n_features):
            if of_all is None:
                outputs = _affine(weights[i], nn.functional.silu(hidden), biases[i])
                outputs = outputs.view(self.n_components, -1, outputs.shape[1])
            else:
                outputs = of_all[i]
            chosen = _chosen(outputs, uniform[i], differentiable)
            mean, log_deviation = self._described(chosen, linear[i], self.spread[i], self.periodic[i])
            offset = mean + self.spread[i] * log_deviation.exp() * noise[i]
            if given is not None and known is not None:
                offset = torch.where(given[i], known[i], offset)
            offsets.append(offset)
            if i + 1 < self.n_features:
                place = self._places(offset, self.spread[i], self.periodic[i])
                hidden = hidden if self.tell is None else hidden + self.tell[i].t() @ place.clamp(-_FARTHEST, _FARTHEST)
                linear = linear + slopes[i].t() @ place
        drawn = wrap_angles(base + torch.stack(offsets), self.periodic[:, None])
        return drawn if given is None or frames is None else torch.where(given, frames, drawn)


def _affine(weight: Tensor, inputs: Float[Tensor, "inputs rows"], bias: Tensor) -> Float[Tensor, "outputs rows"]:
    return torch.addmm(bias[:, None], weight, inputs)


def _chosen(
    outputs: Float[Tensor, "components outputs rows"], uniform: Float[Tensor, " rows"], differentiable: bool
) -> Float[Tensor, "outputs rows"]:
    """Draw one component per row by the weights, whose logarithms are the first outputs, and return its outputs."""
    logits = outputs[:, 0]
    cumulative = torch.exp(logits.detach() - logits.detach().amax(dim=0)).cumsum(dim=0)
    chosen = (cumulative < uniform * cumulative[-1]).sum(dim=0)
    if differentiable:
        weights = logits.softmax(dim=0)
        choice = nn.functional.one_hot(chosen, len(outputs)).t().to(weights.dtype) - weights.detach() + weights
        return (choice[:, None] * outputs).sum(dim=0)
    return outputs.gather(0, chosen.expand(1, *outputs.shape[1:]))[0]
