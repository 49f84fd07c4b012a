/* ---- words for what is shown ---- */

/** HTML of a list of facts: terms and their values. */
function terms(element, facts) {
  element.replaceChildren(...facts.filter(fact => fact[1]).map(([term, value]) => {
    const pair = document.createElement("div");
    for (const [tag, text] of [["dt", term], ["dd", value]]) {
      const part = document.createElement(tag);
      part.textContent = text;
      pair.append(part);
    }
    return pair;
  }));
}

/** What belongs to the operator and not to the unit. */
function describe() {
  const op = chosen(), field = fieldOf(op), map = mapOf(state.index), input = inputOf(op);
  byId("layer").textContent = crossed(op.title || op.kind);
  byId("where").textContent = [op.name || record.model, op.call ? `call ${op.call + 1}` : "", op.operator]
    .filter(Boolean).join(" \u00b7 ");
  const regular = field && !field.everything && field.axes.every(axis => axis.rule);
  terms(byId("facts"), [
    ["output", shapeText(op)],
    ["parameters", op.parameters ? plain.format(op.parameters) : ""],
    ["multiply-accumulates", op.macs ? brief(op.macs) : ""],
    ["time", op.seconds === null ? "" : duration(op.seconds)],
    ["a unit sees", fieldText(op)],
    ["jump", regular ? spaced(field.axes.map(axis => axis.jump)) : ""],
    ["offset", regular ? field.axes.map(axis => valueText(axis.offset)).join(", ") : ""],
    ["not known after", op.unknown || ""],
    ["branches", field && !field.aligned ? "not aligned" : ""],
  ]);
  const depth = input && input.axes.length > 2 ? ", middle slice" : "";
  byId("input-caption").textContent = input
    ? `${input.name} ${spaced(input.axes.map(d => input.shape[d]))}${depth}` : "no input";
  byId("more").textContent = map ? moreText(op, map) : "";
  for (const button of document.querySelectorAll("[data-index]")) {
    const here = Number(button.dataset.index) === state.index;
    if (here) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
  byId("previous").disabled = state.index === 0;
  byId("next").disabled = state.index === operators.length - 1;
  light();
  reveal(false);
  showWindow();
}

function moreText(op, map) {
  const parts = [];
  if (map.total > map.count) parts.push(`${plain.format(map.total - map.count)} more channels are not in this page`);
  if (!map.sprite) parts.push("the values were not kept");
  if (map.step[0] * map.step[1] > 1) parts.push(`each element averages ${spaced(map.step)} units`);
  const fixed = map.base.map((place, d) => [d, place]).filter(([d]) => d >= map.lead && op.output_shapes[0][d] > 1 && !map.dims.includes(d));
  for (const [d, place] of fixed) parts.push(`index ${place} of ${op.output_shapes[0][d]} along dimension ${d}`);
  return parts.length ? `${parts.join("; ")}.` : "";
}

const piece = (text, name) => Object.assign(document.createElement(name ? "b" : "span"), { textContent: text, className: name || "" });

let speaking = 0;

/** The line under the pictures, and what a screen reader is told once the pointer rests. */
function say(map, sprite) {
  const parts = state.pixel ? aboutPixel(map) : aboutUnit(map, sprite);
  byId("readout").replaceChildren(...parts);
  byId("map-caption").textContent = !map ? "no map"
    : map.wrap ? many(map.size[1], "unit") + (map.shown < map.size[1] ? `, the first ${plain.format(map.shown)}` : "")
      : `channel ${state.channel} of ${map.total}, ${spaced(map.size)}`;
  clearTimeout(speaking);
  speaking = setTimeout(() => { byId("spoken").textContent = byId("readout").textContent; }, 350);
}

function aboutUnit(map, sprite) {
  const op = chosen(), field = fieldOf(op);
  if (!map) return [piece("This operator gives nothing that can be shown.")];
  const known = valueOf(map, sprite, state.row, state.column, state.channel);
  const mean = !map.wrap && map.step[0] * map.step[1] > 1 ? `, a mean over ${spaced(map.step)}` : "";
  const value = known === null ? "" : Number.isFinite(known.value)
    ? ` (${known.exact ? "" : "\u2248 "}${valueText(known.value)}${mean})` : " (not a number)";
  const name = map.wrap ? `Unit ${state.column}`
    : map.size[0] === 1 ? `Unit ${state.column} of channel ${state.channel}`
      : `Unit (${state.row}, ${state.column}) of channel ${state.channel}`;
  const start = [piece(name, "unit"), piece(`${value} `)];
  if (!field) {
    return [...start, piece(op.unknown ? `sees a region that is not known: ${op.unknown} came before it.` : "sees nothing of the input.")];
  }
  const region = box();
  if (!region) {
    const joint = field.axes.some(axis => axis.starts === null);
    const size = spaced(field.axes.map(axis => axis.size));
    return [...start, piece(joint ? `sees a region, of at most ${size}, that depends on several dimensions at once.` : "sees nothing of the input.")];
  }
  const where = field.axes.map((axis, i) => `${axis.name} ${range(...region.axes[i])}`).join(", ");
  const size = region.axes.map(([a, b]) => b - a);
  if (field.everything) return [...start, piece("sees the "), piece("whole input", "unit"), piece(`, ${where}.`)];
  return [...start, piece("sees "), piece(`${spaced(size)}`, "unit"), piece(` of the input: ${where}.${outside(field, region)}`)];
}

/** By how much the rule reaches beyond the input. */
function outside(field, region) {
  const over = field.axes.flatMap((axis, i) => [[`start of ${axis.name}`, region.axes[i][0] - region.all[i][0]],
    [`end of ${axis.name}`, region.all[i][1] - region.axes[i][1]]]).filter(([, by]) => by > 0);
  if (!over.length) return "";
  const full = spaced(region.all.map(([a, b]) => b - a));
  return ` Its field of ${full} goes ${over.map(([side, by]) => `${by} beyond the ${side}`).join(", ")}.`;
}

function aboutPixel(map) {
  const [row, column] = state.pixel, found = map ? seen() : null;
  const start = [piece(inputSize()[0] > 1 ? `Input (${row}, ${column})` : `Input ${column}`, "pixel"), piece(" is seen by ")];
  if (!found) return [...start, piece("units that are not known.")];
  const count = found.rows.length * found.columns.length;
  const list = places => runs(places).map(([a, b]) => range(a, b)).join(", ");
  if (!count) return [...start, piece("no unit of this map.")];
  const where = map.wrap ? "" : map.size[0] > 1 ? `: rows ${list(found.rows)}, columns ${list(found.columns)}` : `: ${list(found.columns)}`;
  const what = map.wrap ? many(count, "unit") : `${many(count, "unit")} of each channel`;
  return [...start, piece(what, "pixel"), piece(`${where}.`)];
}

function drawScale(map) {
  const bar = byId("scale"), shown = map && map.sprite;
  bar.hidden = !shown;
  if (!shown) return;
  const end = scaleEnd(map), signed = state.shared || map.signed;
  const [low, colours, high] = bar.children;
  low.textContent = signed ? valueText(-end) : "0";
  high.textContent = valueText(end);
  colours.style.background = `var(--scale${signed ? "" : "-up"})`;
  bar.children[3].textContent = `value of a unit; here ${valueText(map.low)} to ${valueText(map.high)}`;
}

/** The strongest units of a vector; of an output, also what softmax makes of them. */
function drawAnswer(map) {
  const list = byId("answer"), output = record.outputs.includes(state.index);
  list.replaceChildren();
  if (!map || !map.wrap || !map.values || map.values.length < 2 || map.values.includes(null)) return;
  const order = map.values.map((_, i) => i).sort((a, b) => map.values[b] - map.values[a]).slice(0, 10);
  const top = map.values[order[0]], sum = map.values.reduce((s, v) => s + Math.exp(v - top), 0);
  const largest = Math.max(...map.values.map(Math.abs)) || 1;
  const logits = output && !/softmax|sigmoid/.test(chosen().kind);
  for (const i of order) {
    const value = map.values[i], share = Math.exp(value - top) / sum;
    const item = document.createElement("li"), bar = document.createElement("i"), fill = document.createElement("b");
    fill.style.width = `${100 * (logits ? share : Math.abs(value) / largest)}%`;
    bar.append(fill);
    bar.ariaHidden = "true";
    item.className = i === order[0] && output ? "top" : "";
    const end = logits ? `${valueText(value)} \u00b7 softmax ${(100 * share).toFixed(1)}\u202f%` : valueText(value);
    item.append(piece(`unit ${i}`), bar, piece(end));
    list.append(item);
  }
}

/* ---- pointing ---- */

/** Where an event lies on a canvas, in rows and columns of what it shows. */
function at(event, view) {
  const rect = event.currentTarget.getBoundingClientRect();
  return [Math.floor((event.clientY - rect.top - view.top) / view.y), Math.floor((event.clientX - rect.left - view.left) / view.x)];
}

function pointAtMap(event) {
  const map = mapOf(state.index);
  if (!map || !views.map) return;
  const [rows, columns] = drawnSize(map), found = at(event, views.map);
  const row = clamp(found[0], 0, rows - 1), column = clamp(found[1], 0, columns - 1);
  if (map.wrap) unit(0, row * map.wrap + column);
  else unit(row, column);
}

function pointAtInput(event) {
  if (views.input) pixel(...at(event, views.input));
}

function pointAtTiles(event) {
  const map = mapOf(state.index), view = views.tiles;
  if (!map || !view) return;
  const rect = event.currentTarget.getBoundingClientRect();
  const x = event.clientX - rect.left - view.edge, y = event.clientY - rect.top - view.edge;
  const across = Math.floor(x / (view.wide + view.gap)), down = Math.floor(y / (view.high + view.gap));
  const channel = down * view.across + across;
  const u = (x - across * (view.wide + view.gap)) / view.wide, v = (y - down * (view.high + view.gap)) / view.high;
  if (across < 0 || across >= view.across || channel < 0 || channel >= map.count || u < 0 || v < 0 || u >= 1 || v >= 1) return;
  unit(Math.floor(v * map.size[0]), Math.floor(u * map.size[1]), channel);
}

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function keyOnMap(event) {
  const map = mapOf(state.index), arrow = ARROWS[event.key];
  if (!map || !arrow || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const far = event.shiftKey ? 10 : 1;
  if (map.wrap) unit(0, state.column + far * (arrow[0] * map.wrap + arrow[1]));
  else unit(state.row + far * arrow[0], state.column + far * arrow[1]);
}

function keyOnInput(event) {
  const arrow = ARROWS[event.key];
  if (!arrow || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const [rows, columns] = inputSize(), far = event.shiftKey ? 10 : 1;
  const [row, column] = state.pixel || [Math.floor(rows / 2), Math.floor(columns / 2)];
  pixel(row + far * arrow[0], column + far * arrow[1]);
}

function keyAnywhere(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.matches("input[type=search]")) return;
  const step = { j: 1, k: -1 }[event.key], channel = { ".": 1, ",": -1 }[event.key];
  if (step && operators[state.index + step]) select(state.index + step);
  if (channel && mapOf(state.index)) unit(state.row, state.column, state.channel + channel);
}

function listen() {
  for (const [id, point, key] of [["map", pointAtMap, keyOnMap], ["input", pointAtInput, keyOnInput], ["tiles", pointAtTiles, keyOnMap]]) {
    byId(id).addEventListener("pointermove", point);
    byId(id).addEventListener("pointerdown", point);
    byId(id).addEventListener("keydown", key);
  }
  document.addEventListener("keydown", keyAnywhere);
  byId("previous").addEventListener("click", () => select(state.index - 1));
  byId("next").addEventListener("click", () => select(state.index + 1));
  byId("shared").addEventListener("change", event => { state.shared = event.target.checked; refresh(); });
  byId("heat").addEventListener("change", event => { state.heat = event.target.checked; refresh(); });
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const dress = name => {
    document.documentElement.dataset.theme = name;
    byId("theme").textContent = name === "dark" ? "Light" : "Dark";
    byId("theme").setAttribute("aria-label", `use the ${name === "dark" ? "light" : "dark"} theme`);
    refresh();
    drawWindow();
  };
  byId("theme").addEventListener("click", () => dress(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  dark.addEventListener("change", event => dress(event.matches ? "dark" : "light"));
  dress(document.documentElement.dataset.theme);
  new ResizeObserver(() => { refresh(); drawWindow(); light(); }).observe(byId("stage"));
}
