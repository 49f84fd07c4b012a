/*
The page's data, its state, and what the outside may ask of it. The other explorer_*.js files are
put behind this one, inside the same function: drawing, pointing, the sliding window, list and table.

The data is the JSON text in <script type="application/json" id="record">:

  title      what the page is headed with
  record     the record's own JSON form (docs/record.md)
  batch      how many dimensions of a tensor lie before its channels
  image      null, or {sprite: address of a PNG, size: [rows, columns]}: the first input as a picture
  maps       by operator index, as text:
    lead     how many dimensions of the tensor are left out in front, as a batch
    dims     [tile, row, column]: which dimension of the tensor each of them is, or null
    base     the index at which all other dimensions stand
    size     [rows, columns] in units; step: how many units a picture element averages, by axis
    total    how many channels there are; count: how many of them, the first ones, are in the sprite
    wrap     for a vector, the columns into which its units are broken; null for maps
    shown    columns that can be pointed at (a long vector is cut)
    sprite   address of a grey PNG with all tiles, row by row, `columns` in each; null where the
             values were not kept. A tile has pixels = [height, width] elements.
             signed: value = (level - 127) / 127 * limit; else value = level / 254 * limit;
             level 255 stands for a value that is not finite
    limit, low, high   the largest absolute value, the smallest and the largest value
    values   of a short vector, its values as numbers
  effective  by operator index: {sprite, size: [rows, columns]}, 0 to 255 of its largest value, in
             input elements, its middle at the middle of what the unit sees
  advice     [{kind, name, operator: index or null, text}]
  themes     the colours, by "light" and "dark"; anchors: those of -1, -1/2, 0, 1/2 and 1

window.cenote is for whoever drives the page:

  state                        {index, channel, row, column, pixel: null or [row, column], shared,
                               heat}: read it, change it by the functions
  select(index)                choose an operator
  unit(row, column, channel)   point at a unit of its maps; a vector has row 0
  pixel(row, column)           point at an input element
  update({maps, image, effective, seconds})
                               replace what is given, entry by entry, and draw; a Promise of the end
  box()                        what the unit sees: {rows: [start, stop], columns, theory: {...}} or null
  seen()                       what sees the pixel: {rows: [...], columns: [...]} of the maps, or null
*/

const data = JSON.parse(document.getElementById("record").textContent);
const record = data.record;
const operators = record.operators;
const byId = id => document.getElementById(id);
const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
const still = matchMedia("(prefers-reduced-motion: reduce)");

const state = { index: 0, channel: 0, row: 0, column: 0, pixel: null, shared: false, heat: true };
const chosen = () => operators[state.index];
const mapOf = index => data.maps[index] || null;

/* ---- words ---- */

const plain = new Intl.NumberFormat("en");
const TIMES = "\u00d7";
const spaced = sizes => sizes.join(` ${TIMES} `);
const crossed = text => text.replace(/(\d)x(?=\d)/g, `$1${TIMES}`);
const many = (n, word, plural = `${word}s`) => `${plain.format(n)} ${n === 1 ? word : plural}`;

/** Three digits and a prefix: 117,600 is 118 k. */
function brief(n, unit = "") {
  if (n === null || n === undefined) return "\u2013";
  const prefixes = ["", "k", "M", "G", "T", "P"];
  let power = 0;
  while (Math.abs(n) >= 999.5 && power < prefixes.length - 1) { n /= 1000; power += 1; }
  const digits = power === 0 || n >= 99.95 ? 0 : n >= 9.995 ? 1 : 2;
  const end = prefixes[power] + unit;
  return n.toFixed(power === 0 ? 0 : digits) + (end ? `\u202f${end}` : "");
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "\u2013";
  if (seconds >= 1) return `${seconds.toPrecision(3)}\u202fs`;
  if (seconds >= 1e-3) return `${(seconds * 1e3).toPrecision(3)}\u202fms`;
  return `${(seconds * 1e6).toPrecision(3)}\u202f\u00b5s`;
}

const valueText = v => Number(v.toPrecision(3)).toString().replace("-", "\u2212");
const shapeOf = op => (op.output_shapes[0] || []).slice(mapOf(op.index) ? mapOf(op.index).lead : data.batch);
const shapeText = op => spaced(shapeOf(op)) || "one value";
const parentOf = name => name.slice(0, Math.max(0, name.lastIndexOf(".")));
const bare = op => op.operator.replace(/^aten\./, "").replace(/\.default$/, "");
const range = (start, stop) => (stop - start === 1 ? `${start}` : `${start}\u2013${stop - 1}`);

/* ---- what a unit sees: the axes of the chosen operator's receptive field ---- */

/** The field on the input that the page shows, else on the first input that there is one for. */
function fieldOf(op) {
  if (!op.fields) return null;
  const key = Object.keys(op.fields).sort((a, b) => a - b)[0];
  return key === undefined ? null : op.fields[key];
}

function inputOf(op) {
  const key = op.fields ? Object.keys(op.fields).sort((a, b) => a - b)[0] : undefined;
  return record.inputs[Number(key || 0)] || null;
}

function fieldText(op) {
  const field = fieldOf(op);
  if (!field) return op.unknown ? "unknown" : "nothing";
  if (field.everything) return "everything";
  return spaced(field.axes.map(axis => axis.size));
}

/** The full index into the operator's output of a unit of its maps. */
function indexAt(map, row, column, channel) {
  const index = [...map.base];
  [channel, row, column].forEach((place, i) => {
    if (map.dims[i] !== null) index[map.dims[i]] = place;
  });
  return index;
}

const unitIndex = () => indexAt(mapOf(state.index), state.row, state.column, state.channel);

/** [start, stop) of what a unit sees along an axis, inside the input; null: it depends on more. */
function inside(axis, index) {
  if (axis.starts === null) return null;
  const at = axis.dim === null || axis.starts.length === 1 ? 0 : index[axis.dim];
  return [axis.starts[at], axis.stops[at]];
}

/** The same without the input's ends, by the periodic rule. */
function beyond(axis, index) {
  if (!axis.rule || axis.dim === null) return inside(axis, index);
  const unit = index[axis.dim], { period, jump, lo, hi } = axis.rule;
  const q = Math.floor(unit / period), r = unit - q * period;
  return [q * jump + lo[r], q * jump + hi[r]];
}

/** What the chosen unit sees, or null where it sees nothing or where it is not known. */
function box() {
  const op = chosen(), field = fieldOf(op), map = mapOf(state.index);
  if (!field || !map) return null;
  const index = unitIndex(), found = field.axes.map(axis => inside(axis, index));
  if (found.some(i => i === null || i[0] >= i[1])) return null;
  const theory = field.axes.map(axis => beyond(axis, index));
  const [rows, columns] = lastTwo(found), [high, wide] = lastTwo(theory);
  return { rows, columns, theory: { rows: high, columns: wide }, axes: found, all: theory };
}

/** Rows and columns of a picture: a signal has one row. */
const lastTwo = parts => (parts.length > 1 ? parts.slice(-2) : [[0, 1], parts[0]]);

/** Which units see the chosen pixel, as sorted rows, columns and channels of the maps. */
function seen() {
  const op = chosen(), field = fieldOf(op), map = mapOf(state.index);
  if (!field || !map || !state.pixel) return null;
  const place = lastPlaces(field.axes), units = new Map();
  for (const [i, axis] of field.axes.entries()) {
    if (axis.starts === null) return null;
    const sees = k => axis.starts[k] <= place[i] && place[i] < axis.stops[k];
    const dim = axis.dim === null ? -1 : axis.dim;
    const before = units.get(dim);
    const all = before || axis.starts.map((_, k) => k);
    units.set(dim, all.filter(k => sees(axis.starts.length === 1 ? 0 : k)));
  }
  const shape = op.output_shapes[0];
  const along = (dim, length) =>
    dim !== null && units.has(dim) ? units.get(dim).filter(k => k < length) : [...Array(length).keys()];
  const nowhere = [...units].some(([dim, found]) => !found.length
    || (dim >= 0 && !map.dims.includes(dim) && !found.includes(map.base[dim])));
  const [tile, row, column] = map.dims;
  const result = {
    rows: along(row, map.size[0]), columns: along(column, map.shown),
    channels: tile === null ? [0] : along(tile, shape[tile]),
  };
  if (nowhere) result.rows = result.columns = [];
  return result;
}

/** The pixel as places along each axis: of a volume, the middle slice is what the page shows. */
function lastPlaces(axes) {
  const places = axes.map(axis => Math.floor(axis.n / 2));
  places[axes.length - 1] = state.pixel[1];
  if (axes.length > 1) places[axes.length - 2] = state.pixel[0];
  return places;
}

/** Rows and columns of the input as the page shows it. */
function inputSize() {
  const input = inputOf(chosen());
  if (!input) return [1, 1];
  const lengths = input.axes.map(d => input.shape[d]);
  return lengths.length > 1 ? lengths.slice(-2) : [1, lengths[0] || 1];
}

/* ---- what can be asked ---- */

function select(index) {
  if (!operators[index]) throw new RangeError(`index = ${index}: there are ${operators.length} operators`);
  const before = mapOf(state.index), now = mapOf(index);
  state.index = index;
  if (now) {
    // The unit at about the same place: whoever walks down the layers looks at one thing.
    const kept = (place, from, to) => clamp(Math.floor(((place + 0.5) / from) * to), 0, to - 1);
    const from = before && !before.wrap ? before.size : [1, 1];
    const start = before && !before.wrap ? [state.row, state.column] : [0.5, 0.5].map(Math.floor);
    state.row = now.wrap ? 0 : kept(start[0], from[0], now.size[0]);
    state.column = now.wrap ? strongest(now) : kept(start[1], from[1], now.size[1]);
    state.channel = clamp(state.channel, 0, now.count - 1);
  }
  describe();
  return refresh();
}

function unit(row, column, channel = state.channel) {
  const map = mapOf(state.index);
  if (!map) return refresh();
  state.row = clamp(row, 0, map.size[0] - 1);
  state.column = clamp(column, 0, map.shown - 1);
  state.channel = clamp(channel, 0, map.count - 1);
  state.pixel = null;
  return refresh();
}

function pixel(row, column) {
  const [rows, columns] = inputSize();
  state.pixel = [clamp(row, 0, rows - 1), clamp(column, 0, columns - 1)];
  return refresh();
}

function update({ maps, image, effective, seconds } = {}) {
  Object.assign(data.maps, maps);
  Object.assign(data.effective, effective);
  if (image !== undefined) data.image = image;
  if (seconds !== undefined) {
    record.seconds = seconds;
    headline();
  }
  return refresh().then(sources);
}

const strongest = map => (map.values ? map.values.indexOf(Math.max(...map.values)) : 0);

window.cenote = { state, select, unit, pixel, update, box, seen };
