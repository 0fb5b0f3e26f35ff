"""The transformations users call: `grad`, `jvp`, `vjp`, `linearize`, `vmap`, `make_jaxpr`, ..."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxc import tree_util
from jaxc.core import dtypes
from jaxc.core.array import Array, as_array, wrap
from jaxc.core.jaxpr import ClosedJaxpr
from jaxc.core.primitive import primitive
from jaxc.core.trace import Tracer, extend_axis_env, get_aval
from jaxc.transforms import ad, batching
from jaxc.transforms.jit import jit, trace_function, valid_leaf_aval
from jaxc.transforms.jvp import jvp_flat
from jaxc.transforms.linearize import Linear, linearize_flat
from jaxc.transforms.signature import debug_info, normalize_argnums
from jaxc.transforms.stages import ShapeDtypeStruct, struct_of
from jaxc_compiler.opset.avals import float0

Fun = Callable[..., Any]


def _concrete_leaf(x: Any) -> Any:
    """Leaves as traced values see them: arrays; NumPy inputs become Arrays."""
    if isinstance(x, Array):
        return x
    return as_array(x)


def _flat_function(fun: Fun, tree: Any, found: list[Any]) -> Callable[..., list[Any]]:
    def flat(*xs: Any) -> list[Any]:
        leaves, out_tree = tree_util.tree_flatten(fun(*tree_util.tree_unflatten(tree, xs)))
        found.append(out_tree)
        return [x if isinstance(x, Tracer | Array) else as_array(x) for x in leaves]

    return flat


# ---- reverse mode ----------------------------------------------------------------------------


def grad(
    fun: Fun, argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False,
    allow_int: bool = False, reduce_axes: Sequence[Any] = (),
) -> Fun:
    """The gradient of a scalar function.

    Args:
      fun: function whose result is a real scalar (with `has_aux`, a pair of it and anything).
      argnums: which positional arguments to differentiate with respect to.
      has_aux: whether `fun` returns `(value, aux)`; the gradient then returns `(grad, aux)`.
      holomorphic: differentiate a holomorphic function of complex arguments.
      allow_int: allow integer arguments (their gradients have dtype float0).

    Returns:
      A function that gives the gradient, with the structure of the argument(s).

    Raises:
      TypeError: if the result is no real scalar or an argument is not differentiable.

    Example:
      >>> import jaxc as jax
      >>> float(jax.grad(lambda x: x**3)(2.0))
      12.0
    """
    value_and = value_and_grad(fun, argnums, has_aux, holomorphic, allow_int)

    @_wraps(fun, "grad")
    def grad_fun(*args: Any, **kwargs: Any) -> Any:
        value, gradient = value_and(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return grad_fun


def value_and_grad(
    fun: Fun, argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False,
    allow_int: bool = False, reduce_axes: Sequence[Any] = (),
) -> Fun:
    """Like `grad`, returning `(value, gradient)`.

    Example:
      >>> import jaxc as jax
      >>> jax.value_and_grad(lambda x: x * x)(3.0)
      (Array(9., dtype=float32, weak_type=True), Array(6., dtype=float32, weak_type=True))
    """
    _check_callable(fun)
    argnums = argnums if isinstance(argnums, int) else tuple(argnums)

    @_wraps(fun, "value_and_grad")
    def value_and_grad_fun(*args: Any, **kwargs: Any) -> Any:
        needed = max(argnums if isinstance(argnums, tuple) else (argnums,), default=-1)
        if needed >= len(args):
            raise TypeError(f"differentiating with respect to argnums={argnums} requires at least "
                            f"{needed + 1} positional arguments to be passed by the caller, but "
                            f"got only {len(args)} positional arguments.")
        dynamic, f = _partial_args(fun, argnums, args, kwargs)
        for leaf in tree_util.tree_leaves(dynamic):
            _check_input("grad", leaf, holomorphic, allow_int)
        out = _vjp(f, dynamic, has_aux)
        value, pullback = out[0], out[1]
        _check_scalar(value)
        _check_output("grad", value, holomorphic)
        one = primitive_one(get_aval(value))
        grads = pullback(one)
        gradient = grads[0] if isinstance(argnums, int) else tuple(grads)
        return ((value, out[2]), gradient) if has_aux else (value, gradient)

    return value_and_grad_fun


def primitive_one(aval: Any) -> Any:
    """The cotangent of a scalar result."""
    return wrap(np.ones((), aval.dtype), aval)


def _partial_args(fun: Fun, argnums: Any, args: Any, kwargs: Any) -> tuple[list[Any], Fun]:
    nums = normalize_argnums(argnums, len(args))

    def f(*dynamic: Any) -> Any:
        full = list(args)
        for n, value in zip(nums, dynamic):
            full[n] = value
        return fun(*full, **kwargs)

    return [args[n] for n in nums], f


def _check_callable(fun: Any) -> None:
    if not callable(fun):
        raise TypeError(f"Expected a callable value, got {fun!r}")


def _check_input(name: str, leaf: Any, holomorphic: bool, allow_int: bool) -> None:
    try:
        aval = get_aval(leaf)
    except TypeError:
        raise TypeError(f"{name} requires real- or complex-valued inputs (input dtype that is a "
                        f"sub-dtype of np.inexact), but got {leaf!r} of type {type(leaf)}."
                        ) from None
    dtype = aval.dtype
    if holomorphic and not dtypes.issubdtype(dtype, np.complexfloating):
        raise TypeError(f"{name} with holomorphic=True requires inputs with complex dtype, but got "
                        f"{dtype.name}.")
    if dtypes.issubdtype(dtype, dtypes.extended):
        raise TypeError(f"{name} with input element type {dtype.name}")
    if dtypes.issubdtype(dtype, np.integer) or dtype == np.bool_:
        if not allow_int:
            raise TypeError(f"{name} requires real- or complex-valued inputs (input dtype that is "
                            f"a sub-dtype of np.inexact), but got {dtype.name}. If you want to use "
                            "Boolean- or integer-valued inputs, use vjp or set allow_int to True.")
    elif dtypes.issubdtype(dtype, np.complexfloating) and not holomorphic:
        raise TypeError(f"{name} requires real-valued inputs (input dtype that is a sub-dtype of "
                        f"np.floating), but got {dtype.name}. For holomorphic differentiation, "
                        "pass holomorphic=True. For differentiation of non-holomorphic functions "
                        "involving complex inputs, use jax.vjp directly.")


def _check_output(name: str, x: Any, holomorphic: bool) -> None:
    dtype = get_aval(x).dtype
    if holomorphic:
        if not dtypes.issubdtype(dtype, np.complexfloating):
            raise TypeError(f"{name} with holomorphic=True requires outputs with complex dtype, "
                            f"but got {dtype.name}.")
    elif dtypes.issubdtype(dtype, np.complexfloating):
        raise TypeError(f"{name} requires real-valued outputs (output dtype that is a sub-dtype of "
                        f"np.floating), but got {dtype.name}. For holomorphic differentiation, "
                        "pass holomorphic=True.")
    elif not dtypes.issubdtype(dtype, np.floating):
        raise TypeError(f"{name} requires real-valued outputs (output dtype that is a sub-dtype of "
                        f"np.floating), but got {dtype.name}. For differentiation of functions "
                        "with integer outputs, use jax.vjp directly.")


def _check_scalar(x: Any) -> None:
    try:
        aval = get_aval(x)
    except TypeError:
        raise TypeError(f"Gradient only defined for scalar-output functions. Output was {x}."
                        ) from None
    if aval.shape != ():
        raise TypeError("Gradient only defined for scalar-output functions. Output had shape: "
                        f"{aval.shape}.")


class VJP:
    """The pullback that `vjp` returns: call it with a cotangent of the result."""

    def __init__(self, linear: Linear, in_tree: Any, out_tree: Any, in_avals: list[Any]):
        self._linear = linear
        self.in_tree = in_tree
        self.out_tree = out_tree
        self._in_avals = in_avals

    def __call__(self, cotangent: Any) -> Any:
        flat, tree = tree_util.tree_flatten(cotangent)
        if tree != self.out_tree:
            raise ValueError("Tree structure of cotangent input and primal output must be equal: "
                             f"got {tree}, expected {self.out_tree}.")
        cts = [_check_cotangent(ct, aval) for ct, aval in zip(flat, self._linear.out_avals)]
        outs = self._linear.transpose(cts)
        return tree_util.tree_unflatten(
            self.in_tree, [_instantiate(o, a) for o, a in zip(outs, self._in_avals)]
        )


tree_util.register_pytree_node(
    VJP,
    lambda v: (v._linear.consts, (v._linear, v.in_tree, v.out_tree, v._in_avals)),
    lambda aux, consts: _rebuild_vjp(aux, consts),
)


def _rebuild_vjp(aux: Any, consts: Any) -> VJP:
    old, in_tree, out_tree, in_avals = aux
    linear = Linear(old.jaxpr, list(consts), old.nonzero_in, old.nonzero_out, old.in_avals,
                    old.out_avals)
    return VJP(linear, in_tree, out_tree, in_avals)


def _check_cotangent(ct: Any, aval: Any) -> Any:
    got = get_aval(ct)
    if aval.dtype == float0:
        return ad.Zero(aval)
    if got.dtype != aval.dtype:
        raise ValueError("Type of cotangent input to vjp pullback function "
                         f"({got.str_short()}) is not the expected tangent type "
                         f"({aval.str_short()}) of the corresponding primal output.")
    if got.shape != aval.shape:
        raise ValueError(f"Shape of cotangent input to vjp pullback function {got.shape} must be "
                         f"the same as the shape of corresponding primal input {aval.shape}.")
    return ct


def _instantiate(x: Any, aval: Any) -> Any:
    if type(x) is not ad.Zero:
        return x
    want = ad.tangent_aval(aval)
    return np.zeros(want.shape, float0) if want.dtype == float0 else ad.zeros_like_aval(want)


def _vjp(fun: Fun, primals: Sequence[Any], has_aux: bool) -> tuple[Any, ...]:
    flat, tree = tree_util.tree_flatten(tuple(primals))
    flat = [_concrete_leaf(x) for x in flat]
    found: list[Any] = []
    n_main: list[int] = []

    def flat_fun(*xs: Any) -> list[Any]:
        result = fun(*tree_util.tree_unflatten(tree, xs))
        aux: Any = ()
        if has_aux:
            result, aux = _split_aux(result)
        leaves, out_tree = tree_util.tree_flatten(result)
        aux_leaves, aux_tree = tree_util.tree_flatten(aux)
        found[:] = [out_tree, aux_tree]
        n_main[:] = [len(leaves)]
        return [x if isinstance(x, Tracer | Array) else as_array(x)
                for x in (*map(_valid_output, leaves), *aux_leaves)]

    outs, linear = linearize_flat(flat_fun, flat)
    n = n_main[0]
    in_avals = [get_aval(x) for x in flat]
    if has_aux:
        linear = _drop_aux(linear, n)
    value = tree_util.tree_unflatten(found[0], outs[:n])
    pullback = VJP(linear, tree, found[0], in_avals)
    if not has_aux:
        return value, pullback
    return value, pullback, tree_util.tree_unflatten(found[1], outs[n:])


def _valid_output(x: Any) -> Any:
    get_aval(x)
    return x


def _drop_aux(linear: Linear, n: int) -> Linear:
    kept = sum(linear.nonzero_out[:n])
    jaxpr = linear.jaxpr.replace(outvars=linear.jaxpr.outvars[:kept])
    return Linear(jaxpr, linear.consts, linear.nonzero_in, linear.nonzero_out[:n],
                  linear.in_avals, linear.out_avals[:n])


def _split_aux(result: Any) -> tuple[Any, Any]:
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise TypeError("expected function with aux output to return a two-element tuple, but got "
                        f"type {type(result)} with value {result!r}")
    return result[0], result[1]


def vjp(fun: Fun, *primals: Any, has_aux: bool = False, reduce_axes: Sequence[Any] = ()) -> Any:
    """The value of a function and its pullback.

    Returns:
      `(value, pullback)`, or `(value, pullback, aux)` with `has_aux`; the pullback takes a
      cotangent of the value and gives a tuple of cotangents of the primals.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> y, pullback = jax.vjp(jnp.sin, 0.0)
      >>> pullback(1.0)
      (Array(1., dtype=float32, weak_type=True),)
    """
    _check_callable(fun)
    for leaf in tree_util.tree_leaves(primals):
        _check_primal("vjp", leaf)
    return _vjp(fun, primals, has_aux)


def _check_primal(name: str, leaf: Any) -> None:
    try:
        get_aval(leaf)
    except TypeError:
        raise TypeError(
            f"Argument '{leaf}' of type {type(leaf)} is not a valid JAX type for {name}.") from None


# ---- forward mode ----------------------------------------------------------------------------


def jvp(fun: Fun, primals: Any, tangents: Any, has_aux: bool = False) -> Any:
    """The value of a function and its directional derivative.

    Args:
      fun: the function.
      primals: tuple of arguments.
      tangents: tuple of tangents, of the arguments' structure, shapes and dtypes.

    Returns:
      `(value, tangent)`, or `(value, tangent, aux)` with `has_aux`.

    Raises:
      TypeError: if tangents do not fit the primals.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> [float(v) for v in jax.jvp(jnp.sin, (0.0,), (1.0,))]
      [0.0, 1.0]
    """
    _check_callable(fun)
    if not isinstance(primals, tuple | list) or not isinstance(tangents, tuple | list):
        raise TypeError("primal and tangent arguments to jax.jvp must be tuples or lists; found "
                        f"{type(primals).__name__} and {type(tangents).__name__}.")
    ps, tree = tree_util.tree_flatten(tuple(primals))
    ts, t_tree = tree_util.tree_flatten(tuple(tangents))
    if tree != t_tree:
        raise TypeError("primal and tangent arguments to jax.jvp must have the same tree "
                        f"structure; primals have tree structure {tree} whereas tangents have "
                        f"tree structure {t_tree}.")
    pairs = [_check_tangent(p, t) for p, t in zip(ps, ts)]
    found: list[Any] = []

    def flat_fun(*xs: Any) -> list[Any]:
        result = fun(*tree_util.tree_unflatten(tree, xs))
        aux: Any = ()
        if has_aux:
            result, aux = _split_aux(result)
        leaves, out_tree = tree_util.tree_flatten(result)
        aux_leaves, aux_tree = tree_util.tree_flatten(aux)
        found[:] = [out_tree, aux_tree, len(leaves)]
        return [x if isinstance(x, Tracer | Array) else as_array(x)
                for x in (*leaves, *aux_leaves)]

    outs, outs_dot = jvp_flat(flat_fun, [p for p, _ in pairs], [t for _, t in pairs])
    out_tree, aux_tree, n = found
    dots = [_instantiate(t, get_aval(o)) for t, o in zip(outs_dot[:n], outs[:n])]
    value = tree_util.tree_unflatten(out_tree, outs[:n])
    tangent = tree_util.tree_unflatten(out_tree, dots)
    if has_aux:
        return value, tangent, tree_util.tree_unflatten(aux_tree, outs[n:])
    return value, tangent


def _check_tangent(p: Any, t: Any) -> tuple[Any, Any]:
    _check_primal("jvp", p)
    aval, got = ad.tangent_aval(get_aval(p)), get_aval(t)
    if aval.dtype != got.dtype:
        raise TypeError("primal and tangent arguments to jax.jvp do not match; dtypes must be "
                        "equal, or in case of int/bool primal dtype the tangent dtype must be "
                        f"float0. Got primal dtype {get_aval(p).dtype.name} and so expected "
                        f"tangent dtype {aval.dtype}, but got tangent dtype {got.dtype.name} "
                        "instead.")
    if aval.shape != got.shape:
        raise ValueError("jvp called with different primal and tangent shapes; Got primal shape "
                         f"{aval.shape} and tangent shape as {got.shape}")
    if aval.dtype == float0:
        return _concrete_leaf(p), ad.Zero(aval)
    return _concrete_leaf(p), _concrete_leaf(t)


def linearize(fun: Fun, *primals: Any, has_aux: bool = False) -> Any:
    """The value of a function and its derivative there as a linear function of tangents.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> y, df = jax.linearize(jnp.sin, 0.0)
      >>> float(df(2.0))
      2.0
    """
    _check_callable(fun)
    out = _vjp(fun, primals, has_aux)
    pullback = out[1]
    linear, in_tree, out_tree = pullback._linear, pullback.in_tree, pullback.out_tree

    def pushforward(*tangents: Any) -> Any:
        flat, tree = tree_util.tree_flatten(tuple(tangents))
        if tree != in_tree:
            raise ValueError(f"linearized function called with arguments of structure {tree}, "
                             f"expected {in_tree}")
        for t, aval in zip(flat, linear.in_avals):
            got = get_aval(t)
            if got.shape != aval.shape or got.dtype != aval.dtype:
                raise ValueError("linearized function called on tangent values inconsistent with "
                                 f"the original primal values: got {got.str_short()}, expected "
                                 f"{aval.str_short()}")
        outs = linear.apply([_concrete_leaf(t) for t in flat])
        return tree_util.tree_unflatten(out_tree, outs)

    partial = tree_util.Partial(_wraps(fun, "linearize")(pushforward))
    return (out[0], partial, out[2]) if has_aux else (out[0], partial)


def linear_transpose(fun: Fun, *primals: Any, reduce_axes: Any = ()) -> Fun:
    """The transpose of a linear function, given example arguments (or their avals)."""
    flat, tree = tree_util.tree_flatten(tuple(primals))
    in_avals = [get_aval(x) for x in flat]
    full_tree = tree_util.treedef_tuple([tree, tree_util.tree_structure({})])
    closed, out_tree = trace_function(fun, full_tree, in_avals, debug_info("", fun, None))
    from jaxc.transforms.transpose import backward_pass

    def transposed(cotangent: Any) -> Any:
        cts, ct_tree = tree_util.tree_flatten(cotangent)
        if ct_tree != out_tree:
            raise TypeError("cotangent tree does not match function output, expected "
                            f"{out_tree} but got {ct_tree}")
        for ct, aval in zip(cts, closed.out_avals):
            got = get_aval(ct)
            if got.shape != aval.shape or got.dtype != aval.dtype:
                raise TypeError("cotangent type does not match function output, expected "
                                f"{aval.str_short()} but got {got.str_short()}")
        args = [ad.UndefinedPrimal(a) for a in in_avals]
        outs = backward_pass(closed.jaxpr, closed.consts, args, [_concrete_leaf(c) for c in cts])
        return tree_util.tree_unflatten(tree, [ad.instantiate_zeros(o) for o in outs])

    return transposed


def jacfwd(fun: Fun, argnums: Any = 0, has_aux: bool = False, holomorphic: bool = False) -> Fun:
    """The Jacobian, column by column in forward mode.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> jax.jacfwd(lambda x: x**2)(jnp.array([1.0, 2.0]))
      Array([[2., 0.],
             [0., 4.]], dtype=float32)
    """
    _check_callable(fun)

    @_wraps(fun, "jacfwd")
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        dynamic, f = _partial_args(fun, argnums, args, kwargs)
        example = dynamic[0] if isinstance(argnums, int) else tuple(dynamic)
        for leaf in tree_util.tree_leaves(example):
            _check_jac_input("jacfwd", leaf, holomorphic)

        def push(tangents: Any) -> Any:
            return jvp(f, tuple(dynamic), tuple(tangents), has_aux=has_aux)

        out_axes = (None, -1, None) if has_aux else (None, -1)
        out = vmap(push, out_axes=out_axes)(tuple(_basis(dynamic)))
        value, jac = out[0], out[1]
        for leaf in tree_util.tree_leaves(value):
            _check_jac_output("jacfwd", leaf, holomorphic)
        result = tree_util.tree_map(lambda j: _unravel(example, j, -1), jac)
        return (result, out[2]) if has_aux else result

    return jacobian


def jacrev(fun: Fun, argnums: Any = 0, has_aux: bool = False, holomorphic: bool = False,
           allow_int: bool = False) -> Fun:
    """The Jacobian, row by row in reverse mode."""
    _check_callable(fun)

    @_wraps(fun, "jacrev")
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        dynamic, f = _partial_args(fun, argnums, args, kwargs)
        for leaf in tree_util.tree_leaves(dynamic):
            _check_input("jacrev", leaf, holomorphic, allow_int)
        out = _vjp(f, dynamic, has_aux)
        value, pullback = out[0], out[1]
        for leaf in tree_util.tree_leaves(value):
            _check_output("jacrev", leaf, holomorphic)
        rows = vmap(pullback)(_basis(value))
        rows = rows[0] if isinstance(argnums, int) else tuple(rows)
        example = dynamic[0] if isinstance(argnums, int) else tuple(dynamic)
        per_input = tree_util.tree_map(lambda r: _unravel(value, r, 0), rows)
        result = tree_util.tree_transpose(
            tree_util.tree_structure(example), tree_util.tree_structure(value), per_input
        )
        return (result, out[2]) if has_aux else result

    return jacobian


jacobian = jacrev


def hessian(fun: Fun, argnums: Any = 0, has_aux: bool = False, holomorphic: bool = False) -> Fun:
    """The Hessian of a scalar function, forward over reverse.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> jax.hessian(lambda x: jnp.sum(x**3))(jnp.array([1.0, 2.0]))
      Array([[ 6.,  0.],
             [ 0., 12.]], dtype=float32)
    """
    return jacfwd(jacrev(fun, argnums, has_aux, holomorphic), argnums, has_aux, holomorphic)


def _check_jac_input(name: str, leaf: Any, holomorphic: bool) -> None:
    _check_input(name, leaf, holomorphic, False)


def _check_jac_output(name: str, leaf: Any, holomorphic: bool) -> None:
    dtype = get_aval(leaf).dtype
    if holomorphic and not dtypes.issubdtype(dtype, np.complexfloating):
        raise TypeError(f"{name} with holomorphic=True requires outputs with complex dtype, but "
                        f"got {dtype.name}.")


def _basis(tree: Any) -> Any:
    """The standard basis of a pytree of arrays, stacked along a new leading axis."""
    leaves, treedef = tree_util.tree_flatten(tree)
    avals = [get_aval(x) for x in leaves]
    total = sum(a.size for a in avals)
    sizes = tuple(np.int64(a.size) for a in avals)
    eye = _identity(total, dtypes.result_type(*(a.dtype for a in avals)))
    blocks = primitive("split").bind(eye, sizes=sizes, axis=1)
    out = []
    for block, aval in zip(blocks, avals):
        if len(aval.shape) != 1:
            block = primitive("reshape").bind(
                block, new_sizes=(total, *aval.shape), dimensions=None, sharding=None
            )
        out.append(_convert(block, aval.dtype))
    return tree_util.tree_unflatten(treedef, out)


def _identity(n: int, dtype: Any) -> Any:
    iota = functools.partial(
        primitive("iota").bind, dtype=np.dtype(np.int32), shape=(n, n), sharding=None
    )
    rows, columns = iota(dimension=0), iota(dimension=1)
    rows = primitive("add").bind(rows, np.int32(0))
    return _convert(primitive("eq").bind(rows, columns), dtype)


def _convert(x: Any, dtype: Any) -> Any:
    return primitive("convert_element_type").bind(
        x, new_dtype=np.dtype(dtype), weak_type=False, sharding=None
    )


def _unravel(example: Any, x: Any, axis: int) -> Any:
    """Split an axis of x by the leaves of `example` and give each part the leaf's shape."""
    leaves, treedef = tree_util.tree_flatten(example)
    shape = get_aval(x).shape
    axis %= len(shape)
    avals = [get_aval(leaf) for leaf in leaves]
    sizes = tuple(np.int64(a.size) for a in avals)
    parts = []
    for piece, aval in zip(primitive("split").bind(x, sizes=sizes, axis=axis), avals):
        new = (*shape[:axis], *aval.shape, *shape[axis + 1 :])
        if new != get_aval(piece).shape:
            piece = primitive("reshape").bind(piece, new_sizes=new, dimensions=None, sharding=None)
        parts.append(piece)
    return tree_util.tree_unflatten(treedef, parts)


# ---- vectorization ---------------------------------------------------------------------------


def vmap(
    fun: Fun, in_axes: Any = 0, out_axes: Any = 0, axis_name: Any = None,
    axis_size: int | None = None, spmd_axis_name: Any = None, sum_match: bool = False,
) -> Fun:
    """Map a function over array axes, vectorized.

    Args:
      fun: the function.
      in_axes: for each argument (a pytree prefix of the arguments) the axis to map over, or None.
      out_axes: where the mapped axis is put in the results.
      axis_name: a name for the axis, for collectives such as `lax.psum`.
      axis_size: its size, if no argument is mapped.

    Raises:
      ValueError: for in_axes that do not fit the arguments, or axes of unequal sizes.
      TypeError: for in_axes of a wrong type.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> jax.vmap(lambda x, y: x * y, in_axes=(0, None))(jnp.arange(3), 2)
      Array([0, 2, 4], dtype=int32)
    """
    _check_callable(fun)
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    if not (in_axes is None or type(in_axes) in {int, tuple} or isinstance(in_axes, tuple | dict)):
        raise TypeError("vmap in_axes must be an int, None, or a tuple of entries corresponding to "
                        f"the positional arguments passed to the function, but got {in_axes}.")
    for leaf in tree_util.tree_leaves(in_axes):
        if not isinstance(leaf, int | np.integer):
            raise TypeError("vmap in_axes must be an int, None, or (nested) container with those "
                            f"types as leaves, but got {in_axes}.")
    for leaf in tree_util.tree_leaves(out_axes):
        if not isinstance(leaf, int | np.integer):
            raise TypeError("vmap out_axes must be an int, None, or (nested) container with those "
                            f"types as leaves, but got {out_axes}.")

    @_wraps(fun, "vmap")
    def vmapped(*args: Any, **kwargs: Any) -> Any:
        if isinstance(in_axes, tuple) and len(in_axes) != len(args):
            raise ValueError("vmap in_axes must be an int, None, or a tuple of entries "
                             "corresponding to the positional arguments passed to the function, "
                             f"but got len(in_axes)={len(in_axes)}, len(args)={len(args)}")
        flat, in_tree = tree_util.tree_flatten((args, kwargs))
        dims = _flatten_axes("vmap in_axes", in_axes, args) + [0] * len(
            tree_util.tree_leaves(kwargs)
        )
        flat = [_concrete_leaf(x) for x in flat]
        size = _mapped_size(fun, flat, dims, axis_size)
        dims = [d if d is None else d % get_aval(x).ndim for d, x in zip(dims, flat)]
        found: list[Any] = []

        def flat_fun(*xs: Any) -> list[Any]:
            a, k = tree_util.tree_unflatten(in_tree, xs)
            result = fun(*a, **k)
            leaves, out_tree = tree_util.tree_flatten(result)
            found[:] = [out_tree, result]
            for leaf in leaves:
                valid_leaf_aval(leaf, "vmap output")
            return [x if isinstance(x, Tracer | Array) else as_array(x) for x in leaves]

        outs = batching.batch_flat(
            flat_fun, batching.Axis(size, axis_name), flat, dims,
            lambda: _flatten_axes("vmap out_axes", out_axes, found[1]),
        )
        return tree_util.tree_unflatten(found[0], outs)

    return vmapped


def _flatten_axes(what: str, axes: Any, tree: Any) -> list[int | None]:
    try:
        return tree_util.broadcast_prefix(axes, tree, is_leaf=lambda x: x is None)
    except ValueError as err:
        raise ValueError(f"{what} specification must be a tree prefix of the corresponding value, "
                         f"got specification {axes} for value tree "
                         f"{tree_util.tree_structure(tree)}.") from err


def _mapped_size(fun: Fun, flat: Sequence[Any], dims: Sequence[Any], size: int | None) -> int:
    sizes = []
    for x, d in zip(flat, dims):
        if d is None:
            continue
        shape = get_aval(x).shape
        if not -len(shape) <= d < len(shape):
            raise ValueError(
                f"vmap was requested to map its argument along axis {d}, which implies that its "
                f"rank should be at least {d + 1 if d >= 0 else -d}, but is only {len(shape)} (its "
                f"shape is {shape})"
            )
        sizes.append(shape[d])
    if size is not None:
        sizes.insert(0, size)
    if not sizes:
        raise ValueError("vmap must have at least one non-None value in in_axes")
    if any(s != sizes[0] for s in sizes):
        lines = [f"  * axis {d} of an argument of type {get_aval(x).str_short()}"
                 for x, d in zip(flat, dims) if d is not None]
        raise ValueError("vmap got inconsistent sizes for array axes to be mapped:\n"
                         + "\n".join(lines))
    return sizes[0]


def pmap(
    fun: Fun, axis_name: Any = None, *, in_axes: Any = 0, out_axes: Any = 0,
    static_broadcasted_argnums: Any = (), devices: Any = None, backend: Any = None,
    axis_size: int | None = None, donate_argnums: Any = (), global_arg_shapes: Any = None,
) -> Fun:
    """Map a function over devices: here over one device, so the mapped axes have size 1.

    Raises:
      ValueError: if a mapped axis is larger than the number of devices.
    """
    from jaxc.core.devices import local_device_count

    statics = (static_broadcasted_argnums,) if isinstance(static_broadcasted_argnums, int) \
        else tuple(static_broadcasted_argnums)
    name = object() if axis_name is None else axis_name

    @functools.partial(jit, static_argnums=statics or None)
    @_wraps(fun, "pmap")
    def mapped(*args: Any, **kwargs: Any) -> Any:
        axes = in_axes
        if statics:
            full = list(in_axes) if isinstance(in_axes, tuple) else [in_axes] * len(args)
            static_args = {i: args[i] for i in statics}
            dynamic = [a for i, a in enumerate(args) if i not in statics]
            axes = tuple(x for i, x in enumerate(full) if i not in statics)

            def f(*dyn: Any, **kw: Any) -> Any:
                it = iter(dyn)
                merged = [static_args[i] if i in static_args else next(it)
                          for i in range(len(args))]
                return fun(*merged, **kw)

            return vmap(f, axes, out_axes, name, axis_size)(*dynamic, **kwargs)
        return vmap(fun, axes, out_axes, name, axis_size)(*args, **kwargs)

    @_wraps(fun, "pmap")
    def call(*args: Any, **kwargs: Any) -> Any:
        count = local_device_count()
        axes = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)
        for i, (arg, ax) in enumerate(zip(args, axes)):
            if i in statics or ax is None or isinstance(ax, tuple | dict | list):
                continue
            for leaf in tree_util.tree_leaves(arg):
                shape = get_aval(leaf).shape
                if len(shape) > ax >= -len(shape) and shape[ax] > count:
                    raise ValueError(f"compiling computation that requires {shape[ax]} logical "
                                     f"devices, but only {count} XLA devices are available")
        return mapped(*args, **kwargs)

    call.lower = mapped.lower  # type: ignore[attr-defined]
    return call


# ---- looking at functions --------------------------------------------------------------------


def make_jaxpr(fun: Fun, static_argnums: Any = (), axis_env: Any = None,
               return_shape: bool = False, abstracted_axes: Any = None) -> Fun:
    """A function that gives the jaxpr of `fun` at its arguments.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> jax.make_jaxpr(lambda x: jnp.sin(x) * 2.0)(1.0)
      { lambda ; a:f32[]. let b:f32[] = sin a; c:f32[] = mul b 2.0:f32[] in (c,) }
    """
    _check_callable(fun)
    from jaxc.transforms.signature import Signature

    signature = Signature(fun, static_argnums or None, None, None, None)

    @_wraps(fun, "make_jaxpr")
    def jaxpr_maker(*args: Any, **kwargs: Any) -> Any:
        call = signature.resolve(args, kwargs)
        flat, in_tree = tree_util.tree_flatten((call.args, call.kwargs))
        avals = [valid_leaf_aval(x, getattr(fun, "__name__", str(fun))) for x in flat]
        contexts = [extend_axis_env(name, size) for name, size in axis_env or ()]
        info = debug_info("make_jaxpr", fun, in_tree)
        with _all(contexts):
            closed, out_tree = trace_function(call.bind_statics(fun), in_tree, avals, info)
        if not return_shape:
            return closed
        structs = [struct_of(a) for a in closed.out_avals]
        return closed, tree_util.tree_unflatten(out_tree, structs)

    jaxpr_maker.__name__ = f"make_jaxpr({getattr(fun, '__name__', fun)})"
    return jaxpr_maker


def _all(contexts: list[Any]) -> Any:
    from contextlib import ExitStack

    stack = ExitStack()
    for c in contexts:
        stack.enter_context(c)
    return stack


def eval_shape(fun: Fun, *args: Any, **kwargs: Any) -> Any:
    """Shapes and dtypes of a function's results, without computing anything.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> jax.eval_shape(jnp.dot, jnp.ones((2, 3)), jax.ShapeDtypeStruct((3,), jnp.float32))
      ShapeDtypeStruct(shape=(2,), dtype=float32)
    """
    _check_callable(fun)
    flat, in_tree = tree_util.tree_flatten((args, kwargs))
    avals = [valid_leaf_aval(x, getattr(fun, "__name__", str(fun))) for x in flat]
    closed, out_tree = trace_function(fun, in_tree, avals, debug_info("eval_shape", fun, in_tree))
    return tree_util.tree_unflatten(out_tree, [struct_of(a) for a in closed.out_avals])


def closure_convert(fun: Fun, *example_args: Any) -> tuple[Fun, list[Any]]:
    """A function without captured tracers, and the captured values to pass it as more arguments."""
    flat, tree = tree_util.tree_flatten(example_args)
    in_tree = tree_util.treedef_tuple([tree, tree_util.tree_structure({})])
    avals = [get_aval(x) for x in flat]
    closed, out_tree = trace_function(fun, in_tree, avals, debug_info("", fun, in_tree))
    hoist = [isinstance(c, Tracer) for c in closed.consts]
    hoisted = [c for c, h in zip(closed.consts, hoist) if h]
    n = len(hoisted)

    def converted(*args: Any) -> Any:
        from jaxc.core.jaxpr import eval_jaxpr

        given = iter(args[len(args) - n :] if n else ())
        consts = [next(given) if h else c for c, h in zip(closed.consts, hoist)]
        leaves = tree_util.tree_leaves(args[: len(args) - n] if n else args)
        return tree_util.tree_unflatten(out_tree, eval_jaxpr(closed.jaxpr, consts, *leaves))

    return converted, hoisted


def _wraps(fun: Fun, prefix: str) -> Callable[[Fun], Any]:
    def decorate(wrapper: Fun) -> Any:
        try:
            functools.update_wrapper(wrapper, fun)
        except (AttributeError, TypeError):
            pass
        if hasattr(wrapper, "__dict__"):
            wrapper.__dict__.pop("_origin", None)
        return wrapper

    return decorate


__all__ = [
    "VJP", "ClosedJaxpr", "ShapeDtypeStruct", "closure_convert", "eval_shape", "grad", "hessian",
    "jacfwd", "jacobian", "jacrev", "jvp", "linear_transpose", "linearize", "make_jaxpr", "pmap",
    "value_and_grad", "vjp", "vmap",
]  # fmt: skip
