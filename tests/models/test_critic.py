import math

import pytest
import torch

from openmm_trajgan.models.critic import MultiScaleCritic


@pytest.fixture
def windows():
    return 0.3 * torch.randn(30, 41, 2, generator=torch.Generator().manual_seed(0)).cumsum(dim=1)


def test_scales_reach_from_one_frame_to_the_window(encoding, windows):
    critic = MultiScaleCritic(encoding, windows)
    assert critic.strides == [1, 4, 16]
    assert critic.patch_lengths == [8, 8, 3]


def test_every_patch_lies_in_the_window_and_reaches_the_new_frames(encoding, windows):
    critic = MultiScaleCritic(encoding, windows)
    positions = critic.draw_positions(500, 6, first=33, generator=torch.Generator().manual_seed(0))
    for start, stride, length in zip(positions, critic.strides, critic.patch_lengths, strict=True):
        last = start + (length - 1) * stride
        assert start.min() >= 0
        assert last.max() == 40
        assert last.min() == max(33, (length - 1) * stride)


def test_patches_hold_frames_and_scaled_increments(encoding, windows):
    critic = MultiScaleCritic(encoding, windows)
    position = torch.tensor([[3]]).expand(30, 1)
    patch = critic.patches(windows, [position] * 3)[1]
    frames = windows[:, 3:32:4]
    assert patch.shape == (30, 8 * 3 + 7 * 2)
    torch.testing.assert_close(patch[:, 0], frames[:, 0, 0])
    torch.testing.assert_close(patch[:, 1], torch.sin(frames[:, 0, 1]))
    increments = frames[:, 1] - frames[:, 0]
    increments[:, 1] = torch.remainder(increments[:, 1] + math.pi, 2 * math.pi) - math.pi
    torch.testing.assert_close(patch[:, 24:26] * critic.increment_sizes[1], increments, atol=1e-5, rtol=1e-4)


def test_a_whole_turn_changes_no_score(encoding, windows):
    critic = MultiScaleCritic(encoding, windows)
    positions = critic.draw_positions(30, 2, first=1, generator=torch.Generator().manual_seed(0))
    turned = windows + torch.tensor([0.0, 2 * math.pi])
    for scale, (a, b) in enumerate(zip(critic.patches(windows, positions), critic.patches(turned, positions), strict=True)):
        torch.testing.assert_close(critic.score(scale, a), critic.score(scale, b), atol=1e-4, rtol=1e-4)


def test_score_of_a_window_does_not_depend_on_the_batch(encoding, windows):
    """The gradient penalty is per sample, so nothing may be normalised across samples."""
    critic = MultiScaleCritic(encoding, windows)
    positions = critic.draw_positions(30, 1, first=1, generator=torch.Generator().manual_seed(0))
    together = critic.patches(windows, positions)
    for scale, patches in enumerate(together):
        torch.testing.assert_close(critic.score(scale, patches)[:1], critic.score(scale, patches[:1]))
