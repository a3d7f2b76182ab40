"""First frames, last frames and anything else that must come out as it is, in one array."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_trajgan.errors import InputError


def given_frames(
    shape: tuple[int, int, int],
    window_length: int,
    *,
    start: ArrayLike | None = None,
    end: ArrayLike | None = None,
    given: ArrayLike | None = None,
) -> NDArray[np.float32] | None:
    """Lay out what is given.

    Parameters
    ----------
    shape
        Of what will be drawn, ``(n_trajectories, n_frames, n_features)``.
    window_length
        Frames drawn in one shot.
    start, end
        First and last frame or frames: ``(n_features,)``, ``(k, n_features)`` or ``(n_trajectories, k, n_features)``.
    given
        Anything, NaN where it is to be drawn, of shape `shape` or of that of one trajectory.

    Returns
    -------
    ndarray or None
        Shape `shape`, NaN where it is to be drawn; None if nothing is given.

    Raises
    ------
    InputError
        If a shape does not fit, a frame at an end is not finite, a frame is given twice with different values, or the end is
        further than one window from the start.

    Examples
    --------
    >>> given_frames((1, 4, 1), 8, start=[0.5], end=[2.0])[0, :, 0].tolist()
    [0.5, nan, nan, 2.0]
    """
    if start is None and end is None and given is None:
        return None
    n_trajectories, n_frames, n_features = shape
    frames = np.full(shape, np.nan, np.float32)
    if given is not None:
        whole = _numbers("given", given)
        if whole.shape not in (shape, shape[1:]):
            raise InputError(f"given: expected shape {shape[1:]} or {shape}, found {whole.shape}")
        if np.isinf(whole).any():
            raise InputError(f"given: expected finite values, or NaN for what is to be drawn, found {whole[np.isinf(whole)][0]}")
        frames[:] = whole
    parts = {name: np.atleast_2d(_numbers(name, part)) for name, part in (("start", start), ("end", end)) if part is not None}
    for name, part in parts.items():
        n_given = part.shape[-2]
        if part.shape not in ((n_given, n_features), (n_trajectories, n_given, n_features)) or n_given > n_frames:
            raise InputError(f"{name}: expected {n_features} features for up to {n_frames} frames, found shape {part.shape}")
        if not np.isfinite(part).all():
            raise InputError(f"{name}: expected finite values, found {part[~np.isfinite(part)][0]}; give NaN in `given` only")
        place = frames[:, slice(n_given) if name == "start" else slice(n_frames - n_given, None)]
        if ((place != part) & ~np.isnan(place)).any():
            raise InputError(f"{name}: found frames that are given with other values too; give each frame once")
        place[:] = part
    if "end" in parts:
        most = window_length + parts["end"].shape[-2] - 1 + (parts["start"].shape[-2] if "start" in parts else 1)
        if n_frames > most:
            raise InputError(
                f"end: expected at most {most} frames, since only one window of {window_length} frames can know of its end, "
                f"found {n_frames}; train with a longer window_length"
            )
    return frames


def _numbers(name: str, values: ArrayLike) -> NDArray[np.float32]:
    try:
        return np.asarray(values, np.float32)
    except (TypeError, ValueError):
        found = type(values).__name__
        raise InputError(f"{name}: expected an array of numbers, a row of features for each frame, found a {found}") from None
