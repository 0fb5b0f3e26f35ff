"""One result element as a function of its index: what elementwise, shape and gather ops compute.

Importing this package registers the rules of every family in `values.ELEMENT`. The kernel lowering
puts such elements in loops over memory, the linalg lowering in `linalg.generic` bodies.
"""

from jaxc_compiler.lowering.element import (
    binary,
    convert,
    elementwise,
    indexing,
    random,
    shape,
    unary,
    user,
)
