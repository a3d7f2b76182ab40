"""A Universe to files that other programs read, with its features and provenance beside them."""

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import MDAnalysis
import numpy as np
from MDAnalysis.lib.formats.libmdaxdr import XTCFile

from openmm_trajgan.backmap.archive import save_frames
from openmm_trajgan.backmap.frames import POSITIONS_AT_ONCE, GeneratedFrames
from openmm_trajgan.backmap.reader import GeneratedReader
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureTrajectories
from openmm_trajgan.storage import replacing, sync_folder

OWN_ENDING = ".trajgan"
_XTC_DECIMALS = 6  # of a nm; the usual 3 would blur torsions by up to a degree


def write_universe(universe: MDAnalysis.Universe, path: Path | str, *, overwrite: bool = False) -> None:
    """Write a trajectory, and beside it a PDB file of the first frame, which other programs need as its topology.

    A generated trajectory also leaves its features, ``<name>.features.npz``, which `FeatureTrajectories.load` reads, and where it
    comes from, ``<name>.provenance.json``. With the ending ``.trajgan`` all of this, and what the backmapper flagged, is in the
    one file; `MDAnalysis.Universe` reads it once ``openmm_trajgan.backmap`` has been imported. Every file appears at its final
    name complete or not at all. The Universe is left at its first frame.

    Parameters
    ----------
    universe
        What to write, all atoms and frames.
    path
        File name with the ending ``.trajgan``, or one for trajectories that MDAnalysis writes, such as ``.xtc``, ``.dcd`` or
        ``.trr``. Its folder must exist. The PDB file has the same name with the ending ``.pdb``.
    overwrite
        Whether to replace files of these names.

    Raises
    ------
    InputError
        If the ending is not one of a trajectory, the folder does not exist, a file does and `overwrite` is false, or a
        trajectory that was not generated is to become a ``.trajgan`` file.
    """
    path = Path(path)
    if path.suffix.lower() == ".pdb":
        raise InputError(f"{path}: give an ending for trajectories such as .xtc; a PDB file of the first frame goes beside it")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; make it first")
    generated = universe.trajectory.frames if isinstance(universe.trajectory, GeneratedReader) else None
    for target in written_files(path, generated=generated is not None):
        if target.exists() and not overwrite:
            raise InputError(f"{target}: exists already; choose another name, or pass overwrite=True")
    pdb = path.with_suffix(".pdb")
    with ExitStack() as files:
        first = files.enter_context(_staged(pdb))
        files.enter_context(warnings.catch_warnings())
        # Generated molecules have no box and no occupancies, and MDAnalysis says so for each file.
        warnings.filterwarnings("ignore", category=UserWarning, module="MDAnalysis")
        if path.suffix.lower() == OWN_ENDING:
            if generated is None or universe.trajectory.transformations:
                raise InputError(
                    f"{path}: expected a Universe of to_universe without transformations for this ending, found another; use .xtc"
                )
            save_frames(generated, files.enter_context(_staged(path)))
        else:
            frames = files.enter_context(_staged(path))
            _write_trajectory(universe, frames, path)
            if generated is not None:
                features, provenance = (files.enter_context(_staged(target)) for target in written_files(path)[2:])
                _features_of(generated).save(features)
                write_json(generated.provenance, provenance)
        universe.trajectory[0]
        universe.atoms.write(str(first))
        if universe.dimensions is None:
            _remove_box(first)


def written_files(path: Path, *, generated: bool = True) -> tuple[Path, ...]:
    """Files that `write_universe` makes for a path."""
    targets = [path, path.with_suffix(".pdb")]
    if generated and path.suffix.lower() != OWN_ENDING:
        targets += [path.with_suffix(".features.npz"), path.with_suffix(".provenance.json")]
    return tuple(targets)


def write_json(values: Mapping[str, Any], path: Path) -> None:
    """Write a mapping as JSON; the file appears complete or not at all."""
    with replacing(path) as file:
        file.write((json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode())


def _write_trajectory(universe: MDAnalysis.Universe, frames: Path, path: Path) -> None:
    if path.suffix.lower() == ".xtc" and isinstance(universe.trajectory, GeneratedReader) and universe.trajectory.plain:
        _write_xtc(universe.trajectory, frames)
        return
    try:
        precision = {"precision": _XTC_DECIMALS} if path.suffix.lower() == ".xtc" else {}
        writer = MDAnalysis.Writer(str(frames), universe.atoms.n_atoms, dt=universe.trajectory.dt, multiframe=True, **precision)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: MDAnalysis writes no trajectories with this ending; use .xtc") from error
    with writer:
        for _ in universe.trajectory:
            writer.write(universe)


def _write_xtc(trajectory: GeneratedReader, path: Path) -> None:
    """Write blocks of frames; MDAnalysis' writer takes ten times as long for each frame of a small molecule."""
    source, dt = trajectory.frames.source, trajectory.dt
    no_box = np.zeros((3, 3), dtype=np.float32)
    length = max(1, POSITIONS_AT_ONCE // source.n_atoms)
    with XTCFile(str(path), "w") as file:
        for start in range(0, trajectory.n_frames, length):
            positions = source.block(start, min(start + length, trajectory.n_frames)).positions
            assert positions is not None
            for frame, each in enumerate(positions, start):
                file.write(each, no_box, frame, frame * dt, 10**_XTC_DECIMALS)


def _features_of(frames: GeneratedFrames) -> FeatureTrajectories:
    starts = np.flatnonzero(np.diff(frames.trajectories, prepend=-1))
    provenance = {name: value if isinstance(value, str) else json.dumps(value) for name, value in frames.provenance.items()}
    series, names = np.split(frames.features, starts[1:]), map(str, frames.trajectories[starts])
    return FeatureTrajectories(series, frames.schema, names, provenance)


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
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
