"""Ordinary analyses of MDAnalysis run on a generated Universe as on any other."""

import MDAnalysis
import numpy as np
import pytest
from MDAnalysis.analysis.align import AlignTraj, AverageStructure
from MDAnalysis.analysis.contacts import Contacts
from MDAnalysis.analysis.dihedrals import Ramachandran
from MDAnalysis.analysis.hydrogenbonds import HydrogenBondAnalysis
from MDAnalysis.analysis.pca import PCA
from MDAnalysis.analysis.rms import RMSD, RMSF

from openmm_trajgan.backmap import to_universe, write_universe
from openmm_trajgan.schema import FeatureTrajectories


@pytest.fixture
def generated(schema, angles, topology, reference):
    return to_universe(FeatureTrajectories([angles[:60], angles[60:100]], schema), topology, reference)


@pytest.fixture(params=["built", "file"])
def universe(request, generated, tmp_path):
    """From `to_universe`, and from the file it was written to."""
    if request.param == "built":
        return generated
    write_universe(generated, tmp_path / "generated.trajgan")
    return MDAnalysis.Universe(tmp_path / "generated.pdb", tmp_path / "generated.trajgan")


@pytest.fixture
def ordinary(generated, topology, tmp_path):
    """The same positions from an ordinary file."""
    generated.atoms.write(tmp_path / "ordinary.trr", frames="all")
    return MDAnalysis.Universe(topology, str(tmp_path / "ordinary.trr"))


def rmsd(universe):
    return RMSD(universe, select="not name H*").run().results.rmsd


def rmsf(universe):
    return RMSF(universe.select_atoms("not name H*")).run(step=3).results.rmsf


def ramachandran(universe):
    return Ramachandran(universe.select_atoms("resname ALA")).run(start=5, stop=50).results.angles


def principal_components(universe):
    analysis = PCA(universe, select="not name H*", align=True).run()
    return np.abs(analysis.transform(universe.select_atoms("not name H*"), n_components=2))


def contacts(universe):
    groups = universe.select_atoms("resname ACE and not name H*"), universe.select_atoms("resname NME and not name H*")
    return (
        Contacts(universe, ("resname ACE and not name H*", "resname NME and not name H*"), groups, radius=6.0)
        .run()
        .results.timeseries
    )


def hydrogen_bonds(universe):
    options = {"donors_sel": "name N", "hydrogens_sel": "name H", "acceptors_sel": "name O", "d_a_cutoff": 5.0}
    return HydrogenBondAnalysis(universe, d_h_a_angle_cutoff=30, **options).run().results.hbonds


def average(universe):
    return AverageStructure(universe, select="backbone", ref_frame=3).run().results.positions


@pytest.mark.parametrize("analysis", [rmsd, rmsf, ramachandran, principal_components, contacts, hydrogen_bonds, average])
def test_same_as_for_an_ordinary_trajectory(universe, ordinary, analysis):
    found, expected = analysis(universe), analysis(ordinary)
    assert np.size(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-3)


def test_alignment_in_memory(universe, ordinary):
    for each in (universe, ordinary):
        AlignTraj(each, each.copy(), select="backbone", in_memory=True).run()
    np.testing.assert_allclose(universe.trajectory.timeseries(order="fac"), ordinary.trajectory.timeseries(order="fac"), atol=2e-3)
