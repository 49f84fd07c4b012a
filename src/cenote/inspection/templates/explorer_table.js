/* ---- the list of operators, with a gutter that draws who feeds whom ---- */

const LANE = 7, FIRST = 14;

/** A lane for every operator whose output is used later than by the next one; -1: none. */
function lanesOf() {
  const last = operators.map(() => -1);
  for (const op of operators) {
    for (const s of op.sources) if (s >= 0 && s !== op.index - 1) last[s] = op.index;
  }
  const free = [], lanes = operators.map(() => -1);
  operators.forEach((_, s) => {
    if (last[s] < 0) return;
    let lane = free.findIndex(until => until <= s);
    if (lane < 0) lane = free.length;
    free[lane] = last[s];
    lanes[s] = Math.min(lane, 7);  // a network that joins everything would need a lane for each
  });
  return lanes;
}

const lanes = lanesOf();
const gutter = FIRST + LANE * (Math.max(-1, ...lanes) + 1) + 12;

function listItem(op) {
  const item = document.createElement("li"), button = document.createElement("button");
  button.type = "button";
  button.dataset.index = op.index;
  const lines = [["what", crossed(op.title || op.kind), fieldOf(op) ? fieldText(op) : ""],
    ["more", leafOf(op) || bare(op), shapeText(op)]];
  button.append(...lines.map(([name, left, right]) => {
    const line = Object.assign(document.createElement("span"), { className: name });
    line.append(...[["b", left], ["i", right]].map(([tag, textContent]) =>
      Object.assign(document.createElement(tag), { textContent })));
    return line;
  }));
  button.title = [op.name, op.title || op.kind, fieldOf(op) ? `a unit sees ${fieldText(op)}` : ""].filter(Boolean).join("\n");
  button.addEventListener("click", () => select(op.index));
  item.append(button);
  return item;
}

// A module that both works itself and calls others, as a residual block does, heads its own group.
const holders = new Set(operators.flatMap(op => {
  const found = [""];
  for (let name = parentOf(op.name); name; name = parentOf(name)) found.push(name);
  return found;
}));
const groupOf = op => (holders.has(op.name) ? op.name : parentOf(op.name));
const leafOf = op => op.name.slice(groupOf(op).length).replace(/^\./, "");

function buildList() {
  const list = document.createElement("ol"), modules = new Map(record.modules.map(m => [m.name, m]));
  let group = "";
  for (const op of operators) {
    if (groupOf(op) !== group) {
      group = groupOf(op);
      const head = document.createElement("li"), module = modules.get(group);
      head.className = "group";
      head.append(piece(group || record.model, "name"), module ? ` ${module.kind}` : "");
      list.append(head);
    }
    list.append(listItem(op));
  }
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawing.ariaHidden = "true";
  drawing.id = "gutter";
  list.append(drawing);
  list.style.setProperty("--gutter", `${gutter}px`);
  byId("list").append(list);
  byId("count").textContent = many(operators.length, "operator");
  byId("filter").hidden = operators.length <= 40;
  byId("filter").querySelector("input").addEventListener("input", event => filter(event.target.value));
  byId("list").addEventListener("keydown", walk);
}

/** Up and down go through the list as it is filtered. */
function walk(event) {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  event.preventDefault();
  const shown = [...byId("list").querySelectorAll("button")].filter(b => !b.parentElement.hidden);
  const here = shown.findIndex(b => Number(b.dataset.index) === state.index);
  const next = shown[here + (event.key === "ArrowDown" ? 1 : -1)];
  if (next) select(Number(next.dataset.index)).then(() => reveal(true));
}

/** Bring the chosen operator's row into the list's view. */
function reveal(focus) {
  const button = byId("list").querySelector("[aria-current]"), list = byId("list");
  if (!button) return;
  if (focus) button.focus({ preventScroll: true });
  const top = button.offsetTop, bottom = top + button.offsetHeight;
  if (top < list.scrollTop) list.scrollTop = top - 40;
  else if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight + 40;
}

function filter(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  let group = null, any = false, count = 0;
  for (const item of byId("list").querySelectorAll("li")) {
    const button = item.querySelector("button");
    if (!button) {
      if (group) group.hidden = !any;
      [group, any] = [item, false];
      continue;
    }
    const op = operators[button.dataset.index];
    const told = `${op.name} ${op.kind} ${op.title || ""} ${op.operator} ${shapeText(op)}`.toLowerCase();
    item.hidden = !words.every(word => told.includes(word));
    if (!item.hidden) { any = true; count += 1; }
  }
  if (group) group.hidden = !any;
  byId("count").textContent = words.length ? `${count} of ${operators.length}` : many(operators.length, "operator");
  light();
}

/** Draw the gutter: a line down where the next operator reads this one, a lane beside it else. */
function light() {
  const drawing = byId("gutter"), list = drawing.parentElement;
  const rows = new Map([...list.querySelectorAll("li:not([hidden]) button")].map(b =>
    [Number(b.dataset.index), b.parentElement.offsetTop + b.offsetHeight / 2]));
  const x = gutter - 14, lines = [], lit = [];
  drawing.setAttribute("width", gutter);
  drawing.setAttribute("height", list.offsetHeight);
  for (const op of operators) {
    for (const s of new Set(op.sources)) {
      if (s < 0 || !rows.has(s) || !rows.has(op.index)) continue;
      const from = rows.get(s), to = rows.get(op.index), side = x - 10 - LANE * lanes[s];
      const bend = Math.min(16, (to - from) / 2);
      const path = s === op.index - 1 ? `M${x} ${from}V${to}`
        : `M${x} ${from}C${side} ${from} ${side} ${from} ${side} ${from + bend}V${to - bend}C${side} ${to} ${side} ${to} ${x} ${to}`;
      (s === state.index || op.index === state.index ? lit : lines).push(path);
    }
  }
  const make = (tag, attributes) => {
    const node = document.createElementNS(drawing.namespaceURI, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };
  drawing.replaceChildren(make("path", { d: lines.join("") }), make("path", { d: lit.join(""), class: "lit" }),
    ...[...rows].map(([index, y]) => make("circle", { cx: x, cy: y, r: 3.5, class: index === state.index ? "lit" : "" })));
}

/* ---- the table ---- */

const axesText = (op, name) => {
  const field = fieldOf(op);
  const found = field ? field.axes.map(axis => (axis[name] === null ? "\u2013" : axis[name])) : ["\u2013"];
  return new Set(found).size === 1 && found[0] === "\u2013" ? "\u2013" : spaced(found);
};
const jumpNumber = jump => {
  const [a, b] = String(jump).split("/").map(Number);
  return b ? a / b : a;
};
const area = op => (fieldOf(op) ? fieldOf(op).axes.reduce((p, axis) => p * axis.size, 1) : null);
const shareText = share => (share === null ? "\u2013" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)}\u202f%`);
const cost = (title, name, text) => ({ title, value: op => op[name], text: op => text(op[name]), sum: true, name, total: text });
const bytes = n => brief(n, "B");

// title; value to sort by; text; whether the column has a sum and shares of it
const COLUMNS = [
  { title: "#", value: op => op.index, text: op => `${op.index}` },
  { title: "operator", value: op => op.title || op.kind, text: op => crossed(op.title || op.kind), words: true },
  { title: "module", value: op => op.name, text: op => op.name, words: true },
  { title: "output", value: op => shapeOf(op).reduce((a, b) => a * b, 1), text: shapeText },
  cost("params", "parameters", n => plain.format(n)),
  cost("MACs", "macs", n => brief(n)), cost("FLOPs", "flops", n => brief(n)),
  cost("read", "read", bytes), cost("written", "written", bytes), cost("kept", "kept", bytes),
  cost("time", "seconds", duration),
  { title: "sees", value: area, text: op => axesText(op, "size") },
  { title: "jump", value: op => (fieldOf(op) && fieldOf(op).axes[0] && fieldOf(op).axes[0].jump !== null
    ? jumpNumber(fieldOf(op).axes[0].jump) : null), text: op => axesText(op, "jump") },
  { title: "covers", value: op => (fieldOf(op) ? fieldOf(op).coverage : null), text: op => shareText(fieldOf(op) ? fieldOf(op).coverage : null) },
];

function buildTable() {
  const table = byId("table"), head = table.createTHead().insertRow(), body = table.createTBody();
  COLUMNS.forEach((column, c) => {
    const cell = document.createElement("th"), button = document.createElement("button");
    cell.scope = "col";
    cell.className = column.words ? "" : "number";
    button.type = "button";
    button.textContent = column.title;
    button.addEventListener("click", () => sortBy(c));
    cell.append(button);
    head.append(cell);
  });
  head.cells[0].setAttribute("aria-sort", "ascending");
  for (const op of operators) {
    const row = body.insertRow();
    row.dataset.index = op.index;
    row.addEventListener("click", () => show(op.index));
    for (const column of COLUMNS) tableCell(row, column, op);
  }
  const foot = table.createTFoot().insertRow();
  for (const column of COLUMNS) {
    const cell = foot.insertCell();
    cell.className = column.words ? "" : "number";
    cell.textContent = column.sum ? column.total(record.totals[column.name]) : column.title === "operator" ? "all" : "";
  }
}

function tableCell(row, column, op) {
  const cell = row.insertCell(), value = column.value(op);
  cell.className = column.words ? "" : "number";
  cell.textContent = column.text(op);
  if (column.title === "module") cell.title = op.name;
  if (column.sum && value && record.totals[column.name]) {
    cell.style.setProperty("--share", `${(100 * value / record.totals[column.name]).toFixed(2)}%`);
  }
}

/** Sort by a column: numbers from the largest, words from the first; a second time the other way. */
function sortBy(c) {
  const head = byId("table").tHead.rows[0].cells, column = COLUMNS[c];
  const before = head[c].getAttribute("aria-sort");
  const first = column.words || c === 0 ? "ascending" : "descending";
  const order = before ? (before === "ascending" ? "descending" : "ascending") : first;
  for (const cell of head) cell.removeAttribute("aria-sort");
  head[c].setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1, body = byId("table").tBodies[0];
  const rows = [...body.rows].sort((a, b) => {
    const [x, y] = [a, b].map(row => column.value(operators[row.dataset.index]));
    const [none, other] = [x === null || x === undefined, y === null || y === undefined];
    if (none || other) return none - other;  // the unknown last, whichever way
    return sign * (typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y)
      || a.dataset.index - b.dataset.index;
  });
  body.append(...rows);
}

/** Choose an operator from below, and go there. */
function show(index) {
  select(index);
  byId("stage").scrollIntoView({ behavior: still.matches ? "auto" : "smooth" });
  byId("stage").focus({ preventScroll: true });
}

/* ---- the rest of the page ---- */

function buildAdvice() {
  byId("advice").hidden = !data.advice.length;
  byId("advice").querySelector("ul").append(...data.advice.map(advice => {
    const item = document.createElement("li"), there = operators[advice.operator] !== undefined;
    const body = document.createElement(there ? "button" : "div");
    body.className = "card";
    if (there) {
      body.type = "button";
      body.addEventListener("click", () => show(advice.operator));
    }
    if (advice.name) body.append(Object.assign(document.createElement("b"), { textContent: `${advice.name} ` }));
    body.append(advice.text);
    item.append(body);
    return item;
  }));
}

function headline() {
  const { totals } = record;
  terms(byId("figures"), [
    ["parameters", plain.format(record.parameters)],
    ["multiply-accumulates", brief(totals.macs)],
    ["read and written", bytes(totals.read + totals.written)],
    [record.training ? "one watched pass, training" : "one watched pass", record.seconds === null ? "" : duration(record.seconds)],
  ]);
}

function buildHead() {
  headline();
  const line = (text, name) => Object.assign(document.createElement("p"), { textContent: text, className: name });
  byId("notes").append(
    ...(record.error ? [line(`Stopped in ${record.error.name || record.model} (${record.error.kind}): ${record.error.message}`, "failure")] : []),
    ...record.notes.map(note => line(note, "hint")));
}

function start() {
  buildHead();
  buildAdvice();
  if (!operators.length) {
    for (const part of [".explore", "#costs"]) document.querySelector(part).hidden = true;
    return;
  }
  buildList();
  buildTable();
  state.index = operators.findIndex(op => op.window && mapOf(op.index));
  if (state.index < 0) state.index = 0;
  const map = mapOf(state.index);
  if (map) {
    state.row = Math.floor(map.size[0] / 2);
    state.column = map.wrap ? strongest(map) : Math.floor(map.size[1] / 2);
  }
  listenToWindow();
  describe();
  listen();
}
