"""Which backmapper for which features and molecule, and why."""

from dataclasses import dataclass
from typing import Any

import MDAnalysis

from openmm_trajgan.backmap.base import Backmapper
from openmm_trajgan.backmap.identity import KINDS, Identity
from openmm_trajgan.backmap.internal_coordinates import InternalCoordinates
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureSchema

METHODS: dict[str, type[Any]] = {"identity": Identity, "internal_coordinates": InternalCoordinates}


@dataclass(frozen=True)
class Choice:
    """A method of backmapping and the reason for it.

    Parameters
    ----------
    method
        One of `METHODS`.
    reason
        In words, for provenance.
    """

    method: str
    reason: str

    def backmapper(self) -> Backmapper:
        """Return a backmapper that is still to be fitted."""
        made: Backmapper = METHODS[self.method]()
        return made


def choose(schema: FeatureSchema, molecule: MDAnalysis.Universe | None, method: str | None = None) -> Choice:
    """Choose how to build structures.

    Parameters
    ----------
    schema
        What the features are.
    molecule
        The molecule with its bonds; None for coordinates of one particle.
    method
        The caller's own choice, one of `METHODS`; None leaves it to this function.

    Raises
    ------
    InputError
        If there is no such method.
    """
    if method is not None:
        if method not in METHODS:
            raise InputError(f"expected a method among {', '.join(METHODS)}, found {method!r}; choose one, or None")
        return Choice(method, "asked for")
    kinds = set(schema.kinds)
    if kinds <= KINDS and len({atoms for atoms in schema.atoms if atoms}) <= 1:
        return Choice("identity", "the features are the coordinates of one particle")
    return Choice("internal_coordinates", "torsions")
