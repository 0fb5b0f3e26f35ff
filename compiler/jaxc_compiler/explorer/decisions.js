// The decisions as tables, and the passes as diffs.

function lineCell(line) {
  if (!line) return ["", ""];
  const file = data.files.find((other) => other.path === line[0]);
  const text = file ? file.lines[line[1] - file.first] || "" : "";
  return [`${file ? file.name : line[0]}:${line[1]}`, text.trim()];
}

// rows: { cells, key: the line a click lights, node: or the dispatch }.
function table(heads, rows) {
  const body = rows.map(({ cells, key, node }) => {
    const row = make("tr", key !== undefined || node ? { "data-key": key ?? "" } : {});
    for (const cell of cells) {
      const element = make("td", {});
      element.append(cell instanceof Node ? cell : String(cell));
      row.append(element);
    }
    row.addEventListener("click", () => {
      if (node) selectNode(node);
      else if (key !== undefined) pin([key], "");
    });
    return row;
  });
  return make("table", {}, make("tr", {}, ...heads.map((head) => make("th", {}, head))), ...body);
}

function bar(share, width) {
  return make("span", { class: "bar", style: `width:${Math.round(width * share)}px` });
}

function dispatchRows() {
  const dispatches = report.nodes.filter((node) => node.kind === "dispatch");
  const most = Math.max(1, ...dispatches.map((node) => node.flops));
  return dispatches.map((node) => ({
    node: node.id,
    cells: [
      badge("info", node.label), node.ops.length, amount(node.flops, ""),
      bar(node.flops / most, 80), amount(node.bytes_read, "B"), amount(node.bytes_written, "B"),
      node.lines.map((line) => line[1]).join(", "), node.reason,
    ],
  }));
}

function hostRows() {
  return report.nodes.filter((node) => node.kind === "host").map((node) => ({
    key: keyOfLine(node.lines[0]),
    cells: [...lineCell(node.lines[0]), badge("warn", node.label), node.reason],
  }));
}

function updateRows() {
  return report.updates.map((update) => ({
    key: keyOfLine(update.line),
    cells: [
      ...lineCell(update.line), update.name,
      !update.known ? badge("warn", "not known for this target")
        : update.reason ? badge("bad", `copies ${update.type}: ${update.reason}`)
          : badge("good", "in place"),
    ],
  }));
}

function loopRows() {
  return report.loops.map((loop) => ({
    key: keyOfLine(loop.line),
    cells: [
      ...lineCell(loop.line), loop.name, loop.trips === null ? "unknown" : loop.trips,
      loop.place ? badge("loop", `runs inside ${loop.place}`)
        : badge("warn", ["host program", loop.reason].filter(Boolean).join(": ")),
    ],
  }));
}

function costRows() {
  const lines = data.keys.map((_, key) => {
    const ops = opsOfKey(key);
    const sum = (field) => ops.reduce((whole, op) => whole + op[field], 0);
    return { key, ops, work: sum("work"), flops: sum("flops") };
  }).filter((line) => line.ops.length);
  const whole = lines.reduce((sum, line) => sum + line.work, 0) || 1;
  lines.sort((a, b) => b.work - a.work);
  return lines.map(({ key, ops, work, flops }) => {
    const [file, line] = data.keys[key];
    const share = work / whole;
    const cells = lineCell([data.files[file].path, line]);
    cells.push(ops.length, amount(flops, ""), bar(share, 120), `${(100 * share).toFixed(1)} %`);
    return { key, cells };
  });
}

function buildDecisions() {
  const box = make("div", { class: "decide" });
  const add = (title, heads, rows) => {
    if (rows.length) box.append(make("h3", {}, title), table(heads, rows));
  };
  const dispatches = dispatchRows();
  add(dispatches.length === 1 ? "1 dispatch" : `${dispatches.length} dispatches`,
    ["dispatch", "ops", "FLOP", "", "reads", "writes", "lines", "why apart"], dispatches);
  add("not in a kernel", ["line", "", "op", "why"], hostRows());
  add("at[] updates", ["line", "", "op", ""], updateRows());
  add("loops", ["line", "", "loop", "steps", ""], loopRows());
  add("estimated cost of each line",
    ["line", "", "ops", "FLOP", "share of the work", ""], costRows());
  if (/^(tpu|pjrt)/.test(report.target)) {
    box.append(make("p", { class: "note" }, "XLA decides what becomes of this program."));
  } else if (!report.target.startsWith("cpu")) {
    const note = "IREE forms the dispatches of this target and does not record why.";
    box.append(make("p", { class: "note" }, note));
  }
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
  $("pass-label").replaceChildren(
    make("b", {}, ran.name),
    `  pass ${shownPass + 1} of ${count}, to the ${ran.stage} stage  `,
    make("span", { class: "plus" }, `+${ran.added}`), " ",
    make("span", { class: "minus" }, `\u2212${ran.removed}`));
  document.querySelectorAll(".steps button").forEach((button, k) => {
    button.setAttribute("aria-current", String(k === shownPass));
  });
  const nothing = make("div", { class: "h" }, "This pass changed nothing.");
  $("pass-diff").replaceChildren(...(ran.diff.length ? ran.diff.map(diffRow) : [nothing]));
}

function diffRow(line) {
  const kind = { "+": "a", "-": "r", "@": "h" }[line[0]] || "";
  const row = make("div", { class: kind });
  if (kind === "h") row.append(line); else row.append(line[0], colour(line.slice(1), "mlir"));
  return row;
}

function buildPasses() {
  const last = Math.max(0, data.passes.length - 1);
  const bounds = { type: "range", min: 0, max: last, step: 1 };
  const range = make("input", { id: "pass-range", "aria-label": "pass", ...bounds });
  range.addEventListener("input", () => showPass(Number(range.value)));
  const steps = make("div", { class: "steps" }, ...data.passes.map((ran, index) => {
    const button = make("button", { class: ran.diff.length ? "changed" : "" }, ran.name);
    button.addEventListener("click", () => showPass(index));
    return button;
  }));
  const label = make("span", { id: "pass-label" });
  const diff = make("div", { class: "diff", id: "pass-diff" });
  $("passes").append(steps, make("div", { class: "slider" }, range, label), diff);
  const fuse = data.passes.findIndex((ran) => ran.name === "fuse" && ran.diff.length);
  showPass(fuse >= 0 ? fuse : Math.max(0, data.passes.findIndex((ran) => ran.diff.length)));
}

function showTab(name) {
  document.querySelectorAll("#tabs button").forEach((button) => {
    button.setAttribute("aria-selected", String(button.dataset.tab === name));
  });
  document.querySelectorAll(".tab").forEach((tab) => { tab.hidden = tab.id !== name; });
}
