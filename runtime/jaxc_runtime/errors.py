"""What can go wrong when a compiled program is loaded or run. Imports nothing of ours."""

import re

_STATUS = re.compile(r"\S+\.(?:c|cc|h):\d+: ([A-Z_]+)(?:; )?")


class ArtifactError(ValueError):
    """A file or byte string is not a program this runtime can load (damaged, cut off, foreign)."""


class ExecutionError(RuntimeError):
    """A loaded program failed while it ran: wrong arguments, no memory, a failing callback."""


class DeviceError(RuntimeError):
    """A device driver is not there or does not start."""


def readable(error: Exception | str) -> str:
    """Status and message, without the runtime's source positions and native call stack.

    >>> readable("c/vm/module.c:333: NOT_FOUND; no function; while loading")
    'NOT_FOUND: no function'
    """
    text = str(error).strip()
    match = _STATUS.search(text)
    if match is None:
        return text.splitlines()[0] if text else type(error).__name__
    details = text[match.end() :].split("\n", 1)[0].rstrip(": ").split("; ")
    details = [part.strip() for part in details if not part.lstrip().startswith("while ")]
    return ": ".join(filter(None, [match[1], "; ".join(filter(None, details))]))
