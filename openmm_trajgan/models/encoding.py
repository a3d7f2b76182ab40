"""Features in physical units to the coordinates the networks work in, and back."""

import math

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from openmm_trajgan.schema import FeatureSchema

_BEYOND = 0.25  # of the range of the real frames
_NEAREST = 1e-6  # that a feature comes to either of its two bounds, by their distance


def wrap_angles(differences: Float[Tensor, "..."], periodic: Bool[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Bring differences of reduced angles to the nearest image, (-π, π]; leave the other features alone.

    `periodic` is broadcast to the shape of the differences.
    """
    if not periodic.any():
        return differences
    turns = torch.ceil(differences.detach() / (2 * math.pi) - 0.5) * periodic
    return differences - 2 * math.pi * turns


def embed_angles(reduced: Float[Tensor, "features ..."], periodic: Bool[Tensor, " features"]) -> Float[Tensor, "embedded ..."]:
    """Features on the line, then the sines, then the cosines of the angles."""
    if not periodic.any():
        return reduced
    angles = reduced[periodic]
    return torch.cat([reduced[~periodic], torch.sin(angles), torch.cos(angles)])


def across(of_features: Shaped[Tensor, " features"], frames: Shaped[Tensor, "..."]) -> Shaped[Tensor, "features ..."]:
    """Shape a number for each feature so that it is broadcast over frames."""
    return of_features.view(-1, *[1] * (frames.dim() - 1))


class FeatureEncoding(nn.Module):
    """Standardises features on the line and turns periodic ones into radians.

    *Reduced* coordinates have one number per feature: zero mean and unit variance on the line, an angle in (-π, π] on the circle. A
    feature with two bounds, such as a fraction, is on the line by its logit: near a bound, where fractions crowd, it can be told as
    finely as it varies there.
    *Embedded* coordinates, which networks read, have one number per feature on the line and sine and cosine per angle, so that
    nothing jumps at ±π. Networks work on many frames at once, and on tensors whose last axis is long; there, features come first.

    Parameters
    ----------
    schema
        Which features are periodic, and between which bounds the others are.
    frames
        Real frames in physical units, ``(n_frames, n_features)``, for the mean, standard deviation and range of each feature on
        the line; a constant feature stays constant to six digits.
    """

    mean: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor
    periodic: Tensor
    bounds: Tensor
    between: Tensor

    def __init__(self, schema: FeatureSchema, frames: Float[Tensor, "frames features"]) -> None:
        super().__init__()
        periodic, bounds = torch.as_tensor(schema.periodic), torch.from_numpy(schema.bounds.T).to(frames.dtype)
        self.register_buffer("bounds", bounds, persistent=False)
        self.register_buffer("between", bounds.isfinite().all(dim=0), persistent=False)
        on_line = self._on_line(frames)
        mean, scale = on_line.mean(dim=0), on_line.std(dim=0, correction=0)
        radians = torch.tensor([(period or 1.0) / (2 * math.pi) for period in schema.periods])
        scale = torch.where(scale > 0, scale, 1e-6 * mean.abs().clamp_min(1.0))
        self.register_buffer("mean", torch.where(periodic, torch.zeros_like(mean), mean))
        self.register_buffer("scale", torch.where(periodic, radians, scale))
        self.register_buffer("periodic", periodic)
        reduced = self.reduce(frames)
        self.register_buffer("low", torch.where(periodic, -math.pi, reduced.amin(dim=0)))
        self.register_buffer("high", torch.where(periodic, math.pi, reduced.amax(dim=0)))
        self.n_features = schema.n_features
        self.n_embedded = schema.n_features + int(periodic.sum())

    def include(self, frames: Float[Tensor, "frames features"]) -> None:
        """Widen the range of the real frames to these too, ``(n_frames, n_features)`` in physical units."""
        reduced = self.reduce(frames)
        self.low = torch.where(self.periodic, self.low, torch.minimum(self.low, reduced.amin(dim=0)))
        self.high = torch.where(self.periodic, self.high, torch.maximum(self.high, reduced.amax(dim=0)))

    def _on_line(self, features: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch features"]:
        """Turn features between two bounds into logits."""
        if not self.between.any():
            return features
        least, greatest = self.bounds
        logits = torch.logit((features - least) / (greatest - least), eps=_NEAREST)
        return torch.where(self.between, logits, features)

    def reduce(self, features: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch features"]:
        """Physical units to reduced coordinates."""
        return wrap_angles((self._on_line(features) - self.mean) / self.scale, self.periodic)

    def restore(self, reduced: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch features"]:
        """Reduced coordinates to physical units; angles come out in the interval around zero.

        What lies beyond the only bound of a feature is reflected at it: a length of -0.1 nm is one of 0.1 nm. The law on the line
        becomes one on the half-line in the same way as it becomes one on the circle for an angle.
        """
        features = wrap_angles(reduced, self.periodic) * self.scale + self.mean
        least, greatest = self.bounds
        if self.between.any():
            features = torch.where(self.between, least + (greatest - least) * torch.sigmoid(features), features)
        features = torch.where(features < least, 2 * least - features, features)
        return torch.where(features > greatest, 2 * greatest - features, features)

    def embed(self, reduced: Float[Tensor, "features ..."]) -> Float[Tensor, "embedded ..."]:
        """Reduced to embedded coordinates; beyond the range of the real frames, networks see the edge of it."""
        return embed_angles(self._within(reduced, 0.0), self.periodic)

    def limit(self, reduced: Float[Tensor, "features ..."]) -> Float[Tensor, "features ..."]:
        """Bring back what lies beyond the range of the real frames by more than a quarter of it.

        More frames than there were to learn from reach a little further than these. What networks say of places they never saw is
        not to be trusted: once in a million frames, a Gaussian that no real frame ever needed was chosen, and was very wide.
        """
        return self._within(reduced, _BEYOND)

    def _within(self, reduced: Float[Tensor, "features ..."], beyond: float) -> Float[Tensor, "features ..."]:
        """Bring features on the line to the range of the real frames, or a share of it beyond."""
        margin = torch.where(self.periodic, torch.inf, beyond * (self.high - self.low))
        return torch.clamp(reduced, across(self.low - margin, reduced), across(self.high + margin, reduced))

    def marks(self, mask: Bool[Tensor, "features ..."]) -> Bool[Tensor, "embedded ..."]:
        """Turn marks of features into marks of the numbers that networks read."""
        return torch.cat([mask[~self.periodic], mask[self.periodic], mask[self.periodic]])
