"""Whole algorithms and uses of pytrees and transformations, as people write them."""

# ruff: noqa
import collections
import dataclasses
import typing


def msg(f, *a, n=0, **k):
    try:
        print("ok", f(*a, **k))
    except Exception as error:
        print(type(error).__name__)


@prog
def mlp():
    k = jax.random.split(jax.random.key(0), 3)
    p = [
        (jax.random.normal(k[i], (a, b)) * 0.3, jnp.zeros(b))
        for i, (a, b) in enumerate([(2, 8), (8, 8), (8, 1)])
    ]
    X = jax.random.uniform(jax.random.key(5), (16, 2))
    y = (X[:, 0] > X[:, 1]).astype(jnp.float32)

    def net(p, x):
        for w, b in p[:-1]:
            x = jnp.tanh(x @ w + b)
        return (x @ p[-1][0] + p[-1][1])[..., 0]

    def loss(p):
        return jnp.mean(jax.nn.softplus(net(p, X)) - y * net(p, X))

    @jax.jit
    def step(p):
        l, g = jax.value_and_grad(loss)(p)
        return (jax.tree.map(lambda a, b: a - 0.5 * b, p, g), l)

    for i in range(5):
        p, l = step(p)
        print(i, f"{l:.4f}")
    print(jax.tree.map(jnp.shape, p))


@prog
def adam():

    def f(p):
        return jnp.sum((p["w"] - 3) ** 2) + jnp.abs(p["b"])

    p = {"w": jnp.zeros(3), "b": jnp.float32(2.0)}
    z = jax.tree.map(jnp.zeros_like, p)

    def body(c, t):
        p, m, v = c
        g = jax.grad(f)(p)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        mh = jax.tree.map(lambda m: m / (1 - 0.9 ** (t + 1)), m)
        vh = jax.tree.map(lambda v: v / (1 - 0.999 ** (t + 1)), v)
        p = jax.tree.map(lambda p, m, v: p - 0.1 * m / (jnp.sqrt(v) + 1e-08), p, mh, vh)
        return ((p, m, v), f(p))

    (p, _, _), ls = jax.lax.scan(body, (p, z, z), jnp.arange(20))
    print(p, ls[-1])
    print(jax.jit(lambda p: lax.scan(body, (p, z, z), jnp.arange(3))[1])(p))


@prog
def logreg():
    x = jnp.linspace(-1, 1, 10)
    y = (x > 0.2) * 1.0

    def loss(w):
        return -jnp.mean(
            y * jax.nn.log_sigmoid(w[0] * x + w[1]) + (1 - y) * jax.nn.log_sigmoid(-w[0] * x - w[1])
        )

    w = jnp.zeros(2)
    for _ in range(6):
        g = jax.grad(loss)(w)
        H = jax.hessian(loss)(w) + 0.01 * jnp.eye(2)
        w = w - jnp.linalg.solve(H, g)
    print(w, loss(w))


@prog
def lstm():
    n = 4
    k = jax.random.key(1)
    W = jax.random.normal(k, (n * 2, 4 * n)) * 0.4

    def cell(c, x):
        h, cc = c
        z = jnp.concatenate([h, x]) @ W
        i, f, g, o = jnp.split(z, 4)
        cc = jax.nn.sigmoid(f) * cc + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(cc)
        return ((h, cc), h)

    xs = jnp.sin(jnp.arange(24.0)).reshape(6, n)
    (h, c), hs = jax.jit(lambda xs: lax.scan(cell, (jnp.zeros(n), jnp.zeros(n)), xs))(xs)
    print(hs.shape, h, c)
    print(jax.grad(lambda xs: lax.scan(cell, (jnp.zeros(n), jnp.zeros(n)), xs)[1].sum())(xs)[0])
    b = jax.vmap(lambda xs: lax.scan(cell, (jnp.zeros(n), jnp.zeros(n)), xs)[0][0])(
        jnp.stack([xs, xs * 2])
    )
    print(b)


@prog
def gru():
    n = 3
    k = jax.random.split(jax.random.PRNGKey(3), 3)
    P = dict(
        z=jax.random.normal(k[0], (2 * n, n)),
        r=jax.random.normal(k[1], (2 * n, n)),
        h=jax.random.normal(k[2], (2 * n, n)),
    )

    def f(P, xs):

        def s(h, x):
            hx = jnp.concatenate([h, x])
            z = jax.nn.sigmoid(hx @ P["z"])
            r = jax.nn.sigmoid(hx @ P["r"])
            c = jnp.tanh(jnp.concatenate([r * h, x]) @ P["h"])
            return ((1 - z) * h + z * c, None)

        return lax.scan(s, jnp.zeros(n), xs)

    xs = jnp.cos(jnp.arange(15.0)).reshape(5, n)
    print(f(P, xs))
    print(jax.jit(jax.grad(lambda P: f(P, xs)[0].sum()))(P))


@prog
def rk4():

    def f(y, t):
        return jnp.array([y[1], -y[0]])

    def step(c, _):
        y, t = c
        h = 0.1
        k1 = f(y, t)
        k2 = f(y + h / 2 * k1, t + h / 2)
        k3 = f(y + h / 2 * k2, t + h / 2)
        k4 = f(y + h * k3, t + h)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return ((y, t + h), y)

    (y, t), ys = jax.jit(lambda y: lax.scan(step, (y, 0.0), None, length=20))(jnp.array([1.0, 0.0]))
    print(y, t, ys.shape, t.weak_type)
    print(
        jax.jacobian(lambda y: lax.scan(step, (y, 0.0), None, length=5)[0][0])(
            jnp.array([1.0, 0.0])
        )
    )


@prog
def adaptive():

    def cond(s):
        return s[0] < 1.0

    def body(s):
        t, y, h, n = s
        e = y + h * y
        r = y + h / 2 * y
        r = r + h / 2 * r
        ok = jnp.abs(r - e) < 0.01
        return (jnp.where(ok, t + h, t), jnp.where(ok, r, y), jnp.where(ok, h * 1.2, h / 2), n + 1)

    print(lax.while_loop(cond, body, (0.0, 1.0, 0.5, 0)))
    print(jax.jit(lambda y: lax.while_loop(cond, body, (0.0, y, 0.5, 0)))(1.0))
    print(jax.vmap(lambda y: lax.while_loop(cond, body, (0.0, y, 0.5, 0)))(jnp.array([1.0, 2.0])))


@prog
def newton():

    @jax.custom_jvp
    def sq(a):
        return lax.while_loop(lambda x: jnp.abs(x * x - a) > 1e-05, lambda x: 0.5 * (x + a / x), a)

    sq.defjvp(lambda p, t: (sq(*p), t[0] / (2 * sq(*p))))
    print(
        sq(2.0),
        jax.grad(sq)(2.0),
        jax.grad(jax.grad(sq))(2.0),
        jax.vmap(jax.grad(sq))(jnp.array([1.0, 4.0, 9.0])),
        jax.jit(jax.grad(sq))(3.0),
    )
    try:
        jax.grad(
            lambda a: lax.while_loop(
                lambda x: jnp.abs(x * x - a) > 1e-05, lambda x: 0.5 * (x + a / x), a
            )
        )(2.0)
    except Exception as e:
        print(type(e).__name__, str(e)[:60])


@prog
def kmeans():
    X = jnp.concatenate(
        [jax.random.normal(jax.random.PRNGKey(i), (10, 2)) + 4 * i for i in range(3)]
    )

    def step(i, C):
        d = jnp.sum((X[:, None] - C[None]) ** 2, -1)
        a = jnp.argmin(d, 1)
        o = jax.nn.one_hot(a, 3)
        return o.T @ X / jnp.maximum(o.sum(0)[:, None], 1)

    C = lax.fori_loop(0, 5, step, X[jnp.array([0, 12, 25])])
    print(C)
    print(jax.jit(lambda C: lax.fori_loop(0, 5, step, C))(X[:3]))


@prog
def life():
    g = (
        jnp.zeros((6, 6), jnp.int32)
        .at[jnp.array([0, 1, 2, 2, 2]), jnp.array([1, 2, 0, 1, 2])]
        .set(1)
    )

    def st(g, _):
        n = sum(
            (
                jnp.roll(g, (i, j), (0, 1))
                for i in (-1, 0, 1)
                for j in (-1, 0, 1)
                if (i, j) != (0, 0)
            )
        )
        return (((n == 3) | (g == 1) & (n == 2)).astype(g.dtype), g.sum())

    print(lax.scan(st, g, None, 8))
    print(jax.jit(lambda g: lax.scan(st, g, length=4))(g)[0])


@prog
def matpow():
    A = jnp.array([[1, 1], [1, 0]])
    print(
        lax.fori_loop(0, 10, lambda i, B: B @ A, jnp.eye(2, dtype=int)),
        jnp.linalg.matrix_power(A, 10),
    )

    def pw(A, n):

        def body(s):
            R, B, n = s
            return (lax.cond(n % 2 == 1, lambda: R @ B, lambda: R), B @ B, n // 2)

        return lax.while_loop(lambda s: s[2] > 0, body, (jnp.eye(2, dtype=A.dtype), A, n))[0]

    print(pw(A, 10), jax.jit(pw)(A, 13))
    print(jax.vmap(pw, (None, 0))(A, jnp.arange(4)))


@prog
def viterbi():
    T = jnp.log(jnp.array([[0.7, 0.3], [0.4, 0.6]]))
    E = jnp.log(jnp.array([[0.5, 0.4, 0.1], [0.1, 0.3, 0.6]]))
    o = jnp.array([0, 1, 2, 2, 0])

    def f(d, ob):
        s = d[:, None] + T
        return (s.max(0) + E[:, ob], s.argmax(0))

    d, b = lax.scan(f, E[:, o[0]] + jnp.log(0.5), o[1:])
    l = d.argmax()
    _, p = lax.scan(lambda s, bb: (bb[s], bb[s]), l, b, reverse=True)
    print(d, b, p, l)


@prog
def editdist():
    a = jnp.array([ord(c) for c in "kitten"])
    b = jnp.array([ord(c) for c in "sitting"])

    def row(prev, ai):

        def col(left, t):
            up, diag, bj = t
            v = jnp.minimum(jnp.minimum(left + 1, up + 1), diag + (ai != bj))
            return (v, v)

        f = prev[0] + 1
        _, r = lax.scan(col, f, (prev[1:], prev[:-1], b))
        return (jnp.concatenate([f[None], r]), None)

    print(
        lax.scan(row, jnp.arange(8), a)[0],
        jax.jit(lambda a: lax.scan(row, jnp.arange(8), a)[0][-1])(a),
    )


@prog
def assoc():
    x = jnp.arange(1.0, 9.0)
    print(
        lax.associative_scan(jnp.add, x),
        lax.associative_scan(jnp.multiply, x, reverse=True),
        lax.associative_scan(lambda a, b: (a[0] * b[0], b[0] * a[1] + b[1]), (x / 4, x)),
    )
    print(
        jax.jit(lambda x: lax.associative_scan(jnp.maximum, x, axis=1))(
            jnp.array([[1, 3, 2], [4, 1, 5]])
        )
    )
    print(jnp.cumsum(x), lax.cummax(x), lax.cumlogsumexp(x), lax.cumprod(x, reverse=True))


@prog
def mandel():
    y, x = jnp.meshgrid(jnp.linspace(-1, 1, 5), jnp.linspace(-2, 1, 7), indexing="ij")
    c = x + 1j * y

    def b(i, s):
        z, n = s
        z = jnp.where(jnp.abs(z) < 2, z * z + c, z)
        return (z, n + (jnp.abs(z) < 2))

    z, n = jax.jit(lambda: lax.fori_loop(0, 20, b, (jnp.zeros_like(c), jnp.zeros(c.shape, int))))()
    print(n, c.dtype)


@prog
def conv1():
    a = jnp.arange(5.0)
    b = jnp.array([1.0, 2.0, 1.0])
    for m in ("full", "same", "valid"):
        print(jnp.convolve(a, b, m), jnp.correlate(a, b, m))


@prog
def sieve():
    n = 30

    def b(i, s):
        return lax.cond(
            s[i],
            lambda s: jnp.where((jnp.arange(n) % i == 0) & (jnp.arange(n) > i), False, s),
            lambda s: s,
            s,
        )

    s = lax.fori_loop(2, 6, b, jnp.ones(n, bool).at[:2].set(False))
    print(jnp.nonzero(s)[0])
    print(jax.jit(lambda: lax.fori_loop(2, 6, b, jnp.ones(n, bool)))().sum())


@prog
def gcd():
    g = lambda a, b: lax.while_loop(lambda s: s[1] != 0, lambda s: (s[1], s[0] % s[1]), (a, b))[0]
    print(
        g(48, 18),
        jax.vmap(g)(jnp.array([12, 35]), jnp.array([18, 14])),
        jnp.gcd(12, 18),
        jnp.lcm(4, 6),
    )


@prog
def floyd():
    D = jnp.array([[0, 3, jnp.inf], [jnp.inf, 0, 1], [2, jnp.inf, 0]])
    print(lax.fori_loop(0, 3, lambda k, D: jnp.minimum(D, D[:, k, None] + D[None, k]), D))


@prog
def attention():
    q = jax.random.normal(jax.random.key(0), (2, 4, 8))
    m = jnp.tril(jnp.ones((4, 4), bool))

    def at(q):
        s = jnp.einsum("bqd,bkd->bqk", q, q) / jnp.sqrt(8)
        s = jnp.where(m, s, -jnp.inf)
        return jax.nn.softmax(s, -1) @ q

    print(at(q)[0, :2], jax.jit(at)(q)[1, 3], jax.grad(lambda q: at(q).sum())(q)[0, 0])


@prog
def powit():
    A = jnp.array([[2.0, 1.0], [1.0, 3.0]])
    v, _ = lax.scan(
        lambda v, _: (A @ v / jnp.linalg.norm(A @ v), None), jnp.ones(2), None, length=50
    )
    print(v @ A @ v, jnp.linalg.eigvalsh(A))


@prog
def bisect():
    f = lambda x: x**3 - 2

    def b(s):
        lo, hi = s
        m = (lo + hi) / 2
        return lax.cond(f(m) > 0, lambda: (lo, m), lambda: (m, hi))

    print(
        lax.while_loop(lambda s: s[1] - s[0] > 0.0001, b, (0.0, 2.0)),
        jax.jit(lambda: lax.while_loop(lambda s: s[1] - s[0] > 0.0001, b, (0.0, 2.0)))(),
    )


@prog
def knn():
    X = jax.random.normal(jax.random.PRNGKey(0), (20, 3))
    d = ((X[:, None] - X[None]) ** 2).sum(-1)
    v, i = lax.top_k(-d, 3)
    print(i[:4], v[0])
    print(jnp.argsort(d, 1)[:3, :4])


@prog
def hmm_fb():
    T = jnp.array([[0.9, 0.1], [0.2, 0.8]])
    B = jnp.array([[0.5, 0.5], [0.1, 0.9]])

    def f(a, o):
        a = a @ T * B[:, o]
        s = a.sum()
        return (a / s, (a / s, jnp.log(s)))

    a, (al, ls) = lax.scan(f, jnp.array([0.5, 0.5]), jnp.array([0, 1, 1, 0]))
    print(a, ls.sum())
    print(
        jax.grad(
            lambda T: lax.scan(
                lambda a, o: (a @ T * B[:, o], None), jnp.array([0.5, 0.5]), jnp.array([0, 1, 1])
            )[0].sum()
        )(T)
    )


@prog
def sgdmom():

    @functools.partial(jax.jit, static_argnames=("lr", "n"))
    def train(w, lr=0.1, n=10):

        def s(i, c):
            w, v = c
            g = jax.grad(lambda w: jnp.sum(jnp.cosh(w)))(w)
            v = 0.9 * v - lr * g
            return (w + v, v)

        return lax.fori_loop(0, n, s, (w, jnp.zeros_like(w)))

    print(train(jnp.array([1.0, -2.0])), train(jnp.ones(1), lr=0.01, n=3))


@prog
def batchnorm():

    def bn(x, g, b, axis):
        m = x.mean(axis, keepdims=True)
        v = x.var(axis, keepdims=True)
        return (x - m) * lax.rsqrt(v + 1e-05) * g + b

    x = jnp.arange(12.0).reshape(4, 3) ** 2
    print(bn(x, 2.0, 1.0, 0))
    print(jax.jit(bn, static_argnums=3)(x, 1.0, 0.0, 1))
    print(jax.nn.standardize(x, 0))
    print(jax.jvp(lambda x: bn(x, 1.0, 0.0, 0), (x,), (jnp.ones_like(x).at[0, 0].set(0),))[1])


@prog
def embed():
    E = jnp.arange(12.0).reshape(4, 3)
    ids = jnp.array([[0, 1], [3, 3]])
    print(E[ids].shape, jax.grad(lambda E: (E[ids] ** 2).sum())(E))
    print(jnp.take(E, ids, axis=0).sum(1))
    print(jax.ops.segment_sum(E, jnp.array([0, 0, 1, 1]), 2))


@prog
def xent():
    lg = jnp.array([[1.0, 2.0, 3.0], [0.0, 0.0, 9.0]])
    y = jnp.array([2, 0])
    l = lambda lg: -jnp.take_along_axis(jax.nn.log_softmax(lg), y[:, None], 1).mean()
    print(l(lg), jax.grad(l)(lg), jax.jit(jax.hessian(l))(lg).shape)
    print(jax.nn.logsumexp(lg, axis=1), jax.nn.one_hot(y, 3), jax.nn.softmax(lg, where=lg > 0))


@prog
def regclass():

    @jax.tree_util.register_pytree_node_class
    class P:
        def __init__(s, x, y, n):
            s.x = x
            s.y = y
            s.n = n

        def tree_flatten(s):
            return ((s.x, s.y), s.n)

        @classmethod
        def tree_unflatten(c, n, ch):
            return c(*ch, n)

        def __repr__(s):
            return f"P({s.x},{s.y},{s.n})"

    p = P(1.0, jnp.arange(2.0), "q")
    print(jax.jit(lambda p: P(p.x * 2, p.y + 1, p.n))(p))
    print(jax.grad(lambda p: p.x**2 + p.y.sum())(p))
    print(jax.vmap(lambda p: p.x * p.y, in_axes=(P(None, 0, "q"),))(p))
    print(lax.scan(lambda c, _: (P(c.x + 1, c.y * 2, c.n), c.x), p, None, length=3))
    print(jax.tree.structure(p), jax.tree.leaves(p))
    print(jax.tree_util.tree_flatten_with_path(p))
    msg(lambda: lax.scan(lambda c, _: (P(c.x + 1, c.y * 2, "z"), c.x), p, None, length=3), n=200)


@prog
def dataclass1():

    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class S:
        a: jax.Array
        b: float
        tag: str = dataclasses.field(default="t", metadata=dict(static=True))

    s = S(jnp.ones(2), 3.0)
    print(jax.jit(lambda s: dataclasses.replace(s, a=s.a * s.b))(s))
    print(jax.grad(lambda s: (s.a * s.b).sum())(s))
    print(jax.tree.structure(s))
    print([jax.tree_util.keystr(k) for k, _ in jax.tree_util.tree_leaves_with_path(s)])
    print(jax.jit(lambda s: s.tag == "t")(s))
    print(jax.tree.map(lambda x, y: x + y, s, s))


@prog
def namedt():

    class S(typing.NamedTuple):
        x: jax.Array
        v: jax.Array

    s = S(jnp.float32(1.0), jnp.zeros(2))
    print(jax.jit(lambda s: s._replace(x=s.x + 1))(s))
    print(lax.while_loop(lambda s: s.x < 5, lambda s: S(s.x + 1, s.v + s.x), s))
    print(jax.tree.structure(s))
    print(jax.jacfwd(lambda s: s.x * s.v + 1)(s))
    Q = collections.namedtuple("Q", "a b")
    print(jax.vmap(lambda q: q.a * q.b)(Q(jnp.arange(3), jnp.ones(3))))
    print(jax.tree_util.tree_flatten_with_path(Q(1, (2, 3))))
    od = collections.OrderedDict([("z", 1), ("a", 2)])
    print(
        jax.tree.flatten(od),
        jax.tree.flatten({"z": 1, "a": 2}),
        jax.tree.flatten(collections.defaultdict(int, {"b": 1})),
    )


@prog
def treefns():
    t = {"a": [1, (2, None)], "b": 3}
    print(
        jax.tree.leaves(t),
        jax.tree.structure(t),
        jax.tree.reduce(lambda a, b: a + b, t),
        jax.tree.all(t),
        jax.tree.map(lambda x: None, t),
    )
    print(jax.tree.map(lambda x: x is None, t, is_leaf=lambda x: x is None))
    l, d = jax.tree.flatten(t)
    print(
        d.num_leaves,
        d.num_nodes,
        jax.tree.unflatten(d, [4, 5, 6]),
        d == jax.tree.structure({"a": [1, (2, None)], "b": 0}),
    )
    msg(jax.tree.map, lambda a, b: a, t, {"a": 1, "b": 2}, n=80)
    msg(jax.tree.map, lambda a, b: a, [1, 2], [1], n=100)
    msg(jax.tree.unflatten, d, [1])
    print(
        jax.tree.transpose(
            jax.tree.structure([0, 0]), jax.tree.structure({"a": 0}), [{"a": 1}, {"a": 2}]
        )
    )
    print(jax.tree_util.tree_map_with_path(lambda k, x: jax.tree_util.keystr(k) + str(x), t))
    print(
        jax.tree_util.tree_structure((1, 2)).children(),
        jax.tree_util.all_leaves([1, 2]),
        jax.tree_util.treedef_is_leaf(jax.tree.structure(1)),
    )
    print(
        jax.tree_util.keystr(
            (
                jax.tree_util.DictKey("a"),
                jax.tree_util.SequenceKey(1),
                jax.tree_util.GetAttrKey("z"),
            )
        ),
        jax.tree_util.keystr(
            (jax.tree_util.DictKey("a"), jax.tree_util.SequenceKey(1)), simple=True, separator="/"
        ),
    )
    print(
        jax.tree_util.Partial(jnp.add, 1)(2),
        jax.jit(lambda f, x: f(x))(jax.tree_util.Partial(jnp.multiply, 3.0), 2.0),
    )
    print(jax.tree.leaves_with_path(t))
    print(jax.tree.broadcast({"a": 1, "b": 2}, t))


@prog
def statics():
    n = [0]

    @functools.partial(jax.jit, static_argnums=(1,), static_argnames=("mode",))
    def f(x, k, mode="a"):
        n[0] += 1
        return x**k if mode == "a" else x * k

    print(f(2.0, 3), f(3.0, 3), f(2.0, 3, mode="b"), f(2.0, k=3), f(jnp.float32(2.0), 3), n)
    msg(f, 2.0, [1], n=60)
    msg(lambda: jax.jit(lambda x: x, static_argnums=3)(1))
    msg(lambda: jax.jit(lambda x: x, static_argnames="q")(1))
    msg(lambda: jax.jit(3))
    print(f._cache_size())

    class C:
        def __init__(s, v):
            s.v = v

        def __hash__(s):
            return hash(s.v)

        def __eq__(s, o):
            return s.v == o.v

        @functools.partial(jax.jit, static_argnums=0)
        def m(s, x):
            n[0] += 1
            return x * s.v

    print(C(2).m(3.0), C(2).m(4.0), C(3).m(4.0), n)


@prog
def closures():
    a = jnp.arange(3.0)

    def outer(x):
        f = jax.jit(lambda y: y * x + a)
        g = lambda c, y: (c + x * y, c)
        return (
            f(x)
            + lax.scan(g, 0.0, a)[0]
            + jax.vmap(lambda y: y * x)(a).sum()
            + lax.cond(x > 0, lambda: x, lambda: -x)
        )

    print(
        outer(2.0),
        jax.grad(lambda x: outer(x).sum())(2.0),
        jax.jit(outer)(2.0),
        jax.jvp(outer, (2.0,), (1.0,)),
        jax.vmap(outer)(a),
    )
    print(jax.make_jaxpr(outer)(2.0))


@prog
def nested1():
    f = lambda x: lax.fori_loop(
        0, 3, lambda i, c: lax.cond(c > 2, lambda c: c - 1, lambda c: c * x, c), 1.0
    )
    print(
        f(2.0),
        jax.jvp(f, (2.0,), (1.0,)),
        jax.vmap(f)(jnp.array([1.0, 2.0, 3.0])),
        jax.jit(jax.vmap(f))(jnp.array([1.0, 2.0, 3.0])),
        jax.grad(f)(1.5),
        jax.jit(jax.grad(f))(1.5),
    )


@prog
def nested2():
    g = lambda x: lax.scan(
        lambda c, y: (lax.switch(y % 3, [lambda c: c + 1, lambda c: c * 2.0, jnp.sin], c), c),
        x,
        jnp.arange(5),
    )
    print(
        g(1.0),
        jax.jacfwd(lambda x: g(x)[1])(1.0),
        jax.jacrev(lambda x: g(x)[1])(1.0),
        jax.hessian(lambda x: g(x)[0])(1.0),
    )
    print(jax.vmap(g)(jnp.arange(2.0)))
    print(jax.jit(jax.vmap(jax.grad(lambda x: g(x)[0])))(jnp.arange(3.0)))


@prog
def cjvp_in_scan():

    @jax.custom_jvp
    def f(x):
        return jnp.sin(x)

    @f.defjvp
    def _(p, t):
        return (f(*p), 100.0 * t[0])

    h = lambda x: lax.scan(lambda c, _: (f(c), None), x, None, length=2)[0]
    print(
        jax.grad(h)(1.0),
        jax.jit(jax.grad(h))(1.0),
        jax.vmap(jax.grad(h))(jnp.ones(2)),
        jax.jvp(h, (1.0,), (1.0,)),
        jax.grad(jax.vmap(f)),
    ) if 0 else print(
        jax.grad(h)(1.0),
        jax.jit(jax.grad(h))(1.0),
        jax.vmap(jax.grad(h))(jnp.ones(2)),
        jax.jvp(h, (1.0,), (1.0,)),
    )
    print(jax.make_jaxpr(f)(1.0))


@prog
def remat():
    f = jax.checkpoint(lambda x: jnp.sin(jnp.sin(x)))
    print(jax.grad(f)(1.0), jax.make_jaxpr(jax.grad(f))(1.0))
    g = jax.checkpoint(lambda x, n: x**n, static_argnums=1)
    print(jax.grad(g)(2.0, 3))
    print(jax.grad(jax.checkpoint(f, policy=jax.checkpoint_policies.everything_saveable))(1.0))
    print(
        jax.jit(
            jax.grad(
                lambda x: lax.scan(
                    jax.checkpoint(lambda c, _: (jnp.sin(c), None)), x, None, length=3
                )[0]
            )
        )(1.0)
    )


@prog
def leaks():
    L = []
    jax.jit(lambda x: L.append(x))(1.0)
    msg(lambda: L[0] + 1, n=60)
    msg(lambda: print(L[0] * 2), n=40)
    jax.vmap(lambda x: L.append(x) or x)(jnp.ones(2))
    msg(lambda: L[1] + 1, n=40)
    jax.grad(lambda x: L.append(x) or x)(1.0)
    msg(lambda: L[2] + 1, n=40)

    def f(x):
        L.append(x)
        return x

    lax.scan(lambda c, x: (f(c), None), 0.0, None, length=2)
    msg(lambda: L[-1] + 1, n=40)
    msg(jax.checking_leaks if hasattr(jax, "checking_leaks") else lambda: 0, n=1) if 0 else None
