"""Make the Cα tables in `openmm_trajgan/systems/data` from the structures that other packages ship.

Run ``python tests/regression/coarse_grained_tables.py TRPCAGE_PDB CYP2C9_PDBQT T4_LYSOZYME_PDB --out FOLDER`` with
``nglview-4.0.1/examples/notebooks/trpcage.pdb`` of the source distribution of nglview,
``dockstring/resources/targets/CYP2C9_target.pdbqt`` of dockstring 0.3.4 and
``openmmtools/data/T4-lysozyme-L99A-implicit/complex.pdb`` of openmmtools 0.27.0. What is made is
what is shipped, to the last digit.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

CONTACT_CUTOFF, MIN_SEPARATION = 6.0, 3  # Å between heavy atoms, residues
BEAD_SPACING, FIRST_BEAD, GRID = 3.5, 5.0, 0.25  # Å
CAPS = {"ACE", "NMA", "NME", "WAT", "HOH"}


class Atom(NamedTuple):
    """One atom of a PDB or PDBQT file, Å."""

    name: str
    residue: str
    number: int
    element: str
    position: tuple[float, float, float]


def read(path: Path) -> list[Atom]:
    """Heavy atoms of the file; in PDBQT files the element is the last word."""
    atoms = []
    for line in path.read_text().splitlines():
        if line.startswith(("ATOM", "HETATM")):
            element = (line[76:78].strip() if path.suffix == ".pdb" else line.split()[-1]).upper()
            place = tuple(float(line[start : start + 8]) for start in (30, 38, 46))
            if element not in ("H", "HD"):
                atoms.append(Atom(line[12:16].strip(), line[17:20].strip(), int(line[22:26]), element, place))
    return atoms


def alpha_carbons(atoms: list[Atom], ligand: str) -> list[Atom]:
    """Cα atoms; caps of chain ends have an atom of that name, too."""
    return [atom for atom in atoms if atom.name == "CA" and atom.residue not in CAPS | {ligand}]


def positions(atoms: list[Atom]) -> NDArray[np.float64]:
    """Positions ``(n_atoms, 3)``, Å."""
    return np.array([atom.position for atom in atoms])


def native_contacts(atoms: list[Atom]) -> list[tuple[int, int]]:
    """Pairs of residues, counted from 0, with heavy atoms nearer than the cut-off."""
    numbers = list(dict.fromkeys(atom.number for atom in atoms))
    trees = [cKDTree(positions([atom for atom in atoms if atom.number == number])) for number in numbers]
    near = [[a.count_neighbors(b, CONTACT_CUTOFF) > 0 for b in trees] for a in trees]
    return [(i, j) for i in range(len(near)) for j in range(i + MIN_SEPARATION, len(near)) if near[i][j]]


def cavity_beads(atoms: list[Atom]) -> NDArray[np.float64]:
    """Three beads in a row where the cavity on the open side of the haem is widest, ``(3, 3)``, Å.

    The first is the point with most room 5 Å from the iron, each other the one with most room 3.5 Å farther on, not bent back.
    """
    place = {atom.name: np.array(atom.position) for atom in atoms if atom.residue == "HEM"}
    sulphur = min(
        (np.array(atom.position) for atom in atoms if atom.name == "SG"), key=lambda sg: float(np.linalg.norm(sg - place["FE"]))
    )
    normal = np.cross(place["NA"] - place["NC"], place["NB"] - place["ND"])
    normal *= -np.sign((sulphur - place["FE"]) @ normal) / np.linalg.norm(normal)
    axis = np.arange(-15, 15 + GRID, GRID)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3) + place["FE"]
    grid = grid[(grid - place["FE"]) @ normal > 2.5]
    room = cKDTree(positions(atoms)).query(grid)[0]
    beads = [place["FE"]]
    for distance in (FIRST_BEAD, BEAD_SPACING, BEAD_SPACING):
        step = grid - beads[-1]
        length = np.linalg.norm(step, axis=1)
        possible = abs(length - distance) < GRID
        if len(beads) > 1:
            possible &= step @ (beads[-1] - beads[-2]) > 0.5 * length * np.linalg.norm(beads[-1] - beads[-2])
        beads.append(grid[possible][np.argmax(room[possible])])
    return np.array(beads[1:])


def halves(ligand: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centres of the two halves of a molecule along its longest axis, ``(2, 3)``, Å."""
    centred = ligand - ligand.mean(axis=0)
    along = centred @ np.linalg.svd(centred)[2][0]
    order = np.argsort(along)
    half = len(order) // 2
    return np.stack([ligand[order[:half]].mean(axis=0), ligand[order[-half:]].mean(axis=0)])


def write(path: Path, remarks: list[str], alpha: list[Atom], iron: Atom | None, beads: NDArray[np.float64]) -> None:
    """Write a PDB file of Cα atoms, the iron and the beads of the ligand."""
    rows = [("ATOM", "CA", atom.residue, atom.number, "C", atom.position) for atom in alpha]
    last = alpha[-1].number
    if iron is not None:
        last += 1
        rows.append(("HETATM", "FE", "HEM", last, "FE", iron.position))
    rows += [("HETATM", f"B{index + 1}", "LIG", last + 1, "C", tuple(bead)) for index, bead in enumerate(beads)]
    lines = [f"REMARK   1 {remark}" for remark in remarks]
    for serial, (record, name, residue, number, element, (x, y, z)) in enumerate(rows, start=1):
        column = f" {name:<3s}" if len(element) == 1 else f"{name:<4s}"
        atom = f"{record:<6s}{serial:5d} {column} {residue:>3s} A{number:4d}"
        lines.append(f"{atom}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {element:>2s}")
    path.write_text("\n".join([*lines, "END", ""]))


def main(trp_cage: Path, cyp2c9: Path, t4_lysozyme: Path, out: Path) -> None:
    """Write the four tables."""
    atoms = read(trp_cage)
    remarks = [
        "TRP-CAGE, CA ATOMS OF PDB ENTRY 1L2Y, MODEL 1 (CC0, WWPDB).",
        "THE FILE TAKEN WAS TRPCAGE.PDB OF NGLVIEW 4.0.1 (MIT).",
    ]
    write(out / "trp_cage.pdb", remarks, alpha_carbons(atoms, ""), None, np.empty((0, 3)))
    header = (
        f"Native contacts of Trp-cage: residues, counted from 0, at least {MIN_SEPARATION} apart in sequence with heavy atoms "
        f"within {CONTACT_CUTOFF:g} angstrom.\nComputed from trpcage.pdb of nglview 4.0.1 (MIT), the D9E variant of PDB entry "
        "1L2Y (CC0, wwPDB)."
    )
    np.savetxt(out / "trp_cage_contacts.txt", native_contacts(atoms), fmt="%d", header=header)

    atoms = read(cyp2c9)
    iron = next(atom for atom in atoms if atom.name == "FE")
    remarks = [
        "HUMAN CYTOCHROME P450 2C9, CA ATOMS AND HAEM IRON, WITH THE GAPS OF THE SOURCE.",
        "FROM DOCKSTRING 0.3.4, RESOURCES/TARGETS/CYP2C9_TARGET.PDBQT (APACHE-2.0); PDB COORDINATES ARE CC0.",
        "B1 TO B3: A MODEL LIGAND IN THE WIDEST PART OF THE CAVITY ABOVE THE HAEM.",
    ]
    write(out / "cyp2c9.pdb", remarks, alpha_carbons(atoms, "HEM"), iron, cavity_beads(atoms))

    atoms = read(t4_lysozyme)
    ligand = positions([atom for atom in atoms if atom.residue == "TMP"])
    remarks = [
        "T4 LYSOZYME L99A, CA ATOMS, WITH P-XYLENE.",
        "FROM OPENMMTOOLS 0.27.0, DATA/T4-LYSOZYME-L99A-IMPLICIT/COMPLEX.PDB (MIT); PDB COORDINATES ARE CC0.",
        "B1 AND B2: THE TWO HALVES OF P-XYLENE.",
    ]
    write(out / "t4_lysozyme.pdb", remarks, alpha_carbons(atoms, "TMP"), None, halves(ligand))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs=3, metavar="FILE")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    main(*arguments.files, arguments.out)
