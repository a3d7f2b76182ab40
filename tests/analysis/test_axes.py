import numpy as np

from openmm_trajgan.analysis.axes import Coordinate
from openmm_trajgan.schema import FeatureSchema


def test_a_coordinate_comes_from_the_schema_or_has_no_unit():
    schema = FeatureSchema(names=("phi", "d"), units=("rad", "nm"), periods=(2 * np.pi, None))
    assert [Coordinate.of(schema, name) for name in ("phi", "d", "TICA-0")] == [
        Coordinate("phi", "rad", 2 * np.pi),
        Coordinate("d", "nm"),
        Coordinate("TICA-0"),
    ]
