"""What holds for every featurizer."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from openmm_trajgan.errors import InputError
from openmm_trajgan.features import (
    PCA,
    RMSD,
    TICA,
    VAMP,
    AlignedCartesian,
    Autoencoder,
    CentroidDistance,
    CollectiveVariable,
    Concatenate,
    Contacts,
    Distances,
    Featurizer,
    LigandDisplacement,
    NativeContacts,
    RadiusOfGyration,
    Torsions,
)

REFERENCE = np.random.default_rng(0).normal(scale=0.5, size=(16, 3))
PAIRS = [[0, 1], [2, 9], [15, 3]]
ORTHORHOMBIC = np.diag([4.0, 5.0, 6.0])
TRICLINIC = np.array([[4.0, 0.0, 0.0], [1.0, 5.0, 0.0], [-1.5, 2.0, 6.0]])


def first_and_last(positions, box):
    return positions[0, 0], positions[-1, 2]


MINIMUM_IMAGE = {
    "torsions": Torsions([[0, 1, 2, 3], [4, 9, 2, 15]]),
    "distances": Distances(PAIRS),
    "contacts": Contacts(PAIRS, cutoff=0.8),
    "native contacts": NativeContacts(PAIRS, [0.4, 0.6, 0.5]),
}
WHOLE_MOLECULES = {
    "aligned": AlignedCartesian(REFERENCE),
    "aligned subset": AlignedCartesian(REFERENCE, [2, 11, 3, 15]),
    "rmsd": RMSD(REFERENCE, [15, 1, 2, 7, 9]),
    "radius of gyration": RadiusOfGyration([15, 4, 2], masses=[12.0, 1.0, 16.0]),
    "centroid distance": CentroidDistance([3, 9], [15, 0, 1]),
    "ligand displacement": LigandDisplacement(REFERENCE, [4, 9], [15, 1, 2, 7]),
    "collective variable": CollectiveVariable(first_and_last, ["a", "b"], ["nm", "nm"]),
}
TRAINING = np.random.default_rng(1).normal(scale=0.5, size=(200, 16, 3))
INNER = MINIMUM_IMAGE["torsions"]
LATENTS = {
    "pca": PCA.fit(INNER, [INNER(TRAINING)]),
    "tica": TICA.fit(INNER, [INNER(TRAINING)], lag=1),
    "vamp": VAMP.fit(INNER, [INNER(TRAINING)], lag=1),
    "autoencoder": Autoencoder.fit(INNER, [INNER(TRAINING)], epochs=1, seed=1),
}
FEATURIZERS = {
    **LATENTS,
    **MINIMUM_IMAGE,
    **WHOLE_MOLECULES,
    "concatenation": Concatenate([*MINIMUM_IMAGE.values(), *WHOLE_MOLECULES.values()][:5]),
}
BOXES = {"none": None, "orthorhombic": ORTHORHOMBIC, "triclinic": TRICLINIC}

every_featurizer = pytest.mark.parametrize("featurizer", FEATURIZERS.values(), ids=FEATURIZERS.keys())
every_box = pytest.mark.parametrize("box", BOXES.values(), ids=BOXES.keys())


@every_featurizer
def test_the_schema_describes_the_output(featurizer, positions):
    values = featurizer(positions)
    assert isinstance(featurizer, Featurizer)
    assert values.shape == (7, featurizer.schema.n_features)
    assert values.dtype == np.float32
    least, greatest = featurizer.schema.bounds.T
    assert ((values >= least) & (values <= greatest)).all()
    assert np.isfinite(values).all()
    assert featurizer(positions[0]).shape == (featurizer.schema.n_features,)
    assert featurizer(positions[0]).dtype == np.float32
    assert featurizer.schema.frame_interval is None
    assert featurizer.schema.names[0] in repr(featurizer)


@every_box
@every_featurizer
def test_one_frame_equals_the_row_of_a_block_bit_for_bit(featurizer, box, positions):
    block = featurizer(positions, box)
    np.testing.assert_array_equal(block, [featurizer(frame, box) for frame in positions])
    np.testing.assert_array_equal(block, np.concatenate([featurizer(positions[:4], box), featurizer(positions[4:], box)]))


@every_featurizer
def test_a_box_per_frame_gives_what_each_frame_gives_in_its_box(featurizer, positions):
    boxes = np.array([ORTHORHOMBIC * 0.3, TRICLINIC * 0.4] * 3 + [ORTHORHOMBIC])
    rows = [featurizer(frame, box) for frame, box in zip(positions, boxes, strict=True)]
    np.testing.assert_array_equal(featurizer(positions, boxes), rows)
    common = np.repeat(TRICLINIC[None], 7, axis=0)
    np.testing.assert_array_equal(featurizer(positions, common), featurizer(positions, TRICLINIC))


@every_featurizer
def test_a_block_without_frames_gives_no_rows(featurizer, positions):
    assert featurizer(positions[:0]).shape == (0, featurizer.schema.n_features)
    assert featurizer(positions[:0], np.empty((0, 3, 3))).shape == (0, featurizer.schema.n_features)


@every_featurizer
def test_a_huge_box_is_no_box(featurizer, positions):
    np.testing.assert_allclose(featurizer(positions, np.eye(3) * 1000), featurizer(positions), rtol=1e-5, atol=1e-6)


@every_featurizer
def test_single_and_double_precision_agree(featurizer, positions):
    positions = positions.astype(np.float32)
    np.testing.assert_allclose(featurizer(positions), featurizer(positions.astype(np.float64)), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(featurizer(positions.tolist()), featurizer(positions.astype(np.float64)))
    np.testing.assert_array_equal(featurizer(np.asfortranarray(positions)), featurizer(positions))


@every_featurizer
def test_a_featurizer_pickles(featurizer, positions):
    copy = pickle.loads(pickle.dumps(featurizer))
    assert copy.schema == featurizer.schema
    np.testing.assert_array_equal(copy(positions, TRICLINIC), featurizer(positions, TRICLINIC))


@every_featurizer
def test_the_positions_and_the_box_stay_as_they_are(featurizer, positions):
    positions.setflags(write=False)
    box = TRICLINIC.copy()
    box.setflags(write=False)
    featurizer(positions, box)


@every_box
@pytest.mark.parametrize("name", [name for name in FEATURIZERS if name != "collective variable"])
def test_a_lost_atom_shows_as_nan(name, box, positions):
    positions[:, 15] = np.nan
    assert np.isnan(FEATURIZERS[name](positions, box)).any(axis=1).all()


@pytest.mark.parametrize("turns", [1, -3])
@pytest.mark.parametrize("vector", range(3))
@pytest.mark.parametrize("box", [ORTHORHOMBIC, TRICLINIC], ids=["orthorhombic", "triclinic"])
@pytest.mark.parametrize("name", MINIMUM_IMAGE.keys())
def test_an_atom_moved_by_a_box_vector_is_the_same_atom(name, box, vector, turns, positions):
    featurizer = MINIMUM_IMAGE[name]
    moved = positions.copy()
    moved[:, [2, 15]] += turns * box[vector]
    assert abs(featurizer(moved) - featurizer(positions)).max() > 0.1
    np.testing.assert_allclose(featurizer(moved, box), featurizer(positions, box), atol=1e-4)


@every_featurizer
def test_wrong_positions_are_refused(featurizer, positions):
    with pytest.raises(InputError, match=r"expected shape \(n_atoms, 3\) or \(n_frames, n_atoms, 3\) in nm, found \(16, 2\)"):
        featurizer(positions[0, :, :2])
    with pytest.raises(InputError, match=r"found \(3,\)"):
        featurizer(positions[0, 0])
    with pytest.raises(InputError, match=r"found \(1, 7, 16, 3\)"):
        featurizer(positions[None])
    with pytest.raises(InputError, match="positions: expected numbers in nm, found an array of <U"):
        featurizer([["a", "b", "c"]])
    with pytest.raises(InputError, match="ragged"):
        featurizer([[0.0, 0.0, 0.0], [0.0]])


@pytest.mark.parametrize("name", [name for name in FEATURIZERS if name != "collective variable"])
def test_missing_atoms_are_named(name, positions):
    with pytest.raises(InputError, match="atom index 15 is needed, found 15 atoms"):
        FEATURIZERS[name](positions[:, :15])


@every_featurizer
def test_a_box_of_another_shape_is_refused(featurizer, positions):
    with pytest.raises(InputError, match=r"box: expected box vectors of shape \(3, 3\) in nm, found \(6,\)"):
        featurizer(positions[0], [4.0, 5.0, 6.0, 90.0, 90.0, 90.0])
    with pytest.raises(InputError, match=r"shape \(3, 3\) or \(7, 3, 3\) in nm, found \(2, 3, 3\)"):
        featurizer(positions, np.zeros((2, 3, 3)))


def test_importing_the_features_is_light():
    heavy = ("torch", "openmm", "deeptime", "MDAnalysis", "mdtraj")
    program = f"import sys, openmm_trajgan.features; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
