"""What of a training window is given: the tasks a generator learns besides drawing everything."""

import math

import numpy as np
from numpy.typing import NDArray

_ENDS, _REGULAR = 0.35, 0.3  # shares of windows with their last frame given, with every n-th frame; in the others any frames
_SINGLE_FEATURES = 0.3  # share of windows with some features given only


def draw_given(shape: tuple[int, ...], window_length: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw for every window which frames, and which features of them, are given.

    Parameters
    ----------
    shape
        Of the windows, ``(n_windows, n_frames, n_features)``.
    window_length
        The last T frames of a window are those to be drawn; nothing is marked before the one in front of them.
    rng
        Source of randomness.

    Returns
    -------
    ndarray
        True for what is given, shape `shape`.
    """
    n_windows, n_frames, n_features = shape
    times = np.arange(window_length + 1)
    task = rng.random(n_windows)[:, None]
    spacing = np.exp(rng.uniform(math.log(2), math.log(window_length + 1), n_windows)).astype(int)[:, None]
    regular = (times + rng.integers(0, window_length + 1, (n_windows, 1))) % spacing == 0
    anywhere = rng.random((n_windows, len(times))) < 1 / spacing
    frames = np.where(task < _ENDS, times == window_length, np.where(task < _ENDS + _REGULAR, regular, anywhere))
    features = np.ones((n_windows, n_features), bool)
    if n_features > 1:
        some = rng.random(n_windows) < _SINGLE_FEATURES
        features[some] = rng.random((int(some.sum()), n_features)) < rng.random((int(some.sum()), 1))
        throughout = some & (rng.random(n_windows) < 0.5)
        frames |= throughout[:, None]
        features[throughout & features.all(axis=1), 0] = False
    given = np.zeros(shape, bool)
    given[:, n_frames - 1 - window_length :] = frames[:, :, None] & features[:, None, :]
    return given
