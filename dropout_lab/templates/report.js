// What a report does beyond being read: sort its tables, hide runs, zoom into epochs, and show the values of an epoch.
"use strict";

const { measures, runs } = JSON.parse(document.getElementById("data").textContent);
const charts = [...document.querySelectorAll(".chart")];
const legend = document.querySelector("table.legend");

function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

function drawn(name, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

// Tables: a press on a head sorts by its column, another one turns the order around. Missing values come last.

function sortable(table) {
  for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
    const button = make("button", { type: "button", title: "sort by this column" }, ...head.childNodes);
    button.addEventListener("click", () => sort(table, column));
    head.append(button);
  }
}

function sort(table, column) {
  const heads = [...table.tHead.rows[0].cells];
  const downwards = heads[column].getAttribute("aria-sort") === "ascending";
  for (const head of heads) head.removeAttribute("aria-sort");
  heads[column].setAttribute("aria-sort", downwards ? "descending" : "ascending");
  const keyed = [...table.tBodies[0].rows].map((row) => [row.cells[column].textContent.trim(), row]);
  const texts = keyed.map(([text]) => text).filter((text) => !missing(text));
  const numeric = column > 0 && texts.every((text) => !Number.isNaN(number(text)));
  keyed.sort(([a], [b]) => {
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    const order = numeric ? number(a) - number(b) : a.localeCompare(b, "en", { numeric: true });
    return downwards ? -order : order;
  });
  table.tBodies[0].append(...keyed.map(([, row]) => row));
}

const missing = (text) => text === "" || text === "-";
const number = (text) => parseFloat(text.replace(/^(> )?[[<]?/, "")); // "[-.05, +.12]" and "<.001" as well

// Curves: one view of the epochs and one set of hidden runs for all charts.

const epochs = [...new Set(runs.flatMap((run) => run.epochs))].sort((a, b) => a - b);
const whole = epochs.length > 1 ? [epochs[0], epochs.at(-1)] : [(epochs[0] ?? 0) - 0.5, (epochs[0] ?? 0) + 0.5];
const hidden = new Set();
let view = whole;
let epoch = null; // the one whose values are shown; null: the last of each run
const scales = new Map(); // of each chart, as it is drawn
let slider, reading;

function fit(chart) {
  const area = chart.querySelector(".area");
  const [width, height] = [area.width.baseVal.value, area.height.baseVal.value];
  const values = [];
  for (const [n, run] of runs.entries()) {
    if (hidden.has(n)) continue;
    const rows = run[chart.dataset.measure];
    run.epochs.forEach((at, i) => {
      if (at >= view[0] && at <= view[1]) values.push(...rows.map((row) => row[i]).filter((v) => v !== null));
    });
  }
  let [low, high] = values.length ? [Infinity, -Infinity] : [0, 1];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  const margin = 0.05 * (high - low) || 0.5;
  [low, high] = [low - margin, high + margin];
  return {
    low, high, width, height,
    x: (value) => ((value - view[0]) / (view[1] - view[0])) * width,
    y: (value) => ((high - value) / (high - low)) * height,
  };
}

function draw() {
  for (const chart of charts) {
    const scale = fit(chart);
    scales.set(chart, scale);
    for (const [n, run] of runs.entries()) {
      const group = chart.querySelector(`[data-run="${n}"]`);
      group.toggleAttribute("hidden", hidden.has(n));
      const [mean, low, high] = run[chart.dataset.measure];
      const xs = run.epochs.map(scale.x);
      group.querySelector(".line").setAttribute("d", line(xs, mean, scale.y));
      group.querySelector(".band")?.setAttribute("d", area(xs, low, high, scale.y));
    }
    axes(chart, scale);
  }
  point();
}

function line(xs, values, y) {
  let path = "", pen = "M";
  values.forEach((value, i) => {
    if (value !== null) path += `${pen}${xs[i].toFixed(1)} ${y(value).toFixed(1)}${pen === "M" ? "h0" : ""}`;
    pen = value === null ? "M" : "L";
  });
  return path;
}

function area(xs, low, high, y) {
  const there = xs.map((_, i) => i).filter((i) => low[i] !== null && high[i] !== null);
  const around = [...there.map((i) => [i, low]), ...there.reverse().map((i) => [i, high])];
  return around.length ? `M${around.map(([i, v]) => `${xs[i].toFixed(1)} ${y(v[i]).toFixed(1)}`).join("L")}Z` : "";
}

function ticks(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let n = Math.ceil(low / step); n <= Math.floor(high / step); n++) found.push(Number((n * step).toPrecision(6)));
  return found;
}

function axes(chart, scale) {
  const inner = chart.querySelector(".area");
  const [left, top] = [inner.x.baseVal.value, inner.y.baseVal.value];
  const marks = ticks(scale.low, scale.high).flatMap((tick) => [
    drawn("path", { class: "grid", d: `M${left} ${top + scale.y(tick)}h${scale.width}` }),
    drawn("text", { class: "y", x: left - 6, y: top + scale.y(tick) + 4 }, tick),
  ]);
  for (const tick of ticks(...view).filter(Number.isInteger)) {
    marks.push(drawn("text", { class: "x", x: left + scale.x(tick), y: top + scale.height + 16 }, tick));
  }
  chart.querySelector(".ticks").replaceChildren(...marks);
}

// The epoch that is pointed at: a rule in every chart, and its values in the table.

function point() {
  for (const chart of charts) {
    const inner = chart.querySelector(".area");
    inner.querySelector(".rule")?.remove();
    if (epoch === null) continue;
    const { x, height } = scales.get(chart);
    inner.append(drawn("path", { class: "rule", d: `M${x(epoch).toFixed(1)} 0v${height}` }));
  }
  for (const [n, run] of runs.entries()) {
    const at = epoch === null ? run.epochs.length - 1 : run.epochs.indexOf(epoch);
    const cells = [...rows[n].cells].slice(1);
    Object.keys(measures).forEach((key, i) => (cells[i].textContent = values(run, key, at)));
  }
  const which = epoch === null ? "the last epoch of each run" : `epoch ${epoch}`;
  legend.caption.textContent = `Values at ${which}: mean [lowest, highest] over the seeds`;
  slider.value = epoch === null ? epochs.length - 1 : epochs.indexOf(epoch);
  slider.setAttribute("aria-valuetext", which);
  reading.textContent = epoch === null ? "last" : epoch;
}

const shown = (value) => (value === null ? "-" : String(Number(value.toPrecision(4))));

function values(run, key, at) {
  if (at < 0 || run[key][0][at] === null) return "-";
  const [mean, low, high] = run[key].map((row) => row[at]);
  return shown(mean) + (low === high ? "" : ` [${shown(low)}, ${shown(high)}]`);
}

function show(at) {
  epoch = at;
  point();
}

// The view: never wider than all epochs, never narrower than two of them.

function look(from, to) {
  const size = Math.min(Math.max(to - from, Math.min(2, whole[1] - whole[0])), whole[1] - whole[0]);
  const start = Math.min(Math.max(from, whole[0]), whole[1] - size);
  view = [start, start + size];
  draw();
}

function zoom(factor) {
  const size = (view[1] - view[0]) * factor;
  const middle = epoch !== null && epoch >= view[0] && epoch <= view[1] ? epoch : (view[0] + view[1]) / 2;
  look(middle - size / 2, middle + size / 2);
}

function move(share) {
  const step = share * (view[1] - view[0]);
  look(view[0] + step, view[1] + step);
}

// Toggling: every run has a button in the table below the charts.

const rows = [...legend.tBodies[0].rows];
const toggles = rows.map((row, n) => {
  const cell = row.cells[0];
  const button = make("button", { type: "button", className: "toggle", title: "show or hide" }, ...cell.childNodes);
  button.addEventListener("click", () => toggle(n, !hidden.has(n)));
  cell.append(button);
  return button;
});

function toggle(n, hide) {
  hide ? hidden.add(n) : hidden.delete(n);
  toggles[n].setAttribute("aria-pressed", String(!hide));
  draw();
}

function all(hide) {
  runs.forEach((_, n) => {
    hide ? hidden.add(n) : hidden.delete(n);
    toggles[n].setAttribute("aria-pressed", String(!hide));
  });
  draw();
}

// The pointer: hovering shows the nearest epoch and its values, dragging zooms.

const tip = make("div", { className: "tip", hidden: true });
tip.setAttribute("aria-hidden", "true"); // the table below the charts says the same
document.body.append(tip);

function nearest(chart, event) {
  const box = chart.querySelector(".ground").getBoundingClientRect();
  const at = view[0] + ((event.clientX - box.left) / box.width) * (view[1] - view[0]);
  const inside = epochs.filter((one) => one >= view[0] && one <= view[1]);
  return inside.reduce((best, one) => (Math.abs(one - at) < Math.abs(best - at) ? one : best), inside[0] ?? epochs[0]);
}

function hover(chart, event) {
  if (!epochs.length) return;
  show(nearest(chart, event));
  const key = chart.dataset.measure;
  const box = chart.querySelector(".ground").getBoundingClientRect();
  const { y, height } = scales.get(chart);
  const here = ((event.clientY - box.top) / box.height) * height;
  const near = [...runs.entries()]
    .filter(([n]) => !hidden.has(n))
    .map(([, run]) => [run, run[key][0][run.epochs.indexOf(epoch)] ?? null])
    .filter(([, value]) => value !== null)
    .sort(([, a], [, b]) => Math.abs(y(a) - here) - Math.abs(y(b) - here))
    .slice(0, 8) // no more than fit beside a pointer; the table has all
    .sort(([, a], [, b]) => b - a);
  const lines = near.map(([run, value]) => {
    const swatch = drawn("svg", { class: `swatch ${run.look}`, viewBox: "0 0 32 12" });
    swatch.append(drawn("line", { x1: 1, y1: 6, x2: 31, y2: 6 }));
    return make("div", {}, swatch, ` ${run.name} `, make("b", {}, shown(value)));
  });
  tip.replaceChildren(make("div", {}, `epoch ${epoch}`), ...lines);
  tip.hidden = false;
  const { width, height: high } = tip.getBoundingClientRect();
  const left = event.clientX + 16 + width > innerWidth ? event.clientX - 16 - width : event.clientX + 16;
  tip.style.left = `${Math.max(0, left) + scrollX}px`;
  tip.style.top = `${Math.max(0, Math.min(event.clientY, innerHeight - high - 8)) + scrollY}px`;
}

function pointable(chart) {
  const inner = chart.querySelector(".area");
  let from = null; // the epoch at which a drag began
  let chosen = null; // the rectangle that shows it
  const stop = () => {
    chosen?.remove();
    from = chosen = null;
  };
  inner.addEventListener("pointerdown", (event) => {
    if (event.button || event.pointerType === "touch") return; // a finger scrolls the page
    inner.setPointerCapture(event.pointerId);
    from = nearest(chart, event);
    chosen = inner.appendChild(drawn("rect", { class: "chosen", y: 0, height: "100%", width: 0 }));
  });
  inner.addEventListener("pointermove", (event) => {
    hover(chart, event);
    if (from === null) return;
    const { x } = scales.get(chart);
    const [a, b] = [x(from), x(epoch)].sort((one, other) => one - other);
    chosen.setAttribute("x", a);
    chosen.setAttribute("width", b - a);
  });
  inner.addEventListener("pointerup", (event) => {
    const to = from === null ? null : nearest(chart, event);
    const start = from;
    stop();
    if (to !== null && to !== start) look(Math.min(start, to), Math.max(start, to));
  });
  inner.addEventListener("pointercancel", stop);
  inner.addEventListener("pointerleave", () => {
    tip.hidden = true;
  });
  inner.addEventListener("dblclick", () => look(...whole));
}

function equip(toolbar) {
  const button = (text, label, act) => {
    const made = make("button", { type: "button" }, text);
    made.setAttribute("aria-label", label);
    made.addEventListener("click", act);
    return made;
  };
  const group = (label, ...children) => {
    const made = make("div", {}, ...children);
    made.setAttribute("role", "group");
    made.setAttribute("aria-label", label);
    return made;
  };
  slider = make("input", { type: "range", min: 0, max: Math.max(0, epochs.length - 1), id: "epoch" });
  slider.addEventListener("input", () => show(epochs[slider.value]));
  reading = make("output", { htmlFor: "epoch" });
  toolbar.append(
    group(
      "Zoom",
      button("Zoom in", "Zoom in", () => zoom(0.5)),
      button("Zoom out", "Zoom out", () => zoom(2)),
      button("Earlier", "Earlier epochs", () => move(-0.25)),
      button("Later", "Later epochs", () => move(0.25)),
      button("Reset", "Reset the zoom", () => look(...whole)),
    ),
    group("Runs", button("Show all", "Show all runs", () => all(false)), button("Hide all", "Hide all runs", () => all(true))),
    make("div", {}, make("label", { htmlFor: "epoch" }, "Epoch"), slider, reading),
    make("small", {}, "Drag across a chart to zoom, double-click to reset. The names in the table below hide and show."),
  );
  toolbar.hidden = false;
}

document.querySelectorAll("table").forEach(sortable);
toggles.forEach((button) => button.setAttribute("aria-pressed", "true"));
equip(document.querySelector(".toolbar"));
charts.forEach(pointable);
draw();

// Paper cannot be opened: print what is folded, too, and fold it again.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const one of folded) one.open = true;
});
addEventListener("afterprint", () => {
  for (const one of folded) one.open = false;
});
