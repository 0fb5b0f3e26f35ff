"""Pytrees: the same leaves, structures, printing, paths and errors as JAX."""

import collections
import dataclasses
import pickle

import numpy as np
import pytest

from jaxc import tree_util as ours

pytestmark = pytest.mark.oracle
theirs = pytest.importorskip("jax").tree_util

Point = collections.namedtuple("Point", "x y")


class Box:
    """A custom node with auxiliary data."""

    def __init__(self, children, data):
        self.children, self.data = children, data

    def __eq__(self, other):
        return (self.children, self.data) == (other.children, other.data)


class Keyed(Box):
    pass


@dataclasses.dataclass
class Layer:
    weight: object
    name: str = dataclasses.field(default="w", metadata={"static": True})


for lib in (ours, theirs):
    lib.register_pytree_node(Box, lambda b: (b.children, b.data), lambda d, c: Box(list(c), d))
    lib.register_pytree_with_keys(
        Keyed,
        lambda b, lib=lib: (((lib.GetAttrKey("left"), b.children[0]), ("raw", b.children[1])), 0),
        lambda d, c: Keyed(list(c), d),
    )
    lib.register_dataclass(Layer)

TREES = {
    "leaf": 5,
    "none": None,
    "empty_tuple": (),
    "empty_list": [],
    "empty_dict": {},
    "pair": (1, 2),
    "single": (1,),
    "nested": {"b": [1, (2, None)], "a": {"z": 3, "y": ()}},
    "unsorted": {"b": 1, "a": 2, "c": 3},
    "namedtuple": Point(1, (2, 3)),
    "ordered": collections.OrderedDict(b=1, a=[2]),
    "defaultdict": collections.defaultdict(int, b=1, a=2),
    "deque_is_leaf": [collections.deque([1, 2])],
    "custom": [Box([1, {"k": 2}], "data"), Box([], None)],
    "keyed": (Keyed([1, [2]], 0),),
    "dataclass": Layer((1, 2), "first"),
    "tuple_subclass": type("Sub", (tuple,), {})((1, 2)),
    "integer_keys": {3: 1, 1: 2},
}
tree = pytest.mark.parametrize("tree", TREES.values(), ids=TREES)


def leaves_like(tree):
    return ours.tree_leaves(tree), theirs.tree_leaves(tree)


@tree
def test_flatten_gives_jaxs_leaves_and_structure(tree):
    leaves, treedef = ours.tree_flatten(tree)
    expected_leaves, expected = theirs.tree_flatten(tree)
    assert leaves == expected_leaves
    assert str(treedef) == str(expected)
    assert treedef.num_leaves == expected.num_leaves
    assert treedef.num_nodes == expected.num_nodes
    assert [str(c) for c in treedef.children()] == [str(c) for c in expected.children()]
    if not isinstance(tree, Point):
        assert treedef.node_data() == expected.node_data()


@tree
def test_unflatten_inverts_flatten(tree):
    leaves, treedef = ours.tree_flatten(tree)
    rebuilt = treedef.unflatten(leaves)
    assert type(rebuilt) is type(tree)
    expected = theirs.tree_unflatten(theirs.tree_structure(tree), leaves)
    assert rebuilt == expected
    if isinstance(tree, dict):
        assert list(rebuilt) == list(expected)


@tree
def test_compiled_unflatten_agrees(tree):
    leaves, treedef = ours.tree_flatten(tree)
    first = treedef.unflatten(leaves)
    for _ in range(60):
        last = treedef.unflatten(leaves)
    assert last == first and type(last) is type(first)


@tree
def test_paths_are_jaxs(tree):
    found, treedef = ours.tree_flatten_with_path(tree)
    expected, expected_def = theirs.tree_flatten_with_path(tree)
    assert [leaf for _, leaf in found] == [leaf for _, leaf in expected]
    for (path, _), (expected_path, _) in zip(found, expected):
        assert ours.keystr(path) == theirs.keystr(expected_path)
        assert repr(path) == repr(expected_path)
        simple = {"simple": True, "separator": "/"}
        assert ours.keystr(path, **simple) == theirs.keystr(expected_path, **simple)
    assert str(treedef) == str(expected_def)


@tree
def test_structures_hash_compare_and_pickle(tree):
    a, b = ours.tree_structure(tree), ours.tree_structure(tree)
    assert a == b and hash(a) == hash(b)
    assert a != ours.tree_structure([tree])
    if type(tree).__name__ != "Sub":
        assert pickle.loads(pickle.dumps(a)) == a


@tree
@pytest.mark.parametrize("is_leaf", [lambda x: x is None, lambda x: isinstance(x, list | Point)])
def test_is_leaf(tree, is_leaf):
    leaves, treedef = ours.tree_flatten(tree, is_leaf)
    expected, expected_def = theirs.tree_flatten(tree, is_leaf)
    assert leaves == expected and str(treedef) == str(expected_def)


MISMATCHES = {
    "length": ((1, 2), (1, 2, 3)),
    "type": ((1, 2), [1, 2]),
    "keys": ({"a": 1}, {"b": 1}),
    "more_keys": ({"a": 1}, {"a": 1, "b": 2}),
    "none": (None, 1),
    "deep": ({"a": (1, [2])}, {"a": (1, [2, 3])}),
    "namedtuple": ({"a": Point(1, 2)}, {"a": (1, 2)}),
    "dict_kinds": ({"a": 1}, collections.OrderedDict(a=1)),
    "leaf_in_full": ({"a": (1, 2)}, 5),
    "custom_data": (Box([1], "x"), Box([1], "y")),
}


@pytest.mark.parametrize("prefix, full", MISMATCHES.values(), ids=MISMATCHES)
def test_mismatches_are_reported_as_jax_does(prefix, full):
    def message(lib):
        with pytest.raises(ValueError) as caught:
            lib.tree_map(lambda x, y: x, prefix, full)
        return str(caught.value)

    assert message(ours) == message(theirs)


@pytest.mark.parametrize("prefix, full", MISMATCHES.values(), ids=MISMATCHES)
def test_flatten_up_to_messages(prefix, full):
    def message(lib):
        with pytest.raises(ValueError) as caught:
            lib.tree_structure(prefix).flatten_up_to(full)
        return str(caught.value).splitlines()[0]

    assert message(ours) == message(theirs)


def test_flatten_up_to_takes_subtrees():
    treedef = ours.tree_structure({"a": 0, "b": (0, None)})
    assert treedef.flatten_up_to({"a": [1, 2], "b": ({"c": 3}, None)}) == [[1, 2], {"c": 3}]


def test_map_with_several_trees_and_paths():
    trees = ({"a": 1, "b": (2,)}, {"a": 3, "b": (4,)})
    assert ours.tree_map(lambda x, y: x + y, *trees) == {"a": 4, "b": (6,)}
    paths = ours.tree_map_with_path(lambda p, x, y: (ours.keystr(p), x * y), *trees)
    assert paths == {"a": ("['a']", 3), "b": (("['b'][0]", 8),)}


def test_unsortable_keys():
    with pytest.raises(ValueError, match="sorting pytree dictionary keys"):
        ours.tree_leaves({1: 2, "a": 3})


@pytest.mark.parametrize("count", [1, 3])
def test_wrong_number_of_leaves(count):
    with pytest.raises(ValueError, match=r"Too (few|many) leaves for PyTreeDef; expected 2"):
        ours.tree_structure((1, 2)).unflatten(range(count))


def test_transpose_and_compose():
    outer, inner = ours.tree_structure([0, 0]), ours.tree_structure((0, 0))
    assert ours.tree_transpose(outer, inner, [(1, 2), (3, 4)]) == ([1, 3], [2, 4])
    assert ours.tree_transpose(outer, None, [(1, 2), (3, 4)]) == ([1, 3], [2, 4])
    assert str(outer.compose(inner)) == "PyTreeDef([(*, *), (*, *)])"
    with pytest.raises(TypeError, match="Mismatch"):
        ours.tree_transpose(outer, inner, [(1, 2), (3, 4, 5)])


def test_reductions():
    assert ours.tree_reduce(lambda a, b: a + b, {"a": 1, "b": [2, 3]}) == 6
    assert ours.tree_reduce(lambda a, b: a + b, (), 7) == 7
    with pytest.raises(TypeError):
        ours.tree_reduce(lambda a, b: a + b, ())
    texts = list("abcde")
    joined = theirs.tree_reduce_associative(lambda a, b: f"({a}{b})", texts)
    assert ours.tree_reduce_associative(lambda a, b: f"({a}{b})", texts) == joined
    assert ours.tree_all((True, {"a": 1})) and not ours.tree_all([0])


def test_broadcast_prefix():
    assert ours.tree_broadcast((1, 2), (3, (4, [5]))) == (1, (2, [2]))
    found = ours.broadcast_prefix((1, None, 2), ((3, 4), 5, 6), is_leaf=lambda x: x is None)
    assert found == [1, 1, None, 2]
    with pytest.raises(ValueError, match="different lengths of tuple"):
        ours.broadcast_prefix((1, 2), (3, 4, 5))


def test_partial_is_a_node():
    partial = ours.Partial(pow, 2, mod=5)
    assert ours.tree_leaves(partial) == [2, 5]
    doubled = ours.tree_map(lambda x: x + 1, partial)
    assert doubled(2) == pow(3, 2, 6)
    assert repr(partial) == "Partial(<built-in function pow>, 2, mod=5)"
    nested = ours.Partial(partial, 3)
    assert ours.tree_leaves(nested) == [3] and nested() == pow(2, 3, 5)


def test_registration_errors():
    with pytest.raises(ValueError, match="Duplicate custom PyTreeDef type registration"):
        ours.register_pytree_node(Box, lambda b: ((), None), lambda d, c: None)
    with pytest.raises(TypeError, match="required when nodetype is not a dataclass"):
        ours.register_dataclass(int)
    with pytest.raises(ValueError, match="Missing fields"):
        ours.register_dataclass(dataclasses.make_dataclass("D", ["a", "b"]), ["a"], [])


def test_static_classes_have_no_leaves():
    @ours.register_static
    class Static:
        pass

    value = Static()
    leaves, treedef = ours.tree_flatten((value, 1))
    assert leaves == [1] and treedef.unflatten([2])[0] is value


def test_unhashable_data_is_allowed():
    structure = ours.tree_structure(Box([1], {"unhashable": []}))
    assert hash(structure) == hash(ours.tree_structure(Box([2], {"unhashable": []})))


def test_numpy_arrays_are_leaves():
    array = np.ones(3)
    assert ours.tree_leaves({"a": array})[0] is array
