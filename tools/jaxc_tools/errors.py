"""What the user asked for cannot be done. Imports nothing."""


class UsageError(Exception):
    """A wrong name, shape, file or option. Shown as one line; the command exits with status 2."""


def one_line(error: BaseException) -> str:
    """The first line of an error's message, or its class if it has none."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def joined(error: BaseException) -> str:
    """All of an error's message on one line: a compile error says first where it happened."""
    return " ".join(str(error).split())
