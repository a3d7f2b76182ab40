"""What the stations exchange: `FeatureSchema` says what the columns are, `FeatureTrajectories` holds them."""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from openmm_trajgan.errors import InputError, SchemaMismatchError
from openmm_trajgan.storage import replacing
from openmm_trajgan.untrusted import parse_json, read_npz

FORMAT_VERSION = 1
_LENGTH, _FRACTION = (0.0, math.inf), (0.0, 1.0)
_BOUNDS = {  # of values, by kind; other kinds have none
    "distance": _LENGTH,
    "centroid_distance": _LENGTH,
    "ligand_displacement": _LENGTH,
    "radius_of_gyration": _LENGTH,
    "rmsd": _LENGTH,
    "contact": _FRACTION,
    "native_contacts": _FRACTION,
}
_FRAME_INTERVAL_TOLERANCE = 1e-4  # relative; intervals read back from trajectory files carry float32 rounding


class FeatureSchema(BaseModel):
    """Names, units and periods of the features, the atoms that define them, and the time between frames.

    Parameters
    ----------
    names
        One unique name per feature.
    units
        One unit per feature, for example ``"rad"``, ``"nm"``, ``""`` for none.
    periods
        2π for an angle in radians, None for a feature on the line.
    kinds
        One kind per feature, for example ``"torsion"``, ``"distance"``, ``"contact"``, ``"custom"`` (default).
    atoms
        Indices of the atoms that define each feature; empty where the kind needs none.
    frame_interval
        Time between consecutive frames in ps; None until a simulation or a file has told.

    Raises
    ------
    InputError
        If the lengths differ, a name stands twice, or a period or the interval is not positive.

    Examples
    --------
    >>> schema = FeatureSchema(names=("phi", "psi"), units=("rad", "rad"), periods=(2 * math.pi, 2 * math.pi))
    >>> schema.n_features, schema.with_frame_interval(0.2).frame_interval
    (2, 0.2)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: tuple[str, ...] = Field(min_length=1)
    units: tuple[str, ...]
    periods: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)] | None, ...]
    kinds: tuple[str, ...] = ()
    atoms: tuple[tuple[int, ...], ...] = ()
    frame_interval: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(_first_problem(error)) from None

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        if isinstance(values, dict) and "names" in values:
            values = dict(values)
            if not isinstance(values["names"], list | tuple):
                return values
            n_features = len(values["names"])
            values["kinds"] = values.get("kinds") or ("custom",) * n_features
            values["atoms"] = values.get("atoms") or ((),) * n_features
        return values

    @model_validator(mode="after")
    def _check(self) -> "FeatureSchema":
        for label, column in (("units", self.units), ("periods", self.periods), ("kinds", self.kinds), ("atoms", self.atoms)):
            if len(column) != len(self.names):
                raise ValueError(f"{len(self.names)} names but {len(column)} {label}: give one per feature")
        for text in (*self.names, *self.units, *self.kinds):
            if not text.isprintable():
                raise ValueError(f"names, units and kinds must be printable in one line, found {text!r}")
        if len(set(self.names)) != len(self.names):
            repeated = sorted({name for name in self.names if self.names.count(name) > 1})
            raise ValueError(f"feature names must be unique, found twice: {', '.join(repeated)}")
        return self

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.names)

    @property
    def periodic(self) -> NDArray[np.bool_]:
        """Which features are periodic, shape ``(n_features,)``."""
        return np.array([period is not None for period in self.periods])

    @property
    def bounds(self) -> NDArray[np.float64]:
        """Least and greatest value that features of their kind can have, ``(n_features, 2)``; infinite where there is none."""
        return np.array([_BOUNDS.get(kind, (-math.inf, math.inf)) for kind in self.kinds])

    @property
    def digest(self) -> str:
        """Hash of the content, 16 hexadecimal digits."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:16]

    def with_frame_interval(self, frame_interval: float) -> "FeatureSchema":
        """Return the same features with the time between frames set, ps.

        Raises
        ------
        InputError
            If it is not positive and finite.
        """
        return FeatureSchema(**{**self.model_dump(), "frame_interval": frame_interval})

    def require_same(self, other: "FeatureSchema", mine: str, theirs: str) -> None:
        """Compare at a boundary; a frame interval that is not known yet on one side is no difference.

        Parameters
        ----------
        other
            The schema met at the boundary.
        mine, theirs
            What carries each schema, for the message.

        Raises
        ------
        SchemaMismatchError
            Naming the first difference.
        """
        for label in ("names", "units", "periods", "kinds", "atoms"):
            here, there = getattr(self, label), getattr(other, label)
            if here != there and not (label in ("kinds", "atoms") and "custom" in (*self.kinds, *other.kinds)):
                raise SchemaMismatchError(
                    f"{theirs} has other features than {mine}: {label} {_shown(there)} instead of {_shown(here)}; "
                    "use data collected with the same features"
                )
        here, there = self.frame_interval, other.frame_interval
        if here is not None and there is not None and not math.isclose(here, there, rel_tol=_FRAME_INTERVAL_TOLERANCE):
            raise SchemaMismatchError(
                f"{theirs} has a frame every {there:g} ps, {mine} every {here:g} ps; use the same frame interval"
            )

    def wrap(self, differences: NDArray[np.floating]) -> NDArray[np.floating]:
        """Bring differences of periodic features to the nearest image, ``(..., n_features)``, units of the features."""
        wrapped = differences.copy()
        for column, period in enumerate(self.periods):
            if period is not None:
                wrapped[..., column] -= period * np.round(wrapped[..., column] / period)
        return wrapped


def _first_problem(error: ValidationError) -> str:
    """Say in one line which value is wrong, and how."""
    first = error.errors()[0]
    name, text = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
    return f"{name}: {text}, found {first['input']!r:.80}" if name and first["type"] != "missing" else f"{name} {text}".strip()


def _shown(values: tuple[Any, ...]) -> str:
    head = ", ".join(str(value) for value in values[:4])
    return f"({head}, … {len(values)} in all)" if len(values) > 4 else f"({head})"


@dataclass(frozen=True)
class FeatureTrajectories:
    """Independent time series of the same features.

    Parameters
    ----------
    values
        One float32 array ``(n_frames, n_features)`` per time series, in the units of the schema. Lengths may differ. Estimators of
        deeptime take this list as it is.
    schema
        What the columns are.
    replicas
        Which independent simulation each series comes from; two series of one replica (separated by a gap) share the name.
        Default: every series is a replica of its own.
    provenance
        Where the values come from, as short texts; kept in files.

    Raises
    ------
    InputError
        If a series has another shape, holds a value that is not finite, or there is none.

    Examples
    --------
    >>> schema = FeatureSchema(names=("x",), units=("nm",), periods=(None,), frame_interval=1.0)
    >>> data = FeatureTrajectories([np.zeros((5, 1)), np.ones((3, 1))], schema)
    >>> len(data), data.n_frames, data.select(["1"]).n_frames
    (2, 8, 3)
    """

    values: list[NDArray[np.float32]]
    schema: FeatureSchema
    replicas: tuple[str, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __init__(
        self,
        values: Iterable[ArrayLike],
        schema: FeatureSchema,
        replicas: Iterable[str] | None = None,
        provenance: Mapping[str, str] | None = None,
    ) -> None:
        arrays = [np.ascontiguousarray(series, dtype=np.float32) for series in values]
        names = tuple(str(index) for index in range(len(arrays))) if replicas is None else tuple(replicas)
        if not arrays:
            raise InputError("expected at least one time series, found none")
        if len(names) != len(arrays):
            raise InputError(f"{len(arrays)} time series but {len(names)} replica names; give one per series")
        for name, series in zip(names, arrays, strict=True):
            if series.ndim != 2 or series.shape[1] != schema.n_features:
                raise InputError(
                    f"series {name!r}: expected shape (n_frames, {schema.n_features}), found {series.shape}; "
                    "one row per frame, one column per feature"
                )
            if not np.isfinite(series).all():
                frame, column = np.argwhere(~np.isfinite(series))[0]
                raise InputError(
                    f"series {name!r}: frame {frame} of feature {schema.names[column]!r} is {series[frame, column]}; "
                    "every value must be finite"
                )
        object.__setattr__(self, "values", arrays)
        object.__setattr__(self, "schema", schema)
        object.__setattr__(self, "replicas", names)
        object.__setattr__(self, "provenance", dict(provenance or {}))

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return iter(self.values)

    @property
    def n_frames(self) -> int:
        """Frames in all series together."""
        return sum(len(series) for series in self.values)

    @property
    def replica_names(self) -> tuple[str, ...]:
        """The independent replicas, each once, in order of appearance."""
        return tuple(dict.fromkeys(self.replicas))

    @property
    def digest(self) -> str:
        """SHA-256 of all values, 64 hexadecimal digits."""
        total = hashlib.sha256()
        for series in self.values:
            total.update(series.data)
        return total.hexdigest()

    def select(self, replicas: str | Iterable[str]) -> "FeatureTrajectories":
        """Return the series of the named replicas, or of the one that is named.

        Raises
        ------
        InputError
            If a name is unknown.
        """
        wanted = [replicas] if isinstance(replicas, str) else list(replicas)
        unknown = [str(name) for name in wanted if name not in self.replicas]
        if unknown:
            raise InputError(f"no replica named {', '.join(unknown)}; there are {', '.join(self.replica_names)}")
        kept = [(name, series) for name, series in zip(self.replicas, self.values, strict=True) if name in wanted]
        return FeatureTrajectories([series for _, series in kept], self.schema, [name for name, _ in kept], self.provenance)

    def save(self, path: Path | str) -> None:
        """Write a file: an uncompressed ``.npz`` archive (whatever the ending of `path`) with the schema inside."""
        header = {
            "format": "openmm-trajgan trajectories",
            "version": FORMAT_VERSION,
            "package": written_by(),
            "schema": self.schema.model_dump(mode="json"),
            "replicas": self.replicas,
            "provenance": self.provenance,
        }
        arrays: dict[str, Any] = {f"series{index:06d}": series for index, series in enumerate(self.values)}
        with replacing(Path(path)) as file:
            np.savez(file, header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8), **arrays)

    @classmethod
    def load(cls, path: Path | str) -> "FeatureTrajectories":
        """Read a file written by `save`.

        Raises
        ------
        InputError
            If the file is missing, truncated, of another kind or of a newer format.
        """
        try:
            arrays = read_npz(Path(path), compressed=False)
            header = parse_json(arrays["header"].tobytes())
            if header["format"] != "openmm-trajgan trajectories":
                raise InputError(f"{path}: expected generated trajectories, found {header['format']!r}")
            require_known_version(header["version"], header.get("package"), path)
            replicas, provenance = header["replicas"], header["provenance"]
            if not isinstance(replicas, list) or not all(isinstance(name, str) and name.isprintable() for name in replicas):
                raise ValueError("replicas: expected a list of names")
            if not isinstance(provenance, dict) or not all(isinstance(text, str) for text in provenance.values()):
                raise ValueError("provenance: expected texts by name")
            values = [arrays[f"series{index:06d}"] for index in range(len(replicas))]
            if not all(series.dtype == np.float32 for series in values):
                raise ValueError("series: expected float32 numbers")
            schema = FeatureSchema.model_validate(header["schema"])
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; give the path of a trajectory file") from None
        except (OSError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: not a complete openmm-trajgan trajectory file ({reason}); make it again") from error
        return cls(values, schema, replicas, provenance)


@runtime_checkable
class HasTrajectories(Protocol):
    """Anything that gives its content as trajectories, such as a buffer."""

    def trajectories(self) -> FeatureTrajectories:
        """Return the content."""
        ...


def written_by() -> str:
    """Version of this package, which files carry for those who need it to read them."""
    return version("openmm-trajgan")


def require_known_version(number: object, package: object, path: Path | str) -> None:
    """Refuse a file of a format that this version of the package does not know.

    Parameters
    ----------
    number
        Version of the format.
    package
        Version of the package that wrote the file, if it tells.
    path
        The file.

    Raises
    ------
    InputError
        If it is newer.
    TypeError
        If it is no number at all.
    """
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise TypeError(f"version: expected a number from 1 on, found {number!r}")
    if number > FORMAT_VERSION:
        told = isinstance(package, str) and re.fullmatch(r"[0-9]+(\.[0-9a-z]+)*", package)
        newer = f"openmm-trajgan>={package}" if told else "openmm-trajgan"
        raise InputError(
            f"{path}: format {number} is newer than {FORMAT_VERSION}; upgrade openmm-trajgan: pip install --upgrade '{newer}'"
        )


def require_trajectories(data: object) -> FeatureTrajectories:
    """Return time series that say what their columns are.

    Raises
    ------
    InputError
        If `data` are something else, such as arrays.
    """
    if not isinstance(data, FeatureTrajectories):
        raise InputError(
            f"expected FeatureTrajectories or a WindowBuffer, found {type(data).__name__}; "
            "say what the columns of arrays are, FeatureTrajectories(arrays, schema)"
        )
    return data
