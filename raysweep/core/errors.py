"""Errors that a user can cause; our own mistakes are plain `assert`s."""

from raysweep.core.masking import masked


class RaysweepError(Exception):
    """The base of all errors that a user can cause; the message names file, key, value and remedy.

    Passwords in addresses are masked in the message.
    """

    def __init__(self, message: str) -> None:
        super().__init__(masked(message))


class SpaceError(RaysweepError):
    """A search space (YAML) that cannot be read, or names something that does not exist."""


class DataError(RaysweepError):
    """A structure store that is absent, torn, altered, or unusable for the request."""


class TrialError(RaysweepError):
    """A trial directory, checkpoint or trial specification that is absent, torn or altered."""


class ModelError(RaysweepError):
    """A model file that is absent, damaged or of unknown content, or a structure that its model does not cover."""


class StorageError(RaysweepError):
    """A storage that is full, read-only or unreachable: not the fault of any trial."""


class DivergedError(RaysweepError):
    """A training run whose loss or gradient is not finite; the points before it are kept."""


class TrackingError(RaysweepError):
    """An MLflow server or experiment that is absent, unreachable or not written by raysweep."""


class FrontierError(RaysweepError):
    """Points that cannot be read, or a question that a fit cannot answer."""


class ClusterError(RaysweepError):
    """A Ray cluster that is absent, refuses the token, or cannot run the sweep."""


TRY_AGAIN_STATUS = 75
"""EX_TEMPFAIL of sysexits.h: exit status of a process that an outside event has ended."""


class Stopped(KeyboardInterrupt):
    """A sweep that stopped before it was complete; nothing is lost, and the same command resumes it."""

    def __init__(self, reason: str, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(masked(reason))


class OutputError(RaysweepError):
    """Standard output that cannot be written: its reader has gone, its disk is full, or it was closed."""

    def __init__(self, message: str, *, broken_pipe: bool) -> None:
        super().__init__(message)
        self.broken_pipe = broken_pipe
        """Whether the reader has closed the pipe, which needs no message."""
