"""Arrays: promotion, printing, indexing, reductions, random numbers, pytrees.

Each program prints; the test runs it on JAX and on jaxc and compares what was printed. `jax`, `jnp`,
`lax`, `np`, `functools` and `prog` are given.
"""
# ruff: noqa


@prog
def d_promo():
    ts = [
        True,
        1,
        1.0,
        1j,
        np.int8(1),
        np.uint8(1),
        np.float16(1),
        jnp.bfloat16(1),
        np.float32(1),
        np.int32(1),
        np.uint32(1),
        np.complex64(1),
        jnp.int16(1),
        jnp.asarray(1),
        jnp.asarray(1.0),
        np.float64(1),
        np.int64(1),
    ]
    for a in ts:
        print(
            [str(jnp.result_type(a, b)) for b in ts],
            [(lambda r: (str(r.dtype), r.weak_type))(jnp.add(a, b)) for b in ts],
        )


@prog
def d_x64():
    with jax.enable_x64(True):
        print(
            repr(jnp.arange(3)),
            repr(jnp.ones(2)),
            jnp.asarray(1.0).dtype,
            (jnp.float32(1) + 1.0).dtype,
            jnp.sum(jnp.ones(3, jnp.int32)).dtype,
            jax.random.normal(jax.random.PRNGKey(0)),
            jax.jit(lambda x: x / 3)(1.0),
        )
    print(jnp.ones(1).dtype)


@prog
def d_repr():
    print(
        repr(jnp.arange(3)),
        repr(jnp.ones(())),
        repr(jnp.asarray(1.0)),
        repr(jnp.zeros((0, 3))),
        repr(jnp.arange(30.0)),
        repr(jnp.array([True])),
        str(jnp.ones((2, 2))),
        repr(jnp.ones((2, 3), jnp.bfloat16)),
        repr(jnp.array(1 + 2j)),
        repr(jnp.arange(2000)),
        f"{jnp.float32(1.5):.3f}",
        f"{jnp.arange(2)}",
        repr(jnp.array([1e-10, 1e10])),
        repr(jnp.array([jnp.nan, jnp.inf])),
    )
    print(repr(jnp.ones((3, 3, 3))))
    print(jnp.float32, jnp.int32, jnp.dtype("float32"), jnp.bfloat16, repr(jnp.float32(3)))
    print(
        jax.random.key(0),
        repr(jax.random.key(0)),
        jax.random.key(0).dtype,
        jax.random.split(jax.random.key(0), 2),
    )
    print(repr(np.float32(3) * jnp.ones(2)))
    print(jnp.arange(3).devices(), jnp.arange(3).sharding, jax.devices()) if 0 else None


@prog
def d_index():
    x = jnp.arange(24).reshape(2, 3, 4)
    for idx in [
        0,
        -1,
        (0, 1),
        (slice(None), 1),
        (Ellipsis, 0),
        (None, 0),
        slice(None, None, -1),
        (slice(None), slice(None, None, 2)),
        np.array([0, 1]),
        ([0, 1], [1, 2]),
        (slice(None), np.array([0, 2]), slice(1, 3)),
        (np.array([0, 1]), slice(None), np.array([0, 1])),
        (np.array([[0], [1]]), np.array([0, 2])),
        x > 5,
        (0, np.array([True, False, True])),
        5,
        (0, 0, 100),
        (slice(None), -10),
        (slice(5, 1),),
        (0, Ellipsis, slice(-2, None)),
        jnp.int32(1),
        True,
        (None, Ellipsis, None),
    ]:
        try:
            r = x[idx]
            print(r.shape, r.ravel().tolist())
        except Exception as e:
            print(type(e).__name__)

    def err(f):
        try:
            print(f())
        except Exception as e:
            print(type(e).__name__)

    err(lambda: x[0, 0, 0, 0])
    err(lambda: x["a"])
    err(lambda: x[1.0])
    err(lambda: x[jnp.ones(2)])
    err(lambda: x[[0, 1]])
    err(lambda: x[jnp.ones(5, bool)])
    err(lambda: x[0 : jnp.int32(1)])
    err(lambda: jnp.asarray(1)[0])

    def s():
        x[0] = 1

    err(s)
    err(lambda: jax.jit(lambda x, i: x[i])(x, 1))
    err(lambda: jax.jit(lambda x, i: x[:, i:])(x, 1))
    err(lambda: jax.jit(lambda x, i: x[i, i])(x, jnp.array([0, 1])))
    err(lambda: [a.shape for a in x])
    err(lambda: len(x))
    err(lambda: 3 in x)
    err(lambda: list(jnp.arange(3)))


@prog
def d_at():
    x = jnp.zeros((3, 4))
    print(
        x.at[0].set(1),
        x.at[:, 1].add(2),
        x.at[[0, 0]].add(1),
        x.at[1, 2].set(5).at[1].multiply(3),
        x.at[10].set(1),
        x.at[-1].set(7),
        x.at[0, 0].get(),
        x.at[5].get(mode="fill", fill_value=-1),
        x.at[5].get(mode="clip"),
        x.at[5].set(1, mode="clip"),
        x.at[5].set(1, mode="drop"),
    )
    y = jnp.arange(5.0)
    print(
        y.at[1].divide(2.0),
        y.at[2].power(3),
        y.at[2].min(0.0),
        y.at[0].max(9.0),
        y.at[1:3].apply(jnp.exp),
        y.at[y > 2].set(0),
        y.at[::2].set(jnp.array([7.0, 8.0, 9.0])),
        y.at[1].subtract(3),
        y.at[1].mul(3),
        y.at[jnp.array([0, 0])].max(jnp.array([5.0, 4.0])),
    )
    try:
        y.at[0].set(jnp.ones(2))
    except Exception as e:
        print(type(e).__name__)
    print(
        jax.grad(lambda x: (x.at[1].set(2.0) ** 2).sum())(y),
        jax.grad(lambda v: (y.at[1].add(v) ** 2).sum())(1.0),
        jax.jit(lambda x: x.at[1:3].add(1))(y),
        jnp.arange(3).at[0].set(2.7),
        jax.vmap(lambda x, i: x.at[i].set(0))(jnp.ones((3, 3)), jnp.arange(3)),
    )
    try:
        y.at[0] = 1
    except Exception as e:
        print(type(e).__name__)
    print(
        jax.jit(jax.grad(lambda x: x.at[jnp.array([0, 1, 1])].mul(2.0).sum()))(y),
        jax.jit(lambda x: x.at[7].get(mode="fill"))(y),
        jax.jit(lambda x: x[7])(y),
        jax.jit(lambda x, i: x[i])(y, -1),
    )


@prog
def d_pytree():
    import collections

    P = collections.namedtuple("P", "x y")
    t = {"b": [1, (2, None)], "a": P(3, {"z": 4})}
    l, d = jax.tree_util.tree_flatten(t)
    print(l, d, d.num_leaves, jax.tree_util.tree_unflatten(d, l))
    print(jax.tree.map(lambda x: x + 1, t), jax.tree.leaves(t), jax.tree.structure(t))
    print(jax.tree_util.tree_flatten_with_path(t))
    print([jax.tree_util.keystr(k) for k, _ in jax.tree_util.tree_leaves_with_path(t)])

    @jax.tree_util.register_pytree_node_class
    class C:
        def __init__(s, a, b):
            s.a = a
            s.b = b

        def tree_flatten(s):
            return (s.a,), s.b

        @classmethod
        def tree_unflatten(c, aux, ch):
            return c(ch[0], aux)

        def __repr__(s):
            return f"C({s.a},{s.b})"

    c = C(1.0, "k")
    print(
        jax.tree.map(lambda x: x * 2, c),
        jax.tree.structure(c),
        jax.jit(lambda c: C(c.a + 1, c.b))(c),
        jax.grad(lambda c: c.a**2)(c),
    )
    import dataclasses

    @functools.partial(jax.tree_util.register_dataclass, data_fields=["w"], meta_fields=["n"])
    @dataclasses.dataclass
    class D:
        w: object
        n: int

    print(jax.jit(lambda d: d.w * d.n)(D(2.0, 3)), jax.tree.map(lambda x: x + 1, D(1, 2)))
    for f in [
        lambda: jax.tree.map(lambda a, b: a + b, {"a": 1}, {"b": 1}),
        lambda: jax.tree.map(lambda a, b: a, (1, 2), (1,)),
        lambda: jax.tree.unflatten(d, [1]),
        lambda: jax.tree.transpose(
            jax.tree.structure([0, 0]), jax.tree.structure({"a": 0}), [{"a": 1}, {"a": 2}]
        ),
        lambda: jax.tree.reduce(lambda a, b: a + b, t),
        lambda: jax.tree.all([True, False]),
        lambda: jax.tree_util.tree_map(lambda x: x, None),
        lambda: jax.tree.leaves({"a": None}, is_leaf=lambda x: x is None),
        lambda: jax.tree_util.Partial(jnp.add, 1)(2),
        lambda: jax.tree.leaves(jax.tree_util.Partial(jnp.add, 1)),
    ]:
        try:
            print(f())
        except Exception as e:
            print(type(e).__name__)
    v, u = jax.flatten_util.ravel_pytree({"a": jnp.ones(2), "b": jnp.arange(3)})
    print(v, u(v))
    print(
        jax.tree.map_with_path(lambda p, x: jax.tree_util.keystr(p) + str(x), {"a": [1, 2]}),
        jax.tree_util.tree_structure([1, {"a": 2}]) == jax.tree_util.tree_structure([3, {"a": 4}]),
    )


@prog
def d_random():
    k = jax.random.PRNGKey(7)
    print(
        k,
        jax.random.split(k),
        jax.random.fold_in(k, 3),
        jax.random.bits(k, (2,)),
        jax.random.uniform(k, (3,)),
        jax.random.normal(k, (3,)),
        jax.random.randint(k, (4,), 0, 10),
        jax.random.bernoulli(k, 0.3, (4,)),
        jax.random.permutation(k, 6),
        jax.random.permutation(k, jnp.arange(6).reshape(3, 2)),
        jax.random.choice(k, 5, (3,)),
        jax.random.choice(k, 5, (3,), replace=False),
        jax.random.choice(k, jnp.arange(4.0), p=jnp.array([0.1, 0.2, 0.3, 0.4])),
        jax.random.categorical(k, jnp.zeros(4)),
        jax.random.categorical(k, jnp.zeros((3, 4)), shape=(2, 3)),
        jax.random.truncated_normal(k, -1, 1, (3,)),
        jax.random.gumbel(k, (2,)),
        jax.random.exponential(k, (2,)),
        jax.random.uniform(k, (2,), minval=-1, maxval=3),
        jax.random.normal(k, (2,), jnp.bfloat16),
        jax.random.randint(k, (3,), -5, 5, jnp.int8),
        jax.random.gamma(k, 2.0, (2,)),
        jax.random.beta(k, 1.0, 2.0, (2,)),
        jax.random.laplace(k, (2,)),
        jax.random.dirichlet(k, jnp.ones(3)),
        jax.random.poisson(k, 3.0, (3,)),
    )
    with jax.threefry_partitionable(True):
        print(
            jax.random.split(k),
            jax.random.uniform(k, (3,)),
            jax.random.normal(k, (3,)),
            jax.random.randint(k, (4,), 0, 10),
            jax.jit(lambda k: jax.random.normal(k, (3,)))(k),
        )
    kk = jax.random.key(1)
    a, b = jax.random.split(kk)
    print(
        a,
        jax.random.key_data(b),
        jax.random.normal(a),
        kk.shape,
        kk.dtype,
        jnp.issubdtype(kk.dtype, jax.dtypes.prng_key),
        jax.random.split(kk, (2, 3)).shape,
        jax.random.wrap_key_data(jax.random.key_data(kk)),
    )
    print(
        jax.vmap(lambda k: jax.random.uniform(k, (2,)))(jax.random.split(kk, 2)),
        jax.jit(lambda k: jax.random.permutation(k, 5))(kk),
        jax.jit(lambda k: jax.random.categorical(k, jnp.arange(3.0)))(kk),
        lax.scan(lambda k, _: (jax.random.split(k)[0], jax.random.normal(k)), kk, None, length=3)[
            1
        ],
    )
    print(
        jax.jit(
            lambda k: lax.scan(
                lambda k, _: (jax.random.split(k)[0], jax.random.normal(k)), k, None, length=3
            )[1]
        )(kk),
        jax.jit(lambda k: jax.random.split(k, 3)[1])(kk),
        jax.jit(lambda s: jax.random.key(s))(3),
        jax.jit(jax.random.PRNGKey)(3),
    )
    for f in [
        lambda: jax.random.normal(1),
        lambda: jax.random.PRNGKey(1.5),
        lambda: jax.random.split(jnp.ones(3)),
        lambda: jax.random.uniform(kk, (2,), jnp.int32),
        lambda: kk + 1,
        lambda: np.asarray(kk),
        lambda: jax.random.choice(k, 3, (5,), replace=False),
        lambda: jax.random.randint(k, (2,), 0.0, 1.0),
    ]:
        try:
            print(f())
        except Exception as e:
            print(type(e).__name__)


@prog
def d_reduce():
    x = jnp.array([[1.0, jnp.nan, 3.0], [4.0, 5.0, 6.0]])
    print(
        x.sum(),
        jnp.nansum(x),
        x.max(1),
        jnp.nanmax(x, 0),
        x.mean(0, keepdims=True),
        jnp.argmax(x),
        jnp.argmin(x, 1),
        jnp.var(x[1]),
        jnp.std(x[1], ddof=1),
        jnp.prod(x, axis=(0, 1)),
        jnp.all(x > 0),
        jnp.any(x > 5, axis=0),
        jnp.cumsum(x[1]),
        jnp.median(x[1]),
        jnp.percentile(x[1], 30.0),
        jnp.sum(jnp.ones(3, bool)),
        jnp.mean(jnp.arange(3)),
        jnp.sum(jnp.ones((0, 3)), 0),
        jnp.max(jnp.arange(3), initial=10),
        jnp.sum(x, where=x > 2),
        jnp.count_nonzero(x),
        jnp.average(jnp.arange(3.0), weights=jnp.array([1, 2, 3.0])),
        jnp.ptp(x[1]),
        jnp.linalg.norm(x[1]),
        jnp.linalg.norm(jnp.eye(3)),
        jnp.linalg.norm(x[1], 1),
        jnp.linalg.norm(x[1], jnp.inf),
    )
    for f in [
        lambda: jnp.max(jnp.zeros(0)),
        lambda: x.sum(5),
        lambda: jnp.argmax(jnp.zeros(0)),
        lambda: jnp.sum([1, 2]),
        lambda: jnp.sum("a"),
        lambda: jnp.mean(x, axis=(0, 0)),
        lambda: jnp.concatenate([]),
        lambda: jnp.dot(x, x),
        lambda: x @ x,
        lambda: jnp.reshape(x, (4,)),
        lambda: x + jnp.ones(4),
        lambda: jnp.stack([x, jnp.ones(2)]),
        lambda: jnp.einsum("ij,jk", x, x),
        lambda: jnp.sin("a"),
        lambda: jnp.sin([1, 2]),
        lambda: jnp.array("a"),
        lambda: jnp.array([1, [2]]),
        lambda: jnp.zeros(3).reshape(2, 2),
        lambda: bool(jnp.ones(2)),
        lambda: int(jnp.ones(2)),
        lambda: jnp.squeeze(x, 0),
        lambda: jnp.transpose(x, (0, 0)),
        lambda: jnp.expand_dims(x, 5),
        lambda: jnp.swapaxes(x, 0, 3),
        lambda: jnp.split(x, 2, 1),
        lambda: jnp.broadcast_to(x, (2,)),
        lambda: x.foo,
        lambda: jnp.foo,
        lambda: jnp.array(2**40),
        lambda: jnp.int8(300),
        lambda: jnp.uint8(-1),
        lambda: jnp.arange(3) + 2**40,
        lambda: lax.add(1, 1.0),
        lambda: lax.add(jnp.ones(2), jnp.ones(3)),
        lambda: lax.dot(x, x),
        lambda: lax.conv(x, x, (1,), "SAME"),
        lambda: lax.top_k(x[0], 5),
        lambda: lax.reshape(x, (5,)),
        lambda: lax.dynamic_slice(x, (0,), (1,)),
        lambda: lax.broadcast_in_dim(x, (2,), (0, 1)),
        lambda: hash(x),
        lambda: {x: 1},
        lambda: jnp.linspace(0, 1, -1),
        lambda: jnp.take(x, 5),
        lambda: jnp.repeat(x, -1),
    ]:
        try:
            print(f())
        except Exception as e:
            print(type(e).__name__)


@prog
def d_misc():
    print(
        jnp.einsum("ij,jk->ik", jnp.ones((2, 3)), jnp.ones((3, 2))),
        jnp.tensordot(jnp.ones((2, 3)), jnp.ones((3, 2)), 1),
        jnp.outer(jnp.arange(3), jnp.arange(2)),
        jnp.linspace(0, 1, 5),
        jnp.arange(0, 1, 0.3),
        jnp.eye(2, 3, 1),
        jnp.tril(jnp.ones((3, 3))),
        jnp.diag(jnp.arange(3)),
        jnp.meshgrid(jnp.arange(2), jnp.arange(3)),
        jnp.roll(jnp.arange(4), 1),
        jnp.flip(jnp.arange(3)),
        jnp.pad(jnp.arange(3), (1, 2), constant_values=9),
        jnp.pad(jnp.arange(3), 1, mode="reflect"),
        jnp.repeat(jnp.arange(3), 2),
        jnp.tile(jnp.arange(2), 3),
        jnp.sort(jnp.array([3, 1, 2])),
        jnp.argsort(jnp.array([3, 1, 2])),
        jnp.clip(jnp.arange(5), 1, 3),
        jnp.power(2, 3),
        jnp.power(2.0, -1),
        jnp.floor_divide(-7, 2),
        jnp.mod(-7, 3),
        -7 // jnp.int32(2),
        jnp.true_divide(1, 2),
        jnp.sign(-2.0),
        jnp.take(jnp.arange(5), jnp.array([1, 9])),
        jnp.unique(jnp.array([3, 1, 1])),
        jnp.searchsorted(jnp.arange(5), 2.5),
        jnp.nonzero(jnp.array([0, 1, 1])),
        jnp.where(jnp.array([True, False])),
        jnp.isclose(1.0, 1.0 + 1e-9),
        jnp.allclose(1.0, 1.1),
        jnp.histogram(jnp.arange(5.0), 3),
        jnp.bincount(jnp.array([0, 1, 1])),
        jnp.trace(jnp.eye(3)),
        jnp.kron(jnp.eye(2), jnp.ones(2)),
        jnp.cross(jnp.array([1, 0, 0]), jnp.array([0, 1, 0])),
        jnp.convolve(jnp.arange(3.0), jnp.ones(2)),
    )
    print(
        jax.nn.softmax(jnp.arange(3.0)),
        jax.nn.relu(-1.0),
        jax.nn.gelu(1.0),
        jax.nn.one_hot(jnp.array([0, 2]), 3),
        jax.nn.sigmoid(0.0),
        jax.nn.log_softmax(jnp.arange(3.0)),
        jax.nn.softplus(1.0),
        jax.nn.silu(1.0),
        jax.nn.elu(-1.0),
        jax.scipy.special.logsumexp(jnp.arange(3.0)),
        jax.nn.leaky_relu(-1.0),
    )
    print(
        jnp.float32(1) / 0,
        jnp.int32(1) // 0,
        jnp.int32(5) % 0,
        jnp.array([-(2**31)], jnp.int32) // -1,
        jax.jit(lambda a, b: (a // b, a % b, lax.div(a, b), lax.rem(a, b)))(
            jnp.array([7, -7, 0, -(2**31)]), jnp.array([0, 0, 0, -1])
        ),
        jnp.array(3.7).astype(int),
        jnp.array(jnp.nan).astype(int),
        jnp.array(1e20).astype(int),
        jnp.array(-1.0).astype(jnp.uint8),
        jax.jit(lambda x: x.astype(jnp.uint8))(jnp.array([-1.0, 300.0, 3.5])),
        1 << jnp.int32(40),
        jnp.int32(-8) >> 1,
    )
    import pickle, copy

    x = jnp.arange(3.0)
    print(
        pickle.loads(pickle.dumps(x)),
        copy.deepcopy(x),
        np.asarray(x),
        np.array(x).flags.writeable,
        np.asarray(x).flags.writeable,
        x.tolist(),
        x[1].item(),
        float(x[0]),
        np.add(x, 1),
        np.sin(x),
        x.__array__().dtype,
        memoryview(x).nbytes if 0 else "",
        np.from_dlpack(x),
        jnp.from_dlpack(np.arange(3.0)) if 0 else "",
    )
    print(
        jnp.asarray(np.float64(3)),
        jnp.asarray([1, 2.0]),
        jnp.array([[1, 2], [3, 4]], dtype=jnp.float16),
        jnp.array((jnp.ones(2), np.zeros(2))),
        jnp.asarray(range(3)),
        jnp.array(True),
        jnp.issubdtype(jnp.float32, jnp.floating),
        jnp.finfo(jnp.float32).eps,
        jnp.finfo(jnp.bfloat16).max,
        jnp.iinfo(jnp.int8),
        jnp.ndim(x),
        jnp.shape(x),
        jnp.size(x),
        isinstance(x, jax.Array),
        isinstance(x, jnp.ndarray),
        x.nbytes,
        x.T.shape,
        (x == x).all(),
        x is x,
        jnp.array_equal(x, x),
    )
    print(
        jax.devices(),
        jax.default_backend(),
        x.devices(),
        x.device,
        jax.device_put(1.0),
        jax.device_get(x),
        x.sharding,
        jax.config.jax_enable_x64,
        x.addressable_data(0),
        x.is_fully_addressable,
        x.addressable_shards[0].data,
        jax.block_until_ready({"a": x}),
        x.block_until_ready(),
    )
