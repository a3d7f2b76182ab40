"""What is given, before anything is drawn."""

import numpy as np
import pytest

from openmm_trajgan.errors import InputError
from openmm_trajgan.generation.given import given_frames
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

SCHEMA = FeatureSchema(names=("x",), units=("nm",), periods=(None,))


@pytest.mark.parametrize(
    ("given", "found"),
    [({"start": [[0.0], [0.0, 1.0]]}, "list"), ({"given": FeatureTrajectories([np.zeros((4, 1))], SCHEMA)}, "FeatureTraj")],
)
def test_what_is_no_array_is_refused_in_one_line(given, found):
    with pytest.raises(InputError, match=f"^{next(iter(given))}: expected an array of numbers, .* found a {found}"):
        given_frames((1, 4, 1), 8, **given)
