"""Peptides to backmap: pieces of adenylate kinase from MDAnalysisTests with caps."""

import MDAnalysis
import numpy as np
import openmm
from openmm import app, unit

FORCE_FIELD = "amber14-all.xml"
_AMBER_NAMES = {("ILE", "CD"): "CD1"}  # where CHARMM calls a heavy atom differently


def adenylate_kinase() -> MDAnalysis.Universe:
    """The transition of adenylate kinase, 214 residues, 98 frames."""
    from MDAnalysisTests.datafiles import DCD, PSF

    return MDAnalysis.Universe(PSF, DCD, to_guess=("elements",))


def capped_piece(first: int, n_residues: int, all_alanine: bool = False) -> tuple[app.Topology, np.ndarray]:
    """Residues from number `first` of adenylate kinase between ACE and NME; positions ``(n_atoms, 3)`` in nm.

    With `all_alanine` only backbone and CB are kept.
    """
    universe = adenylate_kinase()
    topology = app.Topology()
    chain = topology.addChain()
    positions = []

    def add(name: str, atoms: dict[str, str], resid: int) -> None:
        residue = topology.addResidue(name, chain)
        group = universe.select_atoms(f"resid {resid} and not name H*")
        for atom in group:
            if atom.name in atoms:
                label = atoms[atom.name]
                topology.addAtom(label, app.Element.getBySymbol(label[0]), residue)
                positions.append(atom.position / 10)

    add("ACE", {"CA": "CH3", "C": "C", "O": "O"}, first - 1)
    for resid in range(first, first + n_residues):
        residue = universe.select_atoms(f"resid {resid}").residues[0]
        names = residue.atoms.names.tolist()
        kept = [name for name in names if not all_alanine or name in ("N", "CA", "C", "O", "CB")]
        add(
            "ALA" if all_alanine else residue.resname,
            {name: _AMBER_NAMES.get((residue.resname, name), name) for name in kept},
            resid,
        )
    add("NME", {"N": "N", "CA": "C"}, first + n_residues)
    topology.createStandardBonds()
    modeller = app.Modeller(topology, np.array(positions, dtype=float) * unit.nanometer)
    modeller.addHydrogens(app.ForceField(FORCE_FIELD), platform=openmm.Platform.getPlatformByName("Reference"))
    return modeller.topology, np.array(modeller.positions.value_in_unit(unit.nanometer))
