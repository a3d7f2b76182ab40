"""The few errors a caller may want to catch."""


class TrajGANError(Exception):
    """Base of every error this package raises on purpose; its text is one line a person can act on."""


class InputError(TrajGANError, ValueError):
    """An argument or an input file is wrong: what was expected, what was found, what to do."""


class SchemaMismatchError(InputError):
    """Two artefacts speak of different features."""


class StreamExistsError(InputError):
    """A stream of the buffer already holds frames and ``append=True`` was not given."""


class StreamInUseError(InputError):
    """Another process is writing the stream."""


class NonFiniteError(TrajGANError, ValueError):
    """A position, feature or loss became NaN or infinite while work was going on."""


class BelowThresholdError(TrajGANError):
    """An audit is worth less than was asked for; the report has been written."""


def first_line(error: BaseException) -> str:
    """Return what an error of another package says, in one line; its name if it says nothing.

    Examples
    --------
    >>> first_line(EOFError())
    'EOFError'
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]
