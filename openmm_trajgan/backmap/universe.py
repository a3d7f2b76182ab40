"""Generated features to an MDAnalysis Universe."""

import logging
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import MDAnalysis
import numpy as np
import openmm
from numpy.typing import NDArray

from openmm_trajgan.backmap.base import Backmapper, FloatArray, Structures, builds_pieces
from openmm_trajgan.backmap.choice import Choice, choose, n_frames_of
from openmm_trajgan.backmap.force_field import FORCE_FIELD, force_field_system
from openmm_trajgan.backmap.frames import BuiltFrames, FrameSource, GeneratedFrames, LibraryFrames, StoredFrames
from openmm_trajgan.backmap.molecule import described, molecule_of, particle, reference_of, require_whole, without_frames
from openmm_trajgan.backmap.reader import GeneratedReader
from openmm_trajgan.backmap.relax import Relax
from openmm_trajgan.backmap.repair import repair
from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import Featurizer
from openmm_trajgan.features.from_schema import from_schema
from openmm_trajgan.schema import FeatureTrajectories
from openmm_trajgan.seeding import Seeds

IN_MEMORY = 2**27  # bytes of positions; above, frames are built a block at a time when they are asked for
_WITH_CLASHES = ("internal_coordinates", "fragments")
_log = logging.getLogger(__name__)


def to_universe(
    generated: FeatureTrajectories,
    topology: Any = None,
    reference: Any = None,
    *,
    featurizer: Featurizer | None = None,
    method: str | None = None,
    trajectory: int | None = None,
    seed: int = 0,
    relax: bool | str | Path | Sequence[str | Path] | openmm.System = False,
) -> MDAnalysis.Universe:
    """Build structures for generated features and hand them over as a Universe.

    Parameters
    ----------
    generated
        Trajectories with the frame interval set.
    topology
        An openmm.app.Topology, an MDAnalysis Universe, or the path of a PDB file; None for that of a `reference` that is a
        Universe, and for coordinates of one particle.
    reference
        Structures of that molecule for everything the features do not tell, consecutive in time and as far apart as the
        generated frames: an MDAnalysis Universe, an array ``(n_reference, n_atoms, 3)`` in nm, or an object with a method
        ``structures()`` that returns such an array, as a window buffer has. None takes the structures that come with the topology.
    featurizer
        That of the model; None rebuilds it from the schema, where torsions, distances or coordinates of one particle allow it.
    method
        ``"identity"``: coordinates of one particle stay what they are. ``"internal_coordinates"``: torsions are set in one
        molecule up to 60 residues. ``"distance_geometry"``: most distances between some atoms become positions of these;
        ``"fragments"``, not chosen by itself, adds the other atoms as they were around such α carbons in the reference.
        ``"nearest_frames"``: frames of the reference stand for the features, whatever they are. None takes the first that fits;
        ``universe.trajectory.provenance`` tells which, and why, and of frames of the reference how many different ones there are
        and how far from them the features lie, ``"retrieved"``.
    trajectory
        Index of one generated trajectory, or None for all, one after the other.
    seed
        Of what the backmapper draws; a trajectory comes out the same alone and among all.
    relax
        Whether to repair frames that clash, and only these, by `Relax`, some 20 ms each. True takes the force field
        ``amber14/protein.ff14SB.xml``, which comes with OpenMM; another file, a list of files, or the openmm.System of the
        molecule alone, such as ``simulation.system``, takes the place of it. No frame is dropped;
        ``universe.trajectory.provenance["relaxed"]`` tells how many were repaired, and how far they and their features moved,
        ``ts.data["repaired"]`` and ``ts.data["moved"]`` (nm) tell it of each frame.

    Returns
    -------
    MDAnalysis.Universe
        Positions in Å, time in ps; the box is that of the frame of molecular dynamics where frames are such frames, and None
        where they were built. Names, residue ids, chains, elements, masses, bonds and charges are those of the topology.
        ``ts.data["features"]`` are the generated features of the frame, ``ts.data["trajectory"]`` the index of its trajectory;
        see `GeneratedReader`. More than 128 MB of positions are not held in memory but built when they are asked for, or, where
        they are frames of the reference, read there.

    Raises
    ------
    InputError
        If `generated` are no trajectories or their frame interval is unknown, there is no trajectory of that index, structures
        cannot be built from these features, topology and reference do not fit them, or there is nothing to relax or no force field
        for the molecule.

    Examples
    --------
    >>> from openmm_trajgan.schema import FeatureSchema
    >>> schema = FeatureSchema(
    ...     names=("x", "y"), units=("nm", "nm"), periods=(None, None), kinds=("position", "position"), frame_interval=0.5
    ... )
    >>> universe = to_universe(FeatureTrajectories([[[0.1, 0.2], [0.3, 0.4]]], schema))
    >>> universe.trajectory.dt, universe.trajectory[1].positions, universe.trajectory.provenance["method"]
    (0.5, array([[3., 4., 0.]], dtype=float32), 'identity')
    """
    if not isinstance(generated, FeatureTrajectories):
        raise InputError(
            f"generated: expected FeatureTrajectories, found {type(generated).__name__}; "
            "say what the columns of arrays are, FeatureTrajectories(arrays, schema)"
        )
    schema = generated.schema
    if schema.frame_interval is None:
        raise InputError("the frame interval of the features is unknown; set it with schema.with_frame_interval(ps)")
    chosen = _chosen(generated, trajectory)
    if featurizer is not None:
        schema.require_same(featurizer.schema, "the generated data", "the featurizer")
    if topology is None and isinstance(reference, MDAnalysis.Universe):
        topology = reference
    molecule = None if topology is None else molecule_of(topology)
    whole = molecule if molecule is None or reference is None else reference_of(molecule, reference, schema.frame_interval)
    choice = choose(schema, molecule, n_frames_of(whole), method)
    _log.info("backmapping by %s: %s", choice.method, choice.reason)
    if choice.method != "identity":
        if whole is molecule:  # what is missing is told here
            whole = reference_of(molecule_of(topology) if molecule is None else molecule, reference, schema.frame_interval)
        require_whole(whole)
    featurizer = from_schema(schema) if featurizer is None else featurizer
    relaxing, force_field = (None, "") if relax is False else _relaxing(relax, choice, featurizer, whole)
    backmapper = choice.backmapper(featurizer).fit(featurizer, whole)
    series = [generated.values[index] for index in chosen]
    features = np.concatenate(series)
    trajectories = np.repeat(chosen, [len(values) for values in series])
    source, reference_frames = _source(backmapper, whole, series, features, trajectories, Seeds(seed))
    n_atoms = 0 if molecule is None else len(molecule.atoms)
    provenance = _provenance(generated, choice, seed) | {
        "reference": described(whole),
        "not set": dict(getattr(backmapper, "dependent", {})),
        "atoms": None if len(backmapper.atoms) >= n_atoms else backmapper.atoms.tolist(),
    }
    if isinstance(source, LibraryFrames):
        provenance["retrieved"] = _retrieved(source)
    if relaxing is not None:
        source, told = repair(source, len(features), relaxing, schema)
        provenance["relaxed"] = {"force field": force_field} | told
    frames = GeneratedFrames(source, features, trajectories, schema, reference_frames, provenance)
    made = particle() if molecule is None else without_frames(molecule, backmapper.atoms)
    return made.load_new(frames, format=GeneratedReader)


def _relaxing(
    relax: bool | str | Path | Sequence[str | Path] | openmm.System,
    choice: Choice,
    featurizer: Featurizer,
    whole: MDAnalysis.Universe,
) -> tuple[Relax, str]:
    """Return what repairs, and the name of its force field."""
    if choice.method not in _WITH_CLASHES:
        raise InputError(
            f"relax: expected structures of all atoms that were built ({' or '.join(_WITH_CLASHES)}), "
            f"found method {choice.method}, which flags no clashes to repair; leave relax out"
        )
    if isinstance(relax, openmm.System):
        return Relax(relax, featurizer, whole), "an openmm.System"
    if isinstance(relax, str | Path):
        relax = (relax,)
    files = FORCE_FIELD if relax is True else tuple(map(str, relax))  # type: ignore[arg-type]  # False does not come here
    return Relax(force_field_system(whole, files), featurizer, whole), ", ".join(files)


def _source(
    backmapper: Backmapper,
    reference: MDAnalysis.Universe,
    series: list[FloatArray],
    features: FloatArray,
    trajectories: NDArray[np.intp],
    seeds: Seeds,
) -> tuple[FrameSource, NDArray[np.intp] | None]:
    """Return where positions come from, and which frames of the reference they are, if they are."""
    if len(features) * len(backmapper.atoms) * 12 > IN_MEMORY and builds_pieces(backmapper):
        return BuiltFrames(backmapper, features, trajectories, seeds), None
    starts = np.flatnonzero(np.diff(trajectories, prepend=-1))
    made = [
        backmapper.backmap(values, rng=seeds.numpy(f"backmap {index}"))
        for index, values in zip(trajectories[starts], (values for values in series if len(values)), strict=True)
    ]
    flags = {name: np.concatenate([structures.flags[name] for structures in made]) for name in made[0].flags}
    if made[0].reference_frames is not None:
        rows = np.concatenate([structures.reference_frames for structures in made])
        return LibraryFrames(reference.trajectory, rows, backmapper.atoms, flags), rows
    return StoredFrames(np.concatenate([_positions(structures) for structures in made]), flags), None


def _positions(structures: Structures) -> FloatArray:
    assert structures.positions is not None
    return structures.positions


def _provenance(generated: FeatureTrajectories, choice: Choice, seed: int) -> dict[str, Any]:
    return {
        "synthetic": True,
        "openmm-trajgan": version("openmm-trajgan"),
        "MDAnalysis": MDAnalysis.__version__,
        "method": choice.method,
        "reason": choice.reason,
        "seed": seed,
        "schema": generated.schema.model_dump(mode="json"),
        "schema digest": generated.schema.digest,
        "generated": dict(generated.provenance),
    }


def _retrieved(source: LibraryFrames) -> dict[str, float]:
    """How many different frames of molecular dynamics there are, and how far features are from those of the nearest frame."""
    distances = source.flags["library_distance"]
    return {
        "share of different frames": len(np.unique(source.rows)) / len(source.rows),
        "distance to the nearest frame, SD, mean": float(distances.mean()),
        "distance to the nearest frame, SD, 99th percentile": float(np.percentile(distances, 99)),
    }


def _chosen(generated: FeatureTrajectories, trajectory: int | None) -> Sequence[int]:
    chosen = range(len(generated)) if trajectory is None else [trajectory]
    if not 0 <= chosen[0] < len(generated):
        raise InputError(f"expected a trajectory between 0 and {len(generated) - 1}, found {trajectory}; there is no other")
    if not any(len(generated.values[index]) for index in chosen):
        raise InputError("expected at least one generated frame, found none; generate some first")
    return chosen
