"""What `DATA`, `REFERENCE` and `GENERATED` can be on the command line."""

import math
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories
from openmm_trajgan.untrusted import read_npy, read_npz
from openmm_trajgan.workflows.config import WorkflowConfig


class DataConfig(WorkflowConfig):
    """Options that say what arrays without a schema hold; what other data tell of themselves they may only repeat."""

    frame_interval: float | None = Field(None, gt=0, allow_inf_nan=False, description="time between frames of .npy data, ps")
    periodic: list[int] = Field([], description="columns of .npy data that are angles in radians, counted from 0")


def load_data(path: Path, config: DataConfig, like: FeatureSchema | None = None) -> FeatureTrajectories | WindowBuffer:
    """Open time series.

    Parameters
    ----------
    path
        A window buffer, a file of generated trajectories, one ``.npy`` or ``.npz`` file with arrays ``(n_frames, n_features)`` or
        ``(n_trajectories, n_frames, n_features)``, or a folder of such ``.npy`` files, one independent trajectory each.
    config
        Frame interval and angles, for arrays.
    like
        What the columns of arrays are, where data with a schema stand beside them.

    Raises
    ------
    InputError
        Naming the file, what was expected, what was found and what to do.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give a window buffer, an .npy file or a folder of .npy files")
    if (path / "buffer.json").exists():
        buffer = WindowBuffer(path)
        _require_agreement(path, buffer.schema, config)
        return buffer
    if path.is_dir():
        files = sorted(path.glob("*.npy"))
        if not files:
            raise InputError(f"{path}: expected a window buffer (buffer.json) or .npy files in the folder, found neither")
        series, names = [], []
        for file in files:
            array = load_array(file)
            if array.ndim != 2:
                raise InputError(f"{file}: expected one trajectory (n_frames, n_features), found shape {array.shape}")
            series.append(array)
            names.append(file.stem)
        return _with_schema(series, names, files, config, like)
    if path.suffix == ".npy":
        array = load_array(path)
        if array.ndim not in (2, 3):
            raise InputError(
                f"{path}: expected (n_frames, n_features) or (n_trajectories, n_frames, n_features), found shape {array.shape}"
            )
        series = list(array) if array.ndim == 3 else [array]
        return _with_schema(series, [f"{path.stem}-{index}" for index in range(len(series))], [path] * len(series), config, like)
    arrays = _load_archive(path) if path.suffix == ".npz" else {}
    if path.suffix == ".npz" and "header" not in arrays:
        series, names = [], []
        for name, array in arrays.items():
            _checked(array, path)
            if array.ndim not in (2, 3):
                raise InputError(f"{path}: expected (n_frames, n_features) in {name!r}, found shape {array.shape}")
            parts = list(array) if array.ndim == 3 else [array]
            series += parts
            names += [f"{name}-{index}" for index in range(len(parts))]
        return _with_schema(series, names, [path] * len(series), config, like)
    if path.suffix != ".npz" and not zipfile.is_zipfile(path):
        raise InputError(
            f"{path}: expected a window buffer, an .npy or .npz file, a folder of .npy files or generated trajectories, "
            "found none of these; check the path, or make a truncated file again"
        )
    loaded = FeatureTrajectories.load(path)
    _require_agreement(path, loaded.schema, config)
    if config.frame_interval is None or loaded.schema.frame_interval is not None:
        return loaded
    return replace(loaded, schema=loaded.schema.with_frame_interval(config.frame_interval))


def as_trajectories(data: FeatureTrajectories | WindowBuffer) -> FeatureTrajectories:
    """Load a buffer; leave trajectories as they are."""
    return data.trajectories() if isinstance(data, WindowBuffer) else data


def load_array(path: Path) -> NDArray[Any]:
    """Read an ``.npy`` file of real numbers.

    Raises
    ------
    InputError
        If it is not one.
    """
    try:
        return _checked(read_npy(path), path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give an .npy file of numbers") from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a complete .npy file of numbers ({error})") from error


def _load_archive(path: Path) -> dict[str, NDArray[Any]]:
    try:
        return read_npz(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a complete .npz file of numbers ({error})") from error


def _checked(array: NDArray[Any], path: Path) -> NDArray[Any]:
    if not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise InputError(f"{path}: expected real numbers, found {array.dtype}")
    return array


def _with_schema(
    series: list[NDArray[Any]], names: list[str], files: list[Path], config: DataConfig, like: FeatureSchema | None
) -> FeatureTrajectories:
    if not series:
        raise InputError("no trajectory in the data; check the file")
    n_features = series[0].shape[-1]
    for array, file in zip(series, files, strict=True):
        if not array.size:
            raise InputError(f"{file}: expected at least one frame and one feature, found {array.shape}; leave it out")
        if array.ndim != 2 or array.shape[1] != n_features:
            raise InputError(f"{file}: expected shape (n_frames, {n_features}) like {files[0].name}, found {array.shape}")
        if not np.isfinite(array).all():
            frame, column = np.argwhere(~np.isfinite(array))[0]
            raise InputError(f"{file}: frame {frame}, column {column} is {array[frame, column]}; every value must be finite")
    if like is not None:
        if like.n_features != n_features:
            raise InputError(
                f"{files[0]}: other features than those it stands beside, expected {like.n_features} columns, found {n_features}; "
                "use data collected with the same features"
            )
        _require_agreement(files[0], like, config)
        _require_radians(series, files, like, "the data beside it")
        return FeatureTrajectories(series, like, names)
    if config.frame_interval is None:
        raise InputError(f"{files[0]}: holds no time between frames; give --frame-interval in ps")
    outside = [column for column in config.periodic if not 0 <= column < n_features]
    if outside:
        raise InputError(f"--periodic {outside[0]}: the data have columns 0 to {n_features - 1}")
    angles = [column in config.periodic for column in range(n_features)]
    schema = FeatureSchema(
        names=tuple(f"feature {column}" for column in range(n_features)),
        units=tuple("rad" if angle else "" for angle in angles),
        periods=tuple(2 * math.pi if angle else None for angle in angles),
        frame_interval=config.frame_interval,
    )
    _require_radians(series, files, schema, "--periodic")
    return FeatureTrajectories(series, schema, names)


def _require_agreement(path: Path, schema: FeatureSchema, config: DataConfig) -> None:
    if config.frame_interval is not None:
        schema.require_same(schema.with_frame_interval(config.frame_interval), str(path), "--frame-interval")
    angles = np.flatnonzero(schema.periodic).tolist()
    if config.periodic and set(config.periodic) != set(angles):
        known = ", ".join(map(str, angles)) or "none"
        raise InputError(f"--periodic: the angles of {path} are known to be columns {known}, found {config.periodic}; leave it out")


def _require_radians(series: list[NDArray[Any]], files: list[Path], schema: FeatureSchema, told_by: str) -> None:
    for array, file in zip(series, files, strict=True):
        for column, period in enumerate(schema.periods):
            if period is not None and (largest := np.abs(array[:, column]).max()) > period + 1e-3:
                raise InputError(
                    f"{file}: column {column} is an angle by {told_by}, expected radians up to {period:.4g}, found {largest:.4g}; "
                    "convert it, from degrees perhaps"
                )
