"""Generated features to an MDAnalysis Universe, and to files."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import MDAnalysis
import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.backmap.base import Backmapper
from openmm_trajgan.backmap.identity import KINDS, Identity
from openmm_trajgan.backmap.internal_coordinates import InternalCoordinates
from openmm_trajgan.backmap.reader import GeneratedReader
from openmm_trajgan.errors import InputError
from openmm_trajgan.features.from_schema import from_schema
from openmm_trajgan.schema import FeatureTrajectories
from openmm_trajgan.seeding import Seeds
from openmm_trajgan.storage import sync_folder

_ANGSTROM = 10.0  # per nm
_XTC_DECIMALS = 6  # of a nm; the usual 3 would blur torsions by up to a degree


def to_universe(
    generated: FeatureTrajectories,
    topology: Any = None,
    reference: Any = None,
    *,
    trajectory: int | None = None,
    seed: int = 0,
) -> MDAnalysis.Universe:
    """Build structures for generated features and hand them over as a Universe.

    Parameters
    ----------
    generated
        Trajectories with the frame interval set. Torsions become all-atom structures (`InternalCoordinates`), coordinates of one
        particle stay what they are (`Identity`).
    topology
        An openmm.app.Topology of one molecule, or the path of a PDB file; None for coordinates of one particle.
    reference
        Structures of that molecule for everything the features do not tell, consecutive in time: an array
        ``(n_reference, n_atoms, 3)`` in nm, an MDAnalysis Universe, or an object with a method ``structures()`` that returns
        such an array, as a window buffer has. None takes the one structure in the PDB file.
    trajectory
        Index of one generated trajectory, or None for all, one after the other.
    seed
        Decides which piece of the reference goes with each trajectory; a trajectory gets the same piece alone and among all.

    Returns
    -------
    MDAnalysis.Universe
        Positions in Å, time in ps, no box. Names, residue ids, chains, elements, masses and bonds are those of the topology.
        ``ts.data["features"]`` are the generated features of the frame, ``ts.data["trajectory"]`` the index of its trajectory.

    Raises
    ------
    InputError
        If the frame interval is unknown, there is no trajectory of that index, structures cannot be built from these features,
        or topology and reference do not fit them.

    Examples
    --------
    >>> from openmm_trajgan.schema import FeatureSchema
    >>> schema = FeatureSchema(
    ...     names=("x", "y"), units=("nm", "nm"), periods=(None, None), kinds=("position", "position"), frame_interval=0.5
    ... )
    >>> universe = to_universe(FeatureTrajectories([[[0.1, 0.2], [0.3, 0.4]]], schema))
    >>> universe.trajectory.dt, universe.trajectory[1].positions
    (0.5, array([[3., 4., 0.]], dtype=float32))
    """
    schema = generated.schema
    if schema.frame_interval is None:
        raise InputError("the frame interval of the features is unknown; set it with schema.with_frame_interval(ps)")
    chosen = _chosen(generated, trajectory)
    featurizer = from_schema(schema)
    backmapper: Backmapper
    if set(schema.kinds) <= KINDS:
        topology, _ = (None, None) if topology is None else _molecule(topology)
        particle = None if topology is None else _whole(topology, np.zeros((1, topology.getNumAtoms(), 3)))
        backmapper = Identity().fit(featurizer, particle)
    else:
        topology, own_structure = _molecule(topology)
        backmapper = InternalCoordinates().fit(featurizer, _whole(topology, own_structure if reference is None else reference))

    seeds = Seeds(seed)
    series = [generated.values[index] for index in chosen]
    made = [backmapper.backmap(values, rng=seeds.numpy(f"backmap {index}")) for index, values in zip(chosen, series, strict=True)]
    positions = np.concatenate([structures.positions for structures in made if structures.positions is not None])
    positions *= _ANGSTROM
    reader = {
        "format": GeneratedReader,
        "dt": schema.frame_interval,
        "features": np.concatenate(series),
        "trajectories": np.repeat(chosen, [len(values) for values in series]),
    }
    if topology is None:
        return _particle().load_new(positions, **reader)
    universe = MDAnalysis.Universe(topology, positions, **reader)
    _restore_numbering(universe, topology)
    return universe


def write_universe(universe: MDAnalysis.Universe, path: Path | str, *, overwrite: bool = False) -> None:
    """Write a trajectory, and beside it a PDB file of the first frame, which other programs need as its topology.

    Both files appear at their final names complete or not at all. The Universe is left at its first frame.

    Parameters
    ----------
    universe
        What to write, all atoms and frames.
    path
        File name with an ending for trajectories that MDAnalysis writes, such as ``.xtc``, ``.dcd`` or ``.trr``. Its folder must
        exist. The PDB file has the same name with the ending ``.pdb``.
    overwrite
        Whether to replace files of these names.

    Raises
    ------
    InputError
        If the ending is not one of a trajectory, the folder does not exist, or a file does and `overwrite` is false.
    """
    path = Path(path)
    if path.suffix.lower() == ".pdb":
        raise InputError(f"{path}: give an ending for trajectories such as .xtc; a PDB file of the first frame goes beside it")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; make it first")
    for target in (path, path.with_suffix(".pdb")):
        if target.exists() and not overwrite:
            raise InputError(f"{target}: exists already; choose another name, or pass overwrite=True")
    with _staged(path) as frames, _staged(path.with_suffix(".pdb")) as first, warnings.catch_warnings():
        # Generated molecules have no box and no occupancies, and MDAnalysis says so for each file.
        warnings.filterwarnings("ignore", category=UserWarning, module="MDAnalysis")
        try:
            precision = {"precision": _XTC_DECIMALS} if path.suffix.lower() == ".xtc" else {}
            writer = MDAnalysis.Writer(str(frames), universe.atoms.n_atoms, dt=universe.trajectory.dt, multiframe=True, **precision)
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}: MDAnalysis writes no trajectories with this ending; use .xtc") from error
        with writer:
            for _ in universe.trajectory:
                writer.write(universe.atoms)
        universe.trajectory[0]
        universe.atoms.write(str(first))
        if universe.dimensions is None:
            _remove_box(first)


def _remove_box(pdb: Path) -> None:
    """Remove the box of 1 Å that MDAnalysis invents for PDB files without one, and that OpenMM would believe."""
    lines = pdb.read_text().splitlines(keepends=True)
    pdb.write_text("".join(line for line in lines if line[:6] != "CRYST1" and line.split()[:2] != ["REMARK", "285"]))


@contextmanager
def _staged(path: Path) -> Iterator[Path]:
    """Yield a temporary name with the same ending, renamed to `path` if the block succeeds and removed if not."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _chosen(generated: FeatureTrajectories, trajectory: int | None) -> Sequence[int]:
    chosen = range(len(generated)) if trajectory is None else [trajectory]
    if not 0 <= chosen[0] < len(generated):
        raise InputError(f"expected a trajectory between 0 and {len(generated) - 1}, found {trajectory}; there is no other")
    if not any(len(generated.values[index]) for index in chosen):
        raise InputError("expected at least one generated frame, found none; generate some first")
    return chosen


def _molecule(topology: Any) -> tuple[Any, NDArray[np.float64] | None]:
    """Return an openmm.app.Topology and, if it was read from a file, the structure there, ``(1, n_atoms, 3)`` in nm."""
    if hasattr(topology, "getNumAtoms"):
        return topology, None
    if not isinstance(topology, (str, os.PathLike)):
        raise InputError(
            f"expected an openmm.app.Topology or the path of a PDB file, found {type(topology).__name__}; "
            "pass topology=simulation.topology"
        )
    if not Path(topology).is_file():
        raise InputError(f"{topology}: no such file; give the path of a PDB file")
    from openmm import app, unit

    pdb = app.PDBFile(str(topology))
    return pdb.topology, np.asarray(pdb.getPositions(asNumpy=True).value_in_unit(unit.nanometer))[None]


def _whole(topology: Any, reference: Any) -> MDAnalysis.Universe:
    """Return reference structures as a Universe of the topology."""
    if reference is None:
        raise InputError(
            "expected reference structures for what the features do not tell, found none; pass reference=buffer, "
            "reference=positions (n_reference, n_atoms, 3) in nm, or the path of a PDB file as topology"
        )
    if isinstance(reference, MDAnalysis.Universe):
        angstrom = reference.trajectory.timeseries(order="fac")
    else:
        angstrom = _ANGSTROM * np.asarray(reference.structures() if hasattr(reference, "structures") else reference)
    n_atoms = topology.getNumAtoms()
    if angstrom.ndim != 3 or angstrom.shape[1:] != (n_atoms, 3) or not len(angstrom):
        raise InputError(
            f"expected reference positions (n_reference, {n_atoms}, 3) in nm, found {angstrom.shape}; "
            "give the structures of the atoms in the topology, in its order, as one array"
        )
    return MDAnalysis.Universe(topology, angstrom.astype(np.float32))


def _restore_numbering(universe: MDAnalysis.Universe, topology: Any) -> None:
    """Give residues and chains the ids of the topology; MDAnalysis has counted them anew."""
    ids = [residue.id for residue in topology.residues()]
    try:
        numbers = [int(identifier) for identifier in ids]
    except ValueError:
        warnings.warn(f"residue ids such as {ids[0]!r} are not all integers; residues are numbered from 1", stacklevel=3)
    else:
        universe.residues.resids = numbers
        universe.residues.resnums = numbers
    universe.segments.segids = [chain.id for chain in topology.chains()]


def _particle() -> MDAnalysis.Universe:
    universe = MDAnalysis.Universe.empty(1)
    for attribute, value in (("names", "X"), ("types", "X"), ("resnames", "X"), ("resids", 1), ("segids", "X")):
        universe.add_TopologyAttr(attribute, [value])
    return universe
