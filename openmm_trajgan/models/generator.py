"""Whole windows from noise, coarse to fine.

A window is drawn in 1 + log₂ T steps, each of which fills in all of its frames at once: first the last frame given the frames
before the window, then the frame half-way, then the quarters, down to every frame, each given its nearest known neighbours on both
sides. Every step is a mixture of Gaussians with a tractable density, so the law of the whole window has an exact likelihood, and
its samples pass gradients, so a critic can refine it.
"""

from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from openmm_trajgan.models.encoding import FeatureEncoding, wrap_angles
from openmm_trajgan.models.mixture import ConditionalMixture

_START_COMPONENTS = 24
_FARTHEST = 50.0  # spreads; a network must not be asked about more distant neighbours than it was shown


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of a `WindowGenerator`.

    Parameters
    ----------
    window_length
        T, frames drawn in one shot; a power of two.
    context_length
        C, how many frames before the newest known one the generator may look at.
    neighbours
        Known frames on either side that each midpoint looks at.
    n_components
        Gaussians per mixture.
    hidden
        Width of the networks.
    """

    window_length: int
    context_length: int
    neighbours: int = 3
    n_components: int = 6
    hidden: int = 96

    @property
    def n_frames(self) -> int:
        """Frames of a training window: context, newest known frame, T new ones."""
        return self.context_length + 1 + self.window_length

    def as_dict(self) -> dict[str, int]:
        """Plain numbers for a file."""
        return asdict(self)


class WindowGenerator(nn.Module):
    """Draws windows of a time series, from nothing or as the continuation of given frames.

    All tensors are in reduced coordinates (`FeatureEncoding`) and have ``C + 1 + T`` frames: context, newest known frame, new
    frames. Where fewer frames are known, the first ones are ignored.

    Parameters
    ----------
    encoding
        Coordinates.
    config
        Sizes.
    spreads
        Typical deviation at each step, ``(2 + log₂ T, n_features)``: of a frame from the centre, of the last frame from the first,
        of a midpoint from the middle of its neighbours, coarse to fine; see `typical_spreads`.
    """

    lags: Tensor

    def __init__(self, encoding: FeatureEncoding, config: GeneratorConfig, spreads: Float[Tensor, "steps features"]) -> None:
        super().__init__()
        self.encoding = encoding
        self.config = config
        self.strides = midpoint_strides(config.window_length)
        lags = [2**power for power in range(config.window_length.bit_length()) if 2**power <= config.context_length]
        self.register_buffer("lags", torch.tensor(lags, dtype=torch.long), persistent=False)
        n_features, n_embedded, periodic = encoding.n_features, encoding.n_embedded, encoding.periodic
        sizes = {"n_components": config.n_components, "hidden": config.hidden}
        self.start = ConditionalMixture(periodic, 1, spreads[0], n_components=_START_COMPONENTS, hidden=config.hidden)
        self.end = ConditionalMixture(periodic, n_embedded + len(lags) * (n_features + 1), spreads[1], **sizes)
        n_inputs = n_embedded + 2 * config.neighbours * (n_features + 1)
        self.midpoints = nn.ModuleList(ConditionalMixture(periodic, n_inputs, spread, **sizes) for spread in spreads[2:])
        last = self.start.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.normal_(last.bias, std=1.0)  # components must begin apart to share the work

    def _start_inputs(self, n: int, like: Tensor) -> tuple[Tensor, Tensor]:
        return like.new_ones(n, 1), like.new_zeros(n, self.encoding.n_features)

    def _end_inputs(
        self, window: Float[Tensor, "batch frames features"], known: int
    ) -> tuple[Float[Tensor, "batch inputs"], Float[Tensor, "batch features"]]:
        """Newest known frame, embedded, and its differences to earlier ones; `known` frames of the context are real."""
        newest = window[:, self.config.context_length]
        earlier = window[:, self.config.context_length - self.lags]
        present = (self.lags <= known).to(window.dtype)
        differences = present[:, None] * self._differences(earlier, newest[:, None], self.end.spread)
        parts = [self.encoding.embed(newest), differences.flatten(1), present.expand(len(window), -1)]
        return torch.cat(parts, dim=-1), newest

    def _midpoint_inputs(
        self, window: Float[Tensor, "batch frames features"], level: int, known: int, chosen: Tensor | None = None
    ) -> tuple[Tensor, Float[Tensor, "rows inputs"], Float[Tensor, "rows features"]]:
        """Return the times of the midpoints of a level, what their network reads, and the middles they start from."""
        stride, periodic, config = self.strides[level], self.encoding.periodic, self.config
        first, last = config.context_length - known, config.n_frames - 1
        times = torch.arange(config.context_length + stride, last, 2 * stride, device=window.device)
        if chosen is not None:
            times = times[chosen]
        left, right = window[:, times - stride], window[:, times + stride]
        middle = left + wrap_angles(right - left, periodic) / 2
        network = self.midpoints[level]
        assert isinstance(network, ConditionalMixture)
        reaches = stride * torch.arange(1, 2 * config.neighbours, 2, device=window.device)
        around = times[:, None] + torch.cat([-reaches, reaches])
        present = ((around >= first) & (around <= last)).to(window.dtype)
        frames = window[:, around.clamp(0, last)]
        differences = present[..., None] * self._differences(frames, middle[:, :, None], network.spread)
        parts = [self.encoding.embed(middle), differences.flatten(2), present.expand(len(window), -1, -1)]
        return times, torch.cat(parts, dim=-1).flatten(0, 1), middle.flatten(0, 1)

    def _differences(self, frames: Tensor, base: Tensor, spread: Tensor) -> Tensor:
        return (wrap_angles(frames - base, self.encoding.periodic) / spread).clamp(-_FARTHEST, _FARTHEST)

    def negative_log_likelihood(
        self, windows: Float[Tensor, "batch frames features"], known: int, frames_per_level: int, generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """−ln p of real windows given `known` context frames, summed over the steps, each estimated on some of its frames.

        Parameters
        ----------
        windows
            ``(n_windows, C + 1 + T, n_features)``.
        known
            Frames of the context that may be looked at, 0 … C.
        frames_per_level
            Midpoints per level that enter; enough windows, and beyond that enough midpoints of one window, are taken.
        generator
            Chooses the midpoints.
        """
        ones, zeros = self._start_inputs(len(windows), windows)
        loss = self.start.negative_log_likelihood(ones, zeros, windows[:, self.config.context_length])
        inputs, newest = self._end_inputs(windows, known)
        loss = loss + self.end.negative_log_likelihood(inputs, newest, windows[:, -1])
        for level, network in enumerate(self.midpoints):
            n_midpoints = self.config.window_length // (2 * self.strides[level])
            per_window = max(1, min(n_midpoints, frames_per_level // 8))
            n_windows = min(len(windows), max(1, frames_per_level // per_window))
            chosen = torch.randperm(n_midpoints, generator=generator, device=windows.device)[:per_window]
            times, inputs, middle = self._midpoint_inputs(windows[:n_windows], level, known, chosen)
            assert isinstance(network, ConditionalMixture)
            loss = loss + network.negative_log_likelihood(inputs, middle, windows[:n_windows, times].flatten(0, 1))
        return loss

    def sample_start(self, n: int, generator: torch.Generator) -> Float[Tensor, "n features"]:
        """Draw single frames, from which trajectories without given frames begin."""
        return self.start.sample(*self._start_inputs(n, self.encoding.mean), generator)

    def sample(
        self,
        context: Float[Tensor, "batch known_frames features"],
        known: int,
        generator: torch.Generator,
        *,
        differentiable: bool = False,
    ) -> Float[Tensor, "batch frames features"]:
        """Draw the next T frames after the given ones, in one shot.

        Parameters
        ----------
        context
            ``(n_windows, C + 1, n_features)``, the last one being the newest known frame.
        known
            How many frames before the newest are real, 0 … C.
        generator
            Random numbers.
        differentiable
            Whether gradients shall flow to the parameters.

        Returns
        -------
        torch.Tensor
            ``(n_windows, C + 1 + T, n_features)``: `context` and the new frames.
        """
        config = self.config
        window = torch.cat([context, context.new_zeros(len(context), config.window_length, context.shape[-1])], dim=1)
        inputs, newest = self._end_inputs(window, known)
        end = self.end.sample(inputs, newest, generator, differentiable=differentiable)
        window = _filled(window, torch.tensor([config.n_frames - 1]), end[:, None], differentiable)
        for level, network in enumerate(self.midpoints):
            times, inputs, middle = self._midpoint_inputs(window, level, known)
            assert isinstance(network, ConditionalMixture)
            frames = network.sample(inputs, middle, generator, differentiable=differentiable)
            window = _filled(window, times, frames.reshape(len(window), -1, window.shape[-1]), differentiable)
        return window


def _filled(window: Tensor, times: Tensor, frames: Tensor, differentiable: bool) -> Tensor:
    if differentiable:  # the old tensor is part of the graph already
        window = window.clone()
    window[:, times] = frames
    return window


def midpoint_strides(window_length: int) -> list[int]:
    """Distance of the midpoints of each level from their neighbours: T/2, T/4, … 1."""
    strides = []
    while window_length > 1:
        window_length //= 2
        strides.append(window_length)
    return strides


def typical_spreads(
    encoding: FeatureEncoding, config: GeneratorConfig, windows: Float[Tensor, "batch frames features"]
) -> Float[Tensor, "steps features"]:
    """Root mean square deviations that set the scale of each step, from real windows in reduced coordinates."""
    newest, last, periodic = windows[:, config.context_length], windows[:, -1], encoding.periodic
    deviations = [torch.ones_like(newest), wrap_angles(last - newest, periodic)]
    new = windows[:, config.context_length :]
    for stride in midpoint_strides(config.window_length):
        left, middle, right = new[:, : -2 * stride : stride], new[:, stride:-stride:stride], new[:, 2 * stride :: stride]
        deviations.append(wrap_angles(middle - left - wrap_angles(right - left, periodic) / 2, periodic).flatten(0, 1))
    return torch.stack([deviation.square().mean(dim=0).sqrt() for deviation in deviations])
