"""The critic: how real do windows look, on every time scale."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from openmm_trajgan.models.encoding import FeatureEncoding, embed_angles, wrap_angles

_LONGEST_PATCH = 8  # frames
_STRIDE_RATIO = 4


class MultiScaleCritic(nn.Module):
    """One small network per time scale, each reading a few frames at a fixed stride.

    Strides are 1, 4, 16 … up to the window; a patch holds up to 8 frames (fewer where the window ends) and consists of the frames
    (embedded) and the increments between them in units of their typical size, so that small fast motions weigh as much as large
    slow ones. There is no normalisation across samples, as the per-sample gradient penalty demands.

    Parameters
    ----------
    encoding
        Coordinates.
    windows
        Real windows in reduced coordinates, for the typical increments, ``(n_windows, n_frames, n_features)``.
    n_labels
        Numbers that describe the label of a window; the networks read them with every patch.
    hidden
        Width of the networks.
    """

    periodic: Tensor
    increment_sizes: Tensor

    def __init__(
        self, encoding: FeatureEncoding, windows: Float[Tensor, "batch frames features"], *, n_labels: int = 0, hidden: int = 128
    ) -> None:
        super().__init__()
        self.register_buffer("periodic", encoding.periodic, persistent=False)
        self.n_frames = windows.shape[1]
        self.strides = [_STRIDE_RATIO**power for power in range(16) if _STRIDE_RATIO**power < self.n_frames]
        self.patch_lengths = [min(_LONGEST_PATCH, (self.n_frames - 1) // stride + 1) for stride in self.strides]
        sizes = []
        for stride in self.strides:
            increments = wrap_angles(windows[:, stride:] - windows[:, :-stride], encoding.periodic)
            sizes.append(increments.square().mean(dim=(0, 1)).sqrt().clamp_min(1e-6))
        self.register_buffer("increment_sizes", torch.stack(sizes))
        self.networks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(length * encoding.n_embedded + (length - 1) * encoding.n_features + n_labels, hidden),
                nn.LeakyReLU(0.2),
                nn.Linear(hidden, hidden),
                nn.LeakyReLU(0.2),
                nn.Linear(hidden, 1),
            )
            for length in self.patch_lengths
        )

    def draw_positions(self, n_windows: int, n_patches: int, first: int, generator: torch.Generator) -> list[Tensor]:
        """Where to cut patches, ``(n_windows, n_patches)`` per scale; every patch reaches frame `first` or later."""
        positions = []
        for stride, length in zip(self.strides, self.patch_lengths, strict=True):
            span = (length - 1) * stride
            low, high = max(0, first - span), self.n_frames - span
            positions.append(torch.randint(low, high, (n_windows, n_patches), generator=generator, device=generator.device))
        return positions

    def patches(
        self,
        windows: Float[Tensor, "batch frames features"],
        positions: list[Tensor],
        labels: Float[Tensor, "batch labels"] | None = None,
    ) -> list[Float[Tensor, "rows inputs"]]:
        """Cut the patches, one tensor per scale."""
        rows = torch.arange(len(windows), device=windows.device)[:, None, None]
        cut = []
        for scale, (stride, length) in enumerate(zip(self.strides, self.patch_lengths, strict=True)):
            steps = stride * torch.arange(length, device=windows.device)
            frames = windows[rows, positions[scale][:, :, None] + steps]
            increments = wrap_angles(frames[:, :, 1:] - frames[:, :, :-1], self.periodic) / self.increment_sizes[scale]
            embedded = embed_angles(frames.movedim(-1, 0), self.periodic).movedim(0, -1)
            parts = [embedded.flatten(2), increments.flatten(2)]
            parts += [] if labels is None else [labels[:, None].expand(-1, frames.shape[1], -1)]
            cut.append(torch.cat(parts, dim=-1).flatten(0, 1))
        return cut

    def score(self, scale: int, patches: Float[Tensor, "rows inputs"]) -> Float[Tensor, " rows"]:
        """Scores of patches of one scale: the higher, the more real."""
        scores: Tensor = self.networks[scale](patches)[:, 0]
        return scores
