import math

import pytest

from openmm_trajgan.errors import InputError
from openmm_trajgan.training.config import TrainingConfig


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"likelihood_share": 2.0}, "likelihood_share: expected a number from 0 to 1, found 2.0"),
        ({"critic_head_start": math.nan}, "critic_head_start: expected a number from 0 to 1, found nan"),
        ({"likelihood_windows": 2.5}, "likelihood_windows: expected a positive whole number, found 2.5"),
        ({"patches_per_window": 0}, "patches_per_window: expected a positive whole number, found 0"),
        ({"likelihood_rate": -1}, "likelihood_rate: expected a number from 0 on, found -1"),
        ({"generator_rate": "fast"}, "generator_rate: expected a number from 0 on, found 'fast'"),
        ({"penalty_weight": -0.1}, "penalty_weight: expected a number from 0 on, found -0.1"),
        ({"anchor_weight": math.inf}, "anchor_weight: expected a number from 0 on, found inf"),
    ],
)
def test_numbers_that_no_training_can_have(numbers, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        TrainingConfig(**numbers)


def test_the_ends_of_the_ranges_are_allowed():
    config = TrainingConfig(likelihood_share=1, given_share=0.0, critic_rate=0, anchor_weight=0.0, likelihood_windows=8.0)
    assert config.as_dict()["likelihood_windows"] == 8
    assert type(config.likelihood_windows) is int
