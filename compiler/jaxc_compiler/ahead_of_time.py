"""StableHLO compiled for an XLA device that is not there, by its plugin in a process of its own.

Owns how that process is run. The plugin is called by the runtime's `pjrt.compile_ahead`, which is
named here and not imported: a plugin that ends its process must not end this one, and the compiler
does not know the runtime.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from jaxc_compiler.diagnostics import CompileError, Diagnostic
from jaxc_compiler.targets import Target

COMMAND = "jaxc_runtime.pjrt.compile_ahead"


def compile_for_topology(stablehlo: bytes, target: Target) -> tuple[bytes, dict[str, str]]:
    """Compile for the topology that is the target's chip.

    Args:
      stablehlo: text or bytecode; its function is `main`.
      target: such as `tpu:v5e:2x2`.

    Returns:
      The executable that the plugin loads on such a device, and what describes it: `plugin`,
      `topology` and `version`, the plugin's own version text.

    Raises:
      CompileError: no plugin, no such topology, or a program it does not take; one line.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "executable")
        # -P: a json.py of the current directory is not run.
        command = [sys.executable, "-P", "-m", COMMAND, target.chip, "--plugin", target.name]
        done = subprocess.run([*command, "-o", output], input=stablehlo, capture_output=True)
        if done.returncode:
            raise CompileError(target.name, [Diagnostic("error", _reason(done, target))])
        return output.read_bytes(), json.loads(done.stdout.decode().splitlines()[-1])


def _reason(done: subprocess.CompletedProcess, target: Target) -> str:
    """The last line it wrote; a plugin's own log comes before."""
    if done.returncode < 0:
        return f"the {target.name} plugin ended its process with signal {-done.returncode}"
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"the {target.name} plugin said nothing"
