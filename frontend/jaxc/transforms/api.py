"""The transformations users call, in one place."""

from jaxc.transforms.forward import jvp, linear_transpose, linearize
from jaxc.transforms.inspection import closure_convert, eval_shape, make_jaxpr
from jaxc.transforms.jacobians import hessian, jacfwd, jacobian, jacrev
from jaxc.transforms.reverse import VJP, grad, value_and_grad, vjp
from jaxc.transforms.vectorize import pmap, vmap

__all__ = [
    "VJP",
    "closure_convert",
    "eval_shape",
    "grad",
    "hessian",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "linear_transpose",
    "linearize",
    "make_jaxpr",
    "pmap",
    "value_and_grad",
    "vjp",
    "vmap",
]
