import pickle

import numpy as np
import pytest

from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import InputError
from openmm_trajgan.features import RMSD, CollectiveVariable, Torsions
from openmm_trajgan.schema import FeatureSchema

SCHEMA = FeatureSchema(names=("x",), units=("nm",), periods=(None,), frame_interval=0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FeatureSchema(names=("x",), units=(), periods=(None,)), "1 names but 0 units: give one per feature"),
        (lambda: FeatureSchema(names="x", units=("",), periods=(None,)), "names: Input should be a valid tuple, found 'x'"),
        (lambda: FeatureSchema(units=("",), periods=(None,)), "names Field required"),
        (lambda: FeatureSchema(names=("x",), units=("",), periods=(None,), unit="nm"), "unit: Extra inputs .*, found 'nm'"),
        (lambda: SCHEMA.with_frame_interval(-1), "frame_interval: Input should be greater than 0, found -1"),
        (lambda: WindowBuffer(schema=SCHEMA).set_frame_interval(np.nan), "frame_interval: Input should be a finite number, .* nan"),
        (lambda: Torsions([[0, 1, 2, 3]], names=[5]), "names.0: Input should be a valid string, found 5"),
        (lambda: RMSD(np.zeros((4, 3)), name=5), "names.0: Input should be a valid string, found 5"),
        (lambda: CollectiveVariable(lambda frame, box: 0.0, names=["x"], units=[5]), "units.0: Input .* string, found 5"),
    ],
)
def test_what_is_wrong_is_one_line(make, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        make()


def test_a_schema_survives_being_written_and_copied():
    for again in (
        FeatureSchema.model_validate_json(SCHEMA.model_dump_json()),
        FeatureSchema.model_validate(SCHEMA.model_dump(mode="json")),
        pickle.loads(pickle.dumps(SCHEMA)),
    ):
        assert again == SCHEMA
        assert again.digest == SCHEMA.digest
