"""The marks on a function's arguments, from the frontend to the boundary, and those on ops.

func.func @main(%w: tensor<784x128xf32> {jaxc.weight = "w0"}, %x: tensor<9xf32> {jaxc.donated})

Imports nothing.
"""

DONATED = "jaxc.donated"  # its buffer may be overwritten
WEIGHT = "jaxc.weight"  # no argument but a constant of a shipped program, and its name
WEIGHT_VALUE = "jaxc.weight_value"  # the constant, unless an archive holds it

# Beside an op's parameters: which operands it writes into, and why it cannot.
IN_PLACE = "in_place"
COPIES = "copies"
