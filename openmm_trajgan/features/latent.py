"""Projections of features onto a few numbers, fitted to training data: principal components, TICA and VAMP, an autoencoder.

Fit them to the replicas a model trains on and to no other: what is held out must not shape the axes it is judged on. A fitted
projection is a featurizer like any other, computed by NumPy alone, so that a simulation which reports it needs neither PyTorch nor
deeptime. Those with a way back have a method `decode`.
"""

import hashlib
import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_trajgan.arguments import whole_number
from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import Featurizer, FloatArray
from openmm_trajgan.features.from_schema import from_schema
from openmm_trajgan.features.periodic import CirclePoints
from openmm_trajgan.schema import (
    FORMAT_VERSION,
    FeatureSchema,
    FeatureTrajectories,
    HasTrajectories,
    require_known_version,
    written_by,
)
from openmm_trajgan.storage import replacing
from openmm_trajgan.untrusted import parse_json, read_npz

Doubles: TypeAlias = NDArray[np.float64]
TrainingData: TypeAlias = FeatureTrajectories | HasTrajectories | Iterable[ArrayLike]

_FORMAT = "openmm-trajgan latent"
_UNCHANGING = "training data: expected features that change, found one value in all frames; collect more"


class Latent(ABC):
    """What all projections share: positions or feature values in, latent out, one file to keep them in.

    Build one with `fit` of a subclass. Angles enter as cosine and sine. Column names carry six digits that stand for the data and
    the settings of the fit, ``"PC 1 #3f2a9c"``: a model trained on one projection meets another and fails instead of going wrong.

    Parameters
    ----------
    features
        The featurizer whose values are projected.
    schema
        What the columns of the latent are.
    arrays
        The numbers of the fit, float64.
    """

    label: ClassVar[str]

    def __init__(self, features: Featurizer, schema: FeatureSchema, arrays: Mapping[str, Doubles]) -> None:
        self.features = features
        self.schema = schema
        self._arrays = dict(arrays)
        self._circle = CirclePoints(features.schema)

    def __call__(self, positions: ArrayLike, box: ArrayLike | None = None) -> FloatArray:
        """Compute the latent of one frame or of a block of frames; arguments and errors are those of `features`.

        Returns
        -------
        FloatArray
            ``(n_latent,)`` or ``(n_frames, n_latent)``.
        """
        return self.transform(self.features(positions, box))

    def transform(self, feature_values: ArrayLike) -> FloatArray:
        """Project values of the inner features.

        Parameters
        ----------
        feature_values
            ``(n_features,)`` or ``(n_frames, n_features)`` in the units of `features.schema`.

        Returns
        -------
        FloatArray
            ``(n_latent,)`` or ``(n_frames, n_latent)``.

        Raises
        ------
        InputError
            If there is another number of features.
        """
        # In float64 one frame and the row of a block round to the same float32, whatever order the matrix product sums in
        values = row_array(feature_values, self.features.schema.n_features, "feature values", "n_features")
        latent: FloatArray = self._project(self._circle.points(np.atleast_2d(values))).astype(np.float32)
        return latent[0] if values.ndim == 1 else latent

    def transform_trajectories(self, trajectories: FeatureTrajectories) -> FeatureTrajectories:
        """Project whole trajectories; replica names, provenance and frame interval stay.

        Raises
        ------
        SchemaMismatchError
            If they hold other features than `features`.
        """
        self.features.schema.require_same(trajectories.schema, "the projection", "the data")
        interval = trajectories.schema.frame_interval
        return FeatureTrajectories(
            [self.transform(series) for series in trajectories],
            self.schema if interval is None else self.schema.with_frame_interval(interval),
            trajectories.replicas,
            trajectories.provenance,
        )

    @abstractmethod
    def _project(self, points: Doubles) -> Doubles:
        """Latent ``(n_frames, n_latent)`` of features with angles as points ``(n_frames, n_points)``."""

    def save(self, path: Path | str) -> None:
        """Write a file: an uncompressed ``.npz`` archive (whatever the ending of `path`), complete or not at all."""
        header = {
            "format": _FORMAT,
            "version": FORMAT_VERSION,
            "package": written_by(),
            "kind": type(self).__name__,
            "features": self.features.schema.model_dump(mode="json"),
            "schema": self.schema.model_dump(mode="json"),
        }
        arrays: dict[str, Any] = dict(self._arrays)
        with replacing(Path(path)) as file:
            np.savez(file, header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8), **arrays)

    @classmethod
    def load(cls, path: Path | str, features: Featurizer | None = None) -> Self:
        """Read a file written by `save`; ``Latent.load`` reads every kind, a subclass only its own.

        Parameters
        ----------
        path
            The file.
        features
            The featurizer it was fitted on, built anew; None rebuilds it where its schema tells how, see `from_schema`.

        Raises
        ------
        SchemaMismatchError
            If it was fitted on other features.
        InputError
            If the file is missing, truncated, of another kind or of a newer format, or does not tell how to rebuild `features`.
        """
        try:
            arrays = read_npz(Path(path), compressed=False)
            header = parse_json(arrays.pop("header").tobytes())
            if header["format"] != _FORMAT:
                raise InputError(f"{path}: expected a fitted projection, found {header['format']!r}")
            require_known_version(header["version"], header.get("package"), Path(path))
            fitted_on = FeatureSchema.model_validate(header["features"])
            schema = FeatureSchema.model_validate(header["schema"])
            kind = header["kind"]
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; give the path of a fitted projection") from None
        except (OSError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: not a complete file of a fitted projection ({error}); fit and save it again") from error
        kinds = {found.__name__: found for found in _subclasses(cls)}
        if kind not in kinds:
            raise InputError(f"{path}: expected a projection of kind {' or '.join(kinds)}, found {kind}; use Latent.load")
        features = from_schema(fitted_on) if features is None else features
        fitted_on.require_same(features.schema, str(path), "the featurizer given")
        loaded: Self = kinds[kind](features, schema, arrays)
        return loaded

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.schema.names)}; {self.features!r})"


class _Linear(Latent):
    """A projection by one matrix."""

    def _project(self, points: Doubles) -> Doubles:
        return (points - self._arrays["mean"]) / self._arrays["scale"] @ self._arrays["axes"]


class Decodable(Latent):
    """A projection with a way back."""

    def decode(self, latent: ArrayLike) -> FloatArray:
        """Feature values that a latent stands for.

        Parameters
        ----------
        latent
            ``(n_latent,)`` or ``(n_frames, n_latent)``.

        Returns
        -------
        FloatArray
            ``(n_features,)`` or ``(n_frames, n_features)`` in the units of `features.schema`.

        Raises
        ------
        InputError
            If there is another number of columns.
        """
        values = row_array(latent, self.schema.n_features, "latent", "n_latent")
        decoded = self._circle.values(self._back(np.atleast_2d(values)))
        return decoded[0] if values.ndim == 1 else decoded

    @abstractmethod
    def _back(self, latent: Doubles) -> Doubles:
        """Features with angles as points ``(n_frames, n_points)`` of latents ``(n_frames, n_latent)``."""


class PCA(_Linear, Decodable):
    """Principal components: the orthogonal directions of largest variance, with the linear way back.

    Examples
    --------
    >>> from openmm_trajgan.features import Distances
    >>> pairs, rng = Distances([[0, 1], [1, 2]]), np.random.default_rng(0)
    >>> stretch = rng.normal(size=(500, 1)) * [3.0, 4.0] + [10.0, 20.0]
    >>> pca = PCA.fit(pairs, [stretch], 1)
    >>> pca.decode(pca.transform([[13.0, 24.0]])).round(3)
    array([[13., 24.]], dtype=float32)
    """

    label = "PC"

    @classmethod
    def fit(cls, features: Featurizer, training: TrainingData, n_components: int = 2, *, standardize: bool = False) -> Self:
        """Fit to training replicas.

        Parameters
        ----------
        features
            The featurizer that made the data.
        training
            Trajectories, a buffer of them, or arrays ``(n_frames, n_features)`` in the units of `features.schema`.
        n_components
            Dimension of the latent, largest variance first.
        standardize
            Divide every feature by its standard deviation before; needed where features have different units.

        Raises
        ------
        SchemaMismatchError
            If the trajectories hold other features.
        InputError
            If the data do not fit the features, do not change, are too few for so many components, or mix units without
            `standardize`.
        """
        n_components = whole_number(n_components, "n_components")
        series, fingerprint = training_series(features, training, cls.__name__, n_components, bool(standardize))
        circle = CirclePoints(features.schema)
        if len(set(circle.units)) > 1 and not standardize:
            units = ", ".join(sorted({unit or "none" for unit in circle.units}))
            raise InputError(f"features: expected one unit, found {units} (angles enter without one); pass standardize=True")
        points = circle.points(np.concatenate(series))
        if not np.ptp(points, axis=0).any():
            raise InputError(_UNCHANGING)
        require_components(n_components, min(points.shape[1], len(points) - 1))
        mean, scale = points.mean(axis=0), standard_deviations(points) if standardize else np.ones(points.shape[1])
        variances, directions = np.linalg.eigh(np.cov((points - mean) / scale, rowvar=False).reshape(points.shape[1], -1))
        axes = directions[:, ::-1][:, :n_components]
        unit = "" if standardize else circle.units[0]
        explained = variances[::-1][:n_components] / variances.sum()
        return cls(
            features,
            latent_schema(cls.label, n_components, fingerprint, unit),
            {"mean": mean, "scale": scale, "axes": _signed(axes), "explained_variance": explained},
        )

    @property
    def explained_variance(self) -> Doubles:
        """Share of the variance of the (standardised) training data along each component, ``(n_latent,)``."""
        return self._arrays["explained_variance"]

    def _back(self, latent: Doubles) -> Doubles:
        return latent @ self._arrays["axes"].T * self._arrays["scale"] + self._arrays["mean"]


class _TimeLagged(_Linear):
    """A projection onto the slowest processes, from correlations between frames a lag apart; there is no way back."""

    @classmethod
    def fit(cls, features: Featurizer, training: TrainingData, n_components: int = 2, *, lag: int) -> Self:
        """Fit to training replicas with deeptime.

        Parameters
        ----------
        features
            The featurizer that made the data; with many features, fitting on a `PCA` of them keeps noise out of the slow axes.
        training
            Trajectories, a buffer of them, or arrays ``(n_frames, n_features)`` in the units of `features.schema`.
        n_components
            Dimension of the latent, slowest first.
        lag
            Lag time, frames.

        Raises
        ------
        SchemaMismatchError
            If the trajectories hold other features.
        InputError
            If the data do not fit the features, no series is longer than the lag, or the data have too few dimensions.
        """
        n_components, lag = whole_number(n_components, "n_components"), whole_number(lag, "lag")
        series, fingerprint = training_series(features, training, cls.__name__, n_components, lag)
        circle = CirclePoints(features.schema)
        points = [circle.points(values) for values in series if len(values) > lag]
        if not points:
            longest = max(len(values) for values in series)
            raise InputError(f"lag: expected 1 to {longest - 1} frames, the longest series has {longest}, found {lag}")
        require_components(n_components, min(circle.n_points, sum(map(len, points)) - 1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deeptime's import
            from deeptime import decomposition
        scale = standard_deviations(np.concatenate(points))
        estimator = getattr(decomposition, cls.__name__)(lagtime=lag, dim=n_components)
        try:
            model = estimator.fit_fetch([part / scale for part in points])
        except np.linalg.LinAlgError as error:
            raise InputError(_UNCHANGING) from error
        if model.output_dimension < n_components:
            raise InputError(f"n_components: the data have {model.output_dimension} independent dimensions, found {n_components}")
        axes = np.asarray(model.instantaneous_coefficients, dtype=np.float64)[:, :n_components]
        return cls(
            features,
            latent_schema(cls.label, n_components, fingerprint, ""),
            {"mean": np.asarray(model.mean_0) * scale, "scale": scale, "axes": _signed(axes)},
        )


class TICA(_TimeLagged):
    """Time-lagged independent components, for data in equilibrium (Pérez-Hernández et al., J. Chem. Phys. 139, 015102 (2013))."""

    label = "TIC"


class VAMP(_TimeLagged):
    """Singular functions of the variational approach to Markov processes, also out of equilibrium (Wu & Noé 2020)."""

    label = "VAMP"


def _signed(axes: Doubles) -> Doubles:
    """Axes ``(n_points, n_latent)`` with a sign of their own, which eigenvectors lack: the largest entry of each is positive."""
    signed: Doubles = axes * np.sign(axes[abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return signed


def training_series(features: Featurizer, training: TrainingData, *settings: Any) -> tuple[list[Doubles], str]:
    """Check the data; return the series in float64 and six digits that stand for them and for the settings."""
    if isinstance(training, HasTrajectories):
        training = training.trajectories()
    if isinstance(training, FeatureTrajectories):
        features.schema.require_same(training.schema, "the featurizer", "the training data")
    trajectories = training if isinstance(training, FeatureTrajectories) else FeatureTrajectories(training, features.schema)
    digest = hashlib.sha256(json.dumps([features.schema.digest, *settings]).encode())
    for series in trajectories:
        digest.update(series.tobytes())
    return [series.astype(np.float64) for series in trajectories], digest.hexdigest()[:6]


def latent_schema(label: str, n_components: int, fingerprint: str, unit: str) -> FeatureSchema:
    """Describe the columns of a latent."""
    return FeatureSchema(
        names=tuple(f"{label} {number} #{fingerprint}" for number in range(1, n_components + 1)),
        units=(unit,) * n_components,
        periods=(None,) * n_components,
        kinds=("latent",) * n_components,
    )


def row_array(values: ArrayLike, n_columns: int, what: str, columns: str) -> Doubles:
    """Check that `values` are ``(n_columns,)`` or ``(n_frames, n_columns)``, and return them in float64."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim not in (1, 2) or array.shape[-1] != n_columns:
        raise InputError(
            f"{what}: expected shape ({columns},) or (n_frames, {columns}) with {n_columns} columns, found {array.shape}"
        )
    return array


def require_components(n_components: int, most: int) -> None:
    """Check the dimension of a latent."""
    if not 1 <= n_components <= most:
        raise InputError(f"n_components: expected 1 to {most}, as many as the data allow, found {n_components}")


def standard_deviations(points: Doubles) -> Doubles:
    """Return standard deviations ``(n_points,)``; 1 for a constant column, which stays constant."""
    deviations = points.std(axis=0)
    return np.where(deviations > 1e-6 * abs(points).max(axis=0), deviations, 1.0)


def _subclasses(of: type[Latent]) -> list[type[Any]]:
    return [of, *(found for child in of.__subclasses__() for found in _subclasses(child))]
