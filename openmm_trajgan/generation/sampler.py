"""Trajectories of any length from a window generator, from nothing or with frames and features given."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from openmm_trajgan.errors import InputError, NonFiniteError
from openmm_trajgan.models.generator import WindowGenerator
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories
from openmm_trajgan.seeding import Seeds


@torch.no_grad()
def generate_trajectories(
    generator: WindowGenerator,
    schema: FeatureSchema,
    *,
    n_frames: int,
    n_trajectories: int,
    given: NDArray[np.floating] | None = None,
    labels: NDArray[np.floating] | None = None,
    seed: int | None = None,
    progress: Callable[[int], object] | None = None,
    state: Mapping[str, torch.Tensor] | None = None,
    checkpoint: Callable[[Callable[[], dict[str, torch.Tensor]]], object] | None = None,
) -> FeatureTrajectories:
    """Draw independent trajectories, each as a chain of windows that continue one another.

    Parameters
    ----------
    generator
        A trained generator.
    schema
        What its features are.
    n_frames, n_trajectories
        Frames per trajectory, and how many trajectories; all of them advance together.
    given
        What must come out as it is, physical units, NaN where it is to be drawn; ``(n_trajectories, n_frames, n_features)``, or
        with length 1 along the first axis. Everything else is drawn in view of what is given in the same window: of the nearest
        frames, and of the whole course of features that are given by themselves.
    labels
        Encoded label of every trajectory, ``(n_trajectories, n_labels)``, for a generator that was trained with some.
    seed
        Root seed; None draws one and records it in the provenance.
    progress
        Called after every window with the frames done.
    state
        Where an earlier call with the same arguments stood; what is returned is what that call would have returned.
    checkpoint
        Called after every window with a function that returns the state.

    Returns
    -------
    FeatureTrajectories
        `n_trajectories` series of `n_frames` frames, physical units, at the frame interval of the training data. Their provenance
        tells the window length and, unless something is given beyond the first window, the frame that this begins with.

    Raises
    ------
    InputError
        If a number is not positive, or `given` has another shape.
    NonFiniteError
        If a generated value is NaN or infinite.
    """
    if n_frames < 1 or n_trajectories < 1:
        raise InputError(f"expected at least 1 frame and 1 trajectory, found {n_frames} and {n_trajectories}")
    seeds = Seeds(seed)
    config, encoding = generator.config, generator.encoding
    device = encoding.mean.device
    noise = seeds.torch("generation noise", str(device))
    chain = _Chain(n_frames, n_trajectories, schema, given)
    label = None if labels is None else torch.as_tensor(labels, dtype=torch.float32, device=device)
    now = config.context_length
    first = max(chain.done, 1)
    if state is not None:
        chain.restore(state["frames"].numpy())
        noise.set_state(state["noise"])
    while chain.done < n_frames:
        values, mask, known = chain.window(now, config.window_length)
        window = encoding.reduce(torch.from_numpy(values).to(device))
        marks = None if mask is None else torch.from_numpy(mask).to(device)
        if not chain.done:
            window[:, now] = generator.sample_start(window, noise, labels=label, given=marks)
            chain.begin(encoding.restore(window[:, now]).cpu().numpy())
            continue
        window = generator.sample(window, known, noise, labels=label, given=marks)
        chain.append(encoding.restore(window[:, now + 1 :]).cpu().numpy())
        if progress is not None:
            progress(chain.done)
        if checkpoint is not None:
            checkpoint(lambda: {"frames": torch.from_numpy(chain.frames[:, : chain.done]), "noise": noise.get_state()})
    if not np.isfinite(chain.frames).all():
        trajectory, frame, column = np.argwhere(~np.isfinite(chain.frames))[0]
        value = chain.frames[trajectory, frame, column]
        raise NonFiniteError(
            f"trajectory {trajectory}, frame {frame}: generated feature {schema.names[column]!r} is {value}; "
            "the model is not trained well enough, train it longer"
        )
    provenance = {"seed": str(seeds.root), "window length": str(config.window_length)}
    if not chain.given_from(first + config.window_length):  # else windows may end early, at what is given
        provenance["first window"] = str(first)
    return FeatureTrajectories(chain.frames, schema, provenance=provenance)


class _Chain:
    """Trajectories that grow window by window.

    Parameters
    ----------
    n_frames, n_trajectories, schema
        What will be made.
    given
        As `generate_trajectories` takes it.

    Attributes
    ----------
    frames : numpy.ndarray
        ``(n_trajectories, n_frames, n_features)``, physical units.
    done : int
        How many frames at the beginning are final.
    """

    def __init__(self, n_frames: int, n_trajectories: int, schema: FeatureSchema, given: NDArray[np.floating] | None) -> None:
        shape = (n_trajectories, n_frames, schema.n_features)
        self.frames = np.zeros(shape, np.float32)
        self.done = 0
        self._mask: NDArray[np.bool_] | None = None
        if given is not None:
            if given.shape not in (shape, (1, *shape[1:])):
                raise InputError(f"given: expected shape {shape} with NaN for what is to be drawn, found {given.shape}")
            self._mask = np.broadcast_to(~np.isnan(given), shape)
            np.copyto(self.frames, np.broadcast_to(given, shape), where=self._mask)
            whole = self._mask.all(axis=(0, 2))
            self.done = int(whole.argmin()) if not whole.all() else n_frames

    def window(self, context_length: int, length: int) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None, int]:
        """Return the next window, what of it is given, and how many frames of its context are known."""
        first = max(self.done - 1, 0)
        known = min(first, context_length)
        new = slice(first, min(first + 1 + length, self.frames.shape[1]))
        shape = (len(self.frames), context_length + 1 + length, self.frames.shape[2])
        values = np.zeros(shape, np.float32)
        values[:, context_length - known : context_length] = self.frames[:, first - known : first]
        values[:, : context_length - known] = self.frames[:, first - known][:, None]
        end = context_length + new.stop - new.start
        values[:, context_length:end] = self.frames[:, new]
        if self._mask is None or not self._mask[:, first + (self.done > 0) : new.stop].any():
            return values, None, known
        mask = np.zeros(shape, bool)
        mask[:, context_length:end] = self._mask[:, new]
        return values, mask, known

    def given_from(self, frame: int) -> bool:
        """Whether anything is given at this frame or later."""
        return self._mask is not None and bool(self._mask[:, frame:].any())

    def restore(self, frames: NDArray[np.float32]) -> None:
        """Begin with frames that are final, ``(n_trajectories, n_done, n_features)``."""
        self.done = frames.shape[1]
        self.frames[:, : self.done] = frames

    def begin(self, frames: NDArray[np.float32]) -> None:
        """Take the first frame, ``(n_trajectories, n_features)``."""
        self.append(frames[:, None])

    def append(self, frames: NDArray[np.float32]) -> None:
        """Take the new frames of a window; those after the last given one only if nothing is given later."""
        stop = min(self.done + frames.shape[1], self.frames.shape[1])
        if self._mask is not None and self.given_from(stop):
            whole = np.flatnonzero(self._mask[:, self.done : stop].all(axis=(0, 2)))
            stop = self.done + int(whole[-1]) + 1 if len(whole) else stop
        new = frames[:, : stop - self.done]
        target = self.frames[:, self.done : stop]
        where = True if self._mask is None else ~self._mask[:, self.done : stop]
        np.copyto(target, new, where=where)
        self.done = stop
