"""The `jaxc` command: run scripts and programs, look at every stage of the IR, compile, manage.

`commands` declares them, one a file; the modules beside it do the work.
"""
