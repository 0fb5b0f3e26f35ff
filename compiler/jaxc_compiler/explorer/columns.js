"use strict";
// The columns: source and stages, their colours, and what lights up where.

const data = JSON.parse(document.getElementById("data").textContent);
const report = data.report;
const $ = (id) => document.getElementById(id);

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function amount(value, unit) {
  const units = ["", "k", "M", "G", "T"];
  let power = 0;
  while (value >= 1000 && power < 4) { value /= 1000; power += 1; }
  return (power ? value.toFixed(1) : Math.round(value)) + " " + units[power] + unit;
}

// -- colours ------------------------------------------------------------------------------------

const words = (text) => `\\b(?:${text.trim().split(/\s+/).join("|")})\\b`.replace(/\\\\/g, "\\");

const WORDS = {
  python: words(`def return if else elif for while in lambda import from as with class not and or
    is None True False try except raise yield pass global del assert`),
  jaxpr: words("lambda let in"),
  llvm: words(`define declare ret br label load store phi select call getelementptr icmp fcmp
    private internal constant tail fast align inbounds attributes metadata`),
  mlir: words(`module func private public attributes return to step ins outs iter_args dense array
    true false`),
  asm: "(?!)",
};
const COMMENTS = {
  python: "#[^\\n]*", jaxpr: "(?!)", llvm: ";[^\\n]*", mlir: "//[^\\n]*", asm: "(?:#|//)[^\\n]*",
};
const OPS = {
  python: "\\b[A-Za-z_]\\w*(?=\\()",
  jaxpr: "(?<== )[a-z_][\\w-]*",
  llvm: "@[\\w.$]+",
  mlir: "\"[a-z_]+\\.[\\w.]+\"(?=\\()|\\b(?:[a-z_]+\\.)+[a-z_][\\w.]*\\b|@[\\w.$]+",
  asm: "^\\s+[a-z][\\w.]*|^[\\w.$]+:",
};
const TYPES = [
  "\\b(?:tensor|memref|vector|complex|index|float|double|half|ptr)\\b",
  "\\b(?:f|i|ui|u|bf|bool|key)\\d*\\[[\\d,]*\\]",
  "![a-z_]+(?:\\.[a-z_.]+)?",
  "\\b(?:f16|f32|f64|bf16|u?i(?:1|8|16|32|64))\\b",
].join("|");
const VALUES = "%[\\w.$#-]+|\\$[\\w.]+";
const NUMBERS = "\\b0x[\\dA-Fa-f]+\\b|\\b\\d+(?:\\.\\d+)?(?:[eE][+-]?\\d+)?\\b";
const STRING = '"(?:[^"\\\\\\n]|\\\\.)*"';
const PYTHON_STRING = `[rfbu]*"""[^"]*"""|[rfbu]*${STRING}|[rfbu]*${STRING.replace(/"/g, "'")}`;

function language(stage) {
  if (stage === "jaxpr") return "jaxpr";
  if (stage.startsWith("llvm")) return "llvm";
  if (["asm", "ptx", "msl"].includes(stage)) return "asm";
  return "mlir";
}

const scanners = {};
function scanner(kind) {
  if (!scanners[kind]) {
    const comment = `(?<c>${COMMENTS[kind]})`;
    const op = `(?<o>${OPS[kind]})`;
    const string = `(?<s>${kind === "python" ? PYTHON_STRING : STRING})`;
    const first = kind === "python" ? [string, comment, op] : [comment, op, string];
    const rest = [`(?<t>${TYPES})`, `(?<v>${VALUES})`, `(?<k>${WORDS[kind]})`, `(?<d>${NUMBERS})`];
    scanners[kind] = new RegExp([...first, ...rest].join("|"), "g");
  }
  return scanners[kind];
}

function colour(text, kind) {
  const out = document.createDocumentFragment();
  const pattern = scanner(kind);
  let position = 0;
  pattern.lastIndex = 0;
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    if (match[0] === "") { pattern.lastIndex += 1; continue; }
    const found = Object.entries(match.groups).find(([, value]) => value !== undefined);
    if (match.index > position) out.append(text.slice(position, match.index));
    const piece = document.createElement("span");
    piece.className = found[0];
    piece.textContent = match[0];
    out.append(piece);
    position = match.index + match[0].length;
  }
  if (position < text.length) out.append(text.slice(position));
  return out;
}

// -- columns ------------------------------------------------------------------------------------

const rowsOfKey = data.keys.map(() => []);
const rowsOfNode = {};
const allRows = [];
const columns = {};
const TITLES = {
  jaxpr: "what was traced", lax: "the lax dialect, simplified", kernel: "fused into dispatches",
  linalg: "what IREE is given", iree: "IREE's executables", llvm: "LLVM IR", asm: "assembly",
  ptx: "PTX", stablehlo: "for XLA", spirv: "SPIR-V", msl: "Metal",
};

function addRow(lines, number, text, kind, keys, node, column) {
  const row = make("div", { class: "row" }, make("span", { class: "n" }, String(number)));
  const code = make("span", {});
  code.append(colour(text || " ", kind));
  row.append(code);
  row.info = { keys, node, column, text, number };
  if (keys.length) row.classList.add("mapped");
  for (const key of keys) rowsOfKey[key].push(row);
  if (node) (rowsOfNode[node] = rowsOfNode[node] || []).push(row);
  allRows.push(row);
  lines.append(row);
  return row;
}

function addColumn(name, title, note, isSource) {
  const count = make("span", { class: "count" });
  const lines = make("div", { class: "lines", tabindex: "0", "aria-label": name });
  const box = make("section", { class: isSource ? "column source" : "column", "data-stage": name },
    make("h2", {}, title, make("small", {}, note || ""), count), lines);
  $("columns").append(box);
  columns[name] = { box, lines, count };
  return lines;
}

const keyOf = {};
data.keys.forEach(([file, line], key) => { keyOf[file + ":" + line] = key; });

function badge(kind, text, title, key) {
  const element = make("span", { class: "badge " + kind, title: title || text }, text);
  element.dataset.key = key;
  return element;
}

const nodesById = new Map(report.nodes.map((node) => [node.id, node]));
const nodeOf = (id) => nodesById.get(id);

function badgesOf(key) {
  const here = isLine(key);
  const found = [];
  for (const update of report.updates.filter((u) => here(u.line))) {
    const known = update.reason ? "copies: " + update.reason : "in place";
    const label = update.known ? known : "not known for this target";
    const title = `${update.name} ${update.type}: ${label}`;
    if (!found.some((b) => b.textContent === label)) {
      found.push(badge(!update.known ? "warn" : update.reason ? "bad" : "good", label, title, key));
    }
  }
  for (const loop of report.loops.filter((l) => here(l.line))) {
    const steps = loop.trips === null ? "" : ` x${loop.trips}`;
    if (loop.name === "cond") continue;
    const title = loop.place ? `inside ${loop.place}` : `in the host program: ${loop.reason}`;
    const label = loop.place ? `loop${steps} \u2192 ${loop.place}` : `loop${steps} on the host`;
    found.push(badge(loop.place ? "loop" : "warn", label, `${loop.name} runs ${title}`, key));
  }
  for (const node of nodesOfKey(key).filter((n) => n.kind === "host")) {
    found.push(badge("warn", `not in a kernel: ${node.reason}`, node.reason, key));
  }
  return found;
}

// The dispatches a line went into: `k0` for kernel_0, `d3` for IREE's dispatch 3.
function chipOf(key) {
  const nodes = nodesOfKey(key).filter((n) => n.kind === "dispatch");
  if (!nodes.length) return null;
  const names = nodes.map((n) => shortName(n.label));
  const number = (name) => name.replace("kernel_", "k").replace("dispatch ", "d");
  const text = nodes.length > 1 ? `${nodes.length}\u00d7` : cut(number(names[0]), 4);
  return make("span", { class: "chip", title: `fused into ${names.join(", ")}` }, text);
}

function shortName(label) {
  const match = /^(?:\w+?_)?dispatch_(\d+)_?(.*)$/.exec(label);
  return match ? `dispatch ${match[1]}` : label;
}

function buildSource() {
  const title = data.files.map((file) => file.name).join(", ") || "source";
  const lines = addColumn("source", title, "Python", true);
  if (!data.files.length) {
    lines.append(make("div", { class: "note" }, "No source: the program has no lines of its own."));
  }
  data.files.forEach((file, index) => {
    if (data.files.length > 1) lines.append(make("div", { class: "note" }, file.path));
    file.lines.forEach((text, offset) => {
      const number = file.first + offset;
      const key = keyOf[index + ":" + number];
      const keys = key === undefined ? [] : [key];
      const row = addRow(lines, number, text, "python", keys, "", "source");
      const chip = key === undefined ? null : chipOf(key);
      row.insertBefore(make("span", { class: "gutter" }, chip), row.children[1]);
      const badges = keys.flatMap(badgesOf);
      const indent = text.length - text.trimStart().length;
      const style = `padding-left:calc(86px + ${indent}ch)`;
      if (badges.length) lines.append(make("div", { class: "badges", style }, ...badges));
    });
    if (file.cut) lines.append(make("div", { class: "note" }, `${file.cut} more lines`));
  });
}

function buildStages() {
  data.stages.forEach((stage) => {
    const lines = addColumn(stage.name, stage.name, TITLES[stage.name] || "", false);
    const kind = language(stage.name);
    stage.text.forEach((text, index) => {
      addRow(lines, index + 1, text, kind, stage.keys[index], stage.nodes[index], stage.name);
    });
    const more = `${stage.cut} more lines: jaxc dump --stage ${stage.name}`;
    if (stage.cut) lines.append(make("div", { class: "note" }, more));
  });
}

// -- which stages are shown ---------------------------------------------------------------------

function shownAtFirst() {
  const names = data.stages.map((stage) => stage.name);
  const wanted = ["jaxpr", "stablehlo", names.includes("kernel") ? "kernel" : "lax", "linalg"];
  return new Set([...wanted, names[names.length - 1]].filter((name) => names.includes(name)));
}

function buildToggles() {
  const shown = shownAtFirst();
  data.stages.forEach((stage, index) => {
    const title = `${TITLES[stage.name] || stage.name} (${index + 1})`;
    const button = make("button", { title }, stage.name);
    const show = (on) => {
      columns[stage.name].box.hidden = !on;
      button.setAttribute("aria-pressed", String(on));
    };
    button.addEventListener("click", () => show(columns[stage.name].box.hidden));
    columns[stage.name].toggle = () => button.click();
    show(shown.has(stage.name));
    $("toggles").append(button);
  });
}

// -- lighting up --------------------------------------------------------------------------------

let pinned = [];
let lit = [];
let litNodes = [];
let litBoxes = [];

function clear() {
  for (const row of lit) row.classList.remove("hit", "pin");
  for (const row of litNodes) row.classList.remove("in-node");
  for (const box of litBoxes) box.classList.remove("lit");
  lit = []; litNodes = []; litBoxes = [];
}

function light(keys, pin) {
  clear();
  for (const key of keys) {
    for (const row of rowsOfKey[key] || []) {
      row.classList.add(pin ? "pin" : "hit");
      lit.push(row);
    }
  }
  const nodes = keys.flatMap(nodesOfKey);
  lightBoxes(new Set(nodes.map((node) => node.id)));
  lightDispatches(nodes);
  counts();
  describe(keys);
}

// A stage that keeps no lines (SPIR-V, PTX) shows the dispatches the line went into.
function lightDispatches(nodes) {
  const without = new Set(Object.keys(columns));
  for (const row of lit) without.delete(row.info.column);
  for (const node of nodes) {
    for (const row of rowsOfNode[node.label] || []) {
      if (without.has(row.info.column)) { row.classList.add("in-node"); litNodes.push(row); }
    }
  }
}

function lightBoxes(names) {
  for (const box of document.querySelectorAll("#graph .node")) {
    if (names.has(box.dataset.id)) { box.classList.add("lit"); litBoxes.push(box); }
  }
}

function counts() {
  const found = {};
  for (const { info } of new Set([...lit, ...litNodes])) {
    found[info.column] = (found[info.column] || 0) + 1;
  }
  for (const [name, column] of Object.entries(columns)) {
    column.count.textContent = found[name] && name !== "source" ? `${found[name]} lines` : "";
  }
}

const isLine = (key) => {
  const [file, line] = data.keys[key];
  const path = data.files[file].path;
  return (other) => Boolean(other) && other[0] === path && other[1] === line;
};

function nodesOfKey(key) {
  const here = isLine(key);
  return report.nodes.filter((node) => node.lines.some(here));
}

function opsOfKey(key) {
  const here = isLine(key);
  return report.nodes.flatMap((node) => node.ops.filter((op) => here(op.line)));
}

function keyOfLine(line) {
  return line ? keyOf[data.files.findIndex((f) => f.path === line[0]) + ":" + line[1]] : undefined;
}

function describe(keys) {
  if (!keys.length) { $("line-info").textContent = ""; return; }
  const texts = keys.slice(0, 2).map((key) => {
    const [file, line] = data.keys[key];
    const ops = opsOfKey(key);
    const names = [...new Set(ops.map((op) => op.name))];
    const flops = ops.reduce((sum, op) => sum + op.flops, 0);
    const listed = names.slice(0, 7).join(", ") + (names.length > 7 ? ", ..." : "");
    const where = `${data.files[file].name}:${line}`;
    return `${where}  ${listed || "no operation is left"}  ${amount(flops, "FLOP")}`;
  });
  $("line-info").textContent = texts.join("   ");
  $("line-info").title = texts.join("\n");
}

function bringIntoView(except) {
  const first = {};
  for (const row of [...lit, ...litNodes]) first[row.info.column] = first[row.info.column] || row;
  for (const [name, row] of Object.entries(first)) {
    const column = columns[name];
    if (name === except || column.box.hidden) continue;
    column.lines.scrollTop = Math.max(0, row.offsetTop - column.lines.clientHeight / 3);
  }
}

function pin(keys, column) {
  pinned = keys;
  light(keys, true);
  bringIntoView(column);
  const key = keys[0];
  if (key !== undefined) setFragment(fragmentOf(key));
}

function unpin() {
  pinned = [];
  clear();
  counts();
  describe([]);
  setFragment("#");
}

// #L12, and #L12.1 in the second file.
function fragmentOf(key) {
  const [file, line] = data.keys[key];
  return `#L${line}${file ? "." + file : ""}`;
}

function setFragment(fragment) {
  if (location.protocol === "about:") return; // a notebook's frame has no address of its own
  history.replaceState(null, "", fragment);
}

function selectNode(id) {
  const node = nodeOf(id);
  if (!node) return;
  pinned = node.lines.map(keyOfLine).filter((key) => key !== undefined);
  light([], false);
  const own = new Set([node.label, node.id, node.code].flatMap((name) => rowsOfNode[name] || []));
  for (const row of own) { row.classList.add("in-node"); litNodes.push(row); }
  // Stages before the dispatch exists, and the source, show its lines.
  const without = new Set(Object.keys(columns));
  for (const row of own) without.delete(row.info.column);
  lit = pinned.flatMap((key) => rowsOfKey[key].filter((row) => without.has(row.info.column)));
  for (const row of lit) row.classList.add("pin");
  lit.push(...own);
  lightBoxes(new Set([id]));
  counts();
  bringIntoView("");
  showBox(id);
  const moved = `reads ${amount(node.bytes_read, "B")}, writes ${amount(node.bytes_written, "B")}`;
  const size = `${node.ops.length} ops, ${amount(node.flops, "FLOP")}, ${moved}`;
  $("line-info").textContent = [node.label, size, node.reason].filter(Boolean).join("  ");
}

function showBox(id) {
  const spot = boxes[id];
  if (!spot) return;
  const view = $("graph");
  const { scrollTop, scrollLeft, clientHeight, clientWidth } = view;
  const inside = (start, size, from, room) => start >= from && start + size <= from + room;
  if (!inside(spot.y, spot.h, scrollTop, clientHeight)) {
    view.scrollTop = spot.y - (clientHeight - spot.h) / 2;
  }
  if (!inside(spot.x, spot.w, scrollLeft, clientWidth)) {
    view.scrollLeft = spot.x - (clientWidth - spot.w) / 2;
  }
}

function wireRows() {
  const rowAt = (event) => (event.target.closest ? event.target.closest(".row") : null);
  const dark = () => { clear(); counts(); describe([]); };
  $("columns").addEventListener("mouseover", (event) => {
    const row = rowAt(event);
    if (pinned.length || !row) return;
    if (row.info.keys.length) light(row.info.keys, false); else dark();
  });
  $("columns").addEventListener("mouseleave", () => { if (!pinned.length) dark(); });
  $("columns").addEventListener("click", (event) => {
    const marked = event.target.dataset.key;
    const row = rowAt(event) || (marked ? rowsOfKey[marked][0] : null);
    if (String(getSelection())) return;
    if (!row || !row.info.keys.length) { unpin(); return; }
    const { keys, column } = row.info;
    const same = keys.length === pinned.length && keys.every((key) => pinned.includes(key));
    if (same) unpin(); else pin(keys, column);
  });
}

let boxes = {};
