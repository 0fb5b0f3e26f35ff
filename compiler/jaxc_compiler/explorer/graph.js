// The dispatch graph: nodes in layers, each edge led between the boxes of the layers it crosses.

const BOX = { width: 208, height: 66, small: 28, thin: 6, gapX: 132, gapY: 18 };

function layers() {
  const depth = {};
  const incoming = {};
  for (const { source, target } of report.edges) {
    (incoming[target] = incoming[target] || []).push(source);
  }
  const visiting = new Set();
  const depthOf = (id) => {
    if (depth[id] !== undefined) return depth[id];
    if (visiting.has(id)) return 0;
    visiting.add(id);
    const node = nodeOf(id);
    const loop = node.inside ? [node.inside] : [];
    const before = [...(incoming[id] || []), ...loop].filter((other) => other !== id);
    const alone = node.kind === "argument" ? 0 : 1;
    depth[id] = before.length ? Math.max(...before.map(depthOf)) + 1 : alone;
    visiting.delete(id);
    return depth[id];
  };
  report.nodes.forEach((node) => depthOf(node.id));
  const last = Math.max(0, ...Object.values(depth));
  const ofKind = (kind) => report.nodes.filter((node) => node.kind === kind);
  ofKind("result").forEach((node) => { depth[node.id] = Math.max(last, 1); });
  // An argument stands right before its first reader.
  ofKind("argument").forEach((n) => {
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
  const space = (node) => height(node) + gap(node);
  const total = (layer) => layer.reduce((sum, node) => sum + space(node), -BOX.gapY / 2);
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
        y += space(node);
      });
    });
  }
  return { at, width: 32 + found.length * (BOX.width + BOX.gapX) - BOX.gapX, height: tallest + 52 };
}

function cut(text, length) {
  return text.length > length ? text.slice(0, length - 1) + "\u2026" : text;
}

function drawNode(node, spot) {
  const small = spot.h === BOX.small;
  const transform = `translate(${spot.x},${spot.y})`;
  const box = svg("g", { class: `node ${node.kind}`, tabindex: "0", role: "button", transform });
  box.dataset.id = node.id;
  box.append(svg("title", {}, `${node.label}\n${node.reason || ""}`));
  box.append(svg("rect", { width: spot.w, height: spot.h, rx: small ? 14 : 8 }));
  const write = (y, text, kind) => box.append(svg("text", { x: 12, y, class: kind }, text));
  write(small ? 18 : 19, cut(shortName(node.label), 26), small ? "" : "head");
  if (!small) nodeDetails(node).forEach((text, k) => write(35 + 12.5 * k, text, "small"));
  box.addEventListener("click", () => selectNode(node.id));
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    selectNode(node.id);
    event.stopPropagation();
  });
  return box;
}

function nodeDetails(node) {
  if (node.kind === "loop") return ["loop of the host program", cut(node.reason, 28)];
  const names = [...new Set(node.ops.map((op) => op.name))].join(" ");
  const ops = node.ops.length === 1 ? "1 op" : `${node.ops.length} ops`;
  const every = node.inside ? " \u00b7 every step" : "";
  const moved = `${amount(node.bytes_read, "B")} in \u00b7 ${amount(node.bytes_written, "B")} out`;
  const size = `${ops} \u00b7 ${amount(node.flops, "FLOP")}${every}`;
  return [cut(size, 31), cut(moved, 31), cut(names, 28)];
}

function mergedEdges() {
  const found = new Map();
  for (const edge of report.edges) {
    const name = `${edge.source}>${edge.target}`;
    const known = found.get(name);
    if (!known) {
      found.set(name, { ...edge, types: [edge.type] });
      continue;
    }
    known.types.push(edge.type);
    known.in_place = known.in_place || edge.in_place;
    known.bytes += edge.bytes;
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
  const tip = `url(#${edge.in_place ? "tip-good" : "tip"})`;
  const path = svg("path", { class: "edge" + kind, d: pathOf(edge, at, y2), "marker-end": tip });
  const fate = edge.in_place ? ", overwritten in place" : "";
  path.append(svg("title", {}, `${edge.types.join(", ")} (${amount(edge.bytes, "B")})${fate}`));
  const text = edgeText(edge);
  if (!text || to.x <= at[edge.source].x) return [path];
  const where = { x: to.x - 14, y: y2 - 5, "text-anchor": "end" };
  return [path, svg("text", { class: "edge-label" + kind, ...where }, text)];
}

function edgeText(edge) {
  const fate = edge.in_place ? "in place" : "";
  // The boxes of arguments and results say their types.
  if (nodeOf(edge.source).kind === "argument" || nodeOf(edge.target).kind === "result") return fate;
  const more = edge.types.length > 1 ? ` +${edge.types.length - 1}` : "";
  return [edge.types[0] + more, fate].filter(Boolean).join(", ");
}

function tipOf(id, colour) {
  const size = { markerWidth: 7, markerHeight: 7, markerUnits: "userSpaceOnUse", orient: "auto" };
  return svg("marker", { id, viewBox: "0 0 8 8", refX: 6, refY: 4, ...size },
    svg("path", { d: "M0,0 L8,4 L0,8 z", style: `fill:var(${colour})` }));
}

function buildGraph() {
  if (!report.nodes.length) {
    $("graph").append(make("p", { class: "note" }, "XLA forms the kernels of this target."));
    return;
  }
  const { layers: found, edges } = layers();
  const layout = place(found, edges);
  boxes = layout.at;
  const { width, height } = layout;
  const drawing = svg("svg", { width, height, "aria-label": "dispatch graph" },
    svg("defs", {}, tipOf("tip", "--dim"), tipOf("tip-good", "--good")));
  const labels = [];
  const into = new Map();
  for (const edge of edges) into.set(edge.target, [...(into.get(edge.target) || []), edge]);
  for (const [, list] of into) {
    const last = (edge) => layout.at[edge.stops[edge.stops.length - 2]].y;
    list.sort((a, b) => last(a) - last(b));
    list.forEach((edge, index) => {
      const [path, label] = drawEdge(edge, layout.at, { index, count: list.length });
      drawing.append(path);
      if (label) labels.push(label);
    });
  }
  for (const node of report.nodes) drawing.append(drawNode(node, layout.at[node.id]));
  drawing.append(...labels);
  const plain = make("span", {}, make("i"), "array");
  const good = make("span", {}, make("i", { class: "g" }), "overwritten in place");
  $("graph").append(drawing, make("div", { class: "legend" }, plain, good));
  showBox((report.nodes.find((node) => node.kind === "dispatch") || { id: "" }).id);
}
