"""Which frames of a window are drawn when, coarse to fine, and in view of which others."""

from dataclasses import asdict, dataclass
from functools import lru_cache

import torch
from torch import Tensor

_LARGEST = 2**31 - 1  # of any size
_PASSES = (0, 2, 1, 3)  # of the first, third, fifth and seventh of eight frames


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of a `WindowGenerator`.

    Parameters
    ----------
    window_length
        T, frames drawn in one shot.
    context_length
        C, how many frames before the newest known one the generator may look at.
    n_labels
        Numbers that describe the label of a trajectory.
    n_components
        Gaussians in the mixture of each feature; half of them between close neighbours.
    hidden
        Width of the networks.
    """

    window_length: int
    context_length: int
    n_labels: int = 0
    n_components: int = 16
    hidden: int = 96

    @property
    def n_frames(self) -> int:
        """Frames of a training window: context, newest known frame, T new ones."""
        return self.context_length + 1 + self.window_length

    @property
    def strides(self) -> list[int]:
        """Distances of the midpoints of each level from their neighbours: the largest power of two below T, … 2, 1."""
        return [2**power for power in reversed(range((self.window_length - 1).bit_length()))]

    def n_passes(self, stride: int) -> int:
        """In how many turns the midpoints of a stride are drawn.

        Those of one turn do not know of each other. Where features oscillate within a few frames, that loses their phase.
        """
        return len(_PASSES) if stride == 1 else 2

    def reaches(self, stride: int) -> list[int]:
        """Strides from a midpoint to the neighbours that it sees on either side."""
        return [1, 2, 3, 4, 5] if stride == 1 else [1, 2, 3, 5]

    def lags(self, below: int) -> list[int]:
        """Powers of two below a number of frames that lie within the context."""
        return [2**power for power in range(below.bit_length()) if 2**power < below and 2**power <= self.context_length]

    def check(self) -> None:
        """Look at numbers from a file.

        Raises
        ------
        ValueError
            If one is not an integer in its range.
        """
        lowest = {"window_length": 4, "context_length": 0, "n_labels": 0, "n_components": 1, "hidden": 2}
        for name, value in self.as_dict().items():
            if type(value) is not int or not lowest[name] <= value <= _LARGEST:
                raise ValueError(f"{name}: expected an integer from {lowest[name]} to {_LARGEST}, found {value!r}")

    def as_dict(self) -> dict[str, int]:
        """Plain numbers for a file."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Midpoints:
    """Frames that lie between known ones, with the neighbours they are drawn in view of, some strides before and after them.

    The one next to the newest known frame also sees what is known less than a stride before that: without their velocities there,
    features with inertia would jump where windows meet.

    Parameters
    ----------
    times
        Of the midpoints in the window, ``(n,)``.
    right
        Times of the nearest known frames after them, ``(n,)``.
    share
        Of the way from the known frame before to the one after that lies behind a midpoint, ``(n, 1)``.
    around
        Times of the neighbours, ``(n, 2 n_reaches + n_lags)``; 0 or the last one for those outside the window.
    present
        Which neighbours are known by then, of the same shape: drawn or given, within the window and its known context.
    """

    times: Tensor
    right: Tensor
    share: Tensor
    around: Tensor
    present: Tensor

    def __getitem__(self, chosen: Tensor) -> "Midpoints":
        return Midpoints(*(part.index_select(0, chosen) for part in vars(self).values()))


@lru_cache(maxsize=512)
@torch.inference_mode(False)  # whoever asks first, others may train with it
def midpoints_of(config: GeneratorConfig, stride: int, passes: range, known: int, device: torch.device) -> Midpoints:
    """Return the odd multiples of a stride that are drawn in some passes; of the context, the last `known` frames are known."""
    now, last = config.context_length, config.n_frames - 1
    numbers = torch.arange(1, -(-config.window_length // stride), 2)
    drawn_in = torch.tensor(_PASSES) // (len(_PASSES) // config.n_passes(stride))
    numbers = torch.cat([numbers[drawn_in[numbers % 8 // 2] == one] for one in passes])
    times = now + stride * numbers
    gap = (last - times).clamp_max(stride)  # to the right neighbour; only the last frame breaks the grid
    reaches = torch.tensor(config.reaches(stride))
    reached = numbers[:, None] + torch.cat([-reaches, reaches])
    around = now + stride * reached
    present = (reached % 2 == 0) | (drawn_in[reached % 8 // 2] < drawn_in[numbers % 8 // 2][:, None]) | (around <= now)
    around[:, len(reaches)] = times + gap
    before = now - torch.tensor(config.lags(stride), dtype=torch.long).expand(len(times), -1)
    beside = (times == now + stride)[:, None].expand_as(before)
    around, present = torch.cat([around, before], dim=1), torch.cat([present, beside], dim=1)
    present = present & (around >= now - known) & (around <= last)
    share = (stride / (stride + gap))[:, None]
    return Midpoints(*(part.to(device) for part in (times, times + gap, share, around.clamp(0, last), present)))
