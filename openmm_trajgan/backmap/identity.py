"""Features that are the coordinates of one particle."""

from typing import Self

import MDAnalysis
import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_trajgan.backmap.base import Structures
from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import Featurizer

KINDS = frozenset({"position", "cartesian"})


class Identity:
    """Backmapper for the coordinates of one particle, as in a model potential; coordinates that are no features are 0.

    Attributes
    ----------
    atoms : ndarray
        The one particle.

    Examples
    --------
    >>> from openmm_trajgan.features import Coordinates
    >>> Identity().fit(Coordinates([0], axes="xy")).backmap([[1.0, 2.0]], rng=np.random.default_rng(0)).positions
    array([[[1., 2., 0.]]], dtype=float32)
    """

    def __init__(self) -> None:
        self.atoms: NDArray[np.intp] = np.zeros(1, dtype=np.intp)

    def fit(self, featurizer: Featurizer, reference: MDAnalysis.Universe | None = None) -> Self:
        """Find the axis of each feature: the first letter of its name.

        Parameters
        ----------
        featurizer
            Of features of kind ``"position"`` or ``"cartesian"``, in nm, with names that begin with x, y or z, each at most once.
        reference
            Not needed: None, or a Universe of one atom.

        Returns
        -------
        Identity
            This object.

        Raises
        ------
        InputError
            If the features are not the coordinates of one particle, or the reference has more atoms.
        """
        schema = featurizer.schema
        axes = ["xyz".find(name[0].lower()) if name else -1 for name in schema.names]
        particles = {atoms for atoms in schema.atoms if atoms}
        if not set(schema.kinds) <= KINDS or min(axes) < 0 or len(set(axes)) < len(axes) or len(particles) > 1:
            raise InputError(
                f"expected the coordinates x, y, z of one particle, found {', '.join(schema.names[:4])} of kinds "
                f"{', '.join(sorted(set(schema.kinds)))}; choose another method for these features"
            )
        if set(schema.units) != {"nm"}:
            raise InputError(f"expected coordinates in nm, found {', '.join(sorted(set(schema.units)))}; convert the features")
        if reference is not None and len(reference.atoms) != 1:
            raise InputError(
                f"the features are the coordinates of one particle, the reference has {len(reference.atoms)} atoms; "
                "leave out reference and topology, or give a PDB file of one atom as topology"
            )
        self._axes = axes
        return self

    def backmap(self, features: ArrayLike, *, rng: np.random.Generator) -> Structures:
        """Positions of one time series.

        Parameters
        ----------
        features
            ``(n_frames, n_features)``, nm.
        rng
            Not needed; nothing is random here.

        Returns
        -------
        Structures
            Positions ``(n_frames, 1, 3)``.

        Raises
        ------
        InputError
            If `features` has another shape.
        """
        coordinates = np.asarray(features, dtype=np.float32)
        if coordinates.ndim != 2 or coordinates.shape[1] != len(self._axes):
            raise InputError(f"expected features (n_frames, {len(self._axes)}), found {coordinates.shape}; give one time series")
        positions = np.zeros((len(coordinates), 1, 3), dtype=np.float32)
        positions[:, 0, self._axes] = coordinates
        return Structures(positions)
