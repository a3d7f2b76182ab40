import MDAnalysis
import numpy as np
import openmm
import pytest
from openmm import app

from openmm_trajgan.backmap import InternalCoordinates, Relax, force_field_system
from openmm_trajgan.backmap.clashes import Clashes
from openmm_trajgan.backmap.force_field import PotentialEnergy
from openmm_trajgan.backmap.relax import light_system
from openmm_trajgan.errors import InputError
from openmm_trajgan.features import Distances

FORCE_FIELD = ("amber99sbildn.xml", "amber99_obc.xml")


@pytest.fixture(scope="module")
def system(topology):
    return app.ForceField(*FORCE_FIELD).createSystem(topology, constraints=app.HBonds)


@pytest.fixture(scope="module")
def built(featurizer, md):
    """Backmapped frames, of which about one in seven clashes."""
    angles = np.random.default_rng(3).uniform(-np.pi, np.pi, (60, 2))
    return InternalCoordinates().fit(featurizer, md).backmap(angles, rng=np.random.default_rng(0))


@pytest.fixture(scope="module")
def relaxed(system, featurizer, md, built):
    return Relax(system, featurizer, md)(built.positions, built.flags["clash"])


def test_clashes_are_gone_and_no_frame_is(relaxed, built, md):
    assert built.flags["clash"].any()
    assert relaxed.positions.shape == built.positions.shape
    assert relaxed.positions.dtype == np.float32
    assert not relaxed.still_clashing.any()
    assert not Clashes(md)(relaxed.positions).any()


def test_other_frames_are_left_alone(relaxed, built):
    np.testing.assert_array_equal(relaxed.frames, np.flatnonzero(built.flags["clash"]))
    kept = ~built.flags["clash"]
    np.testing.assert_array_equal(relaxed.positions[kept], built.positions[kept])


def test_report_says_what_moved(relaxed, built, featurizer):
    assert (relaxed.rmsd > 1e-3).all()
    change = featurizer(relaxed.positions[relaxed.frames]) - featurizer(built.positions[relaxed.frames])
    np.testing.assert_allclose(relaxed.feature_change, featurizer.schema.wrap(change), atol=1e-6)
    assert np.degrees(abs(relaxed.feature_change)).mean() < 10


def test_stays_where_it_was(relaxed, built):
    """Minimisation of a molecule in vacuum moves and turns the whole no more than its parts."""
    shift = relaxed.positions.mean(axis=1) - built.positions.mean(axis=1)
    assert abs(shift).max() < 0.05


def test_alpha_carbons_are_held_where_no_feature_is_a_torsion(system, md, built):
    flags = np.arange(60) == np.flatnonzero(built.flags["clash"])[0]
    relaxed = Relax(system, Distances([[1, 18]]), md)(built.positions, flags)
    moved = np.linalg.norm(relaxed.positions[flags] - built.positions[flags], axis=-1)[0]
    assert moved[8] < 0.02
    assert moved.max() > moved[8]


def test_nothing_flagged(system, featurizer, md, built):
    relaxed = Relax(system, featurizer, md)(built.positions, np.zeros(60, dtype=bool))
    np.testing.assert_array_equal(relaxed.positions, built.positions)
    assert relaxed.rmsd.shape == relaxed.still_clashing.shape == (0,)
    assert relaxed.feature_change.shape == (0, 2)


def test_system_from_a_force_field(topology, featurizer, md, built):
    relaxed = Relax(force_field_system(topology), featurizer, md)(built.positions, built.flags["clash"])
    assert not relaxed.still_clashing.any()
    with pytest.raises(InputError, match="force field tip3p.xml: No template found for residue 0 .*; name files that know"):
        force_field_system(topology, ["tip3p.xml"])
    with pytest.raises(InputError, match="force field none.xml: Could not locate file"):
        force_field_system(topology, ["none.xml"])
    with pytest.raises(InputError, match="needs the elements and bonds"):
        force_field_system(MDAnalysis.Universe.empty(3))


def test_system_and_energy_are_those_of_openmm(topology, md, reference):
    """A Universe knows as much of the molecule as the topology of OpenMM that it was made of."""
    expected = app.ForceField("amber14/protein.ff14SB.xml").createSystem(topology)
    context = openmm.Context(expected, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    energies = []
    for frame in reference[:3]:
        context.setPositions(frame)
        energies.append(context.getState(energy=True).getPotentialEnergy()._value)
    np.testing.assert_allclose(PotentialEnergy(force_field_system(md))(reference[:3]), energies, atol=0.01)


def test_light_system_has_no_charges_no_solvent_and_no_constraints(system):
    light = light_system(system)
    assert light.getNumConstraints() == 0
    assert not any(isinstance(force, openmm.GBSAOBCForce) for force in light.getForces())
    (nonbonded,) = (force for force in light.getForces() if isinstance(force, openmm.NonbondedForce))
    assert all(nonbonded.getParticleParameters(atom)[0]._value == 0 for atom in range(22))
    assert all(nonbonded.getExceptionParameters(pair)[2]._value == 0 for pair in range(nonbonded.getNumExceptions()))
    n_bonds = sum(force.getNumBonds() for force in light.getForces() if isinstance(force, openmm.HarmonicBondForce))
    assert n_bonds == 21
    assert any(isinstance(force, openmm.GBSAOBCForce) for force in system.getForces())


@pytest.mark.parametrize(
    ("change", "flags", "message"),
    [
        (lambda x: x[:, :21], np.ones(60, bool), r"expected positions \(n_frames, 22, 3\) in nm, found \(60, 21, 3\)"),
        (lambda x: x, np.ones(59, bool), r"a flag, true or false, for each of 60 frames, found bool \(59,\)"),
        (lambda x: x, np.ones(60), r"found float64 \(60,\)"),
        (lambda x: x * np.nan, np.arange(60) == 4, "frame 4 has a position that is not finite"),
    ],
)
def test_input_that_does_not_fit(system, featurizer, md, built, change, flags, message):
    with pytest.raises(InputError, match=message):
        Relax(system, featurizer, md)(change(built.positions), flags)


def test_other_molecule(system, featurizer, md):
    water = openmm.System()
    water.addParticle(1.0)
    with pytest.raises(InputError, match="expected a system of the 22 atoms of the reference, found 1"):
        Relax(water, featurizer, md)
    with pytest.raises(InputError, match="at least one iteration and one round, found 0 and 5"):
        Relax(system, featurizer, md, iterations=0)
