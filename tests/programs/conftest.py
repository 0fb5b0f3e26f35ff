"""The cases are scripts that the test executes twice, not test modules."""

collect_ignore = ["cases"]
