"""Contacts that switch smoothly between 0 and 1, and the fraction of native ones."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import (
    AnyFloatArray,
    BlockFeaturizer,
    FloatArray,
    plain_array,
    reference_array,
    uniform_schema,
)
from openmm_trajgan.features.distances import Distances
from openmm_trajgan.features.topology import Topology, as_mdtraj


class Contacts(BlockFeaturizer):
    """One smooth contact per pair of atoms, ``1 / (1 + (d / cutoff) ** steepness)``: 1 close by, 1/2 at the cutoff, 0 far away.

    This is the RATIONAL switching function of PLUMED with NN = `steepness`, MM = 2 NN, R_0 = `cutoff` and D_0 = 0. The distance d
    is that of the nearest image where there is a box.

    Parameters
    ----------
    pairs
        Atom indices, ``(n_pairs, 2)``.
    cutoff
        Distance of half a contact, nm.
    steepness
        Exponent; the slope at the cutoff is ``-steepness / (4 cutoff)``.
    names
        One unique name per pair; default ``"contact i-j"``.

    Raises
    ------
    InputError
        If the indices or names are not of that form, or a parameter is not positive.

    Examples
    --------
    >>> Contacts([[0, 1]], cutoff=0.5)([[0.0, 0.0, 0.0], [0.0, 0.0, 0.5]])
    array([0.5], dtype=float32)
    """

    def __init__(self, pairs: ArrayLike, cutoff: float = 0.45, steepness: float = 6.0, names: Sequence[str] | None = None) -> None:
        self._distances = Distances(pairs)
        self._cutoff, self._steepness = _positive("cutoff", cutoff, "nm"), _positive("steepness", steepness, "no unit")
        atoms = self._distances.schema.atoms
        labels = [f"contact {i}-{j}" for i, j in atoms] if names is None else names
        super().__init__(uniform_schema(labels, atoms, kind="contact", unit=""), self._distances.n_atoms_needed)

    def _compute(self, frames: AnyFloatArray, boxes: AnyFloatArray | None) -> FloatArray:
        distances = self._distances._compute(frames, boxes).astype(np.float64)
        return (1 / (1 + (distances / self._cutoff) ** self._steepness)).astype(np.float32)


class NativeContacts(BlockFeaturizer):
    """Fraction of native contacts Q, one feature between 0 and 1.

    Mean of ``1 / (1 + exp(steepness (d - tolerance d0)))`` over the pairs, eq. 1 of Best, Hummer and Eaton, PNAS 110, 17874
    (2013), doi:10.1073/pnas.1311599110. The distance d is that of the nearest image where there is a box.

    Parameters
    ----------
    pairs
        Atom indices of the native contacts, ``(n_pairs, 2)``.
    reference_distances
        Their distances d0 in the native structure, ``(n_pairs,)``, nm.
    steepness
        β of the paper, nm⁻¹.
    tolerance
        λ of the paper, no unit: 1.8 for all-atom models, 1.2 for models with one bead per residue.
    name
        Name of the feature.

    Raises
    ------
    InputError
        If the pairs are not of that form, there is not one distance for each, or a parameter is not positive.

    Examples
    --------
    >>> q = NativeContacts([[0, 1]], [0.4])
    >>> q([[0.0, 0.0, 0.0], [0.0, 0.0, 0.72]]).round(3), q([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]]).round(3)
    (array([0.5], dtype=float32), array([0.], dtype=float32))
    """

    def __init__(
        self,
        pairs: ArrayLike,
        reference_distances: ArrayLike,
        steepness: float = 50.0,
        tolerance: float = 1.8,
        name: str = "native contacts",
    ) -> None:
        self._distances = Distances(pairs)
        native = plain_array(reference_distances, "reference_distances").astype(np.float64)
        n_pairs = self._distances.schema.n_features
        if native.shape != (n_pairs,) or not (np.isfinite(native) & (native > 0)).all():
            raise InputError(f"reference_distances: expected {n_pairs} positive numbers in nm, found {_shown(native)}")
        self._steepness = _positive("steepness", steepness, "nm⁻¹")
        self._reach = _positive("tolerance", tolerance, "no unit") * native
        atoms = [np.unique(np.array(self._distances.schema.atoms)).tolist()]
        super().__init__(uniform_schema([name], atoms, kind="native_contacts", unit=""), self._distances.n_atoms_needed)

    @classmethod
    def from_reference(
        cls, topology: Topology, reference_positions: ArrayLike, cutoff: float = 0.45, min_separation: int = 4
    ) -> "NativeContacts":
        """Native contacts as defined in the paper: heavy protein atoms near each other in a reference structure.

        Parameters
        ----------
        topology
            Of the whole system; atoms outside proteins are passed over.
        reference_positions
            Native structure with whole molecules, ``(n_atoms, 3)``, nm.
        cutoff
            Largest distance of a native contact, nm.
        min_separation
            Smallest difference of the residue indices of a contact.

        Raises
        ------
        InputError
            If the numbers of atoms differ or there is no native contact.
        """
        from MDAnalysis.lib.distances import self_capped_distance

        molecules, native = as_mdtraj(topology), reference_array(reference_positions)
        if len(native) != molecules.n_atoms:
            raise InputError(f"reference positions: expected {molecules.n_atoms} atoms as in the topology, found {len(native)}")
        heavy = molecules.select("protein and not element H")
        residues = np.array([molecules.atom(index).residue.index for index in heavy], dtype=np.intp)
        near: NDArray[np.intp] = np.empty((0, 2), dtype=np.intp)
        if len(heavy):
            near, distances = self_capped_distance(native[heavy], max_cutoff=_positive("cutoff", cutoff, "nm"))
            apart = abs(residues[near[:, 0]] - residues[near[:, 1]]) >= min_separation
            near, distances = near[apart], distances[apart]
        if not len(near):
            raise InputError(
                f"native contacts: expected heavy protein atoms within {cutoff:g} nm and {min_separation} residues apart, "
                f"found none among {len(heavy)}; are the positions in nm?"
            )
        order = np.lexsort(near.T[::-1])
        return cls(heavy[near[order]], distances[order])

    def _compute(self, frames: AnyFloatArray, boxes: AnyFloatArray | None) -> FloatArray:
        excess = self._distances._compute(frames, boxes) - self._reach
        # the logistic function written so that no exponential overflows far from the native state
        decay = np.exp(-self._steepness * np.abs(excess))
        formed = np.where(excess > 0, decay, 1.0) / (1 + decay)
        fraction: FloatArray = formed.mean(axis=1, keepdims=True).astype(np.float32)
        return fraction


def _positive(name: str, value: float, unit: str) -> float:
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"{name}: expected a positive number ({unit}), found {value!r}")
    return float(value)


def _shown(values: NDArray[np.float64]) -> str:
    return f"shape {values.shape}" if values.ndim != 1 else f"{len(values)} numbers, smallest {values.min(initial=np.inf):g}"
