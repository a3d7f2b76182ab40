"""Complexes from PDB files: one bead per residue, the haem iron, a few beads for the ligand."""

import sys
from types import ModuleType

import numpy as np
import pytest

from openmm_trajgan.errors import InputError
from openmm_trajgan.systems import get_system
from openmm_trajgan.systems.bound_complex import complex_of, packaged_complex

XYLENE = np.array([[0.15 * i, 0.02 * (i % 2), 0.0] for i in range(8)])


def line(record, serial, name, residue, chain, number, position, element):
    x, y, z = 10 * np.asarray(position)
    atom = f"{record:<6s}{serial:5d}  {name:<3s} {residue:>3s} {chain}{number:4d}"
    return f"{atom}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {element:>2s}"


@pytest.fixture
def pdb(tmp_path):
    """Lysozyme's Cα with nitrogens, p-xylene with a hydrogen, an ion, water, and a second chain with another ligand."""
    model = packaged_complex("t4_lysozyme")
    centre, lines = model.positions[model.ligand].mean(axis=0), []
    for bead, residue in zip(model.protein, model.topology.residues(), strict=False):
        place = model.positions[bead]
        lines.append(line("ATOM", len(lines) + 1, "N", residue.name, "A", int(residue.id), place + 0.1, "N"))
        lines.append(line("ATOM", len(lines) + 1, "CA", residue.name, "A", int(residue.id), place, "C"))
    for index, atom in enumerate(XYLENE - XYLENE.mean(axis=0) + centre):
        lines.append(line("HETATM", len(lines) + 1, f"C{index}", "PXY", "A", 200, atom, "C"))
    lines.append(line("HETATM", len(lines) + 1, "H1", "PXY", "A", 200, centre + 5, "H"))
    lines.append(line("HETATM", len(lines) + 1, "CA", "CA", "A", 201, centre + 2, "CA"))
    lines.append(line("HETATM", len(lines) + 1, "O", "HOH", "A", 202, centre + 3, "O"))
    for index in range(4):
        lines.append(line("HETATM", len(lines) + 1, f"C{index}", "GOL", "B", 300, centre + 4 + 0.1 * index, "C"))
    path = tmp_path / "complex.pdb"
    path.write_text("\n".join([*lines, "END", ""]))
    return path


def test_a_pdb_file_gives_one_bead_per_residue_and_two_for_xylene(pdb):
    made, table = complex_of(str(pdb)), packaged_complex("t4_lysozyme")
    assert made.n_ligand == 2
    np.testing.assert_allclose(made.positions[made.protein], table.positions[table.protein], atol=1e-3)
    halves = (XYLENE - XYLENE.mean(axis=0)).reshape(2, 4, 3).mean(axis=1) + table.positions[table.ligand].mean(axis=0)
    np.testing.assert_allclose(made.positions[made.ligand], halves, atol=1e-3)
    assert [residue.name for residue in made.topology.residues()][-1] == "PXY"
    assert made.topology.getNumBonds() == 161 + 1


def test_the_ligand_can_be_named(pdb):
    assert complex_of(f"{pdb}:PXY").n_ligand == 2
    assert complex_of(f"{pdb}:pxy").n_ligand == 2
    with pytest.raises(InputError, match=r"expected a ligand XYZ, found PXY \(1\), CA \(1\), GOL \(1\); name it"):
        complex_of(f"{pdb}:XYZ")
    with pytest.raises(InputError, match="at least 20 Cα atoms in chain 'B' of the ligand GOL, found 0"):
        complex_of(f"{pdb}:GOL")


def test_a_ligand_named_lig_becomes_beads_like_any_other(pdb):
    """LIG is the name in the tables of the package too, where beads are beads already."""
    pdb.write_text(pdb.read_text().replace("PXY", "LIG"))
    assert complex_of(f"{pdb}:LIG").n_ligand == complex_of(str(pdb)).n_ligand == 2


def test_a_system_takes_another_structure(pdb):
    system = get_system("p450_binding", f"{pdb}:PXY")
    simulation = system.build(1, 1)
    positions = simulation.context.getState(positions=True).getPositions(asNumpy=True)._value
    assert system.topology().getNumAtoms() == len(positions) == 164
    assert system.features()(positions).shape == (3,)
    with pytest.raises(InputError, match="trp_cage is made of one structure only, found '2CPP'"):
        get_system("trp_cage", "2CPP")


def test_a_ligand_must_be_bound(pdb):
    text = pdb.read_text().replace("GOL B", "GOL A")
    pdb.write_text(text)
    with pytest.raises(InputError, match=r"expected at least 4 pairs of a Cα and a ligand bead within 0\.8 nm, found 0"):
        get_system("p450_binding", f"{pdb}:GOL").build(1, 1)


def test_what_is_no_structure_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"expected a PDB file or the four characters of a PDB entry, found 'nowhere\.pdb'"):
        complex_of("nowhere.pdb")
    (tmp_path / "bad.pdb").write_text("ATOM      1  CA  ALA A   1      here    there  nowhere\n")
    with pytest.raises(InputError, match=r"bad\.pdb: expected a PDB file, found something that OpenMM cannot read"):
        complex_of(str(tmp_path / "bad.pdb"))


def test_an_entry_is_downloaded_or_the_failure_is_one_line(pdb, monkeypatch):
    asked = []

    def from_PDB(entry, file_format):
        asked.append((entry, file_format))
        if entry == "9XYZ":
            raise ConnectionError("no route\nto host")
        return pdb

    module = ModuleType("MDAnalysis.fetch")
    module.from_PDB = from_PDB
    monkeypatch.setitem(sys.modules, "MDAnalysis.fetch", module)
    assert complex_of("2cpp:PXY").n_ligand == 2
    with pytest.raises(InputError, match=r"structure 9XYZ: cannot be downloaded \(no route to host\); check the entry and the net"):
        complex_of("9XYZ")
    monkeypatch.setitem(sys.modules, "MDAnalysis.fetch", None)
    with pytest.raises(InputError, match=r"structure 2CPP: downloading needs MDAnalysis 2\.11 or newer and pooch"):
        complex_of("2CPP")
    assert asked == [("2CPP", "pdb"), ("9XYZ", "pdb")]
