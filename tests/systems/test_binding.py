"""Elastic networks with a ligand: native geometry, the ligand in and out, the temperature, many events."""

import math

import numpy as np
import openmm
import pytest
from openmm import unit

from openmm_trajgan.errors import InputError
from openmm_trajgan.systems import binding, get_system, p450_binding, t4_lysozyme

KILOJOULE_PER_KELVIN = unit.MOLAR_GAS_CONSTANT_R.value_in_unit(unit.kilojoule_per_mole / unit.kelvin)
MODELS = {"p450_binding": p450_binding.model, "t4_lysozyme": t4_lysozyme.model}

both = pytest.mark.parametrize("model", [make() for make in MODELS.values()], ids=MODELS)


def energies(model, positions):
    """Energy of each force of the model, kJ/mol: springs, wells, repulsion, wall, none."""
    system = model.potential()
    for index, force in enumerate(system.getForces()):
        force.setForceGroup(index)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(positions)
    return [context.getState(energy=True, groups={i}).getPotentialEnergy()._value for i in range(system.getNumForces())]


@pytest.fixture(scope="module")
def lysozyme_runs():
    """Features ``(n_frames, 3)`` and kinetic energies (kJ/mol) of six replicas."""
    runs, features = [], t4_lysozyme.model().features()
    for seed in range(1, 7):
        simulation, rows, kinetic = t4_lysozyme.model().build(seed), [], []
        for _ in range(100):
            simulation.step(200)
            state = simulation.context.getState(positions=True, energy=True)
            rows.append(features(state.getPositions(asNumpy=True)._value))
            kinetic.append(state.getKineticEnergy()._value)
        runs.append((np.array(rows), np.array(kinetic)))
    return runs


@both
def test_the_crystal_structure_has_the_energy_of_the_wells(model):
    springs, wells, repulsion, wall, _ = energies(model, model.complex.positions)
    assert springs == pytest.approx(0, abs=1e-6)
    assert wells == pytest.approx(-model.depth)
    assert wall == 0
    assert 0 < repulsion < 0.75 * model.depth
    pocket, displacement, contacts = model.features()(model.complex.positions)
    assert pocket < 0.4
    assert displacement == pytest.approx(0, abs=1e-4)
    assert contacts > 0.7


@both
def test_the_network_holds_every_bead(model):
    """Every bead has at least ten springs, and the only motions that cost no energy are the six of a rigid body."""
    system = model.potential()
    springs = next(force for force in system.getForces() if isinstance(force, openmm.HarmonicBondForce))
    positions, n_protein = model.complex.positions, len(model.complex.protein)
    count, stiffness = np.zeros(n_protein, int), np.zeros((n_protein, 3, n_protein, 3))
    for index in range(springs.getNumBonds()):
        i, j, length, _ = springs.getBondParameters(index)
        if j >= n_protein:
            continue
        assert length._value == pytest.approx(np.linalg.norm(positions[i] - positions[j]))
        count[[i, j]] += 1
        direction = (positions[i] - positions[j]) / length._value
        block = np.outer(direction, direction)
        for a, b, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
            stiffness[a, :, b] += sign * block
    assert count.min() >= binding.N_NEIGHBOURS
    modes = np.linalg.eigvalsh(stiffness.reshape(3 * n_protein, 3 * n_protein))
    assert (np.abs(modes[:6]) < 1e-9).all()
    assert modes[6] > 1e-3


@both
def test_outside_the_ligand_feels_nothing_and_the_wall_holds_it(model):
    positions = model.unbound(np.random.default_rng(3))
    _, wells, repulsion, wall, _ = energies(model, positions)
    assert wall == 0
    assert wells > -0.1 * model.depth
    assert repulsion < 0.1
    assert np.array_equal(positions[model.complex.protein], model.complex.positions[model.complex.protein])
    ligand, pocket = model.complex.ligand, positions[model.pocket].mean(axis=0)
    away = positions[ligand].mean(axis=0) - pocket
    positions[ligand] += away / np.linalg.norm(away) * (model.reach + 0.1 - np.linalg.norm(away))
    assert energies(model, positions)[3] == pytest.approx(500 / 2 * 0.1**2, rel=1e-4)


@both
def test_beads_without_repulsion_are_out_of_reach(model):
    system = model.potential()
    repulsion = [force for force in system.getForces() if isinstance(force, openmm.CustomBondForce)][1]
    has = {repulsion.getBondParameters(index)[0] for index in range(repulsion.getNumBonds())}
    centre = model.complex.positions[model.pocket].mean(axis=0)
    away = np.linalg.norm(model.complex.positions[model.complex.protein] - centre, axis=1)
    without = [bead for bead in model.complex.protein.tolist() if bead not in has]
    assert away[without].min(initial=np.inf) > model.reach + 0.9


def test_p450_has_its_haem_and_ligand():
    model = p450_binding.model()
    residues = [(residue.name, residue.id) for residue in model.complex.topology.residues()]
    assert len(residues) == 371
    assert residues[-2][0] == "HEM"
    assert ("CYM", "435") in residues  # holds the iron
    iron = model.complex.positions[model.complex.protein[-1]]
    cysteine = model.complex.positions[residues.index(("CYM", "435"))]
    nearest = model.complex.positions[model.complex.ligand[0]]
    assert np.linalg.norm(iron - nearest) == pytest.approx(0.5, abs=0.05)  # where the substrate is oxidised
    assert (cysteine - iron) @ (nearest - iron) < 0  # on the other side


def test_xylene_lies_where_alanine_made_room():
    model = t4_lysozyme.model()
    residues = [residue.id for residue in model.complex.topology.residues()]
    assert len(residues) == 163
    assert {"99", "102", "111"} <= {residues[bead] for bead in model.pocket}


@pytest.mark.statistical
def test_lysozyme_has_its_temperature(lysozyme_runs):
    """Law: kinetic energy of f = 3·164 - 3 degrees of freedom is f/2 kT on average with variance f/2 (kT)². n = 6 × 100 samples
    8 ps apart, correlated by e^(-2·0.1·8) = 20 %: relative standard error √(2/489/600 × 1.5) = 0.32 %. Judged at 4."""
    n_degrees = 3 * 164 - 3
    energies = np.concatenate([kinetic for _, kinetic in lysozyme_runs])
    measured = 2 * energies.mean() / (n_degrees * KILOJOULE_PER_KELVIN)
    assert measured == pytest.approx(binding.TEMPERATURE, rel=4 * math.sqrt(2 / n_degrees / len(energies) * 1.5))


@pytest.mark.statistical
def test_the_ligand_binds_and_leaves_and_stays_inside_the_wall(lysozyme_runs):
    """Law: changes between bound and unbound are rare events, about one in 80 frames (`tests/benchmarks/systems_md.py`), 7.5 in
    6 × 100 frames; that no replica sees both states has a probability below e⁻⁵. Beyond the wall the distance is half a normal
    one with σ = √(kT / 500 kJ/mol/nm²) = 0.071 nm, so 600 frames stay within 6 σ but for a probability of 10⁻⁶."""
    displacements = [values[:, 1] for values, _ in lysozyme_runs]
    bound, unbound = (np.array([test(d).any() for d in displacements]) for test in (lambda d: d < 0.3, lambda d: d > 1.2))
    assert (bound & unbound).any()
    deviation = math.sqrt(KILOJOULE_PER_KELVIN * binding.TEMPERATURE / 500.0)
    assert max(values[:, 0].max() for values, _ in lysozyme_runs) < t4_lysozyme.REACH + 6 * deviation
    contacts = np.concatenate([values[:, 2] for values, _ in lysozyme_runs])
    inside = np.concatenate(displacements) < 0.3
    assert contacts[inside].mean() > 0.5
    assert contacts[np.concatenate(displacements) > 1.2].max() < 0.2


@pytest.mark.statistical
def test_half_of_the_replicas_start_bound():
    """Law: binomial, n = 200 seeds, p = 1/2, standard error √(n/4) = 7.1. Judged at 4."""
    model = t4_lysozyme.model()
    starts = [model.start(np.random.default_rng(seed)) for seed in range(200)]
    bound = sum(np.array_equal(start, model.complex.positions) for start in starts)
    assert abs(bound - 100) < 4 * 7.1


def test_what_cannot_be_built_is_refused():
    with pytest.raises(InputError, match="one replica per simulation, found n_replicas=2"):
        get_system("t4_lysozyme").build(1, 2)
