"""What featurizers ask of a topology: an mdtraj view of it, and short names of its residues."""

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from openmm_trajgan.errors import InputError

if TYPE_CHECKING:
    import mdtraj
    import openmm.app

Topology: TypeAlias = "openmm.app.Topology | mdtraj.Topology"


def as_mdtraj(topology: Topology) -> "mdtraj.Topology":
    """Return an OpenMM topology as an mdtraj one; an mdtraj topology passes through.

    Raises
    ------
    InputError
        If it is neither.
    """
    import mdtraj

    if isinstance(topology, mdtraj.Topology):
        return topology
    try:
        return mdtraj.Topology.from_openmm(topology)
    except TypeError:
        raise InputError(
            f"topology: expected an openmm.app.Topology or an mdtraj.Topology, found {type(topology).__name__}; "
            "pass its .topology if it has one"
        ) from None


def residue_labels(residues: Sequence[Any]) -> list[str]:
    """Short labels of mdtraj residues: the PDB number, with the chain where numbers clash, with the index where that clashes."""
    unique: dict[Hashable, Any] = {residue.index: residue for residue in residues}
    schemes: tuple[Callable[[Any], str], ...] = (
        lambda residue: f"{residue.resSeq}",
        lambda residue: f"{residue.chain.chain_id or residue.chain.index}:{residue.resSeq}",
        lambda residue: f"#{residue.index}",
    )
    label = next(scheme for scheme in schemes if len({scheme(residue) for residue in unique.values()}) == len(unique))
    return [label(residue) for residue in residues]
