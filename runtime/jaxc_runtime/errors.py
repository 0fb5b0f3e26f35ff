"""What can go wrong when a compiled program is loaded or run. Imports nothing."""


class ArtifactError(ValueError):
    """A file or byte string is not a program this runtime can load (damaged, cut off, foreign)."""


class ExecutionError(RuntimeError):
    """A loaded program failed while it ran: wrong arguments, no memory, a failing callback."""


class DeviceError(RuntimeError):
    """A device driver is not there or does not start."""
