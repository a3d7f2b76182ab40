import pickle
import warnings

import numpy as np
import pytest
from scipy.signal import lfilter

from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import InputError
from openmm_trajgan.features import RMSD, CollectiveVariable, Torsions
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

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


def test_one_name_is_one_replica():
    series = [np.full((3, 1), index) for index in range(12)]
    data = FeatureTrajectories(series, SCHEMA)
    buffer = WindowBuffer.from_trajectories(data)
    for found in (data.select("10"), data.select(["10"]), buffer.trajectories("10")):
        assert [one.tolist() for one in found] == [[[10.0]] * 3]
    for ask in (lambda: data.select([0]), lambda: buffer.windows(2, [0])):
        with pytest.raises(InputError, match="named 0; there are 0, 1, "):
            ask()


def test_deeptime_takes_two_trajectories_for_two():
    """The slowest process of two autoregressive series, 19.5 frames; two arrays in a tuple deeptime would take for pairs."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2, 20_000))
    series = np.array([lfilter([1.0], [1.0, -0.95], one) for one in noise])
    data = FeatureTrajectories(series[..., None], SCHEMA)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from deeptime.decomposition import TICA
    timescale = TICA(lagtime=5).fit_fetch(data.values).timescales(lagtime=5)[0]
    assert timescale == pytest.approx(-1 / np.log(0.95), rel=5 * (2 * 19.5 / 40_000) ** 0.5)  # five standard errors
