"""A small document layouter: text with breaks that become newlines where a group is too wide.

A group is printed on one line if its own text fits in what is left of the line (what follows it is
not considered), the rule JAX's jaxprs are laid out by. After Wadler, "A prettier printer" (1998).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

WIDTH = 80


class Doc:
    """A piece: ("text", s), ("break", s), ("nest", n, doc), ("group", doc), ("cat", docs) or
    ("mark", anything), which prints nothing."""

    __slots__ = ("body", "kind", "width")

    def __init__(self, kind: str, body: Any, width: int):
        self.kind = kind
        self.body = body
        self.width = width  # when printed on one line

    def __add__(self, other: Doc) -> Doc:
        return concat((self, other))


def text(s: str) -> Doc:
    return Doc("text", s, len(s))


def line(s: str = " ") -> Doc:
    """A break: `s` in a group that fits, else a newline."""
    return Doc("break", s, len(s))


def mark(anything: Any) -> Doc:
    """Nothing, at a place that `layout` reports."""
    return Doc("mark", anything, 0)


def nest(n: int, doc: Doc) -> Doc:
    return Doc("nest", (n, doc), doc.width)


def group(doc: Doc) -> Doc:
    return Doc("group", doc, doc.width)


def concat(docs: Iterable[Doc]) -> Doc:
    docs = tuple(docs)
    return Doc("cat", docs, sum(d.width for d in docs))


def join(separator: Doc, docs: Iterable[Doc]) -> Doc:
    out: list[Doc] = []
    for i, doc in enumerate(docs):
        out += (separator, doc) if i else (doc,)
    return concat(out)


def layout(doc: Doc, width: int = WIDTH, marks: list[tuple[int, Any]] | None = None) -> str:
    """The document as text.

    Args:
      marks: gets the row (from 0) and the content of each mark.
    """
    out: list[str] = []
    column = row = 0
    stack: list[tuple[int, bool, Doc]] = [(0, False, doc)]
    while stack:
        indent, flat, item = stack.pop()
        body = item.body
        if item.kind == "text" or (item.kind == "break" and flat):
            out.append(body)
            column += len(body) if "\n" not in body else 0
            row += body.count("\n")
        elif item.kind == "break":
            out.append("\n" + " " * indent)
            column = indent
            row += 1
        elif item.kind == "mark":
            if marks is not None:
                marks.append((row, body))
        elif item.kind == "nest":
            stack.append((indent + body[0], flat, body[1]))
        elif item.kind == "group":
            stack.append((indent, flat or column + body.width <= width, body))
        else:
            stack.extend((indent, flat, child) for child in reversed(body))
    return "".join(out)
