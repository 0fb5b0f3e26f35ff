"""The subcommands of `jaxc`, one declaration a file: a function `command` or a group `app`.

They hold options and what is printed; the work is in `jaxc_tools`, imported when a command runs, so
that each starts fast.
"""
