"""What is not drawn but given: frames and features of a window, and the label of a trajectory."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor, nn

from openmm_trajgan.errors import InputError

Label = str | int | float | np.number[Any]
_FARTHEST_LABEL = 1.0  # beyond the trained values, in units of their range


@dataclass(frozen=True)
class LabelEncoding:
    """Labels of trajectories as numbers that networks read.

    Names become one number each, 1 for the name of the trajectory and 0 for the others. Numbers, such as a temperature, become one
    number from -1 to 1 over the trained range, so values between the trained ones can be asked for.

    Parameters
    ----------
    values
        Different labels of the training data, sorted: all of them text, or all of them numbers.

    Examples
    --------
    >>> LabelEncoding.of([310.0, 290.0, 310.0]).encode([290, 300]).tolist()
    [[-1.0], [0.0]]
    >>> LabelEncoding.of(["folded", "unfolded"]).encode(["unfolded"]).tolist()
    [[0.0, 1.0]]
    """

    values: tuple[Label, ...]

    @classmethod
    def of(cls, labels: Sequence[Label]) -> "LabelEncoding":
        """Learn the labels of all trajectories.

        Raises
        ------
        InputError
            If text and numbers are mixed, a number is not finite, or all labels are the same.
        """
        numbers = [isinstance(label, int | float | np.number) and not isinstance(label, bool) for label in labels]
        if any(numbers) != all(numbers):
            raise InputError("labels: expected all of them to be numbers, or all of them text; found both")
        values = tuple(sorted({float(label) if all(numbers) else str(label) for label in labels}))
        if all(numbers) and not all(math.isfinite(float(value)) for value in values):
            raise InputError("labels: expected finite numbers, found NaN or infinity")
        if len(values) < 2:
            raise InputError("labels: expected at least two different ones, found the same throughout; train without labels")
        return cls(values)

    @property
    def continuous(self) -> bool:
        """Whether labels are numbers."""
        return not isinstance(self.values[0], str)

    @property
    def size(self) -> int:
        """Numbers that describe a label."""
        return 1 if self.continuous else len(self.values)

    def encode(self, labels: Sequence[Any]) -> NDArray[np.float32]:
        """Return the numbers, ``(n_labels, size)``, of whatever a caller takes for labels.

        Raises
        ------
        InputError
            If a label was not among the training data: another text, no number, or one far outside the trained range.
        """
        if self.continuous:
            low, high = float(self.values[0]), float(self.values[-1])
            far = (high - low) * _FARTHEST_LABEL
            expected = f"label: expected a number between {low:g} and {high:g}"
            numbers = np.empty(len(labels))
            for index, label in enumerate(labels):
                try:
                    numbers[index] = float(label)
                except (TypeError, ValueError):
                    raise InputError(f"{expected}, found {label!r}") from None
                if not low - far <= numbers[index] <= high + far:
                    raise InputError(f"{expected}, found {numbers[index]:g}")
            return (2 * (numbers[:, None] - low) / (high - low) - 1).astype(np.float32)
        unknown = [label for label in labels if label not in self.values]
        if unknown:
            raise InputError(f"label: expected one of {', '.join(map(str, self.values))}, found {unknown[0]}")
        return np.eye(len(self.values), dtype=np.float32)[[self.values.index(label) for label in labels]]


class CourseEncoder(nn.Module):
    """Summary, at every frame, of the whole course of the features that are given by themselves.

    Where some features of a frame are given and others are to be drawn, the nearest given frames may not tell which of several
    values belong to them: what the features do long before and after does, such as how long they stay where they are. Residual
    convolutions over time, each reaching twice as far as the last, see the whole window (van den Oord et al., arXiv:1609.03499).

    Parameters
    ----------
    n_embedded
        Numbers of a frame.
    window_length
        Frames that every summary sees on either side.
    size
        Numbers of a summary.
    """

    def __init__(self, n_embedded: int, window_length: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.read = nn.Conv1d(2 * n_embedded, size, 1)
        reaches = [2**power for power in range(window_length.bit_length())]
        self.reach = nn.ModuleList(nn.Conv1d(size, size, 3, dilation=reach, padding=reach) for reach in reaches)

    def forward(
        self, frames: Float[Tensor, "embedded frames batch"], marks: Bool[Tensor, "embedded frames batch"]
    ) -> Float[Tensor, "size frames batch"]:
        """Summaries of what is marked of the frames."""
        values = torch.where(marks, frames, 0.0)
        hidden = self.read(torch.cat([values, marks.to(values.dtype)]).permute(2, 0, 1))
        for layer in self.reach:
            hidden = hidden + torch.relu(layer(hidden))
        summaries: Tensor = hidden.permute(1, 2, 0)
        return summaries


@dataclass(frozen=True, eq=False)
class Course:
    """Summaries of some windows.

    Parameters
    ----------
    windows
        Numbers of the windows, ascending, ``(n,)``.
    summaries
        Of their frames, ``(size, n_frames, n)``.
    """

    windows: Tensor
    summaries: Tensor

    def first(self, n_windows: int) -> "Course":
        """Return those of the first windows."""
        n = int((self.windows < n_windows).sum())
        return Course(self.windows[:n], self.summaries[..., :n])

    def at(self, times: Tensor, n_windows: int) -> Tensor:
        """Return the summaries at some times, ``(size, n_times, n_windows)``, with zeros for windows that have none."""
        found = self.summaries[:, times]
        return found.new_zeros(*found.shape[:2], n_windows).index_copy(2, self.windows, found)


class Given:
    """Where frames of windows are given, and what is known of the nearest of them and of the course of single features.

    Parameters
    ----------
    window
        ``(n_features, n_frames, n_windows)``, reduced coordinates; only what is given is read.
    mask
        Which features are given, of the same shape.
    course
        Summaries of windows where single features of frames are given; None with one feature, when there are no such windows.
    """

    def __init__(
        self,
        window: Float[Tensor, "features frames batch"],
        mask: Bool[Tensor, "features frames batch"],
        course: Course | None = None,
    ) -> None:
        self._window, self._mask, self._course = window.clone(), mask, course
        numbers = torch.arange(mask.shape[1], device=mask.device)[:, None]
        anywhere = mask.any(dim=0)
        self._before = torch.where(anywhere, numbers, -1).cummax(dim=0).values
        self._after = torch.where(anywhere, numbers, len(numbers)).flip(0).cummin(dim=0).values.flip(0)

    def first(self, n_windows: int) -> "Given":
        """Return that of the first windows."""
        course = None if self._course is None else self._course.first(n_windows)
        return Given(self._window[..., :n_windows], self._mask[..., :n_windows], course)

    def around(
        self, times: Tensor, reach: int, base: Tensor, differences: Callable[[Tensor, Tensor, Tensor], Tensor], spread: Tensor
    ) -> Tensor:
        """Describe what is given at some times, and in the nearest given frames less than `reach` before and after them.

        Returns
        -------
        torch.Tensor
            ``(6 n_features + 2 + size, n_times, n_windows)``: differences to the base frames and marks of what is given, before,
            after and at the time itself, with the distances in time, in units of the reach, of the first two; then the summary.
        """
        last = self._mask.shape[1] - 1
        parts = []
        for side, nearest in ((-1, self._before), (1, self._after)):
            inside = ((times + side >= 0) & (times + side <= last))[:, None]
            found = nearest[(times + side).clamp(0, last)]
            distances = (found - times[:, None]) * side
            near = inside & (found >= 0) & (found <= last) & (distances < reach)
            marks = self._of(self._mask, found.clamp(0, last)) & near
            parts += [torch.where(marks, differences(self._of(self._window, found.clamp(0, last)), base, spread), 0.0), marks]
            parts.append((near * distances / reach)[None])
        here = self._mask[:, times]
        parts += [torch.where(here, differences(self._window[:, times], base, spread), 0.0), here]
        parts += [] if self._course is None else [self._course.at(times, self._mask.shape[2])]
        return torch.cat([part.to(base.dtype) for part in parts])

    @staticmethod
    def _of(tensor: Tensor, frames: Tensor) -> Tensor:
        return tensor.gather(1, frames.expand(len(tensor), -1, -1))
