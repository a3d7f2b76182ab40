"""How long windows and training should be, from the data."""

import warnings
from collections.abc import Sequence

import numpy as np

from openmm_trajgan.analysis.slowest import slowest_process
from openmm_trajgan.schema import FeatureTrajectories

SHORTEST, LONGEST = 16, 512  # frames
FEWEST_WINDOWS, SHORT = 10_000, 32  # end to end in the data, unless windows have this many frames anyway or nothing relaxes
FEWEST_RELAXATIONS = 50  # that populations and timescales can be learned from
FEWEST_STEPS, STEPS_OF_50_000, MOST_STEPS = 500, 2000, 6000


def choose_window_length(data: FeatureTrajectories) -> tuple[int, str]:
    """Choose the power of two nearest to the time of the slowest process, from 16 to 512 frames, or a shorter one for few data.

    Errors of a chain of windows of T frames add up to a relative error of its slowest time t₂ that is proportional to
    exp(T/t₂) t₂/T: the error of exp(-T/t₂), the part that a window remembers of its start, divided by how much t₂ changes it. It
    is least for T = t₂ and at most 1.4 times that up to a factor of two on either side. Windows longer than 32 frames are chosen
    only if the data would hold ten thousand of them end to end: of fewer, a model learns less about their ends than it gains
    (figures in the README of the networks). They are at most half as long as the trajectories that hold half of all frames.

    Parameters
    ----------
    data
        What a model is to learn from.

    Returns
    -------
    window_length
        In frames, at least 4.
    reason
        One sentence.

    Warns
    -----
    UserWarning
        If the data hold the slowest process fewer than 50 times.
    """
    half = length_that_holds(0.5, list(map(len, data)))
    of_data = max(_power_of_two_below(data.n_frames / FEWEST_WINDOWS), SHORT)
    of_trajectories = max(_power_of_two_below((half - 1) / 2), 4)
    slowest = slowest_process(data) if half > 2 else None
    if slowest is None:
        chosen, why = SHORT, "nothing relaxes within the data"
    else:
        chosen = int(np.clip(2 ** round(np.log2(slowest)), SHORTEST, LONGEST))
        why = f"the slowest process takes {slowest:.3g} frames"
        if data.n_frames < FEWEST_RELAXATIONS * slowest:
            warnings.warn(
                f"the slowest process of the data takes {slowest:.3g} frames, and there are {data.n_frames} in all: populations "
                "and timescales can only be as good as so few transitions; simulate at least "
                f"{FEWEST_RELAXATIONS} times as long as it",
                stacklevel=4,
            )
    if chosen > min(of_data, of_trajectories):
        chosen = min(of_data, of_trajectories)
        limit = f"{data.n_frames} frames are few for longer ones" if chosen == of_data else f"most trajectories have {half} at most"
        why = f"{why}, but {limit}"
    return chosen, f"windows of {chosen} frames: {why}"


def length_that_holds(share: float, lengths: Sequence[int]) -> int:
    """Return how long at least the longest trajectories are that hold a share of all frames together."""
    descending = np.sort(lengths)[::-1]
    return int(descending[np.searchsorted(descending.cumsum(), share * sum(lengths))])


def _power_of_two_below(number: float) -> int:
    return 1 << int(np.log2(max(number, 1)))


def choose_steps(n_frames: int) -> int:
    """Choose how long to train: 2000 steps for 50,000 frames, growing with the square root of their number, from 500 to 6000.

    The figures of the data are known to the inverse of that root, so that is how finely more steps need to fit them; what steps are
    worth with 500,000 frames is in the README of the networks.
    """
    return int(np.clip(round(STEPS_OF_50_000 * np.sqrt(n_frames / 50_000), -2), FEWEST_STEPS, MOST_STEPS))
