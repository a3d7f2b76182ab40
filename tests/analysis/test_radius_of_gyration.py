"""The size of a chain of beads whose radius of gyration is an autoregressive process of known law."""

import math

import numpy as np
import pytest
from scipy.signal import lfilter

from openmm_trajgan.analysis import chain_size
from openmm_trajgan.errors import InputError

MEAN, DEVIATION, MEMORY = 5.0, 0.5, 0.9  # nm, nm, correlation from frame to frame
RELAXATION = -1 / math.log(MEMORY)  # frames


def breathing(rng, n_frames):
    """Two beads that far apart, moving through space, ``(n_frames, 2, 3)``."""
    noise = rng.normal(scale=DEVIATION * math.sqrt(1 - MEMORY**2), size=n_frames)
    noise[0] /= math.sqrt(1 - MEMORY**2)
    radius = MEAN + lfilter([1.0], [1.0, -MEMORY], noise)
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    return (np.array([1.0, -1.0])[None, :, None] * radius[:, None, None]) * axis + np.cumsum(
        rng.normal(size=(n_frames, 1, 3)), axis=0
    )


def test_size_and_its_errors_follow_the_law():
    """100 sets of 4 x 2000 frames, 420 independent ones each: means within four standard errors and 1 %, and errors within 25 %."""
    rng = np.random.default_rng(1)
    found = [chain_size([breathing(rng, 2000) for _ in range(4)], frame_interval=3.0) for _ in range(100)]
    for name, expected in (("mean", MEAN), ("deviation", DEVIATION), ("relaxation", 3.0 * RELAXATION)):
        values, errors = np.array([getattr(one, name) for one in found]).T
        scatter = values.std(ddof=1)
        assert abs(values.mean() - expected) < 4 * scatter / math.sqrt(len(found)) + 0.01 * expected
        assert errors.mean() == pytest.approx(scatter, rel=0.25)


def test_wrong_shapes_and_too_few_frames():
    with pytest.raises(InputError, match=r"found \(100, 3\)"):
        chain_size([np.zeros((100, 3))], frame_interval=1.0)
    with pytest.raises(InputError, match="at least 40 frames, found 30"):
        chain_size([np.zeros((30, 2, 3))], frame_interval=1.0)
    with pytest.raises(InputError, match="frame_interval: expected a positive number of ps, found -1"):
        chain_size([np.zeros((100, 2, 3))], frame_interval=-1)
