/* ---- sprites to colours ---- */

const decoded = new WeakMap();  // a map, a patch or the image -> Promise of what it holds

/** The levels of a grey sprite, or the picture itself. */
function decode(entry) {
  if (!entry || !entry.sprite) return Promise.resolve(null);
  if (!decoded.has(entry)) decoded.set(entry, read(entry.sprite));
  return decoded.get(entry);
}

async function read(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const bytes = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const levels = new Uint8Array(bytes.length / 4);
  for (let i = 0; i < levels.length; i += 1) levels[i] = bytes[4 * i];
  return { canvas, levels, width: canvas.width, height: canvas.height };
}

const theme = () => data.themes[document.documentElement.dataset.theme];
const rgb = colour => [1, 3, 5].map(i => parseInt(colour.slice(i, i + 2), 16));

/** The end of the colour scale: of this map alone, or the same for all. */
const scaleEnd = map => (state.shared
  ? Math.max(...Object.values(data.maps).map(m => m.limit || 0)) : map.limit);

const levelValue = (map, level) => (map.signed ? (level - 127) / 127 : level / 254) * map.limit;

/** 256 colours, a level each, as bytes. */
function palette(map) {
  const anchors = theme().anchors.map(rgb), end = scaleEnd(map) || 1;
  const table = new Uint8Array(256 * 3);
  for (let level = 0; level < 255; level += 1) {
    const at = (clamp(levelValue(map, level) / end, -1, 1) + 1) * 2, low = Math.min(3, Math.floor(at));
    for (let c = 0; c < 3; c += 1) {
      table[3 * level + c] = Math.round(anchors[low][c] + (at - low) * (anchors[low + 1][c] - anchors[low][c]));
    }
  }
  table.set(rgb(theme().third), 3 * 255);
  return table;
}

const painted = new WeakMap();  // what `decode` gave -> its coloured canvas and the colours' key

/** All tiles in colour, a picture element a canvas pixel. */
function paint(map, sprite) {
  const key = `${document.documentElement.dataset.theme} ${scaleEnd(map)}`;
  const before = painted.get(sprite);
  if (before && before.key === key) return before.canvas;
  const table = palette(map), canvas = before ? before.canvas : document.createElement("canvas");
  canvas.width = sprite.width;
  canvas.height = sprite.height;
  const context = canvas.getContext("2d"), image = context.createImageData(sprite.width, sprite.height);
  sprite.levels.forEach((level, i) => {
    image.data[4 * i] = table[3 * level];
    image.data[4 * i + 1] = table[3 * level + 1];
    image.data[4 * i + 2] = table[3 * level + 2];
    image.data[4 * i + 3] = 255;
  });
  context.putImageData(image, 0, 0);
  painted.set(sprite, { key, canvas });
  return canvas;
}

/** Left, top, width and height of a channel's tile in the sprite. */
function tileAt(map, channel) {
  const [height, width] = map.pixels;
  return [(channel % map.columns) * width, Math.floor(channel / map.columns) * height, width, height];
}

/** A unit's value: exact where numbers were kept, else as near as 8 bits and averaging leave it. */
function valueOf(map, sprite, row, column, channel) {
  if (map.values) return { value: map.values[column], exact: true };
  if (!sprite) return null;
  const [left, top] = tileAt(map, channel);
  const y = map.wrap ? Math.floor(column / map.wrap) : Math.floor(row / map.step[0]);
  const x = map.wrap ? column % map.wrap : Math.floor(column / map.step[1]);
  const level = sprite.levels[(top + y) * sprite.width + left + x];
  return { value: level === 255 ? NaN : levelValue(map, level), exact: false };
}

/* ---- canvases ---- */

/** Fit a canvas to its place and give its context in CSS pixels. */
function fit(canvas, height) {
  const width = canvas.clientWidth, dense = window.devicePixelRatio || 1;
  canvas.style.height = `${height}px`;
  if (canvas.width !== Math.round(width * dense) || canvas.height !== Math.round(height * dense)) {
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
  }
  const context = canvas.getContext("2d");
  context.setTransform(dense, 0, 0, dense, 0, 0);
  context.clearRect(0, 0, width, height);
  context.imageSmoothingEnabled = false;
  return context;
}

/** Height over width of a plane; very long ones are stretched until they can be pointed at. */
const aspect = (rows, columns) => clamp(rows / columns, 0.2, 1.25);

/** How many rows and columns of a map are drawn: a vector is broken into lines. */
const drawnSize = map => (map.wrap ? [Math.ceil(map.shown / map.wrap), map.wrap] : map.size);

/** Where a unit is drawn, in rows and columns of the plane. */
const drawnAt = (map, row, column) =>
  (map.wrap ? [Math.floor(column / map.wrap), column % map.wrap] : [row, column]);

/** A frame around [top, bottom) x [left, right) that stands out on every ground. */
function frame(context, [left, top, width, height], colour, { dash = [], line = 2 } = {}) {
  context.setLineDash(dash);
  if (!dash.length) {
    context.strokeStyle = theme().paper;
    context.lineWidth = line + 2;
    context.strokeRect(left, top, width, height);
  }
  context.strokeStyle = colour;
  context.lineWidth = line;
  context.strokeRect(left, top, width, height);
  context.setLineDash([]);
}

/** Runs of neighbours in a sorted list, as [first, after the last]. */
function runs(sorted) {
  const found = [];
  for (const k of sorted) {
    if (found.length && found[found.length - 1][1] === k) found[found.length - 1][1] = k + 1;
    else found.push([k, k + 1]);
  }
  return found;
}

/** The share of the input that is left free around it, so that what lies beyond can be shown. */
const margin = (() => {
  let reach = 0;
  for (const op of operators) {
    const field = fieldOf(op);
    for (const axis of field ? field.axes : []) {
      if (!axis.rule || axis.dim === null || !axis.starts) continue;
      const last = axis.starts.length - 1, at = unit => beyond({ ...axis, dim: 0 }, [unit]);
      reach = Math.max(reach, -at(0)[0] / axis.n, (at(last)[1] - axis.n) / axis.n);
    }
  }
  return clamp(reach + 0.02, 0.03, 0.14);
})();

const views = {};  // where each canvas drew: {left, top, x, y}, pixels an element

function drawInput(image, patch) {
  const canvas = byId("input"), [rows, columns] = inputSize();
  const edge = canvas.clientWidth * margin / (1 + 2 * margin);
  const wide = canvas.clientWidth - 2 * edge, high = wide * aspect(rows, columns);
  const context = fit(canvas, high + 2 * edge);
  const view = { left: edge, top: edge, x: wide / columns, y: high / rows };
  views.input = view;
  context.fillStyle = theme().zero;
  context.fillRect(0, 0, canvas.clientWidth, high + 2 * edge);
  context.fillStyle = theme().line;
  context.fillRect(edge, edge, wide, high);
  if (image) context.drawImage(image.canvas, edge, edge, wide, high);
  const place = ([top, bottom], [left, right]) =>
    [view.left + left * view.x, view.top + top * view.y, (right - left) * view.x, (bottom - top) * view.y];
  if (state.pixel) {
    const [row, column] = state.pixel;
    frame(context, place([row, row + 1], [column, column + 1]), theme().third);
    return;
  }
  const region = box();
  if (!region) return;
  const beyondIt = place(region.theory.rows, region.theory.columns);
  const within = place(region.rows, region.columns);
  if (patch && state.heat) drawHeat(context, view, region, patch);
  if (`${beyondIt}` !== `${within}`) frame(context, beyondIt, theme().second, { dash: [5, 4], line: 1.5 });
  frame(context, within, theme().second);
}

/** The averaged effective field, its middle where the unit's middle is, clipped to the input. */
function drawHeat(context, view, region, patch) {
  const middle = ([start, stop]) => (start + stop) / 2;
  const canvas = document.createElement("canvas"), [red, green, blue] = rgb(theme().second);
  canvas.width = patch.width;
  canvas.height = patch.height;
  const inner = canvas.getContext("2d"), pixels = inner.createImageData(patch.width, patch.height);
  patch.levels.forEach((level, i) => pixels.data.set([red, green, blue, level * 0.85], 4 * i));
  inner.putImageData(pixels, 0, 0);
  const top = middle(region.theory.rows) - patch.height / 2;
  const left = middle(region.theory.columns) - patch.width / 2;
  const [rows, columns] = inputSize();
  context.save();
  context.beginPath();
  context.rect(view.left, view.top, columns * view.x, rows * view.y);
  context.clip();
  context.drawImage(canvas, view.left + left * view.x, view.top + top * view.y, patch.width * view.x, patch.height * view.y);
  context.restore();
}

function drawMap(map, sprite) {
  const canvas = byId("map"), [rows, columns] = map ? drawnSize(map) : [1, 1];
  const edge = 3, wide = canvas.clientWidth - 2 * edge;
  // As high as the input beside it where their shapes agree, so that places can be compared.
  const high = wide * (map && map.wrap ? clamp(rows / columns, 0.1, 1) : aspect(rows, columns));
  const context = fit(canvas, high + 2 * edge);
  const view = { left: edge, top: edge, x: wide / columns, y: high / rows };
  views.map = view;
  context.fillStyle = theme().zero;
  context.fillRect(edge, edge, wide, high);
  if (!map) return;
  if (sprite) {
    // A last block that averages fewer units is drawn narrower: the tile's end is the map's end.
    const [left, top, width, height] = tileAt(map, state.channel);
    context.drawImage(paint(map, sprite), left, top, width, height, edge, edge,
      width * view.x * map.step[1], height * view.y * map.step[0]);
    context.clearRect(edge + wide, 0, edge, high + 2 * edge);
    context.clearRect(0, edge + high, wide + 2 * edge, edge);
  }
  if (map.wrap && map.shown < rows * columns) {
    const rest = rows * columns - map.shown;
    context.clearRect(edge + (columns - rest) * view.x, edge + (rows - 1) * view.y, rest * view.x + 1, view.y + 1);
  }
  drawMarks(context, view, map);
}

/** On a map: the unit pointed at, or the units that see the pixel pointed at. */
function drawMarks(context, view, map, line = 2) {
  const place = (row, column, high = 1, wide = 1) =>
    [view.left + column * view.x, view.top + row * view.y, wide * view.x, high * view.y];
  if (!state.pixel) {
    frame(context, place(...drawnAt(map, state.row, state.column)), theme().second, { line });
    return;
  }
  const found = seen();
  if (!found) return;
  const fill = rect => {
    context.fillStyle = `${theme().third}38`;
    context.fillRect(...rect);
    frame(context, rect, theme().third, { line });
  };
  if (map.wrap) {
    for (const column of found.columns) fill(place(...drawnAt(map, 0, column)));
    return;
  }
  for (const [top, bottom] of runs(found.rows)) {
    for (const [left, right] of runs(found.columns)) fill(place(top, left, bottom - top, right - left));
  }
}

/** The maps of all channels, side by side; the chosen one is framed. */
function drawTiles(map, sprite) {
  byId("gallery").hidden = !map || map.total === 1;
  if (byId("gallery").hidden) return;
  const canvas = byId("tiles"), room = canvas.clientWidth - 4, gap = 8;
  const strip = map.size[0] * 5 < map.size[1];
  // As many as fit, but lines of about the same length.
  const most = clamp(Math.floor((room + gap) / (room < 420 ? 58 : 84)), 4, 16);
  const across = strip ? 1 : Math.ceil(map.count / Math.ceil(map.count / most));
  const wide = Math.min(strip ? room : 132, (room - (across - 1) * gap) / across);
  const high = strip ? 26 : wide * aspect(...map.size);
  const lines = Math.ceil(map.count / across);
  const context = fit(canvas, lines * (high + gap) - gap + 4);
  views.tiles = { across, wide, high, gap, edge: 2 };
  for (let channel = 0; channel < map.count; channel += 1) {
    const left = 2 + (channel % across) * (wide + gap), top = 2 + Math.floor(channel / across) * (high + gap);
    context.fillStyle = theme().zero;
    context.fillRect(left, top, wide, high);
    if (sprite) context.drawImage(paint(map, sprite), ...tileAt(map, channel), left, top, wide, high);
    const view = { left, top, x: wide / map.size[1], y: high / map.size[0] };
    if (channel === state.channel) {
      context.strokeStyle = theme().ink;
      context.lineWidth = 2;
      context.strokeRect(left - 1, top - 1, wide + 2, high + 2);
    }
    if (channel === state.channel || state.pixel) drawMarks(context, view, map, 1.25);
  }
}

let turn = 0;

/** Draw all that depends on the state; the latest call wins where several are under way. */
async function refresh() {
  if (!operators.length) return;
  const mine = ++turn, map = mapOf(state.index);
  byId("heat-switch").hidden = !data.effective[state.index];
  const parts = [map, data.image, data.effective[state.index]];
  const [sprite, image, patch] = await Promise.all(parts.map(decode));
  if (mine !== turn) return;
  const shown = inputOf(chosen()) === record.inputs[0] ? image : null;
  drawInput(shown, patch);
  drawMap(map, sprite);
  drawTiles(map, sprite);
  say(map, sprite);
  drawScale(map);
  drawAnswer(map);
}
