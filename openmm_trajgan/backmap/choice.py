"""Which backmapper for which features and molecule, and why."""

from dataclasses import dataclass
from typing import Literal, get_args

import MDAnalysis
import numpy as np

from openmm_trajgan.backmap.base import Backmapper
from openmm_trajgan.backmap.decoder import Decoded
from openmm_trajgan.backmap.distance_geometry import DistanceGeometry
from openmm_trajgan.backmap.fragments import Fragments
from openmm_trajgan.backmap.identity import KINDS, Identity
from openmm_trajgan.backmap.internal_coordinates import MOST_RESIDUES, InternalCoordinates
from openmm_trajgan.backmap.molecule import has_frames
from openmm_trajgan.backmap.nearest_frames import NearestFrames
from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import Featurizer
from openmm_trajgan.schema import FeatureSchema

Method = Literal["identity", "internal_coordinates", "nearest_frames", "distance_geometry", "fragments"]
_BACKMAPPERS = {
    "identity": Identity,
    "internal_coordinates": InternalCoordinates,
    "nearest_frames": NearestFrames,
    "distance_geometry": DistanceGeometry,
    "fragments": Fragments,
}
_MOST_DISTANCES = 0.5  # share of all distances between the atoms; fewer leave the structure to guesses


@dataclass(frozen=True)
class Choice:
    """A method of backmapping and the reason for it.

    Parameters
    ----------
    method
        One of `Method`.
    reason
        In words, for provenance.
    """

    method: Method
    reason: str

    def backmapper(self, featurizer: Featurizer) -> Backmapper:
        """Return a backmapper that is still to be fitted; a latent with a decoder is decoded first, unless frames are looked up."""
        made: Backmapper = _BACKMAPPERS[self.method]()
        if hasattr(featurizer, "decode") and self.method != "nearest_frames":
            return Decoded(made)
        return made


def choose(schema: FeatureSchema, molecule: MDAnalysis.Universe | None, n_reference: int, method: str | None = None) -> Choice:
    """Choose how to make structures.

    Parameters
    ----------
    schema
        What the features are.
    molecule
        Names and bonds; None for coordinates of one particle.
    n_reference
        Frames of the reference.
    method
        The caller's own choice, one of `Method`; None leaves it to this function.

    Raises
    ------
    InputError
        If there is no such method, or none that fits.

    Examples
    --------
    >>> from openmm_trajgan.features import Coordinates
    >>> choose(Coordinates([0]).schema, None, 0)
    Choice(method='identity', reason='the features are the coordinates of one particle')
    """
    if method is not None:
        for known in get_args(Method):
            if method == known:
                return Choice(known, "asked for")
        raise InputError(f"method: expected one of {', '.join(get_args(Method))}, or None, found {method!r}")
    if set(schema.kinds) <= KINDS and len({atoms for atoms in schema.atoms if atoms}) <= 1:
        return Choice("identity", "the features are the coordinates of one particle")
    obstacle = "they are neither torsions nor most distances between some atoms"
    if set(schema.kinds) == {"distance"} and _share_of_distances(schema) >= _MOST_DISTANCES:
        return Choice(
            "distance_geometry", f"the features are {_share_of_distances(schema):.0%} of the distances between some atoms"
        )
    if "torsion" in schema.kinds:
        obstacle = "" if molecule is None else _obstacle(molecule)
        if not obstacle:
            return Choice("internal_coordinates", "the features hold torsions of one molecule that is short enough to be rebuilt")
    if n_reference < 2:
        raise InputError(
            f"structures cannot be built from these features: {obstacle}; give molecular dynamics whose frames can stand "
            f"for them, reference= or --reference (there are {n_reference} now)"
        )
    return Choice("nearest_frames", f"structures cannot be built from the features: {obstacle}; frames of MD stand for them")


def n_frames_of(universe: MDAnalysis.Universe | None) -> int:
    """Count frames; 0 without a trajectory."""
    return len(universe.trajectory) if universe is not None and has_frames(universe) else 0


def _share_of_distances(schema: FeatureSchema) -> float:
    n_atoms = len({atom for atoms in schema.atoms for atom in atoms})
    pairs = {frozenset(atoms) for atoms in schema.atoms}
    return 2 * len(pairs) / (n_atoms * (n_atoms - 1)) if n_atoms > 3 and all(len(pair) == 2 for pair in pairs) else 0.0


def _obstacle(molecule: MDAnalysis.Universe) -> str:
    """Say why torsions of a system cannot be set, or nothing."""
    if len(molecule.residues) > MOST_RESIDUES:
        return f"errors of torsions add up along {len(molecule.residues)} residues"
    if hasattr(molecule, "bonds") and len(molecule.atoms.bonds):
        n_molecules = len(np.unique(molecule.atoms.fragindices))
        if n_molecules > 1:
            return f"torsions do not say how {n_molecules} molecules lie to each other"
    return ""
