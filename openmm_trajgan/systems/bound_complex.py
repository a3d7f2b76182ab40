"""A protein with a ligand in it, one bead per residue: from the tables of this package, a PDB file or a PDB entry."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openmm import app, unit

from openmm_trajgan.errors import InputError

_ATOMS_PER_BEAD, _MOST_BEADS = 4, 3
_FEWEST_RESIDUES = 20
_LONGEST_BOND = 0.45  # nm; farther apart, consecutive Cα have a gap between them
_ENTRY = re.compile(r"[0-9][A-Za-z0-9]{3}")
_LIGAND = re.compile(r"[A-Za-z0-9]{1,4}")
_SOLVENT = {"HOH", "WAT"}


@dataclass(frozen=True)
class BoundComplex:
    """Beads of a protein and its bound ligand.

    Parameters
    ----------
    topology
        One atom per bead: Cα of every residue, Fe of a haem, then the beads of the ligand.
    positions
        With the ligand bound, ``(n_beads, 3)``, nm.
    n_ligand
        How many beads, the last ones, are the ligand's.
    """

    topology: app.Topology
    positions: NDArray[np.float64]
    n_ligand: int

    @property
    def protein(self) -> NDArray[np.intp]:
        """Beads of the protein with its haem."""
        return np.arange(len(self.positions) - self.n_ligand)

    @property
    def ligand(self) -> NDArray[np.intp]:
        """Beads of the ligand."""
        return np.arange(len(self.positions) - self.n_ligand, len(self.positions))

    def native_pairs(self, cutoff: float) -> NDArray[np.intp]:
        """Pairs of a protein bead and a ligand bead nearer than `cutoff` (nm) when bound, ``(n_pairs, 2)``.

        Raises
        ------
        InputError
            If there are fewer than four: too few to hold a ligand in place.
        """
        apart = self.positions[self.protein][:, None] - self.positions[self.ligand][None]
        pairs: NDArray[np.intp] = np.argwhere(np.linalg.norm(apart, axis=-1) < cutoff)
        if len(pairs) < 4:
            raise InputError(
                f"ligand: expected at least 4 pairs of a Cα and a ligand bead within {cutoff:g} nm, found {len(pairs)}; "
                "is it bound to the protein of the same chain? name another one, FILE:RESIDUE"
            )
        pairs[:, 1] += len(self.protein)
        return pairs


def packaged_complex(name: str) -> BoundComplex:
    """Complex of a table in the package."""
    with as_file(files("openmm_trajgan.systems") / "data" / f"{name}.pdb") as path:
        return _coarse_grained(app.PDBFile(str(path)), name, "LIG", ligand_is_beads=True)


def complex_of(structure: str) -> BoundComplex:
    """Complex of a PDB entry, which is downloaded, or of a PDB file.

    Parameters
    ----------
    structure
        ``"2CPP"`` or ``"complex.pdb"``; with ``":CAM"`` at the end to name the residue that is the ligand. Default: the largest
        residue of the file that is neither protein nor haem nor water.

    Raises
    ------
    InputError
        If there is no such file or ligand, or the entry cannot be downloaded.
    """
    source, ligand = source_and_ligand(structure)
    path = Path(source)
    if not path.is_file():
        if not _ENTRY.fullmatch(source):
            raise InputError(
                f"structure: expected a PDB file or the four characters of a PDB entry, found {source!r}; check the path"
            )
        path = _downloaded(source.upper())
    try:
        with path.open() as file:
            pdb = app.PDBFile(file)
    except Exception as error:  # OpenMM's parser raises whatever a malformed line makes Python raise
        raise InputError(f"{path}: expected a PDB file, found something that OpenMM cannot read ({error})") from error
    return _coarse_grained(pdb, source, ligand.upper())


def source_and_ligand(structure: str) -> tuple[str, str]:
    """Entry or file, and the name of the ligand, empty without one, of a structure as `complex_of` takes it.

    Examples
    --------
    >>> source_and_ligand("complex.pdb:CAM")
    ('complex.pdb', 'CAM')
    """
    source, colon, ligand = structure.rpartition(":")
    return (source, ligand) if colon and _LIGAND.fullmatch(ligand) else (structure, "")


def _downloaded(entry: str) -> Path:
    """Download a PDB file, or find it where MDAnalysis keeps what it has downloaded."""
    advice = f"download {entry}.pdb by other means and give the file"
    try:
        from MDAnalysis.fetch import from_PDB

        path: Path = from_PDB(entry, file_format="pdb")
    except ImportError as error:
        raise InputError(f"structure {entry}: downloading needs MDAnalysis 2.11 or newer and pooch ({error}); {advice}") from error
    except (OSError, ValueError) as error:  # requests' errors are OSErrors
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"structure {entry}: cannot be downloaded ({reason}); check the entry and the network, or {advice}"
        ) from error
    return path


def _coarse_grained(pdb: app.PDBFile, source: str, ligand_name: str, ligand_is_beads: bool = False) -> BoundComplex:
    positions = np.array(pdb.getPositions(asNumpy=True).value_in_unit(unit.nanometer))
    residues = list(pdb.topology.residues())
    ligand = _ligand(residues, ligand_name, source)
    chain = [residue for residue in residues if residue.chain.id == ligand.chain.id and residue is not ligand]
    protein = [atom for residue in chain if (atom := _bead(residue)) is not None]
    if len(protein) < _FEWEST_RESIDUES:
        raise InputError(
            f"{source}: expected at least {_FEWEST_RESIDUES} Cα atoms in chain {ligand.chain.id!r} of the ligand "
            f"{ligand.name}, found {len(protein)}; name another ligand, FILE:RESIDUE"
        )
    heavy = [atom.index for atom in ligand.atoms() if atom.element is not None and atom.element.symbol != "H"]
    beads = positions[heavy] if ligand_is_beads else _beads_along_axis(positions[heavy])
    topology = app.Topology()
    new_chain = topology.addChain(ligand.chain.id)
    previous, bonded = None, None
    for atom in protein:
        residue = topology.addResidue(atom.residue.name, new_chain, atom.residue.id, atom.residue.insertionCode)
        new = topology.addAtom(atom.name, atom.element, residue)
        if previous is not None and np.linalg.norm(positions[atom.index] - positions[previous.index]) < _LONGEST_BOND:
            topology.addBond(bonded, new)
        previous, bonded = atom, new
    residue = topology.addResidue(ligand.name, new_chain, ligand.id, ligand.insertionCode)
    carbon = app.element.carbon
    new_beads = [topology.addAtom(f"B{index + 1}", carbon, residue) for index in range(len(beads))]
    for first, second in pairwise(new_beads):
        topology.addBond(first, second)
    return BoundComplex(topology, np.concatenate([positions[[atom.index for atom in protein]], beads]), len(beads))


def _bead(residue: Any) -> Any:
    """Return the atom that stands for a residue: Cα of an amino acid, Fe of a haem, None for anything else."""
    atoms = {atom.name: atom for atom in residue.atoms() if atom.element is not None}
    if "CA" in atoms and atoms["CA"].element.symbol == "C" and ("N" in atoms or len(atoms) == 1):
        return atoms["CA"]
    return atoms.get("FE")


def _ligand(residues: Sequence[Any], name: str, source: str) -> Any:
    others = [residue for residue in residues if _bead(residue) is None and residue.name not in _SOLVENT]
    sizes = {
        residue: sum(atom.element is not None and atom.element.symbol != "H" for atom in residue.atoms()) for residue in others
    }
    if not name and others:
        return max(others, key=lambda residue: sizes[residue])
    found = [residue for residue in others if residue.name == name]
    if not found:
        names = ", ".join(f"{name} ({count})" for name, count in Counter(residue.name for residue in others).items())
        raise InputError(f"{source}: expected a ligand{' ' + name if name else ''}, found {names or 'none'}; name it, FILE:RESIDUE")
    return found[0]


def _beads_along_axis(atoms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centres of groups of atoms, equal in number, along the longest axis of a molecule ``(n_atoms, 3)``."""
    centred = atoms - atoms.mean(axis=0)
    order = np.argsort(centred @ np.linalg.svd(centred)[2][0])
    n_beads = min(max(len(atoms) // _ATOMS_PER_BEAD, 1), _MOST_BEADS)
    return np.array([atoms[group].mean(axis=0) for group in np.array_split(order, n_beads)])
