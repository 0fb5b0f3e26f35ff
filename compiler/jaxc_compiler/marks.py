"""The marks on a function's arguments, from the frontend to the boundary. Imports nothing.

func.func @main(%w: tensor<784x128xf32> {jaxc.weight = "w0"}, %x: tensor<9xf32> {jaxc.donated})
"""

DONATED = "jaxc.donated"  # its buffer may be overwritten
WEIGHT = "jaxc.weight"  # no argument but a constant of a shipped program, and its name
WEIGHT_VALUE = "jaxc.weight_value"  # the constant, unless an archive holds it
