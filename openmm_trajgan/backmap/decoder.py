"""Latents that have a decoder to structures: decoded to the features below them, and these to structures."""

from dataclasses import replace
from typing import Any, Self

import MDAnalysis
import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_trajgan.backmap.base import Backmapper, Pieces, Structures
from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import Featurizer


class Decoded:
    """Backmapper for a latent with a decoder, such as that of an autoencoder.

    The decoder answers with the features that the latent was made from; another backmapper takes it from there. It averages over
    all that the latent does not hold, so its distances or torsions need not fit together: compare the latent of the
    structures with the generated one. Far from what it was fitted to a decoder may answer with negative distances; they
    become 0, and the flag ``"below_zero"`` marks these frames.

    Parameters
    ----------
    inner
        Backmapper for the decoded features, for example `InternalCoordinates` for torsions.

    Attributes
    ----------
    atoms : NDArray[np.intp]
        Those of `inner`.

    Examples
    --------
    A latent that is a tenth of a coordinate:

    >>> from openmm_trajgan.backmap.identity import Identity
    >>> from openmm_trajgan.features import Coordinates
    >>> from openmm_trajgan.schema import FeatureSchema
    >>> class Tenth:
    ...     schema = FeatureSchema(names=("latent 1",), units=("",), periods=(None,))
    ...     features = Coordinates([0], axes="x")
    ...     def decode(self, latent):
    ...         return 10 * latent
    >>> particle = MDAnalysis.Universe.empty(1, trajectory=True)
    >>> decoded = Decoded(Identity()).fit(Tenth(), particle)
    >>> decoded.backmap([[0.5]], rng=np.random.default_rng(0)).positions
    array([[[5., 0., 0.]]], dtype=float32)
    """

    def __init__(self, inner: Backmapper) -> None:
        self.inner = inner

    @property
    def atoms(self) -> NDArray[np.intp]:
        """Atoms of the reference whose positions come out, ``(n_atoms,)``."""
        return self.inner.atoms

    @property
    def pieces(self) -> Pieces | None:
        """Whether and how a series can be built in pieces: as the inner backmapper does; see `PiecewiseBackmapper`."""
        return getattr(self.inner, "pieces", None)

    def fit(self, featurizer: Featurizer, reference: MDAnalysis.Universe) -> Self:
        """Fit the inner backmapper to the features below the latent.

        Parameters
        ----------
        featurizer
            The latent: besides its schema it has ``features``, the featurizer below, and ``decode``, from latents
            ``(n_frames, n_latent)`` to those features, ``(n_frames, n_features)``.
        reference
            What the inner backmapper needs.

        Returns
        -------
        Decoded
            This object.

        Raises
        ------
        InputError
            If the featurizer has no decoder, or the inner backmapper cannot use the features below.
        """
        decode, features = getattr(featurizer, "decode", None), getattr(featurizer, "features", None)
        if decode is None or features is None:
            raise InputError(
                f"expected a latent with a decoder, found {type(featurizer).__name__} without; use method nearest_frames"
            )
        self.inner.fit(features, reference)
        self._decode = decode
        self._distances = np.array([kind == "distance" for kind in features.schema.kinds])
        self._n_latent, self._n_features = featurizer.schema.n_features, features.schema.n_features
        return self

    def backmap(self, features: ArrayLike, *, rng: np.random.Generator, **place: Any) -> Structures:
        """Structures of one time series, or of a piece of it.

        Parameters
        ----------
        features
            Latents, ``(n_frames, n_latent)``.
        rng, **place
            For the inner backmapper.

        Returns
        -------
        Structures
            Those of the inner backmapper for the decoded features.

        Raises
        ------
        InputError
            If `fit` was not called, `features` has another shape or a value that is not finite, or the decoder answers with
            another shape.
        """
        if not hasattr(self, "_decode"):
            raise InputError("this backmapper has no decoder yet; call fit(featurizer, reference) first")
        latents = np.array(features, dtype=np.float32)  # a copy: a decoder may work in place
        if latents.ndim != 2 or latents.shape[1] != self._n_latent:
            raise InputError(f"expected latents (n_frames, {self._n_latent}), found {latents.shape}; give one time series")
        if not np.isfinite(latents).all():
            raise InputError(f"frame {np.argwhere(~np.isfinite(latents))[0, 0]} has a latent that is not finite; leave it out")
        decoded = np.asarray(self._decode(latents))
        if decoded.shape != (len(latents), self._n_features):
            raise InputError(
                f"expected decoded features {(len(latents), self._n_features)}, found {decoded.shape}; "
                "use the decoder that belongs to these features"
            )
        below_zero = (decoded < 0) & self._distances
        structures = self.inner.backmap(np.where(below_zero, 0, decoded), rng=rng, **place)
        return replace(structures, flags={**structures.flags, "below_zero": below_zero.any(axis=1)})
