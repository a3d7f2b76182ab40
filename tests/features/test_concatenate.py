import math

import numpy as np
import pytest

from openmm_trajgan.errors import InputError
from openmm_trajgan.features import Concatenate, Contacts, Distances, Torsions

BOX = np.diag([1.0, 1.1, 1.2])


def test_columns_and_schemas_stand_side_by_side(positions):
    parts = [Torsions([[0, 1, 2, 3]]), Distances([[0, 5], [3, 4]]), Contacts([[0, 5]])]
    together = Concatenate(parts)
    np.testing.assert_array_equal(together(positions, BOX), np.hstack([part(positions, BOX) for part in parts]))
    assert together.schema.names == ("torsion 0-1-2-3", "distance 0-5", "distance 3-4", "contact 0-5")
    assert together.schema.units == ("rad", "nm", "nm", "")
    assert together.schema.periods == (2 * math.pi, None, None, None)
    assert together.schema.kinds == ("torsion", "distance", "distance", "contact")
    assert together.schema.atoms == ((0, 1, 2, 3), (0, 5), (3, 4), (0, 5))


def test_a_concatenation_can_be_part_of_another(positions):
    inner = Concatenate([Torsions([[0, 1, 2, 3]]), Distances([[0, 5]])])
    outer = Concatenate([inner, Contacts([[0, 5]])])
    np.testing.assert_array_equal(outer(positions)[:, :2], inner(positions))


def test_names_may_not_repeat():
    with pytest.raises(InputError, match="expected unique feature names, found 'distance 0-5' more than once"):
        Concatenate([Distances([[0, 5]]), Distances([[3, 4], [0, 5]])])


def test_parts_must_be_featurizers():
    with pytest.raises(InputError, match="expected at least one featurizer, found none"):
        Concatenate([])
    with pytest.raises(InputError, match="expected featurizers, objects with a schema to call, found str"):
        Concatenate([Distances([[0, 5]]), "phi"])
