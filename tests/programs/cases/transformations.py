"""Transformations, control flow and their errors.

Each program prints; the test runs it on JAX and on jaxc and compares what was printed. `jax`, `jnp`,
`lax`, `np`, `functools` and `prog` are given.
"""
# ruff: noqa


def err(f, *a, **k):
    try:
        f(*a, **k)
        print("no error")
    except Exception as e:
        print(type(e).__name__)


@prog
def t_grad_basic():
    print(
        jax.grad(lambda x: x**3)(2.0),
        jax.grad(jnp.tanh)(1.0),
        jax.grad(lambda x, y: x * y, argnums=(0, 1))(2.0, 3.0),
    )
    print(jax.grad(lambda p: (p["a"] * p["b"]).sum())({"a": jnp.arange(3.0), "b": jnp.ones(3)}))
    print(jax.value_and_grad(lambda x: (x**2, {"aux": x * 1}), has_aux=True)(3.0))
    print(jax.grad(jax.grad(jax.grad(jnp.sin)))(1.0))


@prog
def t_jvp_vjp():
    print(jax.jvp(jnp.sin, (1.0,), (2.0,)))
    y, f = jax.vjp(lambda x, y: jnp.dot(x, y), jnp.arange(3.0), jnp.ones(3))
    print(y, f(2.0))
    y, f = jax.linearize(lambda x: jnp.sin(x) * x, 2.0)
    print(y, f(1.0), f(0.5))
    print(jax.vjp(lambda x: {"o": x * 2}, 1.0)[1]({"o": 3.0}))
    f = jax.linear_transpose(lambda x: 3 * x, 1.0)
    print(f(2.0))


@prog
def t_jac():
    f = lambda x: jnp.array([x[0] ** 2, x[0] * x[1], jnp.sin(x[1])])
    x = jnp.array([1.0, 2.0])
    print(jax.jacfwd(f)(x))
    print(jax.jacrev(f)(x))
    print(jax.hessian(lambda x: jnp.sum(f(x)))(x))
    print(jax.jacrev(lambda d: {"u": d["a"] * 2, "v": d["b"].sum()})({"a": x, "b": x}))


@prog
def t_vmap():
    f = lambda x, y: x @ y
    a = jnp.arange(12.0).reshape(3, 4)
    b = jnp.arange(4.0)
    print(jax.vmap(f, (0, None))(a, b))
    print(jax.vmap(f, (1, None), 1)(a, jnp.arange(3.0)))
    print(
        jax.vmap(lambda d: d["x"] + d["y"], in_axes=({"x": 0, "y": None},))(
            {"x": jnp.arange(3), "y": 1}
        )
    )
    print(jax.vmap(jax.grad(lambda x: x**2))(jnp.arange(3.0)))
    print(
        jax.vmap(jax.vmap(lambda x, y: x * y, (None, 0)), (0, None))(jnp.arange(3), jnp.arange(2))
    )
    print(jax.vmap(lambda x: (x, 1.0), out_axes=(0, None))(jnp.arange(3)))
    print(jax.vmap(lambda x: lax.psum(x, "i"), axis_name="i")(jnp.arange(4)))
    print(jax.vmap(lambda x: x - lax.pmean(x, "i"), axis_name="i")(jnp.arange(4.0)))
    print(jax.vmap(lambda x: lax.axis_index("i") * x, axis_name="i")(jnp.arange(4)))
    print(jax.vmap(lambda x: lax.all_gather(x, "i"), axis_name="i")(jnp.arange(3)))
    print(jax.vmap(lambda i, x: x[i], (0, None))(jnp.array([2, 0]), jnp.arange(5.0)))
    print(jax.vmap(lambda k: jax.random.normal(k))(jax.random.split(jax.random.PRNGKey(0), 3)))


@prog
def t_vmap_err():
    err(jax.vmap(lambda x, y: x + y), jnp.ones(3), jnp.ones(4))
    err(jax.vmap(lambda x: x, in_axes=(0, 0)), jnp.ones(3))
    err(jax.vmap(lambda x: x, in_axes=None), jnp.ones(3))
    err(jax.vmap(lambda x: x), 1.0)
    err(jax.vmap(lambda x: x, in_axes="a"), jnp.ones(3))
    err(jax.vmap(lambda x: x, out_axes=None), jnp.ones(3))
    err(jax.vmap(lambda x: x, in_axes=2), jnp.ones((3, 2)))


@prog
def t_grad_err():
    err(jax.grad(lambda x: x), jnp.ones(3))
    err(jax.grad(lambda x: x), 1)
    err(jax.grad(lambda x: x * 1j), 1.0)
    err(jax.grad(lambda x: (x, x)), 1.0)
    err(jax.grad(lambda x: x), "a")
    err(jax.grad(lambda x: "a"), 1.0)
    err(jax.grad(lambda x: x, argnums=1), 1.0)
    err(jax.jvp, jnp.sin, (1.0,), (1,))
    err(jax.jvp, jnp.sin, (1.0,), (jnp.ones(2),))
    err(jax.jvp, jnp.sin, 1.0, 1.0)
    err(lambda: jax.vjp(jnp.sin, 1.0)[1](jnp.ones(2)))
    err(lambda: jax.vjp(jnp.sin, 1.0)[1]((1.0,)))
    err(jax.grad(lambda x: jnp.float32(x).astype(int)), 1.0)
    err(jax.hessian(lambda x: x), 1)


@prog
def t_jit_err():
    err(jax.jit(lambda x: 1 if x > 0 else 0), 1.0)
    err(jax.jit(lambda x: np.asarray(x)), 1.0)
    err(jax.jit(lambda x: float(x)), 1.0)
    err(jax.jit(lambda x: int(x)), 1.0)
    err(jax.jit(lambda n: jnp.zeros(n)), 3)
    err(jax.jit(lambda x: x[x > 0]), jnp.ones(3))
    err(jax.jit(lambda n: range(n)), 3)
    err(jax.jit(lambda x: "a"), 1.0)
    err(jax.jit(lambda x: x), "a")
    err(jax.jit(lambda x: x), object())
    err(jax.jit(lambda n: [1, 2, 3][n]), 1)
    err(jax.jit(lambda x: x.tolist()), jnp.ones(2))
    err(jax.jit(lambda x: x.item()), 1.0)
    err(jax.jit(lambda x, n: x, static_argnums=1), 1.0, [1])
    err(jax.jit, 3)
    leak = []
    jax.jit(lambda x: leak.append(x))(1.0)
    err(lambda: leak[0] + 1)
    err(lambda: jnp.sin(leak[0]))
    err(jax.jit(lambda x: {x: 1}), 1.0)
    err(jax.jit(lambda x: hash(x)), 1.0)
    err(jax.jit(lambda x: bool(x.any())), jnp.ones(3))
    err(jax.jit(lambda x: complex(x)), 1.0)
    err(jax.jit(lambda x: x.__index__()), 1)
    err(jax.jit(lambda x: [a for a in x]), 1.0)
    err(jax.jit(lambda x: not x), 1.0)
    err(jax.jit(lambda x: x and 1), 1.0)


@prog
def t_jit_cache():
    n = [0]

    @jax.jit
    def f(x):
        n[0] += 1
        return x + 1

    f(1.0)
    f(2.0)
    f(jnp.ones(2))
    f(jnp.zeros(2))
    f(1)
    f(np.float32(1))
    f(jnp.float32(3))
    print(n)

    @functools.partial(jax.jit, static_argnums=(1,), static_argnames="k")
    def g(x, m, k=2):
        n[0] += 1
        return x * m * k

    n[0] = 0
    g(1.0, 2)
    g(1.0, 2)
    g(1.0, 3)
    g(1.0, 3, k=5)
    g(1.0, 3, k=5)
    print(n, g(2.0, 3, k=5))

    @jax.jit
    def h(d):
        n[0] += 1
        return {k: v * 2 for k, v in d.items()}

    n[0] = 0
    print(h({"b": 1, "a": jnp.ones(2)}))
    h({"a": 1.0, "b": 2})
    print(n)
    f.clear_cache()
    n[0] = 0
    f(1.0)
    print(n)


@prog
def t_jit_kw():
    f = jax.jit(lambda x, *, y=2, **k: x * y + sum(k.values()))
    print(f(1.0, y=3), f(2.0), f(1.0, z=4, w=5))
    g = jax.jit(lambda *a: sum(a))
    print(g(1, 2, 3))

    class A:
        def __init__(s, v):
            s.v = v

        @functools.partial(jax.jit, static_argnums=0)
        def m(s, x):
            return x * s.v

    print(A(3).m(2.0))

    @jax.jit
    def k(x, y=None):
        return x if y is None else x + y

    print(k(1.0), k(1.0, 2.0))


@prog
def t_jit_nested():
    f = jax.jit(lambda x: jax.jit(jnp.sin)(x) + jax.jit(lambda y: y * x)(2.0))
    print(f(1.0))
    print(jax.jit(jax.grad(jax.jit(lambda x: jnp.sum(jnp.sin(x) * x))))(jnp.arange(3.0)))
    print(jax.jit(jax.vmap(jax.jit(lambda x: x**2)))(jnp.arange(3.0)))
    print(jax.grad(jax.jit(lambda x: jnp.where(x > 0, x, 0.0).sum()))(jnp.array([-1.0, 2.0])))


@prog
def t_scan():
    def f(c, x):
        return c + x, c * x

    print(lax.scan(f, 0.0, jnp.arange(5.0)))
    print(lax.scan(f, 0.0, jnp.arange(5.0), reverse=True))
    print(jax.jit(lambda xs: lax.scan(f, 0.0, xs))(jnp.arange(5.0)))
    print(jax.grad(lambda xs: lax.scan(f, 1.0, xs)[1].sum())(jnp.arange(5.0)))
    print(lax.scan(lambda c, _: (c * 2, None), 1, None, length=5))
    print(
        lax.scan(
            lambda c, x: ((c[0] + x["a"], c[1]), {"o": x["b"]}),
            (0, jnp.float32(1)),
            {"a": jnp.arange(3), "b": jnp.ones((3, 2))},
        )
    )
    print(jax.vmap(lambda c: lax.scan(f, c, jnp.arange(3.0)))(jnp.arange(2.0)))
    print(lax.scan(f, 0, jnp.arange(3.0)))
    W = jnp.eye(2) * 0.5
    print(
        jax.grad(
            lambda W: lax.scan(
                lambda h, x: (jnp.tanh(W @ h + x), h.sum()), jnp.zeros(2), jnp.ones((4, 2))
            )[0].sum()
        )(W)
    )
    print(jax.jacfwd(lambda x: lax.scan(lambda c, _: (jnp.sin(c), c), x, None, length=3)[1])(1.0))
    print(lax.map(lambda x: x * 2, jnp.arange(4)))
    print(lax.associative_scan(jnp.add, jnp.arange(6)))
    print(lax.scan(f, 0.0, jnp.zeros(0)))
    print(jax.grad(jax.jit(lambda xs: lax.scan(f, 1.0, xs)[1].sum()))(jnp.arange(5.0)))
    print(
        jax.hessian(lambda x: lax.scan(lambda c, y: (c * x + y, c), 1.0, jnp.arange(3.0))[0])(2.0)
    )


@prog
def t_scan_err():
    err(lax.scan, lambda c, x: (c, x), 0, None)
    err(lax.scan, lambda c, x: c, 0, jnp.arange(3))
    err(lax.scan, lambda c, x: (jnp.float32(c), x), jnp.int32(0), jnp.arange(3))
    err(lax.scan, lambda c, x: ((c, c), x), 0, jnp.arange(3))
    err(lax.scan, lambda c, x: (c, x), 0, (jnp.arange(3), jnp.arange(4)))
    err(lax.scan, lambda c, x: (c, x), 0, jnp.arange(3), length=4)
    err(lax.scan, 3, 0, jnp.arange(3))
    err(lax.scan, lambda c, x: (c, x), 0, 1.0)
    err(lax.while_loop, lambda c: 1, lambda c: c, 0)
    err(lax.while_loop, lambda c: c < 3, lambda c: c + 1.0, 0)
    err(lax.while_loop, lambda c: c, lambda c: c, jnp.ones(2, bool))
    err(lax.cond, True, lambda: 1, lambda: (1, 2))
    err(lax.cond, True, lambda: 1, lambda: 2.0)
    err(lax.cond, jnp.ones(2), lambda: 1, lambda: 2)
    err(lax.cond, "a", lambda: 1, lambda: 2)
    err(lax.switch, 1.0, [lambda: 1, lambda: 2])
    err(lax.switch, 0, [])
    err(lax.fori_loop, 0, 3.0, lambda i, c: c, 0)
    err(lax.fori_loop, 0, 3, lambda i, c: (c, c), 0)
    err(lax.cond, True, 1, 2)
    err(jax.grad(lambda x: lax.while_loop(lambda c: c < 10, lambda c: c * 2, x)), 1.0)
    err(jax.grad(lambda x: lax.fori_loop(0, x.astype(int), lambda i, c: c * 2, x)), 1.0)


@prog
def t_while():
    print(lax.while_loop(lambda c: c < 100, lambda c: c * 2, 3))
    print(
        jax.jit(
            lambda x: lax.while_loop(lambda c: c[0] < 10, lambda c: (c[0] + 1, c[1] * 1.5), (0, x))
        )(1.0)
    )
    print(jax.jvp(lambda x: lax.while_loop(lambda c: c < 10, lambda c: c * x, x), (2.0,), (1.0,)))
    print(
        jax.vmap(lambda x: lax.while_loop(lambda c: c < 10, lambda c: c + x, x))(
            jnp.array([1, 2, 3])
        )
    )
    print(
        lax.fori_loop(0, 5, lambda i, c: c + i, 0),
        lax.fori_loop(0, 5, lambda i, c: c * 1.5, 1.0),
        lax.fori_loop(jnp.int32(1), jnp.int32(4), lambda i, c: c + i, 0),
    )
    print(jax.grad(lambda x: lax.fori_loop(0, 3, lambda i, c: c * x, 1.0))(2.0))
    print(jax.jit(lambda n: lax.fori_loop(0, n, lambda i, c: c + i, 0))(5))
    print(
        jax.linearize(lambda x: lax.while_loop(lambda c: c < 10, lambda c: c * x, x), 2.0)[1](1.0)
    )
    print(
        jax.jit(
            jax.grad(
                lambda x: lax.fori_loop(
                    0, 5, lambda i, u: u.at[1:-1].add(0.1 * (u[2:] - 2 * u[1:-1] + u[:-2])), x
                ).sum()
            )
        )(jnp.arange(5.0) ** 2)
    )


@prog
def t_cond():
    f = lambda x: lax.cond(x > 0, lambda y: y * 2, lambda y: -y, x)
    print(
        f(1.0),
        f(-1.0),
        jax.jit(f)(2.0),
        jax.grad(f)(3.0),
        jax.grad(f)(-3.0),
        jax.vmap(f)(jnp.array([1.0, -2.0])),
        jax.jit(jax.grad(f))(-1.0),
    )
    print(
        lax.switch(2, [lambda: 1, lambda: 2, lambda: 3]),
        lax.switch(7, [lambda x: x, lambda x: x * 2], 3),
        lax.switch(-1, [lambda x: x, lambda x: x * 2], 3),
    )
    print(jax.vmap(lambda i: lax.switch(i, [lambda: 1.0, lambda: 2.0, lambda: 3.0]))(jnp.arange(3)))
    w = jnp.arange(3.0)
    g = lambda x, w: lax.cond(x > 0, lambda: (w * x).sum(), lambda: jnp.float32(0))
    print(jax.grad(g, (0, 1))(2.0, w), jax.grad(g, (0, 1))(-2.0, w))
    print(lax.cond(1, lambda x: {"a": x}, lambda x: {"a": x * 2}, 5))
    print(jax.hessian(lambda x: lax.cond(x > 0, lambda y: y**3, lambda y: y, x))(2.0))
    print(
        jax.jvp(lambda x: lax.cond(x > 0, jnp.sin, jnp.cos, x), (1.0,), (1.0,)),
        lax.cond(False, lambda a, b: a + b, lambda a, b: a * b, 2, 3),
    )
    print(lax.select(jnp.array([True, False]), jnp.ones(2), jnp.zeros(2)))


@prog
def t_custom_jvp():
    @jax.custom_jvp
    def f(x, y):
        return jnp.sin(x) * y

    @f.defjvp
    def fj(p, t):
        return f(*p), 10 * t[0] + t[1]

    print(
        f(1.0, 2.0),
        jax.grad(f)(1.0, 2.0),
        jax.grad(f, 1)(1.0, 2.0),
        jax.jit(jax.grad(f))(1.0, 2.0),
        jax.vmap(jax.grad(f))(jnp.ones(2), jnp.ones(2)),
    )
    print(
        *jax.jvp(f, (1.0, 2.0), (1.0, 0.0)),
        jax.jit(f)(1.0, 2.0),
        jax.vmap(f, (0, None))(jnp.ones(2), 1.0),
    )

    @functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
    def app(g, x):
        return g(x)

    @app.defjvp
    def aj(g, p, t):
        return g(p[0]), 3 * t[0]

    print(app(jnp.sin, 1.0), jax.grad(app, 1)(jnp.sin, 1.0))

    @jax.custom_jvp
    def h(x):
        return {"a": x, "b": x * 2}

    h.defjvp(lambda p, t: (h(p[0]), {"a": t[0], "b": t[0] * 5}))
    print(jax.tree.leaves(jax.tree.map(float, jax.jvp(h, (1.0,), (1.0,)))))

    @jax.custom_jvp
    def nod(x):
        return x

    err(nod, 1.0)
    print(
        jax.grad(jax.grad(f))(1.0, 2.0),
        jax.hessian(jax.nn.softplus)(1.0),
        jax.grad(jax.nn.relu)(0.0),
        jax.vmap(jax.grad(jax.nn.relu))(jnp.array([-1.0, 0.0, 1.0])),
    )

    @jax.jit
    def loop(x):
        return lax.fori_loop(0, 3, lambda i, c: f(c, 1.0), x)

    print(loop(1.0), jax.grad(loop)(1.0))


@prog
def t_custom_vjp():
    @jax.custom_vjp
    def f(x, y):
        return jnp.sin(x) * y

    f.defvjp(lambda x, y: (f(x, y), (x, y)), lambda r, g: (g * r[0] * 100, None))
    print(
        f(1.0, 2.0),
        jax.grad(f)(1.0, 2.0),
        jax.grad(f, 1)(1.0, 2.0),
        jax.jit(jax.grad(f))(1.0, 2.0),
        jax.grad(jax.jit(f))(1.0, 2.0),
    )
    print(
        jax.vmap(jax.grad(f), (0, None))(jnp.arange(3.0), 1.0),
        jax.vmap(f, (0, None))(jnp.arange(3.0), 1.0),
        jax.grad(lambda y: jax.vmap(f, (0, None))(jnp.arange(3.0), y).sum())(1.0),
    )
    err(jax.jvp, f, (1.0, 2.0), (1.0, 1.0))
    err(jax.jacfwd(f), 1.0, 2.0)

    @functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
    def app(g, x):
        return g(x)

    app.defvjp(lambda g, x: (g(x), x), lambda g, r, ct: (ct * 7,))
    print(jax.grad(app, 1)(jnp.sin, 1.0))

    @jax.custom_vjp
    def clip(lo, hi, x):
        return x

    clip.defvjp(lambda lo, hi, x: (x, (lo, hi)), lambda r, g: (None, None, jnp.clip(g, *r)))
    print(
        jax.grad(lambda x: 5 * clip(-1.0, 1.0, x))(2.0),
        jax.vmap(jax.grad(lambda x: jnp.sin(clip(-0.75, 0.75, x))))(jnp.linspace(0, 6, 4)),
    )

    def loop(x):
        return lax.scan(lambda c, _: (f(c, 2.0), None), x, None, length=3)[0]

    print(jax.grad(loop)(1.0), jax.jit(jax.grad(loop))(1.0))
    print(jax.grad(lambda x: lax.cond(x > 0, lambda x: f(x, 1.0), lambda x: x, x))(1.0))

    @jax.custom_vjp
    def nod(x):
        return x

    err(nod, 1.0)
    f2 = jax.custom_vjp(lambda d: d["a"] * 2)
    f2.defvjp(lambda d: (d["a"] * 2, None), lambda r, g: ({"a": g * 3, "b": g * 4},))
    print(jax.grad(f2)({"a": 1.0, "b": 2.0}))
    bad = jax.custom_vjp(lambda x: x)
    bad.defvjp(lambda x: (x, None), lambda r, g: (g, g))
    err(jax.grad(bad), 1.0)

    @jax.custom_gradient
    def cg(x):
        return x**2, lambda g: (g * x * 10,)

    print(jax.grad(cg)(3.0))


@prog
def t_remat():
    f = jax.checkpoint(lambda x: jnp.sin(jnp.sin(x)))
    print(
        f(1.0),
        jax.grad(f)(1.0),
        jax.jit(jax.grad(f))(1.0),
        jax.vmap(jax.grad(f))(jnp.arange(3.0)),
        jax.jvp(f, (1.0,), (1.0,)),
        jax.hessian(f)(1.0),
    )
    g = jax.remat(lambda w, x: lax.scan(lambda c, _: (jnp.tanh(c * w), None), x, None, length=4)[0])
    print(jax.grad(g, (0, 1))(0.5, 1.0))
    h = jax.checkpoint(lambda x, n: x**n, static_argnums=1)
    print(jax.grad(h)(2.0, 3))
    print(
        jax.grad(jax.checkpoint(jax.jit(lambda x: jnp.sin(x) * x)))(1.0),
        jax.grad(jax.jit(jax.checkpoint(lambda x: jnp.exp(jnp.sin(x)))))(1.0),
    )
    p = jax.checkpoint(lambda x: jnp.sin(x @ x).sum(), policy=jax.checkpoint_policies.dots_saveable)
    print(jax.grad(p)(jnp.eye(2)))
    print(
        jax.grad(
            lambda x: lax.scan(jax.checkpoint(lambda c, _: (jnp.sin(c), None)), x, None, length=3)[
                0
            ]
        )(1.0)
    )


@prog
def t_eval_shape():
    print(
        jax.eval_shape(
            lambda x: {"a": x @ x.T, "b": x.sum()}, jax.ShapeDtypeStruct((3, 4), jnp.float32)
        )
    )
    print(jax.ShapeDtypeStruct((2,), "int32"), jax.eval_shape(jnp.ones, 3) if False else "")
    print(jax.make_jaxpr(lambda x: x + 1, return_shape=True)(1.0))
    l = jax.jit(lambda x: x * 2).lower(jnp.ones(3))
    c = l.compile()
    print(c(jnp.arange(3.0)), l.out_info, l.in_tree, l.out_tree)
    err(c, jnp.ones(4))
    err(c, 1, 2)
    t = jax.jit(lambda x: x * 2).trace(1.0)
    print(t.jaxpr, t.out_info)
    print(jax.jit(lambda x: x * 2).eval_shape(jnp.ones(3)), jax.typeof(jnp.ones(3)), jax.typeof(1))


@prog
def t_donate():
    f = jax.jit(lambda x: x + 1, donate_argnums=0)
    x = jnp.ones(3)
    y = f(x)
    print(y, x.is_deleted())
    err(lambda: x + 1)
    err(lambda: np.asarray(x))
    print(repr(y))
    g = jax.jit(lambda x, y: (x.at[0].set(5.0), y), donate_argnums=(0,))
    a = jnp.ones(3)
    b = jnp.zeros(2)
    print(g(a, b), b)


@prog
def t_disable_jit():
    with jax.disable_jit():
        print(jax.jit(lambda x: x if x > 0 else -x)(-1.0))
        print(lax.scan(lambda c, x: (c + x, c), 0.0, jnp.arange(3.0)))
        print(
            lax.cond(True, lambda: 1, lambda: 2),
            lax.fori_loop(0, 3, lambda i, c: c + i, 0),
            lax.while_loop(lambda c: c < 5, lambda c: c + 1, 0),
        )


@prog
def t_closure():
    a = jnp.arange(3.0)
    f = jax.jit(lambda x: x + a)
    print(f(1.0), jax.grad(lambda x: jax.jit(lambda y: y * x)(2.0))(3.0))

    def outer(x):
        @jax.jit
        def inner(y):
            return x * y

        return inner(3.0) + jax.grad(inner)(1.0)

    print(jax.grad(outer)(2.0), jax.vmap(outer)(jnp.arange(3.0)), jax.jit(outer)(2.0))


@prog
def t_pmap():
    print(jax.pmap(lambda x: x * 2)(jnp.ones((1, 3))))
    print(jax.pmap(lambda x: lax.psum(x, "i"), axis_name="i")(jnp.ones((1, 2))))
    print(jax.local_device_count(), jax.device_count(), jax.process_count())
    err(jax.pmap(lambda x: x), jnp.ones((3, 2)))
