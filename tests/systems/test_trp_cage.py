"""The structure-based Trp-cage: native geometry, cooperative contacts, two states, the temperature asked for."""

import math

import numpy as np
import openmm
import pytest
from openmm import unit

from openmm_trajgan.errors import InputError
from openmm_trajgan.systems import get_system, trp_cage

KILOJOULE_PER_KELVIN = unit.MOLAR_GAS_CONSTANT_R.value_in_unit(unit.kilojoule_per_mole / unit.kelvin)


def run(temperature, seed, n_frames):
    """Features ``(n_frames, 3)`` and kinetic energies (kJ/mol) every 200 steps."""
    simulation, features = trp_cage.build(seed, 1, temperature), trp_cage.features()
    rows, energies = [], []
    for _ in range(n_frames):
        simulation.step(200)
        state = simulation.context.getState(positions=True, energy=True)
        rows.append(features(state.getPositions(asNumpy=True)._value))
        energies.append(state.getKineticEnergy()._value)
    return np.array(rows), np.array(energies)


@pytest.fixture(scope="module")
def cold_and_hot():
    return {temperature: [run(temperature, seed, 300) for seed in (1, 2)] for temperature in (285.0, 345.0)}


def test_the_beads_are_those_of_1l2y():
    topology, native = trp_cage.topology_and_positions()
    names = " ".join(residue.name for residue in topology.residues())
    assert names == "ASN LEU TYR ILE GLN TRP LEU LYS GLU GLY GLY PRO SER SER GLY ARG PRO PRO PRO SER"  # D9E
    assert np.linalg.norm(np.diff(native, axis=0), axis=1) == pytest.approx(0.38, abs=0.01)  # all peptide bonds trans
    assert topology.getNumBonds() == 19
    fraction, rmsd, _ = trp_cage.features()(native)
    assert fraction > 0.99
    assert rmsd == pytest.approx(0, abs=1e-4)


def test_contacts_are_far_in_sequence_and_near_in_space():
    contacts, (_, native) = trp_cage.native_contacts(), trp_cage.topology_and_positions()
    assert contacts.shape == (42, 2)
    assert (contacts[:, 1] - contacts[:, 0]).min() == 3
    assert (5, 17) in {(i, j) for i, j in contacts.tolist()}  # Trp6 packs on Pro18, residues counted from 0
    far = np.argwhere(np.tri(20, k=-3).T)
    near, all_pairs = (np.linalg.norm(native[pairs[:, 0]] - native[pairs[:, 1]], axis=1) for pairs in (contacts, far))
    assert near.mean() < 0.7 < all_pairs.mean()
    assert (all_pairs < 0.55).sum() == (near < 0.55).sum()  # Cα so near have heavy atoms within 0.6 nm


def test_the_native_structure_is_where_bonded_forces_and_contacts_have_their_minima():
    _, native = trp_cage.topology_and_positions()
    system = trp_cage.potential(native, trp_cage.native_contacts())
    for index, force in enumerate(system.getForces()):
        force.setForceGroup(index)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(native)
    energies = []
    for index, force in enumerate(system.getForces()):
        state = context.getState(energy=True, forces=True, groups={index})
        energies.append(state.getPotentialEnergy()._value)
        if not isinstance(force, openmm.CustomBondForce):  # the repulsion pushes a little, everywhere
            assert np.abs(state.getForces(asNumpy=True)._value).max() < 1e-6 * 2e4
    bonds, angles, dihedrals, repulsion, cooperative, _ = energies
    assert [bonds, angles, dihedrals] == pytest.approx([0, 0, 0], abs=1e-6)
    assert cooperative == pytest.approx(-42 * trp_cage.CONTACT_DEPTH)
    assert 0 < repulsion < 0.25 * abs(cooperative)


def test_half_of_the_contacts_hold_a_quarter_of_the_energy():
    _, native = trp_cage.topology_and_positions()
    contacts = trp_cage.native_contacts()
    system = trp_cage.potential(native, contacts)
    cooperative = next(force for force in system.getForces() if isinstance(force, openmm.CustomCVForce))
    cooperative.setForceGroup(7)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    broken = native.copy()
    broken[10:] += [0.0, 0.0, 50.0]
    kept = ((contacts < 10).all(axis=1) | (contacts >= 10).all(axis=1)).mean()
    context.setPositions(broken)
    energy = context.getState(energy=True, groups={7}).getPotentialEnergy()._value
    assert 0.2 < kept < 0.9
    assert energy == pytest.approx(-42 * trp_cage.CONTACT_DEPTH * kept**2)


@pytest.mark.statistical
def test_temperature_is_the_one_asked_for(cold_and_hot):
    """Law: kinetic energy of f = 3·20 - 3 degrees of freedom is f/2 kT on average with variance f/2 (kT)². n = 600 samples of two
    replicas 6 ps apart, correlated by e^(-2·0.2·6) = 9 %: relative standard error √(2/57/600 × 1.2) = 0.84 %. Judged at 4."""
    n_degrees = 3 * 20 - 3
    for temperature, runs in cold_and_hot.items():
        energies = np.concatenate([energies for _, energies in runs])
        measured = 2 * energies.mean() / (n_degrees * KILOJOULE_PER_KELVIN)
        assert measured == pytest.approx(temperature, rel=4 * math.sqrt(2 / n_degrees / len(energies) * 1.2))


@pytest.mark.statistical
def test_cold_folds_and_heat_unfolds(cold_and_hot):
    """Law: the folded fraction falls with temperature. From 80 000 frames per temperature (the notes of the model) it is 0.98 at
    285 K and 0.07 at 345 K. n = 2 × 300 frames; at 285 K, where g = 55 frames, about 11 independent ones, and at 345 K (g = 17)
    about 35: standard error 0.045 either time. Judged at 5."""
    folded = {temperature: np.mean([values[:, 0] > 0.6 for values, _ in runs]) for temperature, runs in cold_and_hot.items()}
    assert folded[285.0] > 0.98 - 5 * 0.045
    assert folded[345.0] < 0.07 + 5 * 0.045
    rmsd = {temperature: np.mean([values[:, 1] for values, _ in runs]) for temperature, runs in cold_and_hot.items()}
    assert rmsd[285.0] < 0.3 < 0.5 < rmsd[345.0]


def test_what_cannot_be_built_is_refused():
    with pytest.raises(InputError, match="one replica per simulation, found n_replicas=2"):
        trp_cage.build(1, 2)
    with pytest.raises(InputError, match="temperature: expected a positive number of K, found -5"):
        trp_cage.build(1, 1, -5)


def test_labels_are_temperatures():
    system = get_system("trp_cage")
    assert system.labels == trp_cage.TEMPERATURES
    simulation = system.simulation(1, 1, system.labels[-1])
    assert simulation.integrator.getTemperature()._value == 345.0
