"use strict";
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

const WORDS = {
  python: /\b(def|return|if|else|elif|for|while|in|lambda|import|from|as|with|class|not|and|or|is|None|True|False|try|except|raise|yield|pass|global|del|assert)\b/,
  jaxpr: /\b(lambda|let|in)\b/,
  llvm: /\b(define|declare|ret|br|label|load|store|phi|select|call|getelementptr|icmp|fcmp|private|internal|constant|tail|fast|align|inbounds|attributes|metadata)\b/,
  mlir: /\b(module|func|private|public|attributes|return|to|step|ins|outs|iter_args|dense|array|true|false)\b/,
  asm: /^$/,
};
const COMMENTS = { python: "#[^\\n]*", jaxpr: "(?!)", llvm: ";[^\\n]*", mlir: "//[^\\n]*", asm: "(?:#|//)[^\\n]*" };
const OPS = {
  python: "\\b[A-Za-z_]\\w*(?=\\()",
  jaxpr: "(?<== )[a-z_][\\w-]*",
  llvm: "@[\\w.$]+",
  mlir: "\"[a-z_]+\\.[\\w.]+\"(?=\\()|\\b(?:[a-z_]+\\.)+[a-z_][\\w.]*\\b|@[\\w.$]+",
  asm: "^\\s+[a-z][\\w.]*|^[\\w.$]+:",
};
const TYPES = "\\b(?:tensor|memref|vector|complex|index)\\b|\\b(?:f|i|ui|u|bf|bool|key)\\d*\\[[\\d,]*\\]|![a-z_]+(?:\\.[a-z_.]+)?|\\b(?:f16|f32|f64|bf16|u?i(?:1|8|16|32|64)|float|double|half|ptr)\\b";
const VALUES = "%[\\w.$#-]+|\\$[\\w.]+";
const NUMBERS = "\\b0x[\\dA-Fa-f]+\\b|\\b\\d+(?:\\.\\d+)?(?:[eE][+-]?\\d+)?\\b";

function language(stage) {
  if (stage === "jaxpr") return "jaxpr";
  if (stage.startsWith("llvm")) return "llvm";
  if (["asm", "ptx", "msl"].includes(stage)) return "asm";
  return "mlir";
}

const scanners = {};
function scanner(kind) {
  if (!scanners[kind]) {
    const string = kind === "python" ? "[rfbu]*\"\"\"[^\"]*\"\"\"|[rfbu]*\"(?:[^\"\\\\\\n]|\\\\.)*\"|[rfbu]*'(?:[^'\\\\\\n]|\\\\.)*'" : "\"(?:[^\"\\\\\\n]|\\\\.)*\"";
    const parts = [
      `(?<c>${COMMENTS[kind]})`, `(?<o>${OPS[kind]})`, `(?<s>${string})`, `(?<t>${TYPES})`,
      `(?<v>${VALUES})`, `(?<k>${WORDS[kind].source})`, `(?<d>${NUMBERS})`,
    ];
    if (kind === "python") parts.splice(0, 3, parts[2], parts[0], parts[1]);
    scanners[kind] = new RegExp(parts.join("|"), "g");
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
  ptx: "PTX", spirv: "SPIR-V", msl: "Metal",
};

function addRow(lines, number, text, kind, keys, node, column) {
  const row = make("div", { class: "row", tabindex: null }, make("span", { class: "n" }, String(number)));
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

function nodeOf(id) { return report.nodes.find((node) => node.id === id); }

function badgesOf(key) {
  const [file, line] = data.keys[key];
  const path = data.files[file].path;
  const here = (other) => other && other[0] === path && other[1] === line;
  const found = [];
  for (const update of report.updates.filter((u) => here(u.line))) {
    const label = update.reason ? "copies: " + update.reason : "in place";
    if (!found.some((b) => b.textContent === label)) {
      found.push(badge(update.reason ? "bad" : "good", label, `${update.name} ${update.type}: ${label}`, key));
    }
  }
  for (const loop of report.loops.filter((l) => here(l.line))) {
    const steps = loop.trips === null ? "" : ` x${loop.trips}`;
    if (loop.name === "cond") continue;
    if (loop.place) found.push(badge("loop", `loop${steps} \u2192 ${loop.place}`, `${loop.name} runs inside ${loop.place}`, key));
    else found.push(badge("warn", `loop${steps} on the host`, `${loop.name} runs in the host program: ${loop.reason}`, key));
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
  if (!data.files.length) lines.append(make("div", { class: "note" }, "No source: the program has no lines of its own."));
  data.files.forEach((file, index) => {
    if (data.files.length > 1) lines.append(make("div", { class: "note" }, file.path));
    file.lines.forEach((text, offset) => {
      const number = file.first + offset;
      const key = keyOf[index + ":" + number];
      const row = addRow(lines, number, text, "python", key === undefined ? [] : [key], "", "source");
      const chip = key === undefined ? null : chipOf(key);
      row.insertBefore(make("span", { class: "gutter" }, chip), row.children[1]);
      const badges = key === undefined ? [] : badgesOf(key);
      const indent = text.length - text.trimStart().length;
      if (badges.length) lines.append(make("div", { class: "badges", style: `padding-left:calc(86px + ${indent}ch)` }, ...badges));
    });
  });
}

function buildStages() {
  data.stages.forEach((stage) => {
    const lines = addColumn(stage.name, stage.name, TITLES[stage.name] || "", false);
    const kind = language(stage.name);
    stage.text.forEach((text, index) => {
      addRow(lines, index + 1, text, kind, stage.keys[index], stage.nodes[index], stage.name);
    });
    if (stage.cut) lines.append(make("div", { class: "note" }, `${stage.cut} more lines: jaxc dump --stage ${stage.name}`));
  });
}

// -- which stages are shown ---------------------------------------------------------------------

function shownAtFirst() {
  const names = data.stages.map((stage) => stage.name);
  const wanted = names.includes("kernel") ? ["jaxpr", "kernel", "linalg"] : ["jaxpr", "lax", "linalg"];
  return new Set([...wanted, names[names.length - 1]].filter((name) => names.includes(name)));
}

function buildToggles() {
  const shown = shownAtFirst();
  data.stages.forEach((stage, index) => {
    const button = make("button", { title: `${TITLES[stage.name] || stage.name} (${index + 1})` }, stage.name);
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
  for (const row of new Set([...lit, ...litNodes])) found[row.info.column] = (found[row.info.column] || 0) + 1;
  for (const [name, column] of Object.entries(columns)) {
    column.count.textContent = found[name] && name !== "source" ? `${found[name]} lines` : "";
  }
}

function nodesOfKey(key) {
  const [file, line] = data.keys[key];
  const path = data.files[file].path;
  return report.nodes.filter((node) => node.lines.some((l) => l[0] === path && l[1] === line));
}

function opsOfKey(key) {
  const [file, line] = data.keys[key];
  const path = data.files[file].path;
  return report.nodes.flatMap((node) => node.ops.filter((op) => op.line && op.line[0] === path && op.line[1] === line));
}

function describe(keys) {
  if (!keys.length) { $("line-info").textContent = ""; return; }
  const texts = keys.slice(0, 2).map((key) => {
    const [file, line] = data.keys[key];
    const ops = opsOfKey(key);
    const names = [...new Set(ops.map((op) => op.name))];
    const flops = ops.reduce((sum, op) => sum + op.flops, 0);
    const listed = names.slice(0, 7).join(", ") + (names.length > 7 ? ", ..." : "");
    return `${data.files[file].name}:${line}  ${listed || "no operation is left"}  ${amount(flops, "FLOP")}`;
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
  if (key !== undefined) history.replaceState(null, "", `#L${data.keys[key][1]}`);
}

function unpin() {
  pinned = [];
  clear();
  counts();
  describe([]);
  history.replaceState(null, "", "#");
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
  $("line-info").textContent = `${node.label}  ${node.ops.length} ops, ${amount(node.flops, "FLOP")}, ${moved}${node.reason ? "  " + node.reason : ""}`;
}

function showBox(id) {
  const spot = boxes[id];
  if (!spot) return;
  const view = $("graph");
  if (spot.y < view.scrollTop || spot.y + spot.h > view.scrollTop + view.clientHeight) view.scrollTop = spot.y - (view.clientHeight - spot.h) / 2;
  if (spot.x < view.scrollLeft || spot.x + spot.w > view.scrollLeft + view.clientWidth) view.scrollLeft = spot.x - (view.clientWidth - spot.w) / 2;
}

function wireRows() {
  const rowAt = (event) => (event.target.closest ? event.target.closest(".row") : null);
  $("columns").addEventListener("mouseover", (event) => {
    const row = rowAt(event);
    if (pinned.length || !row) return;
    if (row.info.keys.length) light(row.info.keys, false); else { clear(); counts(); describe([]); }
  });
  $("columns").addEventListener("mouseleave", () => { if (!pinned.length) { clear(); counts(); describe([]); } });
  $("columns").addEventListener("click", (event) => {
    const row = rowAt(event) || (event.target.dataset.key ? rowsOfKey[event.target.dataset.key][0] : null);
    if (String(getSelection())) return;
    if (!row || !row.info.keys.length) { unpin(); return; }
    const same = row.info.keys.length === pinned.length && row.info.keys.every((k) => pinned.includes(k));
    if (same) unpin(); else pin(row.info.keys, row.info.column);
  });
}

let boxes = {};

// -- the graph ----------------------------------------------------------------------------------

const BOX = { width: 208, height: 66, small: 28, thin: 6, gapX: 132, gapY: 18 };

function layers() {
  const depth = {};
  const incoming = {};
  for (const edge of report.edges) (incoming[edge.target] = incoming[edge.target] || []).push(edge.source);
  const visiting = new Set();
  const depthOf = (id) => {
    if (depth[id] !== undefined) return depth[id];
    if (visiting.has(id)) return 0;
    visiting.add(id);
    const node = nodeOf(id);
    const before = [...(incoming[id] || []), ...(node.inside ? [node.inside] : [])].filter((s) => s !== id);
    depth[id] = before.length ? Math.max(...before.map(depthOf)) + 1 : (node.kind === "argument" ? 0 : 1);
    visiting.delete(id);
    return depth[id];
  };
  report.nodes.forEach((node) => depthOf(node.id));
  const last = Math.max(0, ...Object.values(depth));
  report.nodes.filter((n) => n.kind === "result").forEach((n) => { depth[n.id] = Math.max(last, 1); });
  // An argument stands right before its first reader.
  report.nodes.filter((n) => n.kind === "argument").forEach((n) => {
    const readers = report.edges.filter((e) => e.source === n.id).map((e) => depth[e.target]);
    if (readers.length) depth[n.id] = Math.max(0, Math.min(...readers) - 1);
  });
  const found = [];
  const put = (node, layer) => { (found[layer] = found[layer] || []).push(node); };
  report.nodes.forEach((node) => put(node, depth[node.id]));
  const edges = mergedEdges();
  for (const edge of edges) {
    // An edge over several layers gets a place in each, so that it passes between the boxes.
    edge.stops = [edge.source];
    for (let layer = depth[edge.source] + 1; layer < depth[edge.target]; layer += 1) {
      const stop = { id: `${edge.source}>${edge.target}@${layer}`, kind: "stop" };
      put(stop, layer);
      edge.stops.push(stop.id);
    }
    edge.stops.push(edge.target);
  }
  return { layers: Array.from(found, (layer) => layer || []), edges };
}

const HEIGHTS = { argument: BOX.small, result: BOX.small, stop: BOX.thin };

function place(found, edges) {
  const at = {};
  const height = (node) => HEIGHTS[node.kind] || BOX.height;
  const gap = (node) => (HEIGHTS[node.kind] ? BOX.gapY / 2 : BOX.gapY);
  const total = (layer) => layer.reduce((sum, node) => sum + height(node) + gap(node), -BOX.gapY / 2);
  const tallest = Math.max(...found.map(total), 60);
  const beside = {};
  for (const edge of edges) {
    edge.stops.slice(1).forEach((stop, index) => {
      (beside[stop] = beside[stop] || []).push(edge.stops[index]);
      (beside[edge.stops[index]] = beside[edge.stops[index]] || []).push(stop);
    });
  }
  const middle = (node) => {
    const ys = (beside[node.id] || []).filter((id) => at[id]).map((id) => at[id].y + at[id].h / 2);
    return ys.length ? ys.reduce((a, b) => a + b, 0) / ys.length : 1e9;
  };
  for (let round = 0; round < 4; round += 1) {
    found.forEach((layer, index) => {
      if (round || index) {
        const wishes = new Map(layer.map((node) => [node.id, middle(node)]));
        layer.sort((a, b) => wishes.get(a.id) - wishes.get(b.id));
      }
      let y = 26 + (tallest - total(layer)) / 2;
      layer.forEach((node) => {
        at[node.id] = { x: 16 + index * (BOX.width + BOX.gapX), y, w: BOX.width, h: height(node) };
        y += height(node) + gap(node);
      });
    });
  }
  return { at, width: 32 + found.length * (BOX.width + BOX.gapX) - BOX.gapX, height: tallest + 52 };
}

function cut(text, length) { return text.length > length ? text.slice(0, length - 1) + "\u2026" : text; }

function drawNode(node, spot) {
  const box = svg("g", { class: `node ${node.kind}`, tabindex: "0", role: "button", transform: `translate(${spot.x},${spot.y})` });
  box.dataset.id = node.id;
  box.append(svg("title", {}, `${node.label}\n${node.reason || ""}`));
  box.append(svg("rect", { width: spot.w, height: spot.h, rx: node.kind === "argument" || node.kind === "result" ? 14 : 8 }));
  const small = spot.h === BOX.small;
  box.append(svg("text", { x: 12, y: small ? 18 : 19, class: small ? "" : "head" }, cut(shortName(node.label), 26)));
  if (!small) {
    const names = [...new Set(node.ops.map((op) => op.name))];
    const match = /^\w*?dispatch_\d+_(.+)$/.exec(node.label);
    const first = node.kind === "loop" ? "loop of the host program" : `${node.ops.length} ops \u00b7 ${amount(node.flops, "FLOP")}`;
    box.append(svg("text", { x: 12, y: 35, class: "small" }, cut(first + (node.inside ? " \u00b7 every step" : ""), 32)));
    const detail = match && !names.length ? match[1] : names.join(" ");
    if (node.kind !== "loop") {
      box.append(svg("text", { x: 12, y: 48, class: "small" }, cut(`${amount(node.bytes_read, "B")} in \u00b7 ${amount(node.bytes_written, "B")} out`, 32)));
      box.append(svg("text", { x: 12, y: 60, class: "small" }, cut(detail, 28)));
    } else box.append(svg("text", { x: 12, y: 50, class: "small" }, cut(node.reason, 28)));
  }
  box.addEventListener("click", () => selectNode(node.id));
  box.addEventListener("keydown", (event) => { if (event.key === "Enter") { selectNode(node.id); event.stopPropagation(); } });
  return box;
}

function mergedEdges() {
  const found = new Map();
  for (const edge of report.edges) {
    const name = `${edge.source}>${edge.target}`;
    const known = found.get(name);
    if (known) { known.types.push(edge.type); known.in_place = known.in_place || edge.in_place; known.bytes += edge.bytes; }
    else found.set(name, { ...edge, types: [edge.type] });
  }
  return [...found.values()];
}

// The edge's path: over its stops, as a straight line through each.
function pathOf(edge, at, y2) {
  const from = at[edge.source], to = at[edge.target];
  let x = from.x + from.w, y = from.y + from.h / 2;
  let path = `M${x},${y}`;
  const curve = (nextX, nextY) => {
    const bend = nextX <= x ? 60 : Math.max(36, (nextX - x) / 2);
    path += ` C${x + bend},${y} ${nextX - bend},${nextY} ${nextX},${nextY}`;
    x = nextX; y = nextY;
  };
  for (const stop of edge.stops.slice(1, -1)) {
    const spot = at[stop];
    curve(spot.x, spot.y + spot.h / 2);
    x = spot.x + spot.w;
    path += ` L${x},${y}`;
  }
  curve(to.x - 6, y2);
  return path;
}

function drawEdge(edge, at, slots) {
  const to = at[edge.target];
  const y2 = to.y + to.h * (slots.index + 1) / (slots.count + 1);
  const kind = edge.in_place ? " inplace" : "";
  const path = svg("path", { class: "edge" + kind, d: pathOf(edge, at, y2), "marker-end": `url(#${edge.in_place ? "tip-good" : "tip"})` });
  path.append(svg("title", {}, `${edge.types.join(", ")} (${amount(edge.bytes, "B")})${edge.in_place ? ", overwritten in place" : ""}`));
  const named = nodeOf(edge.source).kind === "argument" || nodeOf(edge.target).kind === "result";
  const more = edge.types.length > 1 ? ` +${edge.types.length - 1}` : "";
  const text = named ? (edge.in_place ? "in place" : "") : edge.types[0] + more + (edge.in_place ? ", in place" : "");
  if (!text || to.x <= at[edge.source].x) return [path];
  return [path, svg("text", { class: "edge-label" + kind, x: to.x - 14, y: y2 - 5, "text-anchor": "end" }, text)];
}

function buildGraph() {
  const { layers: found, edges } = layers();
  const layout = place(found, edges);
  boxes = layout.at;
  const tip = (id, colour) => svg("marker", { id, viewBox: "0 0 8 8", refX: 6, refY: 4, markerWidth: 7, markerHeight: 7, markerUnits: "userSpaceOnUse", orient: "auto" }, svg("path", { d: "M0,0 L8,4 L0,8 z", style: `fill:var(${colour})` }));
  const drawing = svg("svg", { width: layout.width, height: layout.height, "aria-label": "dispatch graph" }, svg("defs", {}, tip("tip", "--dim"), tip("tip-good", "--good")));
  const labels = [];
  for (const edge of edges) {
    const last = (other) => layout.at[other.stops[other.stops.length - 2]].y;
    const into = edges.filter((other) => other.target === edge.target).sort((a, b) => last(a) - last(b));
    const [path, label] = drawEdge(edge, layout.at, { index: into.indexOf(edge), count: into.length });
    drawing.append(path);
    if (label) labels.push(label);
  }
  for (const node of report.nodes) drawing.append(drawNode(node, layout.at[node.id]));
  drawing.append(...labels);
  $("graph").append(drawing, make("div", { class: "legend" }, make("span", {}, make("i"), "array"), make("span", {}, make("i", { class: "g" }), "overwritten in place")));
}

// -- decisions ----------------------------------------------------------------------------------

function lineCell(line) {
  if (!line) return ["", ""];
  const index = data.files.findIndex((file) => file.path === line[0]);
  const file = data.files[index];
  return [`${file ? file.name : line[0]}:${line[1]}`, file ? (file.lines[line[1] - file.first] || "").trim() : ""];
}

function keyOfLine(line) {
  return line ? keyOf[data.files.findIndex((file) => file.path === line[0]) + ":" + line[1]] : undefined;
}

function table(heads, rows) {
  const body = rows.map(({ cells, key, node }) => {
    const row = make("tr", key !== undefined || node ? { "data-key": key === undefined ? "" : key } : {}, ...cells.map((cell) => {
      const element = make("td", {});
      element.append(cell instanceof Node ? cell : String(cell));
      return element;
    }));
    row.addEventListener("click", () => { if (node) selectNode(node); else if (key !== undefined) pin([key], ""); });
    return row;
  });
  return make("table", {}, make("tr", {}, ...heads.map((head) => make("th", {}, head))), ...body);
}

function buildDecisions() {
  const box = make("div", { class: "decide" });
  const add = (title, content) => box.append(make("h3", {}, title), content);
  const dispatches = report.nodes.filter((node) => node.kind === "dispatch");
  const most = Math.max(1, ...dispatches.map((node) => node.flops));
  add(dispatches.length === 1 ? "1 dispatch" : `${dispatches.length} dispatches`, table(["dispatch", "ops", "FLOP", "", "reads", "writes", "lines", "why apart"], dispatches.map((node) => {
    const bar = make("span", { class: "bar", style: `width:${Math.round(80 * node.flops / most)}px` });
    const lines = node.lines.map((line) => lineCell(line)[0].replace(/^.*:/, "")).join(", ");
    return { node: node.id, cells: [badge("info", node.label), node.ops.length, amount(node.flops, ""), bar, amount(node.bytes_read, "B"), amount(node.bytes_written, "B"), lines, node.reason] };
  })));
  const host = report.nodes.filter((node) => node.kind === "host");
  if (host.length) add("not in a kernel", table(["line", "", "op", "why"], host.map((node) => ({ key: keyOfLine(node.lines[0]), cells: [...lineCell(node.lines[0]), badge("warn", node.label), node.reason] }))));
  if (report.updates.length) {
    add("at[] updates", table(["line", "", "op", ""], report.updates.map((u) => ({ key: keyOfLine(u.line), cells: [...lineCell(u.line), u.name, u.reason ? badge("bad", `copies ${u.type}: ${u.reason}`) : badge("good", "in place")] }))));
  }
  if (report.loops.length) {
    add("loops", table(["line", "", "loop", "steps", ""], report.loops.map((loop) => ({ key: keyOfLine(loop.line), cells: [...lineCell(loop.line), loop.name, loop.trips === null ? "unknown" : loop.trips, loop.place ? badge("loop", `runs inside ${loop.place}`) : badge("warn", `host program${loop.reason ? ": " + loop.reason : ""}`)] }))));
  }
  const lines = data.keys.map((_, key) => ({ key, ops: opsOfKey(key) })).filter((line) => line.ops.length);
  const work = (line) => line.ops.reduce((sum, op) => sum + op.work, 0);
  const all = lines.reduce((sum, line) => sum + work(line), 0) || 1;
  lines.sort((a, b) => work(b) - work(a));
  add("estimated cost of each line", table(["line", "", "ops", "FLOP", "share of the work", ""], lines.map((line) => {
    const [file, number] = data.keys[line.key];
    const share = work(line) / all;
    const bar = make("span", { class: "bar", style: `width:${Math.round(120 * share)}px` });
    const flops = line.ops.reduce((sum, op) => sum + op.flops, 0);
    return { key: line.key, cells: [...lineCell([data.files[file].path, number]), line.ops.length, amount(flops, ""), bar, `${(100 * share).toFixed(1)} %`] };
  })));
  if (!report.target.startsWith("cpu")) box.append(make("p", { class: "note" }, "IREE forms the dispatches of this target and does not record why."));
  $("decisions").append(box);
}

// -- passes -------------------------------------------------------------------------------------

let shownPass = -1;

function showPass(index) {
  const count = data.passes.length;
  if (!count) return;
  shownPass = Math.max(0, Math.min(count - 1, index));
  const ran = data.passes[shownPass];
  $("pass-range").value = shownPass;
  const label = $("pass-label");
  label.textContent = "";
  label.append(make("b", {}, ran.name), `  pass ${shownPass + 1} of ${count}, to the ${ran.stage} stage  `, make("span", { class: "plus" }, `+${ran.added}`), " ", make("span", { class: "minus" }, `\u2212${ran.removed}`));
  document.querySelectorAll(".steps button").forEach((button, k) => button.setAttribute("aria-current", String(k === shownPass)));
  const diff = $("pass-diff");
  diff.textContent = "";
  if (!ran.diff.length) diff.append(make("div", { class: "h" }, "This pass changed nothing."));
  for (const line of ran.diff) {
    const kind = { "+": "a", "-": "r", "@": "h" }[line[0]] || "";
    const row = make("div", { class: kind });
    if (kind === "h") row.append(line); else row.append(line[0], colour(line.slice(1), "mlir"));
    diff.append(row);
  }
}

function buildPasses() {
  const range = make("input", { type: "range", id: "pass-range", min: 0, max: Math.max(0, data.passes.length - 1), step: 1, "aria-label": "pass" });
  range.addEventListener("input", () => showPass(Number(range.value)));
  const steps = make("div", { class: "steps" }, ...data.passes.map((ran, index) => {
    const button = make("button", { class: ran.diff.length ? "changed" : "" }, ran.name);
    button.addEventListener("click", () => showPass(index));
    return button;
  }));
  $("passes").append(steps, make("div", { class: "slider" }, range, make("span", { id: "pass-label" })), make("div", { class: "diff", id: "pass-diff" }));
  const first = data.passes.findIndex((ran) => ran.name === "fuse" && ran.diff.length);
  showPass(first < 0 ? Math.max(0, data.passes.findIndex((ran) => ran.diff.length)) : first);
}

function showTab(name) {
  document.querySelectorAll("#tabs button").forEach((b) => b.setAttribute("aria-selected", String(b.dataset.tab === name)));
  document.querySelectorAll(".tab").forEach((tab) => { tab.hidden = tab.id !== name; });
}

// -- search, keys, start ------------------------------------------------------------------------

let matches = [];
let match = -1;

function search(text) {
  for (const row of matches) row.classList.remove("found", "current");
  matches = []; match = -1;
  const wanted = text.toLowerCase();
  if (wanted) matches = allRows.filter((row) => !columns[row.info.column].box.hidden && row.info.text.toLowerCase().includes(wanted));
  for (const row of matches) row.classList.add("found");
  $("matches").textContent = wanted ? String(matches.length) : "";
  if (matches.length) step(1);
}

function step(by) {
  if (!matches.length) return;
  if (match >= 0) matches[match].classList.remove("current");
  match = (match + by + matches.length) % matches.length;
  matches[match].classList.add("current");
  matches[match].scrollIntoView({ block: "center", inline: "nearest" });
  $("matches").textContent = `${match + 1}/${matches.length}`;
}

function move(by) {
  const order = allRows.filter((row) => row.info.column === "source" && row.info.keys.length);
  if (!order.length) return;
  const current = order.findIndex((row) => pinned.includes(row.info.keys[0]));
  const next = order[current < 0 ? 0 : (current + by + order.length) % order.length];
  pin(next.info.keys, "");
}

const KEYS = {
  j: () => move(1), k: () => move(-1), ArrowDown: () => move(1), ArrowUp: () => move(-1),
  Escape: unpin, n: () => step(1), N: () => step(-1), g: () => showTab("graph"),
  d: () => showTab("decisions"), p: () => showTab("passes"),
  "[": () => { showTab("passes"); showPass(shownPass - 1); },
  "]": () => { showTab("passes"); showPass(shownPass + 1); },
  "?": () => $("help").showModal(), "/": () => $("search").focus(),
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  if (event.target.tagName === "INPUT") {
    if (event.key === "Enter" && event.target.id === "search") step(event.shiftKey ? -1 : 1);
    if (event.key === "Escape") { event.target.value = ""; search(""); event.target.blur(); }
    return;
  }
  const stage = data.stages[Number(event.key) - 1];
  const action = stage ? columns[stage.name].toggle : KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

function wirePanel() {
  let from = null;
  $("divider").addEventListener("pointerdown", (event) => { from = event.clientY + $("panel").offsetHeight; $("divider").setPointerCapture(event.pointerId); });
  $("divider").addEventListener("pointermove", (event) => { if (from !== null) $("panel").style.flexBasis = `${Math.max(60, from - event.clientY)}px`; });
  $("divider").addEventListener("pointerup", () => { from = null; });
  document.querySelectorAll("#tabs button").forEach((button) => button.addEventListener("click", () => showTab(button.dataset.tab)));
  $("search").addEventListener("input", () => search($("search").value.trim()));
  $("help-button").addEventListener("click", () => $("help").showModal());
  document.addEventListener("keydown", onKey);
}

// #L12 lights line 12 of the first file, #kernel_0 a dispatch, #passes a tab: links can be shared.
function followHash() {
  const hash = decodeURIComponent(location.hash.slice(1));
  const line = /^L(\d+)$/.exec(hash);
  const key = line ? keyOf["0:" + line[1]] : undefined;
  if (key !== undefined) pin([key], "");
  else if (["graph", "decisions", "passes"].includes(hash)) showTab(hash);
  else if (nodeOf(hash)) selectNode(hash);
}

$("name").textContent = report.function;
$("summary").textContent = data.summary.replace(report.function + " ", "");
buildSource();
buildStages();
buildToggles();
wireRows();
buildGraph();
showBox((report.nodes.find((node) => node.kind === "dispatch") || { id: "" }).id);
buildDecisions();
buildPasses();
wirePanel();
const firstLine = allRows.find((row) => row.info.column === "source" && row.info.number === data.start) || document.querySelector(".source .row.mapped");
if (firstLine) columns.source.lines.scrollTop = Math.max(0, firstLine.offsetTop - 70);
followHash();
addEventListener("hashchange", followHash);
document.body.dataset.ready = "yes";
