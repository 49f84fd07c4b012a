/* ---- the window slides over the layer's input ---- */

const READABLE = 34;  // elements across that can still be told apart
const CORNER = 16;  // elements across where there are more
const slide = { axes: null, unit: 0, since: 0, playing: !still.matches, seen: false, asked: 0 };

/** One axis of the animation: which elements each unit covers, and what of it all is shown. */
function slidingAxis(window, n, units, corner = false) {
  const covers = window.starts
    ? u => Array.from({ length: window.stops[u] - window.starts[u] }, (_, k) => window.starts[u] + k)
    : u => Array.from({ length: window.kernel }, (_, k) => u * window.stride - window.before + k * window.dilation);
  const before = window.before || 0, after = window.after || 0;
  let end = n + after;
  if (window.ceil && units) end = Math.max(end, ...covers(units - 1).map(i => i + 1));
  const whole = end + before <= (corner ? CORNER : READABLE);
  if (!whole) {
    const needed = units ? Math.max(...covers(Math.min(1, units - 1))) + 1 : 1;
    end = Math.min(end, Math.max(CORNER - before, needed));
  }
  let shown = 0;
  while (shown < units && covers(shown).every(i => i < end)) shown += 1;
  return { window, covers, n, from: -before, to: end, units: shown, whole };
}

/** Prepare the animation for the chosen operator; hidden where no window slides. */
function showWindow() {
  const op = chosen(), input = op.input_shapes[0], output = op.output_shapes[0];
  byId("sliding").hidden = !op.window || !op.window.length || !input || !output;
  slide.axes = null;
  if (byId("sliding").hidden) return;
  const rank = op.window.length;
  slide.transposed = op.kind.startsWith("conv_transpose") || op.details.transposed === true;
  // A transposed convolution's window lies on the output, a step for each input unit.
  const [ground, units] = slide.transposed ? [output, input] : [input, output];
  const each = corner => op.window.map((w, i) => slidingAxis(w, ground.at(i - rank), units.at(i - rank), corner));
  let axes = each(false);
  if (axes.slice(-2).some(axis => !axis.whole)) axes = each(true);
  if (axes.some(axis => axis.units === 0)) { byId("sliding").hidden = true; return; }
  slide.axes = axes.length > 1 ? axes.slice(-2)
    : [slidingAxis({ kernel: 1, stride: 1, before: 0, after: 0, dilation: 1, ceil: false }, 1, 1), axes[0]];
  slide.unit = 0;
  byId("window-text").textContent = windowText(op, axes);
  byId("window").setAttribute("aria-label", `animation: ${op.title || op.kind}`);
  sources();
  drawWindow();
  ask();
}

function windowText(op, axes) {
  const all = name => spaced(axes.map(axis => axis.window[name]));
  const parts = [];
  if (axes.every(axis => axis.window.kernel)) {
    parts.push(`kernel ${all("kernel")}, stride ${all("stride")}, dilation ${all("dilation")}`);
    const padding = axes.map(({ window: w }) => (w.before === w.after ? `${w.before}` : `${w.before} before and ${w.after} after`));
    parts.push(`padding ${spaced(padding)}`);
  } else parts.push("windows of different sizes");
  parts.push(slide.transposed ? "each input unit adds to the outputs under its window" : "each output unit reads the elements under its window");
  const cropped = axes.slice(-2).filter(axis => !axis.whole);
  if (cropped.length) parts.push(`shown is the first corner of ${spaced(axes.map(axis => axis.n))}`);
  if (axes.length > 2) parts.push("the last two axes are shown");
  return `${parts.join("; ")}.`.replace(/^./, c => c.toUpperCase());
}

/** The values under the window and those that come out, where the page has them. */
async function sources() {
  if (!slide.axes) return;
  const op = chosen(), source = op.sources.length ? op.sources[0] : null;
  const own = mapOf(op.index), ground = source === null ? null : source < 0 ? data.image : mapOf(source);
  const [read, written] = await Promise.all([decode(ground), decode(own)]);
  if (op !== chosen()) return;
  slide.ground = source !== null && source < 0 ? (source === -1 && read ? { image: read } : null) : read && { map: ground, sprite: read };
  slide.own = written && { map: own, sprite: written };
  drawWindow();
}

/** Draw a part of a map or the image into cells; whether there was one that fits. */
function drawValues(context, values, [n, m], rows, columns, [left, top], cell) {
  if (!values) return;
  const { map, sprite, image } = values;
  if (map && (map.wrap || map.size[0] !== n || map.size[1] !== m)) return;
  const [x, y, width, height] = map ? tileAt(map, Math.min(state.channel, map.count - 1)) : [0, 0, image.width, image.height];
  context.save();
  context.beginPath();
  context.rect(left, top, columns * cell, rows * cell);
  context.clip();
  context.drawImage(map ? paint(map, sprite) : image.canvas, x, y, width, height, left, top,
    map ? width * map.step[1] * cell : m * cell, map ? height * map.step[0] * cell : n * cell);
  context.restore();
}

function drawWindow() {
  if (!slide.axes) return;
  const canvas = byId("window"), [down, across] = slide.axes, width = canvas.clientWidth;
  if (!width) return;
  const size = axis => axis.to - axis.from, between = 2;
  const cell = Math.min(26, (width - 4) / (size(across) + between + across.units));
  const high = Math.max(size(down), down.units) * cell + 4, context = fit(canvas, high);
  const row = Math.floor(slide.unit / across.units), column = slide.unit % across.units;
  const left = 2 - across.from * cell, top = 2 - down.from * cell;
  const right = 2 + (size(across) + between) * cell, lower = 2 + Math.max(0, (size(down) - down.units) / 2) * cell;
  const [ground, own] = slide.transposed ? [slide.own, slide.ground] : [slide.ground, slide.own];
  const inside = axis => Math.min(axis.n, axis.to);
  context.fillStyle = theme().zero;
  context.fillRect(left, top, inside(across) * cell, inside(down) * cell);
  drawValues(context, ground, [down.n, across.n], inside(down), inside(across), [left, top], cell);
  grid(context, down, across, left, top, cell);
  taps(context, down, across, row, column, left, top, cell);
  outputs(context, own, down, across, row, column, right, lower, cell);
}

/** Lines between elements; padding is dashed. */
function grid(context, down, across, left, top, cell) {
  const lines = (rows, columns, dash) => {
    context.setLineDash(dash);
    context.beginPath();
    for (let r = rows[0]; r <= rows[1]; r += 1) {
      context.moveTo(left + columns[0] * cell, top + r * cell);
      context.lineTo(left + columns[1] * cell, top + r * cell);
    }
    for (let c = columns[0]; c <= columns[1]; c += 1) {
      context.moveTo(left + c * cell, top + rows[0] * cell);
      context.lineTo(left + c * cell, top + rows[1] * cell);
    }
    context.stroke();
    context.setLineDash([]);
  };
  context.lineWidth = 1;
  context.strokeStyle = `${theme().soft}47`;
  lines([down.from, down.to], [across.from, across.to], [2, 2]);
  lines([0, Math.min(down.n, down.to)], [0, Math.min(across.n, across.to)], []);
}

/** The window at its place, on its way to the next one for the last third of a step. */
function taps(context, down, across, row, column, left, top, cell) {
  const ys = down.covers(row), xs = across.covers(column);
  let shift = 0;
  if (slide.playing && column + 1 < across.units && !still.matches) {
    const part = clamp((slide.part - 0.62) / 0.38, 0, 1), next = across.covers(column + 1);
    if (next.length && xs.length) shift = (next[0] - xs[0]) * part * part * (3 - 2 * part);
  }
  context.fillStyle = `${theme().second}66`;
  for (const y of ys) {
    for (const x of xs) context.fillRect(left + (x + shift) * cell + 0.5, top + y * cell + 0.5, cell - 1, cell - 1);
  }
  if (!ys.length || !xs.length) return;
  frame(context, [left + (xs[0] + shift) * cell, top + ys[0] * cell,
    (xs[xs.length - 1] - xs[0] + 1) * cell, (ys[ys.length - 1] - ys[0] + 1) * cell], theme().second);
}

function outputs(context, own, down, across, row, column, left, top, cell) {
  const count = row * across.units + column;
  context.save();
  context.beginPath();
  for (let k = 0; k <= count; k += 1) {
    context.rect(left + (k % across.units) * cell, top + Math.floor(k / across.units) * cell, cell, cell);
  }
  context.clip();
  context.fillStyle = theme().zero;
  context.fillRect(left, top, across.units * cell, down.units * cell);
  const size = own && own.map ? own.map.size : [down.n, across.n];
  drawValues(context, own, size, down.units, across.units, [left, top], cell);
  context.restore();
  grid(context, { from: 0, to: down.units, n: down.units }, { from: 0, to: across.units, n: across.units }, left, top, cell);
  frame(context, [left + column * cell, top + row * cell, cell, cell], theme().second);
}

/* ---- time: half a second a unit, and only while it can be seen ---- */

const STEP = 520;

function ask() {
  if (!slide.asked && slide.playing && slide.seen && slide.axes) {
    slide.since = performance.now() - (slide.part || 0) * STEP;
    slide.asked = requestAnimationFrame(tick);
  }
}

function tick(now) {
  slide.asked = 0;
  if (!slide.playing || !slide.seen || !slide.axes) return;
  slide.part = (now - slide.since) / STEP;
  if (slide.part >= 1) {
    slide.unit = (slide.unit + 1) % (slide.axes[0].units * slide.axes[1].units);
    slide.part = 0;
    slide.since = now;
  }
  drawWindow();
  slide.asked = requestAnimationFrame(tick);
}

function play(on) {
  slide.playing = on;
  slide.part = 0;
  byId("play").textContent = on ? "Pause" : "Play";
  drawWindow();
  ask();
}

function listenToWindow() {
  byId("play").addEventListener("click", () => play(!slide.playing));
  byId("step").addEventListener("click", () => {
    play(false);
    if (slide.axes) slide.unit = (slide.unit + 1) % (slide.axes[0].units * slide.axes[1].units);
    drawWindow();
  });
  still.addEventListener("change", () => play(!still.matches));
  play(!still.matches);
  new IntersectionObserver(([entry]) => { slide.seen = entry.isIntersecting; ask(); }).observe(byId("sliding"));
}
