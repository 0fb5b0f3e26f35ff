"""Structured control flow: `cond`, `switch`, `while_loop`, `fori_loop`, `scan`, `map`."""

from jaxc.lax.control_flow import scan_rules as _scan_rules
from jaxc.lax.control_flow.conditionals import cond, cond_p, switch
from jaxc.lax.control_flow.loops import fori_loop, while_loop, while_p
from jaxc.lax.control_flow.scanning import associative_scan, map, scan, scan_p

__all__ = ["associative_scan", "cond", "cond_p", "fori_loop", "map", "scan", "scan_p", "switch",
           "while_loop", "while_p"]  # fmt: skip
