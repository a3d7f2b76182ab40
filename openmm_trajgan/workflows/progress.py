"""Progress bars: live on a terminal, a line now and then in a log file."""

import sys

from tqdm import tqdm


def progress_bar(total: int, description: str, unit: str, *, done: int = 0, shown: bool = True) -> "tqdm[object]":
    """Return a bar on standard error.

    Parameters
    ----------
    total, done
        How much there is to do, and how much is done already.
    description, unit
        What is counted.
    shown
        False shows nothing.
    """
    seconds = 0.2 if sys.stderr.isatty() else 10.0
    return tqdm(total=total, initial=done, desc=description, unit=unit, unit_scale=True, mininterval=seconds, disable=not shown)
