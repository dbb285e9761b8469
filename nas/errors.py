"""The errors that a user of the platform can meet.

Each message is one line that says where, what was expected, what came and what to do. Each class
also inherits the built-in that fits, so that callers who do not know this module can catch it.
"""


class NasError(Exception):
    """Base of every error raised on purpose; the command line prints it without a traceback."""


class SpaceError(NasError, ValueError):
    """An expression, a text or an architecture that does not belong to the search space."""


class DeadEndError(SpaceError):
    """No admissible option is left at a hole, or no sample satisfied the constraints."""


class CompileError(NasError, ValueError):
    """An architecture whose shapes or attributes cannot be built, with the place in its expression."""


class RelaxError(NasError, ValueError):
    """A search space that has no supernet, with the place and the reason."""


class ProtocolError(NasError, RuntimeError):
    """Calls in an order that an interface does not allow, such as a trial told twice."""


class EvaluationError(NasError, RuntimeError):
    """An evaluation that cannot be carried out as configured."""


class StoreError(NasError, RuntimeError):
    """An event log that cannot be written, read or continued."""


class ConfigError(NasError, ValueError):
    """A configuration value that is unknown, missing or out of range."""
