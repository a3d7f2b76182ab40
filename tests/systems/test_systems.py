"""The simulations of the package are the physics that their docstrings promise."""

import math

import numpy as np
import openmm
import pytest
from openmm import unit

from openmm_trajgan.errors import InputError
from openmm_trajgan.systems import NAMES, alanine_dipeptide, get_system, ornstein_uhlenbeck, tetraalanine, triple_well
from openmm_trajgan.systems.brownian import STEP_SIZE


def positions_of(simulation):
    """Positions ``(n_atoms, 3)``, nm."""
    return simulation.context.getState(positions=True).getPositions(asNumpy=True).value_in_unit(unit.nanometer)


@pytest.fixture(scope="module")
def dipeptide():
    return alanine_dipeptide.build(1)


@pytest.mark.parametrize("name", NAMES)
def test_every_system_is_ready_to_run(name):
    system = get_system(name)
    label = system.labels[-1] if system.labels else None
    simulation, features = system.simulation(3, 1, label), system.features()
    assert simulation.integrator.getTemperature()._value == pytest.approx(system.temperature_at(label))
    state = simulation.context.getState(positions=True)
    assert system.name == name
    assert (simulation.currentStep, state.getStepCount(), state.getTime()._value) == (0, 0, 0.0)
    assert features(positions_of(simulation)).shape == (features.schema.n_features,)
    topology = system.topology()
    assert topology is None or topology.getNumAtoms() == simulation.system.getNumParticles()


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_the_trajectory(name):
    ends = []
    for seed in (1, 1, 2):
        simulation = get_system(name).build(seed, 1)
        simulation.step(20)
        ends.append(positions_of(simulation))
    assert np.array_equal(ends[0], ends[1])
    assert not np.allclose(ends[0], ends[2])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [0, -1, 2**31])
def test_a_seed_that_openmm_would_not_keep_is_refused(name, seed):
    with pytest.raises(InputError, match=f"seed: expected an integer from 1 to 2147483647, found {seed}"):
        get_system(name).build(seed, 1)


def test_an_unknown_system_is_refused():
    with pytest.raises(InputError, match=f"no system named 'villin'; there are {', '.join(NAMES)}"):
        get_system("villin")
    with pytest.raises(InputError, match="one replica per simulation, found n_replicas=2"):
        alanine_dipeptide.build(1, 2)
    with pytest.raises(InputError, match="one replica per simulation, found n_replicas=3"):
        tetraalanine.build(1, 3)


def test_alanine_is_an_l_amino_acid(dipeptide):
    atoms = {(atom.residue.name, atom.name): atom.index for atom in dipeptide.topology.atoms()}
    assert dipeptide.system.getNumParticles() == len(atoms) == 22
    for positions in (alanine_dipeptide.topology_and_positions()[1], positions_of(dipeptide)):
        n, ca, c, cb = (positions[atoms["ALA", name]] for name in ("N", "CA", "C", "CB"))
        assert np.dot(np.cross(n - ca, c - ca), cb - ca) > 0.001  # nm³; negative for D


def test_the_hot_dipeptide_differs_in_its_temperature_only(dipeptide):
    hot = get_system("alanine_dipeptide_500K").build(1, 1)
    assert hot.integrator.getTemperature()._value == 500
    assert dipeptide.integrator.getTemperature()._value == 300
    serial = [openmm.XmlSerializer.serialize(simulation.system) for simulation in (hot, dipeptide)]
    assert serial[0] == serial[1]


def test_tetraalanine_is_four_l_amino_acids_with_six_torsions():
    topology, positions = tetraalanine.topology_and_positions()
    residues = list(topology.residues())
    assert topology.getNumAtoms() == len(positions) == 43
    assert [residue.name for residue in residues] == ["ALA"] * 4
    for residue in residues:
        n, ca, c, cb = (positions[next(a.index for a in residue.atoms() if a.name == name)] for name in ("N", "CA", "C", "CB"))
        assert np.dot(np.cross(n - ca, c - ca), cb - ca) > 0.001  # nm³; negative for D
    assert tetraalanine.features().schema.names == ("psi 1", "phi 2", "psi 2", "phi 3", "psi 3", "phi 4")
    angles = tetraalanine.features()(positions)
    assert (angles[[1, 3, 5]] < 0).all()


def test_alanine_features_are_phi_and_psi_of_the_basins(dipeptide):
    features = alanine_dipeptide.features()
    assert features.schema.names == ("phi 2", "psi 2")
    phi, _ = features(positions_of(dipeptide))
    assert phi < 0  # φ > 0 is not reached in nanoseconds


@pytest.mark.statistical
def test_alanine_has_its_temperature(dipeptide):
    """Law: kinetic energy of f = 3·22 - 12 constraints - 3 degrees of freedom is f/2 kT on average, variance f/2 (kT)².
    n = 300 samples 1 ps apart; at 1/ps friction they correlate by about e⁻², which the standard error from 15 blocks of 20
    samples holds. Judged at 4 standard errors (about 4 × 4 K)."""
    n_degrees = 3 * 22 - dipeptide.system.getNumConstraints() - 3  # CMMotionRemover
    assert n_degrees == 51
    energies = []
    for _ in range(300):
        dipeptide.step(250)
        energies.append(dipeptide.context.getState(energy=True).getKineticEnergy()._value)
    temperatures = 2 * np.array(energies) / (n_degrees * unit.MOLAR_GAS_CONSTANT_R._value * 1e-3)
    blocks = temperatures.reshape(15, 20).mean(axis=1)
    error = blocks.std(ddof=1) / math.sqrt(15)
    assert error < 8
    assert abs(temperatures.mean() - 300) < 4 * error


@pytest.fixture(scope="module")
def wells():
    """Potential V/kT on a grid in the plane (z separates), with its grid points in nm."""
    x, y = np.meshgrid(*2 * [np.linspace(-3.2, 3.2, 641)], indexing="ij")
    potential = eval(triple_well.POTENTIAL.replace("^", "**"), {"exp": np.exp, "x": x, "y": y, "z": 0.0})
    return x, y, potential


def test_three_wells_lie_on_a_diagonal(wells):
    x, y, potential = wells
    inner = potential[1:-1, 1:-1]
    lowest = np.all([inner < potential[1 + i : 640 + i, 1 + j : 640 + j] for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j], axis=0)
    minima = np.stack([x[1:-1, 1:-1][lowest], y[1:-1, 1:-1][lowest]], axis=1)
    assert minima == pytest.approx(np.array([[-1.475, -1.475], [0.0, 0.0], [1.474, 1.474]]), abs=0.05)
    simulation = triple_well.build(1, 3)
    simulation.context.setPositions(np.array([[-1.3, -1.6, 0.2], [0.1, 0.2, 0.1], [1.6, 1.3, 0.3]]))
    simulation.minimizeEnergy(tolerance=0.01)
    assert positions_of(simulation) == pytest.approx(np.column_stack([minima, np.zeros(3)]), abs=0.01)


def test_the_fitted_potential_has_the_populations_it_was_fitted_to(wells):
    """Regression: Boltzmann weights of the wells, split at u = (x + y)/2 = ±0.75 nm."""
    x, y, potential = wells
    populations = np.histogram((x + y) / 2, [-9, -0.75, 0.75, 9], weights=np.exp(-potential))[0]
    assert populations / populations.sum() == pytest.approx([0.299, 0.412, 0.289], abs=0.002)


def test_temperature_makes_kt_one():
    assert triple_well.TEMPERATURE * unit.MOLAR_GAS_CONSTANT_R._value == pytest.approx(1000.0)


@pytest.mark.statistical
def test_triple_well_visits_its_wells_as_boltzmann_says(wells):
    """Law: probability of 11 intervals along the diagonal u = (x + y)/2 is that of exp(-V/kT), integrated on the grid. n = 100
    independent replicas × 200 frames 1 ps apart; standard errors from the spread of the replicas' averages, below 10 % each.
    The step of 0.005 ps widens a well of curvature 15 kT/nm² by about 4 % in variance, less than 2 standard errors of any interval.
    Judged at 5 standard errors for each interval."""
    x, y, potential = wells
    density = np.exp(-potential) / np.exp(-potential).sum()
    edges = [-9, -1.8, -1.475, -1.1, -0.6, -0.2, 0.2, 0.6, 1.1, 1.475, 1.8, 9]
    expected = np.histogram((x + y) / 2, edges, weights=density)[0]
    simulation = triple_well.build(2)
    frames = []
    for _ in range(200):
        simulation.step(200)
        frames.append(positions_of(simulation)[:, :2].mean(axis=1))
    series = np.array(frames).T
    visits = np.array([np.histogram(replica, edges)[0] / len(replica) for replica in series])
    errors = visits.std(axis=0, ddof=1) / math.sqrt(len(visits))
    assert (errors < 0.1 * expected).all()
    assert (abs(visits.mean(axis=0) - expected) < 5 * errors).all()


@pytest.mark.statistical
def test_diffusion_is_a_tenth_of_a_square_nm_per_frame():
    """Law: a Brownian step less its drift F dt/(mγ) is Gaussian with variance 2 D dt in each direction, D = 1 nm²/ps, so D times
    a frame of 20 steps is 0.1 nm². n = 100 particles × 3 × 200 steps = 60 000 independent numbers; relative standard error of a
    variance √(2/n) = 0.6 %. Judged at 4."""
    simulation, steps = triple_well.build(3), []
    dt = simulation.integrator.getStepSize()._value
    for _ in range(200):
        before = simulation.context.getState(positions=True, forces=True)
        simulation.step(1)
        drift = before.getForces(asNumpy=True)._value * dt  # m = 1 amu, γ = 1/ps
        steps.append(positions_of(simulation) - before.getPositions(asNumpy=True)._value - drift)
    steps = np.array(steps)
    assert 20 * np.mean(steps**2) / 2 == pytest.approx(0.1, rel=4 * math.sqrt(2 / steps.size))
    assert dt * get_system("triple_well").report_interval == pytest.approx(0.1)


@pytest.mark.statistical
def test_replicas_of_one_context_are_independent():
    """Law: step displacements of different particles are uncorrelated; a correlation coefficient over n = 300 steps has standard
    error 1/√n, and the mean square of the 190 coefficients of 20 particles along x is 1/n with relative standard error
    √(2/190) = 10 %. Judged at 4. The force on one particle is the same with and without the others."""
    simulation, path = triple_well.build(4, 20), []
    for _ in range(301):
        path.append(positions_of(simulation)[:, 0])
        simulation.step(1)
    correlations = np.corrcoef(np.diff(np.array(path), axis=0).T)[np.triu_indices(20, 1)]
    assert np.mean(correlations**2) * 300 == pytest.approx(1.0, abs=4 * math.sqrt(2 / 190))
    forces = []
    for n_replicas in (1, 20):
        simulation = triple_well.build(5, n_replicas)
        simulation.context.setPositions(np.full((n_replicas, 3), 0.3))
        forces.append(simulation.context.getState(forces=True).getForces(asNumpy=True)._value[0])
    assert np.array_equal(*forces)


@pytest.mark.statistical
def test_ornstein_uhlenbeck_has_the_variances_and_memory_of_its_closed_form():
    """Law: x(t + s) = m x(t) + noise with m = (1 - Δ/τ)^(s/Δ) and variance 2DΔ/(1 - (1 - Δ/τ)²) for steps of Δ = 0.005 ps; this is
    exp(-s/τ) and Dτ to 0.3 %. n = 100 independent replicas × 200 frames 1 ps apart; standard errors from the spread of the
    replicas' averages, below 10 % each. Judged at 4 standard errors for each of the four numbers."""
    simulation, frames = ornstein_uhlenbeck.build(6), []
    for _ in range(200):
        simulation.step(200)
        frames.append(positions_of(simulation)[:, :2])
    series = np.array(frames)
    for axis, time in enumerate(ornstein_uhlenbeck.RELAXATION_TIMES):
        kept = 1 - STEP_SIZE / time
        variance = 2 * STEP_SIZE / (1 - kept**2)
        assert (variance, kept**200) == pytest.approx((time, math.exp(-1 / time)), rel=0.003)
        for lag, expected in ((0, variance), (1, variance * kept**200)):
            products = (series[lag:, :, axis] * series[: len(series) - lag, :, axis]).mean(axis=0)
            error = products.std(ddof=1) / math.sqrt(len(products))
            assert error < 0.1 * expected
            assert abs(products.mean() - expected) < 4 * error


def test_the_platform_is_the_fast_one_for_few_particles(dipeptide):
    assert dipeptide.context.getPlatform().getName() == "Reference"
    assert isinstance(dipeptide.integrator, openmm.LangevinMiddleIntegrator)
