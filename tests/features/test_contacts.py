import mdtraj
import numpy as np
import pytest

from openmm_trajgan.errors import InputError
from openmm_trajgan.features import Contacts, Distances, NativeContacts

PAIRS = np.stack(np.triu_indices(16, 1), axis=1)


def two_atoms(distances):
    positions = np.zeros((len(distances), 2, 3))
    positions[:, 1, 0] = distances
    return positions


def test_a_contact_equals_the_quotient_plumed_documents():
    distances = np.array([0.2, 0.44, 0.46, 0.9, 3.0])
    ratio = distances / 0.45
    expected = (1 - ratio**6) / (1 - ratio**12)
    np.testing.assert_allclose(Contacts([[0, 1]])(two_atoms(distances))[:, 0], expected, rtol=1e-5)


def test_a_contact_falls_from_one_through_one_half_to_nothing():
    values = Contacts([[0, 1]], cutoff=0.5, steepness=8)(two_atoms([0.0, 0.25, 0.5, 1.0, 1e4]))[:, 0]
    np.testing.assert_allclose(values, [1, 1 / (1 + 0.5**8), 0.5, 1 / (1 + 2**8), 0], rtol=1e-6, atol=1e-12)


def test_the_fraction_of_native_contacts_follows_the_paper_with_mdtraj_distances(positions):
    native = np.random.default_rng(3).uniform(0.2, 0.9, len(PAIRS))
    distances = mdtraj.compute_distances(mdtraj.Trajectory(positions, None), PAIRS).astype(np.float64)
    expected = np.mean(1 / (1 + np.exp(50 * (distances - 1.8 * native))), axis=1)
    q = NativeContacts(PAIRS, native)
    np.testing.assert_allclose(q(positions)[:, 0], expected, atol=1e-5)
    assert q.schema.names == ("native contacts",)
    assert q.schema.kinds == ("native_contacts",)
    assert q.schema.atoms == (tuple(range(16)),)


def test_native_contacts_are_one_at_home_and_zero_far_away(positions):
    q = NativeContacts(PAIRS, Distances(PAIRS)(positions[0]), steepness=200.0)
    assert q(positions[0])[0] == pytest.approx(1, abs=1e-3)
    assert q(positions[0] * 1e4)[0] == 0


def test_native_contacts_of_a_reference_structure(two_chains):
    positions = np.random.default_rng(4).uniform(0, 1.0, size=(two_chains.n_atoms, 3))
    heavy = [atom for atom in two_chains.atoms if atom.residue.name != "CA"]
    expected = [
        (a.index, b.index)
        for a in heavy
        for b in heavy
        if a.index < b.index
        and abs(a.residue.index - b.residue.index) > 3
        and np.linalg.norm(positions[a.index] - positions[b.index]) <= 0.45
    ]
    found = NativeContacts.from_reference(two_chains, positions)
    by_hand = NativeContacts(expected, [np.linalg.norm(positions[i] - positions[j]) for i, j in expected])
    probe = np.random.default_rng(5).uniform(0, 1.5, size=(5, *positions.shape))
    np.testing.assert_allclose(found(probe), by_hand(probe), atol=1e-6)
    assert found.schema == by_hand.schema


def test_a_reference_without_native_contacts_is_refused(two_chains, dipeptide):
    with pytest.raises(InputError, match=r"within 0.45 nm and 4 residues apart, found none among 54; are the positions in nm\?"):
        NativeContacts.from_reference(two_chains, np.arange(55 * 3.0).reshape(55, 3))
    with pytest.raises(InputError, match="expected 55 atoms as in the topology, found 3"):
        NativeContacts.from_reference(two_chains, np.zeros((3, 3)))


@pytest.mark.parametrize("native", [[0.4], [0.4, 0.0], [0.4, np.nan], 0.4])
def test_one_positive_distance_per_native_contact(native):
    with pytest.raises(InputError, match="reference_distances: expected 2 positive numbers in nm"):
        NativeContacts([[0, 1], [1, 2]], native)


def test_parameters_must_be_positive():
    with pytest.raises(InputError, match=r"cutoff: expected a positive number \(nm\), found 0"):
        Contacts([[0, 1]], cutoff=0)
    with pytest.raises(InputError, match="steepness: expected a positive number"):
        Contacts([[0, 1]], steepness=-6)
    with pytest.raises(InputError, match="tolerance: expected a positive number"):
        NativeContacts([[0, 1]], [0.4], tolerance=np.nan)
