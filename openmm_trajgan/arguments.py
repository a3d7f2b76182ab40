"""Numbers as callers may give them, checked at the door."""

import math
from numbers import Real

from openmm_trajgan.errors import InputError


def whole_number(value: float, name: str, least: int = 1) -> int:
    """Return `value` as an int.

    Parameters
    ----------
    value
        What was given; 2.0 is a whole number.
    name
        What it is called in the error.
    least
        The smallest number allowed.

    Raises
    ------
    InputError
        If it is not a whole number, or too small.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not least <= value < math.inf or value % 1:
        expected = "a positive whole number" if least == 1 else f"a whole number from {least} on"
        raise InputError(f"{name}: expected {expected}, found {value!r}")
    return int(value)


def require_positive(value: float, name: str, unit: str) -> None:
    """Refuse what is no positive and finite number of `unit`.

    Raises
    ------
    InputError
        If `value` is none.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < math.inf:
        raise InputError(f"{name}: expected a positive number of {unit}, found {value!r}")


def require_between(value: float, name: str, least: float, most: float | None = None) -> None:
    """Refuse what is no finite number from `least` to `most`, or from `least` on.

    Raises
    ------
    InputError
        If `value` is none.
    """
    highest = math.inf if most is None else most
    if isinstance(value, bool) or not isinstance(value, Real) or not least <= value <= highest or value == math.inf:
        raise InputError(f"{name}: expected a number from {least:g} {'on' if most is None else f'to {most:g}'}, found {value!r}")
