"""Whole windows from noise, coarse to fine.

A window of T frames is drawn in about 2 log₂ T steps, each of which fills in many of its frames at once: first the last frame given
the frames before the window, then the frame half-way, then the quarters, down to every frame. The frames of one stride are filled
in two passes, single frames in four, so that neighbouring ones depend on each other even where the features have a memory that the
frames known before do not hold. Every step is a mixture of Gaussians with a tractable density, so the law of the whole window has
an exact likelihood, and its samples pass gradients, so a critic can refine it.

Frames, or single features of frames, may be given: they are not drawn, and everything else is drawn in view of the nearest of them
and of the whole course of features that are given by themselves.
"""

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from openmm_trajgan.models.coarse_to_fine import GeneratorConfig, Midpoints, midpoints_of
from openmm_trajgan.models.conditioning import Course, CourseEncoder, Given
from openmm_trajgan.models.encoding import FeatureEncoding, across, wrap_angles
from openmm_trajgan.models.mixture import ConditionalMixture

_START_COMPONENTS = 24
_FARTHEST = 50.0  # spreads; a network must not be asked about more distant neighbours than it was shown
_SHORT = 2  # frames; strides up to here, three quarters of all frames, are simple and have networks half as large
_COURSE = 16  # numbers that summarise, at a frame, the course of single features that are given


class WindowGenerator(nn.Module):
    """Draws windows of a time series: from nothing, as the continuation of given frames, or between them.

    All tensors are in reduced coordinates (`FeatureEncoding`) and have ``C + 1 + T`` frames: context, newest known frame, new
    frames. Where fewer frames of the context are known, the first ones are ignored.

    Parameters
    ----------
    encoding
        Coordinates.
    config
        Sizes.
    spreads
        Typical deviation at each step, ``(2 + n_strides, n_features)``: of a frame from the centre, of the last frame from the
        first, of a midpoint from the middle of its neighbours, coarse to fine; see `openmm_trajgan.models.scales.typical_spreads`.
    """

    lags: Tensor

    def __init__(self, encoding: FeatureEncoding, config: GeneratorConfig, spreads: Float[Tensor, "steps features"]) -> None:
        super().__init__()
        self.encoding = encoding
        self.config = config
        lags = config.lags(config.window_length + 1)
        self.register_buffer("lags", torch.tensor(lags, dtype=torch.long), persistent=False)
        n_features, n_embedded, periodic = encoding.n_features, encoding.n_embedded, encoding.periodic
        self.course = CourseEncoder(n_embedded, config.window_length, _COURSE) if n_features > 1 else None
        n_given = 6 * n_features + 2 + (_COURSE if n_features > 1 else 0)
        sizes = {"n_components": config.n_components, "hidden": config.hidden}
        self.start = ConditionalMixture(
            periodic, 1 + config.n_labels + n_given, spreads[0], n_components=_START_COMPONENTS, hidden=config.hidden
        )
        n_inputs = n_embedded + len(lags) * (n_features + 1) + config.n_labels + n_given
        self.end = ConditionalMixture(periodic, n_inputs, spreads[1], **sizes)
        n_inputs = n_embedded + 1 + config.n_labels + n_given
        self.midpoints = nn.ModuleList(
            ConditionalMixture(
                periodic,
                n_inputs + (2 * len(config.reaches(stride)) + len(config.lags(stride))) * (n_features + 1),
                spread,
                n_components=config.n_components if stride > _SHORT else max(config.n_components // 2, 1),
                hidden=config.hidden if stride > _SHORT else config.hidden // 2,
            )
            for stride, spread in zip(config.strides, spreads[2:], strict=True)
        )
        nn.init.normal_(self.start.describe.bias, std=1.0)  # components must begin apart to share the work

    def _conditions(self, window: Tensor, given: Tensor | None) -> Given | None:
        if given is None or self.course is None:
            return None if given is None else Given(window, given)
        single = (given.any(dim=0) & ~given.all(dim=0)).any(dim=0).nonzero()[:, 0]
        summaries = self.course(self.encoding.embed(window[..., single]), self.encoding.marks(given[..., single]))
        return Given(window, given, Course(single, summaries))

    def _start_inputs(
        self, window: Float[Tensor, "features frames batch"], labels: Tensor | None, given: Given | None
    ) -> tuple[Float[Tensor, "inputs batch"], Float[Tensor, "features batch"]]:
        """Constant, label and given frames; the centre of the features."""
        base = torch.zeros_like(window[:, 0])
        parts = [window.new_ones(1, window.shape[2]), *([] if labels is None else [labels.t()])]
        if given is not None:
            time = torch.tensor([self.config.context_length], device=window.device)
            reach = self.config.window_length + 1
            parts.append(given.around(time, reach, base[:, None], self._differences, self.start.spread)[:, 0])
        return torch.cat(parts), base

    def _end_inputs(
        self, window: Float[Tensor, "features frames batch"], known: int, labels: Tensor | None, given: Given | None
    ) -> tuple[Float[Tensor, "inputs batch"], Float[Tensor, "features batch"]]:
        """Newest known frame, embedded, and its differences to earlier ones; `known` frames of the context are real."""
        newest = window[:, self.config.context_length]
        earlier = window[:, self.config.context_length - self.lags]
        present = (self.lags <= known)[:, None]
        differences = torch.where(present, self._differences(earlier, newest[:, None], self.end.spread), 0.0)
        marks = present.to(window.dtype).expand(-1, newest.shape[1])
        parts = [self.encoding.embed(newest), differences.transpose(0, 1).flatten(0, 1), marks]
        parts += [] if labels is None else [labels.t()]
        if given is not None:
            time = torch.tensor([self.config.n_frames - 1], device=window.device)
            around = given.around(time, self.config.window_length, newest[:, None], self._differences, self.end.spread)
            parts.append(around[:, 0])
        return torch.cat(parts), newest

    def _midpoint_inputs(
        self,
        window: Float[Tensor, "features frames batch"],
        level: int,
        midpoints: Midpoints,
        labels: Tensor | None,
        given: Given | None,
    ) -> tuple[Float[Tensor, "inputs rows"], Float[Tensor, "features rows"]]:
        """Return what the network of a level reads, and the frames between the nearest neighbours that it starts from."""
        periodic, times = across(self.encoding.periodic, window), midpoints.times
        left = window.index_select(1, times - self.config.strides[level])
        share = midpoints.share.to(window.dtype)
        middle = left + share * wrap_angles(window.index_select(1, midpoints.right) - left, periodic)
        network = self.midpoints[level]
        assert isinstance(network, ConditionalMixture)
        around, present = midpoints.around.t(), midpoints.present.t()[..., None]
        n_times, n_windows = middle.shape[1:]
        frames = window.index_select(1, around.flatten()).view(-1, *around.shape, n_windows)
        differences = torch.where(present, self._differences(frames, middle[:, None], network.spread), 0.0)
        parts = [
            self.encoding.embed(middle),
            differences.transpose(0, 1).flatten(0, 1),
            present.to(window.dtype).expand(-1, -1, n_windows),
            share[None].expand(-1, -1, n_windows),
        ]
        parts += [] if labels is None else [labels.t()[:, None].expand(-1, n_times, -1)]
        if given is not None:
            parts.append(given.around(times, self.config.strides[level], middle, self._differences, network.spread))
        return torch.cat(parts).flatten(1), middle.flatten(1)

    def _differences(self, frames: Tensor, base: Tensor, spread: Tensor) -> Tensor:
        differences = wrap_angles(frames - base, across(self.encoding.periodic, frames))
        return (differences / across(spread, frames)).clamp(-_FARTHEST, _FARTHEST)

    def negative_log_likelihood(
        self,
        windows: Float[Tensor, "batch frames features"],
        known: int,
        frames_per_level: int,
        generator: torch.Generator,
        *,
        labels: Float[Tensor, "batch labels"] | None = None,
        given: Bool[Tensor, "batch frames features"] | None = None,
    ) -> Float[Tensor, ""]:
        """−ln p of a frame of real windows given `known` context frames, averaged within every step and summed over the steps.

        So each step weighs the same, however many frames it draws, and its network learns as fast; every term is that of the exact
        likelihood. Each is estimated on some of its frames.

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
        labels
            Of every window.
        given
            What of the windows is a condition and not drawn.
        """
        config, windows = self.config, features_first(windows)
        given = None if given is None else features_first(given)
        conditions = self._conditions(windows, given)
        inputs, base = self._start_inputs(windows, labels, conditions)
        here = None if given is None else given[:, config.context_length]
        loss = self.start.negative_log_likelihood(inputs, base, windows[:, config.context_length], here)
        inputs, newest = self._end_inputs(windows, known, labels, conditions)
        here = None if given is None else given[:, -1]
        loss = loss + self.end.negative_log_likelihood(inputs, newest, windows[:, -1], here)
        for level, (network, stride) in enumerate(zip(self.midpoints, config.strides, strict=True)):
            every = midpoints_of(config, stride, range(config.n_passes(stride)), known, windows.device)
            n_midpoints = len(every.times)
            per_window = max(1, min(n_midpoints, frames_per_level // 8))
            n_windows = min(windows.shape[2], max(1, frames_per_level // per_window))
            some = every[torch.randperm(n_midpoints, generator=generator, device=windows.device)[:per_window]]
            taken = windows[..., :n_windows]
            inputs, middle = self._midpoint_inputs(
                taken,
                level,
                some,
                None if labels is None else labels[:n_windows],
                None if conditions is None else conditions.first(n_windows),
            )
            assert isinstance(network, ConditionalMixture)
            here = None if given is None else given[:, some.times, :n_windows].flatten(1)
            target = taken[:, some.times].flatten(1)
            loss = loss + network.negative_log_likelihood(inputs, middle, target, here)
        return loss

    def sample_start(
        self,
        window: Float[Tensor, "batch frames features"],
        generator: torch.Generator,
        *,
        labels: Float[Tensor, "batch labels"] | None = None,
        given: Bool[Tensor, "batch frames features"] | None = None,
    ) -> Float[Tensor, "batch features"]:
        """Draw the newest known frame of windows, from which trajectories without one begin."""
        window, now = features_first(window), self.config.context_length
        given = None if given is None else features_first(given)
        inputs, base = self._start_inputs(window, labels, self._conditions(window, given))
        here, frames = (None, None) if given is None else (given[:, now], window[:, now])
        return self._kept(self.start.sample(inputs, base, generator, given=here, frames=frames), here, frames).t()

    def sample(
        self,
        window: Float[Tensor, "batch frames features"],
        known: int,
        generator: torch.Generator,
        *,
        labels: Float[Tensor, "batch labels"] | None = None,
        given: Bool[Tensor, "batch frames features"] | None = None,
        differentiable: bool = False,
    ) -> Float[Tensor, "batch frames features"]:
        """Draw the T frames after the newest known one, in one shot.

        Parameters
        ----------
        window
            ``(n_windows, C + 1 + T, n_features)``: context, newest known frame, and what is given of the new frames.
        known
            How many frames before the newest are real, 0 … C.
        generator
            Random numbers.
        labels
            Of every window.
        given
            Which features of the new frames stay as they are in `window`; None for none.
        differentiable
            Whether gradients shall flow to the parameters.

        Returns
        -------
        torch.Tensor
            `window` with its new frames drawn.
        """
        window = features_first(window).clone()  # the caller keeps what was passed
        given = None if given is None else features_first(given)
        conditions = self._conditions(window, given)
        last = torch.tensor([self.config.n_frames - 1], device=window.device)
        inputs, newest = self._end_inputs(window, known, labels, conditions)
        window = self._drawn(self.end, window, last, inputs, newest, given, generator, differentiable)
        for level, (network, stride) in enumerate(zip(self.midpoints, self.config.strides, strict=True)):
            assert isinstance(network, ConditionalMixture)
            for number in range(self.config.n_passes(stride)):
                midpoints = midpoints_of(self.config, stride, range(number, number + 1), known, window.device)
                if not len(midpoints.times):  # the coarsest strides have few
                    continue
                inputs, middle = self._midpoint_inputs(window, level, midpoints, labels, conditions)
                window = self._drawn(network, window, midpoints.times, inputs, middle, given, generator, differentiable)
        return window.permute(2, 1, 0)

    def _drawn(
        self,
        network: ConditionalMixture,
        window: Tensor,
        times: Tensor,
        inputs: Tensor,
        base: Tensor,
        given: Tensor | None,
        generator: torch.Generator,
        differentiable: bool,
    ) -> Tensor:
        """Return the window with the frames at some times drawn."""
        here, frames = (None, None) if given is None else (given[:, times].flatten(1), window[:, times].flatten(1))
        drawn = network.sample(inputs, base, generator, given=here, frames=frames, differentiable=differentiable)
        drawn = self._kept(drawn, here, frames)
        if differentiable:  # the old tensor is part of the graph already
            window = window.clone()
        return window.index_copy_(1, times, drawn.view(len(window), -1, window.shape[2]))

    def _kept(self, drawn: Tensor, given: Tensor | None, frames: Tensor | None) -> Tensor:
        """Return drawn frames near the range of the real ones, and what is given as it is."""
        limited = self.encoding.limit(drawn)
        return limited if given is None or frames is None else torch.where(given, frames, limited)


def features_first(windows: Shaped[Tensor, "batch frames features"]) -> Shaped[Tensor, "features frames batch"]:
    """Return windows as the networks work on them, whose last axis is long: loops over few features would take most of the time."""
    return windows.permute(2, 1, 0).contiguous()
