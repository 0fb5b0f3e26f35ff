// Search, the keyboard, links, and the start.

let matches = [];
let match = -1;

function search(text) {
  for (const row of matches) row.classList.remove("found", "current");
  matches = []; match = -1;
  const wanted = text.toLowerCase();
  const shown = (row) => !columns[row.info.column].box.hidden;
  const fits = (row) => row.info.text.toLowerCase().includes(wanted);
  if (wanted) matches = allRows.filter((row) => shown(row) && fits(row));
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
  const divider = $("divider");
  let from = null;
  divider.addEventListener("pointerdown", (event) => {
    from = event.clientY + $("panel").offsetHeight;
    divider.setPointerCapture(event.pointerId);
  });
  divider.addEventListener("pointermove", (event) => {
    if (from !== null) $("panel").style.flexBasis = `${Math.max(60, from - event.clientY)}px`;
  });
  divider.addEventListener("pointerup", () => { from = null; });
  for (const button of document.querySelectorAll("#tabs button")) {
    button.addEventListener("click", () => showTab(button.dataset.tab));
  }
  $("search").addEventListener("input", () => search($("search").value.trim()));
  $("help-button").addEventListener("click", () => $("help").showModal());
  document.addEventListener("keydown", onKey);
}

function fragment() {
  try { return decodeURIComponent(location.hash.slice(1)); } catch { return ""; }
}

// #L12 lights line 12 of the first file, #L12.1 of the second, #kernel_0 a dispatch, #passes a tab:
// links can be shared.
function followHash() {
  const hash = fragment();
  const line = /^L(\d+)(?:\.(\d+))?$/.exec(hash);
  const key = line ? keyOf[`${line[2] || 0}:${line[1]}`] : undefined;
  if (key !== undefined) pin([key], "");
  else if (["graph", "decisions", "passes"].includes(hash)) showTab(hash);
  else if (nodeOf(hash)) selectNode(hash);
}

$("name").textContent = report.function;
const summary = data.summary.replace(report.function + " ", "");
$("summary").textContent = summary || `for ${report.target}`;
if (data.problem) {
  $("problem").textContent = data.problem;
  $("problem").hidden = false;
}
buildSource();
buildStages();
buildToggles();
wireRows();
buildGraph();
buildDecisions();
buildPasses();
wirePanel();
const isStart = ({ info }) => info.column === "source" && info.number === data.start;
const firstLine = allRows.find(isStart) || document.querySelector(".source .row.mapped");
if (firstLine) columns.source.lines.scrollTop = Math.max(0, firstLine.offsetTop - 70);
followHash();
addEventListener("hashchange", followHash);
document.body.dataset.ready = "yes";
