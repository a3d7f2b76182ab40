"""Small molecules for the tests of the featurizers."""

import mdtraj
import numpy as np
import openmm.app
import pytest

BACKBONE = ("N", "CA", "C", "O")
SIDE_CHAINS = {"GLY": (), "ALA": ("CB",), "LYS": ("CB", "CG", "CD", "CE", "NZ")}


def _chain(topology, sequence, first_number, chain_id):
    chain = topology.add_chain(chain_id=chain_id)
    for offset, name in enumerate(sequence):
        residue = topology.add_residue(name, chain, resSeq=first_number + offset)
        for atom in BACKBONE + SIDE_CHAINS[name]:
            topology.add_atom(atom, mdtraj.element.Element.getBySymbol(atom[0]), residue)


@pytest.fixture
def two_chains():
    """Two peptides with the same residue numbers 10 to 14 in chains A and B, without hydrogens, and a calcium ion."""
    topology = mdtraj.Topology()
    for chain_id in "AB":
        _chain(topology, ("ALA", "LYS", "GLY", "ALA", "GLY"), 10, chain_id)
    ion = topology.add_residue("CA", topology.add_chain(chain_id="C"), resSeq=10)
    topology.add_atom("CA", mdtraj.element.calcium, ion)
    return topology


@pytest.fixture
def dipeptide():
    """Topology of Ace-Ala-Nme with an OpenMM water behind it."""
    topology = openmm.app.Topology()
    chain = topology.addChain("A")
    for number, name, atoms in (
        (1, "ACE", "CH3 C O"),
        (2, "ALA", "N H CA HA CB C O"),
        (3, "NME", "N H C"),
        (4, "HOH", "O H1 H2"),
    ):
        residue = topology.addResidue(name, chain, str(number))
        for atom in atoms.split():
            topology.addAtom(atom, openmm.app.Element.getBySymbol(atom[0]), residue)
    return topology


@pytest.fixture
def positions():
    """Random coordinates of 16 atoms in 7 frames, nm."""
    return np.random.default_rng(1).normal(scale=0.5, size=(7, 16, 3))
