import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openmm_trajgan.backmap.paths import cheapest_paths


def total(costs, steps, weight, path):
    """Cost of one path, by its definition."""
    stay = costs[np.arange(len(path)), path].sum()
    return stay + weight * sum(steps[frame, path[frame], path[frame - 1]] for frame in range(1, len(path)))


@st.composite
def problems(draw):
    n_frames, k = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.random((n_frames, k), dtype=np.float32), rng.random((n_frames, k, k), dtype=np.float32)


@given(problems())
@settings(max_examples=60, deadline=None)
def test_no_path_is_cheaper(problem):
    costs, steps = problem
    weights = np.array([0.0, 0.3, 5.0], dtype=np.float32)
    found = cheapest_paths(costs, lambda start, stop: steps[start:stop].copy(), weights)
    everything = list(itertools.product(range(costs.shape[1]), repeat=len(costs)))
    for weight, path in zip(weights, found, strict=True):
        best = min(total(costs, steps, weight, other) for other in everything)
        assert total(costs, steps, weight, path) == pytest.approx(best, rel=1e-5)


def test_blocks_join_without_a_seam():
    """1000 frames take several blocks; the plain recursion in double precision costs the same."""
    rng = np.random.default_rng(1)
    costs, steps = rng.random((1000, 5), dtype=np.float32), rng.random((1000, 5, 5), dtype=np.float32)
    for weight in (0.1, 1.0):
        path = cheapest_paths(costs, lambda start, stop: steps[start:stop].copy(), np.array([weight], dtype=np.float32))[0]
        sums = costs[0].astype(float)
        for frame in range(1, 1000):
            sums = costs[frame] + (sums + weight * steps[frame]).min(axis=1)
        assert total(costs.astype(float), steps, weight, path) == pytest.approx(sums.min(), rel=1e-6)


def test_several_weights_at_once_are_each_alone():
    rng = np.random.default_rng(2)
    costs, steps = rng.random((300, 4), dtype=np.float32), rng.random((300, 4, 4), dtype=np.float32)
    weights = np.array([0.01, 0.5, 3.0], dtype=np.float32)
    together = cheapest_paths(costs, lambda start, stop: steps[start:stop].copy(), weights)
    for weight, path in zip(weights, together, strict=True):
        alone = cheapest_paths(costs, lambda start, stop: steps[start:stop].copy(), np.array([weight], dtype=np.float32))
        np.testing.assert_array_equal(path, alone[0])
