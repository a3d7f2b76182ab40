import numpy as np
import pytest

from openmm_trajgan.errors import InputError
from openmm_trajgan.features import (
    AlignedCartesian,
    Concatenate,
    Contacts,
    Coordinates,
    Distances,
    Featurizer,
    Torsions,
    from_schema,
)
from openmm_trajgan.schema import FeatureSchema

FRAMES = np.random.default_rng(0).normal(size=(5, 6, 3))
FEATURIZERS = [
    Torsions([[0, 1, 2, 3], [1, 2, 3, 4]], ["a", "b"]),
    Distances([[0, 1], [4, 5]], ["first", "second"]),
    Concatenate([Distances([[0, 2]]), Torsions([[0, 1, 2, 3]]), Distances([[3, 4]])]),
    Coordinates([2], axes="zx"),
]


@pytest.mark.parametrize("featurizer", FEATURIZERS, ids=repr)
def test_same_features(featurizer):
    schema = featurizer.schema.with_frame_interval(0.5)
    rebuilt = from_schema(schema)
    assert isinstance(rebuilt, Featurizer)
    assert rebuilt.schema == schema
    np.testing.assert_array_equal(rebuilt(FRAMES), featurizer(FRAMES))
    np.testing.assert_array_equal(rebuilt(FRAMES[0]), featurizer(FRAMES[0]))


def test_coordinates_of_one_particle_that_names_no_atom():
    schema = FeatureSchema(names=("y 1", "x 1"), units=("nm", "nm"), periods=(None, None), kinds=("cartesian", "position"))
    np.testing.assert_array_equal(from_schema(schema)(FRAMES), FRAMES[:, 0, [1, 0]].astype(np.float32))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (
            FeatureSchema(names=("q",), units=("",), periods=(None,)),
            "'q' of kind 'custom' in no unit with 0 atoms cannot be rebuilt",
        ),
        (Contacts([[0, 1]], 0.4).schema, "of kind 'contact' .* give what computed it, featurizer=, --system or --latent"),
        (
            FeatureSchema(names=("phi",), units=("deg",), periods=(360.0,), kinds=("torsion",), atoms=((0, 1, 2, 3),)),
            "'phi' of kind 'torsion' in deg with 4 atoms",
        ),
        (AlignedCartesian(FRAMES[0]).schema, "expected coordinates in nm of one particle, found x 0, y 0, z 0, x 1; give"),
        (Coordinates([0, 1]).schema, "of one particle"),
        (FeatureSchema(names=("q",), units=("nm",), periods=(None,), kinds=("position",)), "axes: expected some of 'x', 'y', 'z'"),
    ],
)
def test_schemas_that_leave_something_open(schema, message):
    with pytest.raises(InputError, match=message):
        from_schema(schema)
