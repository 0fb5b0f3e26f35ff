"""The command that compiles StableHLO for a topology, in a process of its own.

    python -m jaxc_runtime.pjrt.compile_ahead v5e:2x2 -o program.tpu < program.mlir

Prints what loading it needs as one line of JSON; an error is one line on stderr and status 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from jaxc_runtime.errors import ArtifactError, DeviceError
from jaxc_runtime.pjrt import plugins, topology


def main() -> int:
    """Compile stdin; returns the exit status."""
    parser = argparse.ArgumentParser(prog="compile_ahead", description=__doc__)
    parser.add_argument("topology", help="v5e:2x2, v4:2x2x1, ...")
    parser.add_argument("-o", "--output", required=True, help="the executable to write")
    parser.add_argument("--plugin", default="tpu")
    options = parser.parse_args()
    os.environ.update(plugins.WITHOUT_TPU)  # a TPU of this machine is not touched
    program = sys.stdin.buffer.read()
    try:
        compiled = topology.compile_ahead(program, options.topology, options.plugin)
        Path(options.output).write_bytes(compiled.executable)
    except (ArtifactError, DeviceError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    version = " ".join(compiled.version.split())  # libtpu's is of two lines
    about = {"plugin": options.plugin, "topology": options.topology, "version": version}
    print(json.dumps(about))
    return 0


if __name__ == "__main__":
    sys.exit(main())
