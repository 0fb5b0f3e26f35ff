"""The stages of a jitted function ahead of time: Traced, Lowered, Compiled; ShapeDtypeStruct."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxc import tree_util
from jaxc.core import dtypes
from jaxc.core.array import Array, as_array
from jaxc.core.devices import Device, SingleDeviceSharding
from jaxc.core.trace import aval_handlers, get_aval, off_host
from jaxc_compiler.opset.avals import ShapedArray


class ShapeDtypeStruct:
    """Shape and dtype of an array that does not exist: an argument for tracing.

    Example:
      >>> import jaxc as jax
      >>> jax.ShapeDtypeStruct((2, 3), "float32")
      ShapeDtypeStruct(shape=(2, 3), dtype=float32)
    """

    __slots__ = ("dtype", "shape", "sharding", "weak_type")

    def __init__(
        self,
        shape: Any,
        dtype: Any,
        *,
        sharding: Any = None,
        weak_type: bool = False,
        vma: Any = None,
        is_ref: bool = False,
    ):
        if dtype is None:
            raise ValueError("ShapeDtypeStruct: dtype must be specified.")
        self.shape = tuple(shape)
        self.dtype = dtypes.to_dtype(dtype)
        self.sharding = sharding
        self.weak_type = weak_type

    @property
    def size(self) -> int:
        return ShapedArray(self.shape, self.dtype).size

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def update(self, **changes: Any) -> ShapeDtypeStruct:
        """A copy with some fields replaced."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        fields |= changes
        return ShapeDtypeStruct(fields.pop("shape"), fields.pop("dtype"), **fields)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShapeDtypeStruct) and (
            (self.shape, self.dtype, self.sharding, self.weak_type)
            == (other.shape, other.dtype, other.sharding, other.weak_type)
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype, self.weak_type))

    def __repr__(self) -> str:
        weak = ", weak_type=True" if self.weak_type else ""
        sharding = f", sharding={self.sharding}" if self.sharding is not None else ""
        return f"ShapeDtypeStruct(shape={self.shape}, dtype={self.dtype.name}{weak}{sharding})"


aval_handlers[ShapeDtypeStruct] = lambda s: ShapedArray(
    s.shape, dtypes.canonicalize_dtype(s.dtype), s.weak_type
)


def struct_of(aval: ShapedArray) -> ShapeDtypeStruct:
    return ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type)


class Traced:
    """A function traced at one signature: `jit(f).trace(...)`."""

    def __init__(
        self,
        traced: Any,
        in_tree: Any,
        in_avals: Sequence[ShapedArray],
        signature: Any,
        device: Device,
    ):
        self._traced = traced
        self._device = device
        self.in_tree = in_tree
        self.in_avals = list(in_avals)
        self._signature = signature
        self.fun_name = traced.name

    @property
    def jaxpr(self) -> Any:
        return self._traced.closed

    @property
    def out_tree(self) -> Any:
        return self._traced.out_tree

    @property
    def out_info(self) -> Any:
        """Shapes and dtypes of the results, as a pytree of ShapeDtypeStructs."""
        structs = [struct_of(a) for a in self.jaxpr.out_avals]
        return tree_util.tree_unflatten(self.out_tree, structs)

    @property
    def args_info(self) -> Any:
        return _args_info(self)

    def lower(self, **_: Any) -> Lowered:
        """Lower to the compiler's first dialect."""
        return Lowered(self)


class ArgInfo:
    """Aval of an argument, and whether it is donated."""

    def __init__(self, aval: ShapedArray, donated: bool):
        self._aval = aval
        self.donated = donated

    @property
    def shape(self) -> tuple[int, ...]:
        return self._aval.shape

    @property
    def dtype(self) -> Any:
        return self._aval.dtype

    def __repr__(self) -> str:
        return f"ArgInfo(_aval={self._aval}, donated={self.donated})"


def _args_info(traced: Traced) -> Any:
    donated = traced._traced.donated or (False,) * len(traced.in_avals)
    infos = [ArgInfo(a, d) for a, d in zip(traced.in_avals, donated)]
    if traced.in_tree.num_leaves != len(infos):
        return infos
    return tree_util.tree_unflatten(traced.in_tree, infos)


class Lowered:
    """A function in the compiler's IR: `jit(f).lower(...)`."""

    def __init__(self, traced: Traced):
        self._parent = traced

    @property
    def in_tree(self) -> Any:
        return self._parent.in_tree

    @property
    def out_tree(self) -> Any:
        return self._parent.out_tree

    @property
    def out_info(self) -> Any:
        return self._parent.out_info

    @property
    def args_info(self) -> Any:
        return self._parent.args_info

    def as_text(self, dialect: str | None = None, *, debug_info: bool = False) -> str:
        """The IR at a stage: "jaxpr", "lax" (the default), "kernel", "linalg", "iree", "llvm",
        "llvm-opt", "asm".

        "stablehlo" is the program for XLA's tools, made from "lax".
        """
        if dialect == "jaxpr":
            return str(self._parent.jaxpr)
        from jaxc.backend import stage_text

        traced, device = self._parent._traced, self._parent._device
        return stage_text(
            traced.closed, dialect or "lax",
            name=traced.name, donated=traced.donated, device=device, pipeline=traced.pipeline,
        )  # fmt: skip

    def report(self) -> Any:
        """What the compiler decides: dispatches, what is in them, loops, updates that copy.

        `print` shows what `jaxc why` does; `.copies`, `.dispatches` and `.as_json()` are data.

        Example:
          >>> import jaxc as jax
          >>> report = jax.jit(lambda x: x.at[0].set(1.0)).lower(jax.numpy.ones(3)).report()
          >>> report.copies[0].reason
          'argument 0 is not donated'
        """
        from jaxc.backend import report_of

        traced, device = self._parent._traced, self._parent._device
        return report_of(
            traced.closed, device,
            name=traced.name, donated=traced.donated, pipeline=traced.pipeline,
        )  # fmt: skip

    def explore(self) -> Any:
        """Every stage side by side, as a page: shown by a notebook; `.save(path)` writes it."""
        from jaxc.backend import explore

        traced, device = self._parent._traced, self._parent._device
        return explore(
            traced.closed, device,
            name=traced.name, donated=traced.donated, pipeline=traced.pipeline,
        )  # fmt: skip

    def compiler_ir(self, dialect: str | None = None) -> Any:
        return self.as_text(dialect)

    def cost_analysis(self) -> dict[str, float]:
        """Estimated floating-point operations and bytes moved."""
        from jaxc.transforms.cost import cost_of

        return cost_of(self._parent.jaxpr)

    def compile(self, compiler_options: Any = None, **_: Any) -> Compiled:
        """Compile for the current target."""
        return Compiled(self)


class Compiled:
    """A compiled function: call it with arguments of the signature it was lowered for."""

    def __init__(self, lowered: Lowered):
        self._lowered = lowered
        self._traced = lowered._parent._traced
        self._device = lowered._parent._device
        self._program = self._traced.program_on(self._device)

    @property
    def in_tree(self) -> Any:
        return self._lowered.in_tree

    @property
    def out_tree(self) -> Any:
        return self._lowered.out_tree

    @property
    def out_info(self) -> Any:
        return self._lowered.out_info

    @property
    def args_info(self) -> Any:
        return self._lowered.args_info

    def as_text(self) -> str:
        return self._lowered.as_text("iree")

    def cost_analysis(self) -> dict[str, float]:
        return self._lowered.cost_analysis()

    def memory_analysis(self) -> Any:
        return None

    def runtime_executable(self) -> Any:
        return self._program.executable

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        signature = self._lowered._parent._signature
        if not signature.plain:  # static arguments are part of what was compiled: not passed again
            expected = self._lowered._parent.in_tree
            if tree_util.tree_structure((args, kwargs)) == expected:
                call = signature.resolve(args, kwargs)
                args, kwargs = call.args, call.kwargs
        flat, tree = tree_util.tree_flatten((args, kwargs))
        if signature.plain and tree != self.in_tree:
            raise TypeError(
                "Function compiled with input pytree does not match the input pytree "
                f"it was called with: {self.in_tree} and {tree}"
            )
        avals = self._lowered._parent.in_avals
        if len(flat) != len(avals):
            raise TypeError(
                f"Compiled function called with {len(flat)} arrays, expected {len(avals)}"
            )
        for i, (x, aval) in enumerate(zip(flat, avals)):
            got = get_aval(x)
            if got.shape != aval.shape or got.dtype != aval.dtype:
                raise TypeError(
                    "Argument types differ from the types for which this computation "
                    f"was compiled: argument {i} was compiled with {aval.str_short()} "
                    f"and called with {got.str_short()}"
                )
        arrays = [as_array(x) for x in flat]
        if self._device.is_host and not off_host.used:
            return self._traced.run(arrays)
        self._check_devices(arrays)
        return self._traced.run(arrays, self._device)

    def _check_devices(self, arrays: Sequence[Array]) -> None:
        wrong = [i for i, a in enumerate(arrays) if a.committed and a.device != self._device]
        if not wrong:
            return
        required = SingleDeviceSharding(self._device)
        lines = []
        for i in wrong:
            name, shape = self._traced.argument_name(i), arrays[i].aval.str_short(False)
            lines.append(
                f"Argument {name} with shape {shape}:\n  Passed sharding: {arrays[i].sharding}\n"
                f"  Required sharding: {required}"
            )
        raise ValueError(
            "Computation was compiled for input shardings that disagree with the shardings of "
            f"arguments passed to it. Here are the {len(wrong)} mismatches:\n" + "\n".join(lines)
        )
