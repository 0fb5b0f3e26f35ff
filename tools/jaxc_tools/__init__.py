"""The `jaxc` command: run scripts and programs, look at every stage of the IR, compile, manage.

`cli` declares the commands; each has a module of its own that does the work.
"""
