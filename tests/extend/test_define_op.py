"""`define_op`: every rule follows from the function or is stated, on the CPU and on Vulkan."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

import jaxc
import jaxc.numpy as jnp
from jaxc import backend
from jaxc.core.defined import DEFINED
from jaxc.extend import define_op
from jaxc_compiler.diagnostics import CompileError
from jaxc_tools.testing import check, module_of, run_pass

pytestmark = pytest.mark.compiler
X = np.array([0.5, 1.0, -2.0], np.float32)
Y = np.array([1.0, -1.0, 3.0], np.float32)


def expected(x, y, limit):
    return limit * np.tanh(x / limit) + y


def made(element):
    """An operation of a program, or with an element rule."""

    @define_op("clip_and_add")
    def clip_and_add(x, y, *, limit=1.0):
        return limit * jnp.tanh(x / limit) + y

    if element:
        clip_and_add.def_element(
            lambda s, x, y, *, limit: s.add(s.mul(s.tanh(s.div(x, limit)), limit), y)
        )
    return clip_and_add


@pytest.fixture(params=[False, True], ids=["program", "element"])
def op(request):
    defined = made(request.param)
    yield defined
    defined.remove()


@pytest.fixture
def own():
    """`define_op` whose operations are removed after the test."""
    found = []

    def define(*args, **kwargs):
        def decorate(fun):
            found[:] = [each for each in found if each.name != args[0]]
            found.append(define_op(*args, **kwargs)(fun))
            return found[-1]

        return decorate

    yield define
    for each in found:
        each.remove()


def test_eager_jit_grad_and_vmap(op):
    np.testing.assert_allclose(op(X, Y, limit=2.0), expected(X, Y, 2), rtol=1e-5)

    @jaxc.jit
    def program(x, y):
        rows = jnp.stack([x, y])
        return (
            op(x, y, limit=2.0),
            jaxc.grad(lambda x: op(x, y).sum())(x),
            jaxc.vmap(op)(rows, rows),
            jaxc.vmap(op, in_axes=(0, None))(rows, y),
            jaxc.vmap(op, in_axes=(None, 1), out_axes=1)(x[0], rows),
            jaxc.lax.fori_loop(0, 2, lambda i, c: op(c, y), x),
        )

    rows = np.stack([X, Y])
    wanted = (
        expected(X, Y, 2),
        1 - np.tanh(X) ** 2,
        expected(rows, rows, 1),
        expected(rows, Y, 1),
        expected(X[0], rows, 1),
        expected(expected(X, Y, 1), Y, 1),
    )
    for got, want in zip(program(X, Y), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_on_vulkan(op, vulkan):
    x, y = jaxc.device_put(X, vulkan), jaxc.device_put(Y, vulkan)
    result = jaxc.jit(lambda x, y: op(x, y, limit=2.0) * 2)(x, y)
    assert result.devices() == {vulkan}
    np.testing.assert_allclose(np.asarray(result), expected(X, Y, 2) * 2, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(op(x, y)), expected(X, Y, 1), rtol=1e-5)


def test_what_the_compiler_sees(op):
    lowered = jaxc.jit(op).lower(X, Y)
    assert str(jaxc.make_jaxpr(op)(X, Y)).count("clip_and_add[limit=1.0]") == 1
    seen = "lax.clip_and_add_2to1" if op.stays else "lax.tanh"
    check(lowered.as_text("lax"), f"// CHECK: {seen}")
    check(lowered.as_text("stablehlo"), "// CHECK-NOT: lax.\n// CHECK: stablehlo.add")


def test_a_pass_may_match_it(op):
    from jaxc_compiler.rewriting import build, pattern

    @pattern("lax.clip_and_add")
    def to_sum(each):
        return build("lax.add", *each.operands)

    module = module_of(op, X, Y)
    text = run_pass(to_sum, module)
    check(text, "// CHECK-NOT: clip_and_add\n// CHECK: lax.add")
    assert ("lax.tanh" in text) != op.stays


def test_stated_rules(own):
    calls = []

    @own("twice")
    def twice(x):
        return x * 2

    @twice.def_jvp
    def twice_jvp(primals, tangents):
        return twice(*primals), tangents[0] * 5

    @twice.def_numpy
    def twice_numpy(x):
        calls.append("numpy")
        return x + x

    @twice.def_batch
    def twice_batch(args, dims):
        calls.append(dims)
        return twice(args[0]), dims[0]

    np.testing.assert_array_equal(twice(X), X * 2)
    np.testing.assert_array_equal(jaxc.grad(lambda x: twice(x).sum())(X), np.full(3, 5.0))
    np.testing.assert_array_equal(jaxc.vmap(twice, in_axes=1)(X[None]), X[:, None] * 2)
    assert calls[0] == "numpy" and (1,) in calls


def test_several_results(own):
    @own("sum_and_difference", multiple_results=True)
    def sum_and_difference(x, y):
        return x + y, x - y

    for run in (sum_and_difference, jaxc.jit(sum_and_difference), jaxc.vmap(sum_and_difference)):
        got = run(X, Y)
        assert isinstance(got, tuple)
        np.testing.assert_array_equal(got[0], X + Y)
        np.testing.assert_array_equal(got[1], X - Y)
    gradient = jaxc.grad(lambda x: sum_and_difference(x, Y)[1].sum())(X)
    np.testing.assert_array_equal(gradient, np.ones(3))


def test_a_name_is_defined_once_or_replaced(own):
    @own("shifted")
    def first(x):
        return x + 1

    jitted = jaxc.jit(lambda x: first(x))
    np.testing.assert_array_equal(jitted(X), X + 1)
    with pytest.raises(ValueError, match="'shifted' is defined already: replace=True"):
        define_op("shifted")(lambda x: x)

    @own("shifted", replace=True)
    def second(x, y):
        return x + y

    np.testing.assert_array_equal(jaxc.jit(second)(X, Y), X + Y)
    second.def_element(lambda s, x, y: s.add(x, y))
    np.testing.assert_array_equal(jaxc.jit(lambda x, y: second(x, y) * 2)(X, Y), (X + Y) * 2)


def test_parameters_and_flags_that_change_the_result_type(own):
    """1 equals 1.0; what a weak type or a flag decides is decided alike when it is compiled."""

    @own("scaled")
    def scaled(x, *, k=1, ks=(1,)):
        return x * k * ks[0]

    @own("widened")
    def widened(x):
        return x.astype(float)

    @own("halved")
    def halved(x):
        return x * jnp.full(3, 0.5, jnp.float16)

    @own("noisy")
    def noisy(x):
        return x + jaxc.random.uniform(jaxc.random.key(0), (3,))

    def check(f, *args):
        eager, compiled = f(*args), jaxc.jit(f)(*args)
        assert eager.dtype == compiled.dtype
        np.testing.assert_array_equal(eager, compiled)
        return eager.dtype

    i = jnp.arange(3)
    assert check(lambda i: scaled(i, k=2), i) == np.int32
    assert check(lambda i: scaled(i, k=2.0), i) == np.float32
    assert check(lambda i: scaled(i, ks=(1.0,)), i) == np.float32
    assert check(widened, i) == np.float32
    with jaxc.enable_x64(True):
        assert check(widened, i) == np.float64
    check(noisy, X)
    with jaxc.threefry_partitionable(True):
        check(noisy, X)
    assert check(halved, jnp.float32(2)) == np.float32
    assert check(halved, 2.0) == np.float16


def test_operations_on_a_device(own, vulkan):
    @own("scaled")
    def scaled(x, *, k=1):
        return x * k

    i = jaxc.device_put(jnp.arange(3), vulkan)
    assert [scaled(i, k=k).dtype for k in (2, 2.0)] == [np.int32, np.float32]


def test_a_function_that_changes_its_result_is_said(own):
    types = [jnp.float32, jnp.float32, jnp.int32]

    @own("fickle")
    def fickle(x):
        return x.astype(types.pop(0))

    with pytest.raises(TypeError, match=r"fickle gives i32\[3\] when it is compiled, expected f32"):
        jaxc.jit(lambda x: fickle(fickle(x)))(X)


def test_a_factory_does_not_replace(own):
    def factory(scale):
        return own("scaled")(lambda x: x * scale)

    factory(2.0)
    with pytest.raises(ValueError, match="'scaled' is defined already: replace=True"):
        factory(3.0)
    own("scaled", replace=True)(lambda x: x)


def test_an_operation_that_is_gone():
    first = define_op("passing")(lambda x: x + 1)
    second = define_op("passing", replace=True)(lambda x: x + 2)
    for call in (first, jaxc.jit(lambda x: first(x))):
        with pytest.raises(RuntimeError, match="'passing' was replaced by another of that name"):
            call(X)
    second.remove()
    for call in (lambda: second(X), lambda: jaxc.jit(lambda x: second(x))(X), second.remove):
        with pytest.raises(RuntimeError, match="op 'passing' was removed"):
            call()


def test_a_file_may_be_run_again():
    for _ in range(2):
        op = made(element=False)
    op.remove()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sin", "'sin' is an op of jaxc's own"),
        ("yield", "'yield' is an op of jaxc's own"),
        ("scatter_mine", "names with 'scatter_' in front are those of jaxc's scatters"),
        ("my op", "is no name of an op"),
        ("soft_", "is no name of an op"),
        ("soft__clip", "is no name of an op"),
        ("_soft", "is no name of an op"),
        ("x_1to1", "is no name of an op"),
        ("Upper", "is no name of an op"),
    ],
)
def test_names_that_cannot_be(name, message):
    with pytest.raises(ValueError, match=message):
        define_op(name)(lambda x: x)


def test_a_name_is_text():
    with pytest.raises(TypeError, match="expected the name of an op, such as 'soft_clip', got 3"):
        define_op(3)(lambda x: x)


@pytest.mark.parametrize("name", ["b", "operands", "index", "out_aval", "s", "name", "number"])
def test_a_parameter_of_any_name(own, name):
    program = {}
    exec(
        f"def fun(x, *, {name}): return x * {name}\n"
        f"def rule(scalars, x, *, {name}): return scalars.mul(x, {name})",
        program,
    )
    scaled = own("scaled")(program["fun"])
    scaled.def_element(program["rule"])
    np.testing.assert_array_equal(jaxc.jit(lambda x: scaled(x, **{name: 3.0}))(X), 3 * X)


@pytest.mark.parametrize("name", ["copies", "in_place", "computation", "jaxpr", "branches"])
def test_names_that_no_parameter_can_have(name):
    program = {}
    exec(f"def fun(x, *, {name}=1.0): return x * {name}", program)
    with pytest.raises(ValueError, match=f"op 'scaled' cannot have a parameter named '{name}'"):
        define_op("scaled")(program["fun"])


def test_mistakes_in_calls(op):
    with pytest.raises(TypeError, match="unexpected parameter 'limits'"):
        op(X, Y, limits=2.0)
    with pytest.raises(TypeError, match="'limit' must be hashable, got list"):
        op(X, Y, limit=[1.0])
    if op.stays:
        with pytest.raises(TypeError, match=r"must be scalars or of the result's shape \(2, 3\)"):
            jaxc.jit(op)(X, np.ones((2, 3), np.float32))


def test_mistakes_in_rules(own):
    @own("wrong_kernel")
    def wrong_kernel(x):
        return x + 1

    wrong_kernel.def_numpy(lambda x: x.astype(np.float64))
    with pytest.raises(TypeError, match=r"NumPy kernel of wrong_kernel must return f32\[3\], got "):
        wrong_kernel(X)

    wrong_kernel.def_jvp(lambda primals, tangents: (primals[0], jnp.ones(7)))
    with pytest.raises(TypeError, match=r"wrong_kernel returned f32\[3\] with tangent f32\[7\]"):
        jaxc.jvp(wrong_kernel, (X,), (X,))
    wrong_kernel.def_jvp(lambda primals, tangents: (primals[0].sum(), tangents[0].sum()))
    with pytest.raises(TypeError, match=r"JVP rule of wrong_kernel must return f32\[3\], got f32"):
        jaxc.grad(lambda x: wrong_kernel(x).sum())(X)

    wrong_kernel.def_element(lambda s, x: s.gt(x, 0.0))
    with pytest.raises((CompileError, TypeError), match="must return float32, got bool"):
        jaxc.jit(wrong_kernel)(X)
    wrong_kernel.def_element(lambda s, x: s.tan_h(x))
    with pytest.raises(TypeError, match="rule of wrong_kernel: 'tan_h' is no elementwise op"):
        jaxc.jit(lambda x: wrong_kernel(x) * 2)(X)
    wrong_kernel.def_element(lambda s, x: {}["k"])
    with pytest.raises(TypeError, match="element rule of wrong_kernel: KeyError: 'k'"):
        jaxc.jit(lambda x: wrong_kernel(x) * 3)(X)
    own("two")(lambda x: (x, x))
    with pytest.raises(TypeError, match=r"two must return one array \(or define_op\(..., multiple"):
        jaxc.jit(lambda x: DEFINED["two"](x))(X)
    with pytest.raises(TypeError, match="parameters are named"):
        define_op("anything")(lambda x, **params: x)


def test_an_op_that_mlir_does_not_have(own):
    strange = own("strange")(lambda x: x + 1)
    strange.def_element(lambda s, x: s.op("math.nosuch", x))
    for number in range(5):  # the parser of IREE waited for ever, now and then
        with pytest.raises(CompileError, match=r"math\.nosuch"):
            jaxc.jit(lambda x, n=number: strange(x) * n)(X)


@pytest.mark.parametrize(("dtype", "number"), [("int32", 4.5), ("uint8", 300), ("float32", 1j)])
def test_a_number_that_a_dtype_has_not(own, dtype, number):
    largest = own("largest")(lambda x: jnp.maximum(x, 0))
    largest.def_element(lambda s, x: s.max(x, number))
    message = re.escape(f"the element rule of largest: {number} is no value of {dtype}")
    with pytest.raises(TypeError, match=message):
        jaxc.jit(largest)(np.ones(2, dtype))


@pytest.fixture
def kept(monkeypatch):
    """What is put into the cache on disk, by its key."""
    found = {}
    monkeypatch.setattr(backend.disk_cache(), "get", found.get)
    monkeypatch.setattr(backend.disk_cache(), "put", found.__setitem__)
    return found


def test_a_changed_operation_is_compiled_anew(own, kept):
    for factor in (2, 3, 3):
        names = {"__name__": "operation"}
        exec(f"def scaled(x):\n    return x * {factor}\n", names)
        op = own("scaled", replace=True)(names["scaled"])
        np.testing.assert_array_equal(jaxc.jit(lambda x, op=op: op(x))(X), X * factor)
    assert len(kept) == 2


FACTOR = 2.0


def scaled(x):
    return x * FACTOR


def scaled_element(s, x):
    return s.mul(x, FACTOR)


@pytest.mark.parametrize("element", [False, True])
def test_a_global_it_reads_is_compiled_anew(own, kept, monkeypatch, element):
    for factor in (2.0, 3.0, 3.0):
        monkeypatch.setattr(sys.modules[__name__], "FACTOR", factor)
        op = own("scaled", replace=True)(scaled)
        if element:
            op.def_element(scaled_element)
        np.testing.assert_array_equal(jaxc.jit(lambda x, op=op: op(x))(X), X * factor)
    assert len(kept) == 2


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64")
def test_flags_its_function_reads_are_compiled_anew(own, kept):
    @own("rounded")
    def rounded(x):
        return (x.astype(jnp.float64) + 1e8 - 1e8).astype(jnp.float32)

    for on in (True, False, True):
        with jaxc.enable_x64(on):
            wanted = np.round(X * 4) / 4 if on else np.zeros(3)
            np.testing.assert_array_equal(jaxc.jit(lambda x: rounded(x))(X), wanted)
    assert len(kept) == 2
