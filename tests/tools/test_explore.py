"""The explorer's page, opened in a browser: what lights up, what is drawn, what cannot break it."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import Browser
from tools.commands import run_commands

import jaxc
import jaxc.numpy as jnp
from jaxc_compiler import dump
from jaxc_compiler.diagnostics import CompileError, Diagnostic
from jaxc_tools import cli, explore, tracing

pytestmark = pytest.mark.compiler

HELPER = """import jax.numpy as jnp

def double(x):
    return jnp.sin(x) * 2
"""
LARGE = "def large(x):\n    x = x * 2\n" + "    # nothing\n" * 3000 + "    return x + 1\n"
MODEL = """import helper, jax
import jax.numpy as jnp
from jax import lax

def heat(u):
    def step(i, u):
        return u.at[1:-1].add(0.1 * (u[:-2] - 2 * u[1:-1] + u[2:]))
    return lax.fori_loop(0, 100, step, u)

def copies(x, w):
    y = x.at[0].set(7)
    z = jnp.minimum(y @ w, 3)
    return z + x

# </script><script>document.title = "owned"</script><img src=x onerror="document.title='owned'">
def hostile(x):
    return jnp.sin(x) + 1  # </script> <b> & @DATA@ @SCRIPT@ \\u2028 \U0001f642

def helped(x):
    return helper.double(x) + 1

def long(x):
    for k in range(100):
        x = jnp.tanh(x) * 1.5 + x[::-1]
    return x
"""
BIG = "i32[512,512], i32[512,512]"
PAGES = {
    "heat": ("model.py:heat", "--args", "f32[1000]", "--donate", "0"),
    "copies": ("model.py:copies", "--args", BIG),
    "hostile": ("model.py:hostile", "--args", "f32[3]"),
    "helped": ("model.py:helped", "--args", "f32[3]"),
    "large": ("large.py:large", "--args", "f32[3]"),
    "long": ("model.py:long", "--args", "f32[64]"),
    "cuda": ("model.py:heat", "--args", "f32[1000]", "--target", "cuda"),
    "vulkan": ("model.py:heat", "--args", "f32[1000]", "--target", "vulkan"),
    "tpu": ("model.py:heat", "--args", "f32[1000]", "--target", "tpu:v5e:2x2"),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    for name, text in [("model", MODEL), ("helper", HELPER), ("large", LARGE)]:
        (folder / f"{name}.py").write_text(text)
    done = run_commands(
        [("explore", *words, "-o", f"{name}.html") for name, words in PAGES.items()], folder
    )
    assert [found.stderr for found in done] == [""] * len(PAGES)
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("chromium"))
    yield found
    found.close()


def visit(browser: Browser, pages: Path, name: str, fragment: str = "") -> None:
    browser.problems.clear()
    browser.open(f"file://{pages / name}.html{fragment}")
    assert browser.problems == []


def lit(browser: Browser, kind: str = "hit") -> dict[str, int]:
    """How many lines of each stage are lit."""
    return browser.ask(
        "Object.fromEntries([...document.querySelectorAll('.column')].map((c) =>"
        f" [c.dataset.stage, c.querySelectorAll('.row.{kind}').length]))"
    )


LINE_7 = ".source .row:nth-child(7)"


@pytest.mark.chromium
def test_a_python_line_lights_its_code_in_every_stage_and_back(browser, pages):
    visit(browser, pages, "heat")
    browser.hover(LINE_7)
    found = lit(browser)
    assert list(found) == ["source", "jaxpr", "lax", "kernel", "linalg", "iree", "llvm", "asm"]
    assert all(count > 0 for count in found.values()), found
    assert found["source"] == 1
    assert browser.ask("document.querySelector('#line-info').textContent").startswith("model.py:7")
    browser.click('[data-stage="kernel"] .row.hit')
    back = lit(browser, "pin")
    assert back == found
    browser.press("Escape")
    assert sum(lit(browser, "pin").values()) == 0


@pytest.mark.chromium
def test_the_keyboard_walks_through_lines_and_passes(browser, pages):
    visit(browser, pages, "heat")
    browser.press("j")
    assert lit(browser, "pin")["source"] == 1
    browser.press("]")
    label = browser.ask("document.querySelector('#pass-label').textContent")
    assert label.startswith("mark_in_place")
    assert "in_place" in browser.ask("document.querySelector('#pass-diff').textContent")
    browser.press("2")
    assert browser.ask("document.querySelector('[data-stage=lax]').hidden") is False


@pytest.mark.chromium
def test_decisions_are_marked_on_the_lines(browser, pages):
    visit(browser, pages, "heat")
    badges = browser.ask("[...document.querySelectorAll('.source .badge')].map(b => b.textContent)")
    assert badges == ["in place", "loop x100 \u2192 kernel_0"]
    visit(browser, pages, "copies")
    badges = browser.ask("[...document.querySelectorAll('.source .badge')].map(b => b.textContent)")
    assert "copies: argument 0 is not donated" in badges
    assert any(badge.startswith("not in a kernel: the contraction takes") for badge in badges)


@pytest.mark.chromium
def test_the_graph_shows_dispatches_and_marks_what_is_overwritten(browser, pages):
    visit(browser, pages, "heat")
    assert browser.ask("document.querySelectorAll('.node.dispatch').length") == 1
    assert browser.ask("document.querySelectorAll('path.edge.inplace').length") == 1
    browser.click(".node.dispatch")
    within = lit(browser, "in-node")
    assert within["kernel"] > 5 < within["asm"]
    visit(browser, pages, "copies")
    kinds = browser.ask("[...document.querySelectorAll('.node')].map(n => n.classList[1]).sort()")
    assert kinds == ["argument", "argument", "dispatch", "dispatch", "host", "result"]


@pytest.mark.chromium
@pytest.mark.parametrize("target", ["cuda", "vulkan"])
def test_gpu_pages_light_the_dispatches_of_a_line(browser, pages, target):
    visit(browser, pages, target, "#L7")
    last = {"cuda": "ptx", "vulkan": "spirv"}[target]
    assert lit(browser, "pin")["linalg"] > 0
    assert lit(browser, "in-node")[last] + lit(browser, "pin")[last] > 0


@pytest.mark.chromium
def test_a_page_for_xla_ends_at_stablehlo(browser, pages):
    visit(browser, pages, "tpu", "#L7")
    assert list(lit(browser)) == ["source", "jaxpr", "lax", "stablehlo"]
    assert all(count > 0 for count in lit(browser, "pin").values())


@pytest.fixture
def refused(monkeypatch) -> None:
    """IREE compiles nothing."""

    def refuse(*_, **__):
        raise CompileError("iree", [Diagnostic("error", "no such thing <b>")])

    monkeypatch.setattr(dump, "dump_code", refuse)


@pytest.mark.chromium
def test_a_program_that_iree_refuses_is_shown_as_far_as_it_goes(browser, tmp_path, refused):
    page = jaxc.jit(lambda x: jnp.sin(x) + 1).lower(jnp.ones(3)).explore()
    page.save(tmp_path / "refused.html")
    visit(browser, tmp_path, "refused")
    assert list(lit(browser)) == ["source", "jaxpr", "lax", "kernel", "linalg"]
    assert "no such thing <b>" in browser.ask("document.querySelector('#problem').textContent")


def test_what_iree_refuses_is_said_beside_the_page(tmp_path, refused, capsys, monkeypatch):
    traced = tracing.trace(lambda x: jnp.sin(x) + 1, [jnp.ones(3)])
    monkeypatch.setattr(explore, "traced_of", lambda request: traced)
    path = tmp_path / "page.html"
    status = cli.main(["explore", "model.py:f", "-o", str(path)])
    shown = capsys.readouterr()
    assert (status, path.exists()) == (1, True)
    assert shown.err.startswith("jaxc: model.py:f does not compile: ")
    assert shown.err.endswith("no such thing <b>\n")
    assert "page.html: " in shown.out


@pytest.mark.chromium
def test_no_text_of_the_user_becomes_markup(browser, pages):
    visit(browser, pages, "hostile")
    assert browser.ask("document.title") == "hostile for cpu:host"
    assert browser.ask("document.querySelectorAll('img, .source b').length") == 0
    shown = browser.ask("document.querySelector('.source .row:nth-child(17)').textContent")
    assert "</script> <b> & @DATA@ @SCRIPT@" in shown


PINNED = "document.querySelector('.source .row.pin')?.textContent"


@pytest.mark.chromium
def test_a_link_to_a_line_of_any_file(browser, pages):
    visit(browser, pages, "helped")
    browser.ask("allRows.find((row) => row.info.text.includes('jnp.sin(x) * 2')).click()")
    link = browser.ask("location.hash")
    assert link == "#L4.1"
    visit(browser, pages, "heat")
    visit(browser, pages, "helped", link)
    assert "jnp.sin(x) * 2" in browser.ask(PINNED)


@pytest.mark.chromium
def test_a_link_that_is_no_link(browser, pages):
    visit(browser, pages, "heat", "#%E0")
    assert browser.ask(PINNED) is None


@pytest.mark.chromium
def test_what_is_left_out_of_a_large_file_is_said(browser, pages):
    visit(browser, pages, "large")
    notes = browser.ask("[...document.querySelectorAll('.source .note')].map(n => n.textContent)")
    assert notes == [f"{3 + 3000 - 1500} more lines"]


@pytest.mark.chromium
def test_lines_are_pinned_in_a_notebooks_frame(browser, tmp_path):
    page = jaxc.jit(lambda x: jnp.sin(x) + 1).lower(jnp.ones(3)).explore()
    (tmp_path / "notebook.html").write_text(
        f"<body>{page._repr_html_()}<script>onload = () => document.body.dataset.ready = 1</script>"
    )
    visit(browser, tmp_path, "notebook")
    frame = "document.querySelector('iframe').contentDocument"
    browser.ask(f"{frame}.querySelector('.source .row.mapped').click()")
    assert browser.ask(f"{frame}.querySelectorAll('.source .row.pin').length") == 1
    browser.ask(f"{frame}.dispatchEvent(new KeyboardEvent('keydown', {{ key: 'Escape' }}))")
    assert browser.ask(f"{frame}.querySelectorAll('.source .row.pin').length") == 0
    assert browser.problems == []


def test_pages_are_whole_and_of_reasonable_size(pages):
    for name in PAGES:
        text = (pages / f"{name}.html").read_text()
        assert len(text) < 2e6, name
        assert text.count("</script>") == 2
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text


def test_a_notebook_shows_the_page_in_a_frame():
    page = jaxc.jit(lambda x: jnp.sin(x) + 1).lower(jnp.ones(3)).explore()
    shown = page._repr_html_()
    assert shown.startswith('<iframe srcdoc="&lt;!doctype html&gt;')
    assert shown.count("<") == 2
