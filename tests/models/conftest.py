import math

import pytest
import torch

from openmm_trajgan.models.coarse_to_fine import GeneratorConfig
from openmm_trajgan.models.encoding import FeatureEncoding
from openmm_trajgan.models.generator import WindowGenerator
from openmm_trajgan.models.scales import typical_spreads
from openmm_trajgan.schema import FeatureSchema


@pytest.fixture
def schema():
    """One feature on the line and one angle in degrees."""
    return FeatureSchema(names=("x", "angle"), units=("nm", "deg"), periods=(None, 360.0), frame_interval=0.5)


@pytest.fixture
def encoding(schema):
    """Mean 2 and standard deviation 0.5 on the line, range 1.5 to 2.5."""
    return FeatureEncoding(schema, torch.tensor([[2.5, 100.0], [1.5, 30.0]]))


@pytest.fixture
def make_generator(schema):
    """Generators whose real frames have mean 2, standard deviation 0.5 and range -2 to 6 on the line."""
    on_line = torch.cat([torch.tensor([-2.0, 6.0]), torch.full((126,), 2.0)])
    encoding = FeatureEncoding(schema, torch.stack([on_line, torch.zeros(128)], dim=1))

    def make(window_length=8, context_length=4, seed=0, **sizes):
        config = GeneratorConfig(window_length, context_length, **sizes)
        windows = walk(64, config.n_frames, seed)
        torch.manual_seed(seed)
        return WindowGenerator(encoding, config, typical_spreads(encoding, config, windows))

    return make


@pytest.fixture
def walks():
    """Make windows of a random walk: number of windows, of frames, and seed."""
    return walk


@pytest.fixture
def begun():
    """Windows with a random context and newest frame, reduced coordinates; what is to be drawn is NaN."""

    def make(generator, n):
        config = generator.config
        windows = torch.full((n, config.n_frames, 2), math.nan)
        first = config.context_length + 1
        windows[:, :first] = 0.3 * torch.randn(n, first, 2, generator=torch.Generator().manual_seed(5))
        return windows

    return make


def walk(n_windows, n_frames, seed):
    """Windows of a random walk in reduced coordinates, the second feature on the circle."""
    steps = 0.3 * torch.randn(n_windows, n_frames, 2, generator=torch.Generator().manual_seed(seed))
    windows = steps.cumsum(dim=1)
    windows[..., 1] = torch.remainder(windows[..., 1] + math.pi, 2 * math.pi) - math.pi
    return windows
