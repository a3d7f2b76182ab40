"""What the functions of this package take as data: trajectories, buffers, arrays, Universes."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories, HasTrajectories

Source = FeatureTrajectories | HasTrajectories | NDArray[Any] | list[NDArray[Any]] | Any
"""Trajectories, a buffer, one array ``(n_frames, n_features)``, a list of them or ``(n_trajectories, n_frames, n_features)``, or
an MDAnalysis Universe."""


def as_trajectories(source: Source, label: str = "data") -> FeatureTrajectories:
    """Take data of any kind as trajectories.

    Parameters
    ----------
    source
        Trajectories or a buffer as they are; arrays as features named ``"feature 0"`` … on the line; an MDAnalysis Universe or
        AtomGroup as the backbone torsions φ and ψ of its residues, rad, the same features as `Torsions.backbone`.
    label
        What to call the data in errors.

    Raises
    ------
    InputError
        If it is none of these, or arrays without frames or features.

    Examples
    --------
    >>> as_trajectories(np.zeros((3, 100, 2))).schema.names
    ('feature 0', 'feature 1')
    """
    if isinstance(source, FeatureTrajectories):
        return source
    if isinstance(source, np.ndarray) or (
        isinstance(source, list | tuple) and source and all(isinstance(one, np.ndarray) for one in source)
    ):
        return _from_arrays(source, label)
    if is_universe(source):
        return _from_universe(source, label)
    give = getattr(source, "trajectories", None)
    data = give() if callable(give) else None
    if not isinstance(data, FeatureTrajectories):
        raise InputError(
            f"{label}: expected FeatureTrajectories, a buffer, arrays (n_frames, n_features) or a Universe, "
            f"found {type(source).__name__}"
        )
    return data


def is_universe(source: Source) -> bool:
    """Whether data are an MDAnalysis Universe or AtomGroup, told without importing MDAnalysis."""
    return hasattr(source, "universe") and hasattr(source, "atoms")


def _from_arrays(source: Any, label: str) -> FeatureTrajectories:
    single = isinstance(source, np.ndarray) and source.ndim < 3
    series = [source] if single else list(source)
    shapes = [np.shape(one) for one in series]
    if not shapes or any(len(shape) != 2 or 0 in shape or shape[1:] != shapes[0][1:] for shape in shapes):
        raise InputError(f"{label}: expected arrays (n_frames, n_features) with frames, found shapes {shapes[:3]}")
    n_features = shapes[0][1]
    schema = FeatureSchema(
        names=tuple(f"feature {index}" for index in range(n_features)), units=("",) * n_features, periods=(None,) * n_features
    )
    return FeatureTrajectories(series, schema)


def _from_universe(source: Any, label: str) -> FeatureTrajectories:
    from MDAnalysis.lib.distances import calc_dihedrals

    atoms = source.atoms
    residues = [residue for residue in atoms.residues if len(residue.atoms.select_atoms("backbone"))]
    torsions = [
        (name, residue, tuple(selection.indices.tolist()))
        for residue in residues
        for name, selection in (("phi", residue.phi_selection()), ("psi", residue.psi_selection()))
        if selection is not None
    ]
    if not torsions:
        raise InputError(f"{label}: expected a protein with backbone torsions, found none; collect features with tg.from_universe")
    quads = np.array([indices for _, _, indices in torsions])
    trajectory = atoms.universe.trajectory
    values = np.empty((len(trajectory), len(quads)), dtype=np.float32)
    origins = np.zeros(len(trajectory), int)  # which of several generated trajectories
    for frame, timestep in enumerate(trajectory):
        positions, dimensions = atoms.universe.atoms.positions, timestep.dimensions
        origins[frame] = timestep.data.get("trajectory", 0)
        box = dimensions if dimensions is not None and dimensions[:3].all() else None
        values[frame] = calc_dihedrals(*(positions[quads[:, corner]] for corner in range(4)), box=box)
    schema = FeatureSchema(
        names=_torsion_names(torsions),
        units=("rad",) * len(quads),
        periods=(2 * np.pi,) * len(quads),
        kinds=("torsion",) * len(quads),
        atoms=tuple(indices for _, _, indices in torsions),
        frame_interval=float(trajectory.dt) if len(trajectory) > 1 else None,
    )
    return FeatureTrajectories(np.split(values, np.flatnonzero(np.diff(origins)) + 1), schema)


def _torsion_names(torsions: list[tuple[str, Any, tuple[int, ...]]]) -> tuple[str, ...]:
    """Name torsions as `Torsions.backbone` does: by residue number, with the chain where numbers clash, or by residue index."""
    schemes: tuple[Callable[[Any], str], ...] = (
        lambda residue: f"{residue.resid}",
        lambda residue: f"{residue.segid}:{residue.resid}",
        lambda residue: f"#{residue.ix}",
    )
    labelled = (tuple(f"{name} {scheme(residue)}" for name, residue, _ in torsions) for scheme in schemes)
    return next(names for names in labelled if len(set(names)) == len(names))
