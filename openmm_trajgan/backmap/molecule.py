"""Topology and reference as MDAnalysis Universes, whatever they were given as."""

import os
import warnings
from pathlib import Path
from typing import Any

import MDAnalysis
import numpy as np
from MDAnalysis.lib.distances import calc_bonds
from numpy.typing import NDArray

from openmm_trajgan.errors import InputError

_ANGSTROM = 10.0  # per nm
_ROUNDING = 0.1  # Å; bonds through the box and within differ by whole boxes


def molecule_of(topology: Any) -> MDAnalysis.Universe:
    """Return a Universe with the names, numbers and bonds of a topology, and the structure of the file it was read from, if any.

    Parameters
    ----------
    topology
        An openmm.app.Topology, the path of a PDB file, or an MDAnalysis Universe.

    Raises
    ------
    InputError
        If it is something else, or there is no such file, or not one that OpenMM can read.
    """
    if isinstance(topology, MDAnalysis.Universe):
        return topology
    if hasattr(topology, "getNumAtoms"):
        return _numbered(topology, None)
    if not isinstance(topology, (str, os.PathLike)):
        raise InputError(
            f"expected an openmm.app.Topology, an MDAnalysis Universe or the path of a PDB file, found {type(topology).__name__}; "
            "pass topology=simulation.topology"
        )
    if not Path(topology).is_file():
        raise InputError(f"{topology}: no such file; give the path of a PDB file")
    from openmm import app, unit

    try:
        with Path(topology).open() as file:
            pdb = app.PDBFile(file)
    except Exception as error:  # OpenMM's parser raises whatever a malformed line makes Python raise
        raise InputError(f"{topology}: expected a PDB file, found something that OpenMM cannot read ({error})") from error
    return _numbered(pdb.topology, np.asarray(pdb.getPositions(asNumpy=True).value_in_unit(unit.angstrom))[None])


def particle() -> MDAnalysis.Universe:
    """Return a Universe of one particle named X."""
    universe = MDAnalysis.Universe.empty(1)
    for attribute, value in (("names", "X"), ("types", "X"), ("resnames", "X"), ("resids", 1), ("segids", "X")):
        universe.add_TopologyAttr(attribute, [value])
    return universe


def reference_of(molecule: MDAnalysis.Universe, reference: Any, frame_interval: float | None = None) -> MDAnalysis.Universe:
    """Return reference structures as a Universe with the topology of `molecule`.

    Parameters
    ----------
    molecule
        From `molecule_of`; its own structures are taken where `reference` is None.
    reference
        A Universe, which is read frame by frame; positions ``(n_reference, n_atoms, 3)`` in nm; or an object with methods
        ``structures()`` that returns such an array, and ``boxes()`` for their box vectors or None, such as a window buffer.
    frame_interval
        Time between positions that do not tell it, ps.

    Raises
    ------
    InputError
        If there are none, or not of the atoms of the molecule.
    """
    if reference is None:
        if not has_frames(molecule):
            raise InputError(
                "expected reference structures for what the features do not tell, found none; give reference= or --reference, "
                "a window buffer, a trajectory or positions in nm, or a PDB file as topology"
            )
        return molecule
    n_atoms = len(molecule.atoms)
    if isinstance(reference, MDAnalysis.Universe):
        shape = len(reference.trajectory), len(reference.atoms), 3
        _require_atoms(shape, n_atoms)
        if reference is molecule:
            return molecule
        same = without_frames(molecule)
        same.trajectory = reference.trajectory.copy()
        return same
    try:
        positions = _ANGSTROM * np.asarray(reference.structures() if hasattr(reference, "structures") else reference, np.float64)
    except (TypeError, ValueError):
        raise InputError(
            f"reference: expected an MDAnalysis Universe, a window buffer or positions in nm, found a {type(reference).__name__}; "
            "open files with MDAnalysis.Universe(topology, trajectory)"
        ) from None
    _require_atoms(positions.shape, n_atoms)
    own = getattr(getattr(reference, "schema", None), "frame_interval", None) or frame_interval
    options = dimensions_of(reference.boxes() if hasattr(reference, "boxes") else None)
    options |= {} if own is None else {"dt": own}
    universe = without_frames(molecule).load_new(positions.astype(np.float32), **options)
    universe.trajectory.filename = getattr(reference, "path", None)
    return universe


def dimensions_of(boxes: NDArray[np.floating] | None) -> dict[str, Any]:
    """Return what MDAnalysis' reader of arrays takes for boxes, from their vectors ``(n_frames, 3, 3)``, nm; nothing for None."""
    if boxes is None:
        return {}
    lengths = np.linalg.norm(boxes, axis=2)
    units = boxes / lengths[..., None]
    cosines = (np.roll(units, -1, axis=1) * np.roll(units, -2, axis=1)).sum(axis=2)  # between b and c, c and a, a and b
    return {"dimensions": np.concatenate([_ANGSTROM * lengths, np.degrees(np.arccos(cosines))], axis=1)}


def require_whole(universe: MDAnalysis.Universe) -> None:
    """Refuse a trajectory whose periodic box cuts a bond.

    Raises
    ------
    InputError
        Naming the first such frame.
    """
    if not has_frames(universe) or universe.trajectory[0].dimensions is None or not len(getattr(universe, "bonds", [])):
        return
    one, other = universe.bonds.indices.T
    for ts in universe.trajectory:
        lengths = (calc_bonds(ts.positions[one], ts.positions[other], box=box) for box in (None, ts.dimensions))
        if np.abs(np.subtract(*lengths)).max() > _ROUNDING:
            raise InputError(
                f"reference frame {ts.frame}: the periodic box cuts a bond; make molecules whole, for example with "
                "universe.trajectory.add_transformations(MDAnalysis.transformations.unwrap(universe.atoms))"
            )


def has_frames(universe: MDAnalysis.Universe) -> bool:
    """Whether a Universe has a trajectory."""
    return getattr(universe, "_trajectory", None) is not None


def without_frames(universe: MDAnalysis.Universe, atoms: NDArray[np.intp] | None = None) -> MDAnalysis.Universe:
    """Return the topology of a Universe, or of some of its atoms, as a new one."""
    if atoms is None or len(atoms) == len(universe.atoms):
        return MDAnalysis.Universe(universe._topology.copy(), to_guess=())
    return MDAnalysis.Merge(universe.atoms[atoms])


def described(universe: MDAnalysis.Universe | None) -> str | None:
    """Say in words which reference was used, and from which file or folder."""
    if universe is None or not has_frames(universe):
        return None
    name = universe.trajectory.filename
    return f"{len(universe.trajectory)} structures of {len(universe.atoms)} atoms" + (f" from {Path(name).name}" if name else "")


def _require_atoms(shape: tuple[int, ...], n_atoms: int) -> None:
    if len(shape) != 3 or shape[1:] != (n_atoms, 3) or not shape[0]:
        raise InputError(
            f"expected reference positions (n_reference, {n_atoms}, 3) in nm, found {shape}; "
            "give the structures of the atoms in the topology, in its order, as one array"
        )


def _numbered(topology: Any, positions: NDArray[np.float64] | None) -> MDAnalysis.Universe:
    """Build a Universe whose residues and chains have the ids of the topology; MDAnalysis counts them anew."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No coordinate reader found")
        universe = MDAnalysis.Universe(topology, *([] if positions is None else [positions.astype(np.float32)]))
    ids = [residue.id for residue in topology.residues()]
    try:
        numbers = [int(identifier) for identifier in ids]
    except ValueError:
        warnings.warn(f"residue ids such as {ids[0]!r} are not all integers; residues are numbered from 1", stacklevel=4)
    else:
        universe.residues.resids = numbers
        universe.residues.resnums = numbers
    universe.segments.segids = [chain.id for chain in topology.chains()]
    return universe
