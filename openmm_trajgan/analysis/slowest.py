"""How long the slowest process of a data set takes."""

import numpy as np

from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.inputs import Source, as_trajectories
from openmm_trajgan.analysis.kinetics import ImpliedTimescales, Microstates, implied_timescales
from openmm_trajgan.analysis.relaxation import Relaxation
from openmm_trajgan.errors import InputError


def slowest_process(trajectories: Source, *, seed: int = 0) -> float | None:
    """Return the longest of all relaxation times of features and of the implied timescales, frames.

    Parameters
    ----------
    trajectories
        The data: trajectories, a buffer, arrays or a Universe.
    seed
        Seed of k-means, by which frames are put in microstates.

    Returns
    -------
    float or None
        None if nothing relaxes within the data.

    Examples
    --------
    >>> from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories
    >>> schema = FeatureSchema(names=("x",), units=("",), periods=(None,))
    >>> flips = np.random.default_rng(1).random(50_000) < 0.05  # a two-state process, t2 = -1 / ln 0.9 = 9.5 frames
    >>> 8.5 < slowest_process(FeatureTrajectories([np.cumsum(flips)[:, None] % 2], schema)) < 10.5
    True
    """
    data = as_trajectories(trajectories)
    relaxation = Relaxation.fit(Blocks.cut(data, max(map(len, data))))
    try:
        timescales = implied_timescales(data, microstates=Microstates.fit(data, seed=seed))
    except InputError:  # all frames are the same
        return None
    return longest_time(relaxation, timescales)


def longest_time(relaxation: Relaxation, timescales: ImpliedTimescales) -> float | None:
    """Return the longest of relaxation times and of timescales where they have their plateau, frames; None without any."""
    row = timescales.plateau()
    times = [*relaxation.reference_times.tolist(), *([] if row is None else timescales.values[row].tolist())]
    return float(np.nanmax(times)) if np.isfinite(times).any() else None
