"""The chain of beads has the energy that was published, and the temperature and bonds that follow from it at 30 fs."""

import math

import numpy as np
import openmm
import pytest

from openmm_trajgan.errors import InputError
from openmm_trajgan.systems import alpha_synuclein, get_system


def energy_of(positions):
    """Potential energy by NumPy, straight from the published equations, kJ/mol, of ``(140, 3)`` in nm."""
    _, stickiness, diameters, charges = alpha_synuclein.bead_parameters()
    first, second = np.triu_indices(140, 2)
    r = np.linalg.norm(positions[first] - positions[second], axis=1)
    sigma, scale = (diameters[first] + diameters[second]) / 2, (stickiness[first] + stickiness[second]) / 2

    def lennard_jones(distance):
        return 4 * 0.2 * 4.184 * ((sigma / distance) ** 12 - (sigma / distance) ** 6)

    near = lennard_jones(r) - scale * lennard_jones(2.0) + 0.2 * 4.184 * (1 - scale)
    far = scale * (lennard_jones(r) - lennard_jones(2.0))
    contacts = np.where(r <= 2 ** (1 / 6) * sigma, near, far)[r < 2.0].sum()
    # SI units throughout: e, vacuum permittivity, Boltzmann, Avogadro
    e, vacuum, boltzmann, avogadro = 1.602176634e-19, 8.8541878128e-12, 1.380649e-23, 6.02214076e23
    t = 293.15
    water = 5321 / t + 233.76 - 0.9297 * t + 1.417e-3 * t**2 - 8.292e-7 * t**3
    strength = e**2 / (4 * math.pi * vacuum * water)  # J m
    kappa = math.sqrt(8 * math.pi * strength / (boltzmann * t) * 0.19e3 * avogadro) * 1e-9  # 1/nm
    screened = np.exp(-kappa * r) / r - math.exp(-kappa * 4) / 4
    coulomb = (charges[first] * charges[second] * strength * avogadro * 1e6 * screened)[r < 4.0].sum()
    bonds = 8033 / 2 * np.square(np.linalg.norm(np.diff(positions, axis=0), axis=1) - 0.38).sum()
    return bonds + contacts + coulomb


@pytest.fixture(scope="module")
def simulation():
    return alpha_synuclein.build(1)


def test_energy_is_the_published_one(simulation):
    rng, energies = np.random.default_rng(1), []
    start = simulation.context.getState(positions=True).getPositions(asNumpy=True)._value
    integrator = openmm.VerletIntegrator(0.001)
    context = openmm.Context(alpha_synuclein.create_system(), integrator, openmm.Platform.getPlatformByName("Reference"))
    for factor in (0.7, 1.0, 1.3):
        positions = factor * start + rng.normal(scale=0.02, size=start.shape)
        context.setPositions(positions)
        energies.append((context.getState(energy=True).getPotentialEnergy()._value, energy_of(positions)))
    found, expected = np.array(energies).T
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_sequence_charges_and_masses():
    assert len(alpha_synuclein.SEQUENCE) == 140
    assert set(alpha_synuclein.SEQUENCE) <= set(alpha_synuclein.RESIDUES)
    masses, _, _, charges = alpha_synuclein.bead_parameters()
    assert masses.sum() == pytest.approx(14460, abs=10)  # amu, molecular weight of P37840
    assert charges.sum() == pytest.approx(15 - 24 + 0.038, abs=0.001)  # 15 lysines, 6 Asp and 18 Glu, one histidine at pH 7.4
    assert [residue.name for residue in alpha_synuclein.topology().residues()][:4] == ["MET", "ASP", "VAL", "PHE"]
    with pytest.raises(InputError, match="one replica per simulation, found n_replicas=2"):
        alpha_synuclein.build(1, 2)


def test_features_span_the_chain():
    schema = alpha_synuclein.features().schema
    assert schema.n_features == 28 * 27 // 2
    assert "distance 1:CA-140:CA" in schema.names
    assert get_system("alpha_synuclein").topology().getNumBonds() == 139


@pytest.mark.statistical
def test_temperature_and_bonds_at_thirty_femtoseconds(simulation):
    """Law: kinetic energy of f = 3·140 degrees of freedom is f/2 kT; bonds of 8033 kJ/mol/nm² have variance kT/k. Friction is
    1/ps here, so that n = 100 samples 1.8 ps apart correlate by less than e⁻³; standard error of the temperature
    293·√(2/420)/√100 = 2.0 K. Judged at 4 of them, and the bonds at 5 % of the spread (100 × 139 lengths: standard error 1 %) and
    0.004 nm of the length, which the stretch by entropy, 2 kT/(k·r) = 0.0016 nm, and by repulsion stays below."""
    simulation.integrator.setFriction(1.0)
    simulation.step(200)
    kinetic, lengths = [], []
    for _ in range(100):
        simulation.step(60)
        state = simulation.context.getState(energy=True, positions=True)
        kinetic.append(state.getKineticEnergy()._value)
        lengths.append(np.linalg.norm(np.diff(state.getPositions(asNumpy=True)._value, axis=0), axis=1))
    temperature = 2 * np.mean(kinetic) / (3 * 140 * 8.314462618e-3)
    assert temperature == pytest.approx(293.15, abs=4 * 293.15 * math.sqrt(2 / 420 / 100))
    assert np.std(lengths) == pytest.approx(math.sqrt(8.314462618e-3 * 293.15 / 8033), rel=0.05)
    assert np.mean(lengths) == pytest.approx(0.38, abs=0.004)


@pytest.mark.statistical
def test_starting_coils_are_as_large_as_a_coil_of_that_stiffness():
    """Law: mean square end-to-end distance of n = 139 bonds b turning by cosine c is n b² [(1+c)/(1-c) - 2c(1-cⁿ)/(n(1-c)²)]. Over
    400 coils the relative standard error of a mean of R² (nearly exponential-like, relative spread √(2/3)) is 4 %. Judged at 4."""
    ends = [alpha_synuclein.random_coil(np.random.default_rng(seed))[-1] for seed in range(400)]
    n, c = 139, 0.6
    expected = n * 0.38**2 * ((1 + c) / (1 - c) - 2 * c * (1 - c**n) / (n * (1 - c) ** 2))
    assert np.square(ends).sum(axis=1).mean() == pytest.approx(expected, rel=4 * math.sqrt(2 / 3 / 400))
