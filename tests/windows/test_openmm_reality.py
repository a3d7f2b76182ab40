"""What people do to simulations, and what simulations contain, beyond stepping from 0 to the end."""

import re

import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import InputError, SchemaMismatchError
from openmm_trajgan.features import Distances, Torsions
from openmm_trajgan.windows.reporter import WindowReporter

INTERVAL = 10
REFERENCE = openmm.Platform.getPlatformByName("Reference")
TRICLINIC = np.array([[2.0, 0, 0], [0.9, 1.9, 0], [-0.8, 0.7, 1.8]])  # nm
SHIFTS = np.stack(np.meshgrid(*[range(-6, 7)] * 3), -1).reshape(-1, 3)


def lj_fluid(box, seed=1, barostat=False):
    """27 neon-like atoms on a lattice in a periodic box ``(3, 3)``, nm."""
    system, topology, force = openmm.System(), app.Topology(), openmm.NonbondedForce()
    chain = topology.addChain()
    for _ in range(27):
        system.addParticle(20.0)
        force.addParticle(0.0, 0.28, 0.3)
        topology.addAtom("Ne", app.Element.getBySymbol("Ne"), topology.addResidue("Ne", chain))
    system.setDefaultPeriodicBoxVectors(*(openmm.Vec3(*row) for row in box))
    topology.setPeriodicBoxVectors(box * unit.nanometer)
    force.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    force.setCutoffDistance(0.7)
    system.addForce(force)
    if barostat:
        pressure = openmm.MonteCarloBarostat(200.0, 300, 3)
        pressure.setRandomNumberSeed(seed)
        system.addForce(pressure)
    integrator = openmm.LangevinMiddleIntegrator(300, 1.0, 0.002)
    integrator.setRandomNumberSeed(seed)
    simulation = app.Simulation(topology, system, integrator, REFERENCE)
    simulation.context.setPositions((np.argwhere(np.ones((3, 3, 3))) / 3) @ box)
    simulation.context.setVelocitiesToTemperature(300, seed)
    return simulation


class States:
    """Keeps positions and box of every `INTERVAL` steps, nm."""

    def __init__(self):
        self.positions, self.boxes = [], []

    def describeNextReport(self, simulation):
        return {"steps": INTERVAL - simulation.currentStep % INTERVAL, "periodic": False, "include": ["positions"]}

    def report(self, simulation, state):
        self.positions.append(state.getPositions(asNumpy=True)._value)
        self.boxes.append(state.getPeriodicBoxVectors(asNumpy=True)._value)


def only_series(buffer, stream="replica0"):
    (series,) = buffer.trajectories([stream]).values
    return series


# Several simulations, several reporters


def test_simulations_of_one_process_that_take_turns_share_a_buffer(chain, features, tmp_path):
    def newtonian(seed):  # all contexts of the Reference platform draw their noise from one generator
        return chain(seed, integrator=openmm.VerletIntegrator(0.002))

    alone = []
    for seed in (1, 2, 3):
        simulation, buffer = newtonian(seed), WindowBuffer(schema=features.schema)
        simulation.reporters.append(WindowReporter(buffer, INTERVAL, features))
        simulation.step(60)
        alone.append(only_series(buffer))
    with WindowBuffer(tmp_path / "buffer", features.schema) as shared:
        simulations = [newtonian(seed) for seed in (1, 2, 3)]
        for index, simulation in enumerate(simulations):
            simulation.reporters.append(WindowReporter(shared, INTERVAL, features, stream=f"s{index}"))
        for n_steps in (7, 13, 25, 15):
            for simulation in simulations:
                simulation.step(n_steps)
    for index, expected in enumerate(alone):
        assert np.array_equal(only_series(WindowBuffer(tmp_path / "buffer"), f"s{index}"), expected)


def test_a_reporter_removed_and_added_again_without_missing_a_frame_goes_on(chain, features):
    expected, buffer = WindowBuffer(schema=features.schema), WindowBuffer(schema=features.schema)
    simulation = chain()
    simulation.reporters.append(WindowReporter(expected, INTERVAL, features))
    simulation.step(60)
    simulation, reporter = chain(), WindowReporter(buffer, INTERVAL, features)
    simulation.reporters.append(reporter)
    simulation.step(25)
    simulation.reporters.remove(reporter)
    simulation.step(4)
    simulation.reporters.append(reporter)
    simulation.step(6)
    simulation.reporters.remove(reporter)
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features, append=True))  # another one for the same stream
    simulation.step(25)
    assert buffer.steps("replica0").tolist() == [10, 20, 30, 40, 50, 60]
    assert np.array_equal(only_series(buffer), only_series(expected))


def test_a_frame_reported_twice_is_stored_once(chain, features):
    simulation, buffer = chain(), WindowBuffer(schema=features.schema)
    reporter = WindowReporter(buffer, INTERVAL, features)
    simulation.reporters += [reporter, reporter]
    simulation.step(20)
    reporter.describeNextReport(simulation)
    reporter.report(simulation, simulation.context.getState(positions=True))
    simulation.step(20)
    assert buffer.steps("replica0").tolist() == [10, 20, 30, 40]
    assert len(buffer.trajectories()) == 1


def test_another_interval_needs_another_buffer_and_may_stand_beside_the_first(chain, features):
    simulation, every_10, every_4 = chain(), WindowBuffer(schema=features.schema), WindowBuffer(schema=features.schema)
    simulation.reporters.append(WindowReporter(every_10, 10, features))
    simulation.step(20)
    simulation.reporters.append(WindowReporter(every_4, 4, features))
    simulation.step(20)
    assert every_10.steps("replica0").tolist() == [10, 20, 30, 40]
    assert every_4.steps("replica0").tolist() == [24, 28, 32, 36, 40]
    simulation.reporters[:] = [WindowReporter(every_10, 4, features, stream="other")]
    with pytest.raises(SchemaMismatchError, match="use the same frame interval"):
        simulation.step(4)
    assert every_10.streams == ("replica0",)


# Going back, moving atoms


@pytest.mark.parametrize(("save", "load"), [("saveCheckpoint", "loadCheckpoint"), ("saveState", "loadState")])
def test_a_state_of_before_begins_a_new_segment(chain, features, tmp_path, save, load):
    simulation, buffer = chain(), WindowBuffer(tmp_path / "buffer", features.schema)
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features))
    simulation.step(25)
    getattr(simulation, save)(str(tmp_path / "saved"))
    simulation.step(30)
    getattr(simulation, load)(str(tmp_path / "saved"))
    simulation.step(30)
    buffer.close()
    assert buffer.steps("replica0").tolist() == [10, 20, 30, 40, 50, 30, 40, 50]
    assert [len(series) for series in buffer.trajectories()] == [5, 3]
    second = buffer.trajectories().values[1]
    assert features(simulation.context.getState(positions=True).getPositions(asNumpy=True)._value) != pytest.approx(second[-1])
    # and a restart from that checkpoint sets aside what both lives have after it
    again = chain()
    getattr(again, load)(str(tmp_path / "saved"))
    again.reporters.append(WindowReporter(buffer, INTERVAL, features, append=True))
    with pytest.warns(UserWarning, match="6 frames after step 25"):
        again.step(20)
    assert buffer.steps("replica0").tolist() == [10, 20, 30, 40]


def test_minimisation_at_the_start_belongs_to_no_window(chain, features):
    simulation, buffer = chain(), WindowBuffer(schema=features.schema)
    simulation.minimizeEnergy()
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features))
    simulation.step(20)
    simulation.minimizeEnergy()
    simulation.context.reinitialize(preserveState=True)
    simulation.reporters[0].new_segment()
    simulation.step(20)
    assert [len(series) for series in buffer.trajectories()] == [2, 2]


# Boxes


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_barostat_changes_the_box_and_features_follow(wrapped):
    features = Distances([[0, 26], [0, 13], [2, 24]])
    simulation, buffer, states = lj_fluid(1.7 * np.eye(3), barostat=True), WindowBuffer(schema=features.schema), States()
    simulation.reporters += [states, WindowReporter(buffer, INTERVAL, features, enforcePeriodicBox=wrapped)]
    simulation.step(400)
    edges = np.array([box[0, 0] for box in states.boxes])
    assert np.ptp(edges) > 0.05  # nm: the barostat was at work
    for found, positions, edge in zip(only_series(buffer), states.positions, edges, strict=True):
        vectors = positions[[26, 13, 24]] - positions[[0, 0, 2]]
        vectors -= edge * np.round(vectors / edge)
        assert found == pytest.approx(np.linalg.norm(vectors, axis=1), abs=2e-5)


@pytest.mark.parametrize("wrapped", [False, True])
def test_distances_and_torsions_in_a_triclinic_box_are_minimum_images(wrapped):
    distances, torsion = Distances([[0, 26], [0, 13], [2, 24], [5, 18]]), Torsions([[0, 1, 2, 5]])
    states, buffers = States(), [WindowBuffer(schema=part.schema) for part in (distances, torsion)]
    simulation = lj_fluid(TRICLINIC)
    positions = simulation.context.getState(positions=True).getPositions(asNumpy=True)._value
    rng = np.random.default_rng(3)
    positions += rng.integers(-2, 3, positions.shape) @ TRICLINIC  # other images of the same atoms
    simulation.context.setPositions(positions)
    for part, buffer in zip((distances, torsion), buffers, strict=True):
        simulation.reporters.append(WindowReporter(buffer, INTERVAL, part, enforcePeriodicBox=wrapped))
    simulation.reporters.append(states)
    simulation.step(100)
    assert len(states.positions) == 10

    def nearest(vectors):
        images = vectors[:, None] + (SHIFTS @ TRICLINIC)[None]
        return images[np.arange(len(vectors)), np.argmin((images**2).sum(-1), axis=1)]

    for near, angle, positions in zip(only_series(buffers[0]), only_series(buffers[1]), states.positions, strict=True):
        pairs = nearest(positions[[26, 13, 24, 18]] - positions[[0, 0, 2, 5]])
        assert near == pytest.approx(np.linalg.norm(pairs, axis=1), abs=2e-5)
        first, second, third = nearest(positions[[1, 2, 5]] - positions[[0, 1, 2]])
        normals = np.cross(first, second), np.cross(second, third)
        expected = np.arctan2(np.linalg.norm(second) * first @ normals[1], normals[0] @ normals[1])
        assert np.sin((angle[0] - expected) / 2) == pytest.approx(0, abs=1e-4)


# Particles of other kinds


def test_virtual_sites_are_atoms_like_others():
    """Two masses on a spring with a massless site at one third between them."""
    system, topology, spring = openmm.System(), app.Topology(), openmm.HarmonicBondForce()
    chain = topology.addChain()
    for mass, name in ((12.0, "A"), (12.0, "B"), (0.0, "M")):
        system.addParticle(mass)
        topology.addAtom(name, None, topology.addResidue(name, chain))
    system.setVirtualSite(2, openmm.TwoParticleAverageSite(0, 1, 2 / 3, 1 / 3))
    spring.addBond(0, 1, 0.15, 1000.0)
    system.addForce(spring)
    integrator = openmm.LangevinMiddleIntegrator(300, 1.0, 0.002)
    integrator.setRandomNumberSeed(1)
    simulation = app.Simulation(topology, system, integrator, REFERENCE)
    simulation.context.setPositions([[0, 0, 0], [0.15, 0, 0], [0, 0, 0]])
    simulation.context.computeVirtualSites()
    features = Distances([[0, 1], [0, 2]])
    buffer = WindowBuffer(schema=features.schema)
    with WindowReporter(buffer, INTERVAL, features) as reporter:
        simulation.reporters.append(reporter)
        simulation.step(200)
    whole, part = only_series(buffer).T
    assert np.ptp(whole) > 0.01
    assert part == pytest.approx(whole / 3, abs=1e-6)
    assert buffer.structures().shape == (20, 3, 3)


def test_a_system_without_torsions_is_told_so_and_has_distances():
    simulation = lj_fluid(2.0 * np.eye(3))
    with pytest.raises(InputError, match="expected phi, psi torsions of a peptide, found none in 27 residues; give the atoms"):
        Torsions.backbone(simulation.topology)
    with pytest.raises(InputError, match="n_torsions, 4"):
        Torsions(np.empty((0, 4), int))
    features = Distances([[0, 1]])
    buffer = WindowBuffer(schema=features.schema)
    simulation.reporters.append(WindowReporter(buffer, INTERVAL, features))
    simulation.step(30)
    assert only_series(buffer).shape == (3, 1)


# The simulation itself


@pytest.mark.parametrize("case", ["chain", "barostat", "triclinic, wrapped"])
def test_the_trajectory_file_is_the_same_bit_for_bit_with_and_without(chain, features, tmp_path, case):
    files = []
    for report in (False, True):
        simulation = {"chain": chain, "barostat": lambda: lj_fluid(1.7 * np.eye(3), barostat=True)}.get(
            case, lambda: lj_fluid(TRICLINIC)
        )()
        path = tmp_path / f"{report}.dcd"
        simulation.reporters.append(app.DCDReporter(str(path), 6, enforcePeriodicBox="wrapped" in case or None))
        if report:
            buffer = WindowBuffer(tmp_path / "buffer", features.schema)
            simulation.reporters.insert(0, WindowReporter(buffer, 7, features))
            simulation.reporters.append(WindowReporter(buffer, 7, features, stream="wrapped", enforcePeriodicBox=True))
        simulation.step(300)
        simulation.reporters.clear()
        files.append(re.sub(rb"Created [\w :]{24}", b"", path.read_bytes(), count=1))  # OpenMM writes the time of day
    assert len(files[0]) > 10_000 or case == "chain"
    assert files[0] == files[1]
