"""`python -m jaxc_tools` is the `jaxc` command."""

import sys

from jaxc_tools.cli import main

sys.exit(main())
