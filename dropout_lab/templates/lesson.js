// The lesson: sliders, masks, seeds and guesses. Networks compute here with the weights of real runs.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const find = (selector) => document.querySelector(selector);
const say = (id, text) => (document.getElementById(id).textContent = text);
const grouped = (value) => value.toLocaleString("en");
const percent = (value, places = 1) => `${(100 * value).toFixed(places)} %`;
const NAMES = { none: "without dropout", dropout: `with dropout ${data.rate}` };
document.documentElement.classList.add("js");

function drawn(name, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

// The same page draws the same random numbers (mulberry32), so that a class sees what its teacher saw.
let state = 1;
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

// Networks: relu in the hidden layers, softmax at the end.

function bytes(text) {
  return Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
}
const floats = (text) => new Float32Array(bytes(text).buffer);

const images = { ...data.images, pixels: bytes(data.images.pixels), count: data.images.labels.length };
const inputs = images.height * images.width;
const nets = Object.fromEntries(
  Object.entries(data.nets).map(([name, net]) => [
    name,
    { sizes: net.sizes, weights: net.weights.map(floats), biases: net.biases.map(floats), recorded: floats(net.recorded) },
  ]),
);

function image(index) {
  const pixels = images.pixels.subarray(index * inputs, (index + 1) * inputs);
  return Float64Array.from(pixels, (one) => Math.fround(one / images.full));
}

// x W + b; an input of 0 costs nothing.
function affine(x, weights, biases) {
  const sums = Float64Array.from(biases);
  const used = [];
  for (let i = 0; i < x.length; i++) if (x[i] !== 0) used.push(i);
  for (let unit = 0; unit < sums.length; unit++) {
    const row = unit * x.length;
    for (const i of used) sums[unit] += x[i] * weights[row + i];
  }
  return sums;
}

function softmax(logits) {
  const most = Math.max(...logits);
  const powers = logits.map((one) => Math.exp(one - most));
  const total = powers.reduce((sum, one) => sum + one, 0);
  return powers.map((one) => one / total);
}

// gates: for each hidden layer what multiplies its outputs; null is dropout off.
function forward(net, x, gates = null) {
  const hidden = [];
  let h = x;
  for (let layer = 0; layer < net.weights.length - 1; layer++) {
    h = affine(h, net.weights[layer], net.biases[layer]).map((sum) => Math.max(0, sum));
    if (gates) h = h.map((one, unit) => one * gates[layer][unit]);
    hidden.push(h);
  }
  const logits = affine(h, net.weights.at(-1), net.biases.at(-1));
  return { hidden, logits, probabilities: softmax(logits) };
}

const largest = (values) => values.reduce((best, one, at) => (one > values[best] ? at : best), 0);

function mask(count, rate) {
  return Float64Array.from({ length: count }, () => (random() < 1 - rate ? 1 / (1 - rate) : 0));
}

// The page's own predictions against those that Python recorded: all images, a few at a time.
function check() {
  let worst = 0, same = 0, at = 0;
  const jobs = Object.values(nets).flatMap((net) => Array.from({ length: images.count }, (_, index) => [net, index]));
  function some() {
    const until = performance.now() + 15;
    for (; at < jobs.length && performance.now() < until; at++) {
      const [net, index] = jobs[at];
      const { probabilities } = forward(net, image(index));
      const recorded = net.recorded.subarray(index * data.classes, (index + 1) * data.classes);
      probabilities.forEach((one, place) => (worst = Math.max(worst, Math.abs(one - recorded[place]))));
      same += largest(probabilities) === largest(recorded);
    }
    if (at < jobs.length) return void setTimeout(some);
    const text = `This page computes with the weights of the runs. Its predictions were compared with those that Python recorded: ${same} of ${jobs.length} are the same (both networks, ${images.count} test digits), and no probability differs by more than ${worst.toExponential(1)}.`;
    say("check", text);
  }
  some();
}

// Charts

const WIDTH = 452, HEIGHT = 230, LEFT = 52, TOP = 10; // as in lesson.html

function scale(key) {
  const figure = find(`[data-key="${key}"]`);
  const [x0, x1] = figure.dataset.x.split(" ").map(Number);
  const [y0, y1] = figure.dataset.y.split(" ").map(Number);
  return { figure, x: (v) => ((v - x0) / (x1 - x0)) * WIDTH, y: (v) => ((y1 - v) / (y1 - y0)) * HEIGHT };
}

// A rule at x, and a dot on each line: ys in the order of the lines.
function mark(key, x, ys) {
  const at = scale(key);
  const looks = [...at.figure.querySelectorAll(".run")].map((run) => run.getAttribute("class"));
  const dots = ys.map((y, n) => drawn("circle", { class: `${looks[n]} dot`, cx: at.x(x), cy: at.y(y), r: 5 }));
  const rule = drawn("path", { class: "mark", d: `M${at.x(x)} 0v${HEIGHT}` });
  at.figure.querySelector(".marks").replaceChildren(rule, ...dots);
}

function path(xs, ys, at) {
  return ys.map((y, i) => (y === null ? "" : `${i && ys[i - 1] !== null ? "L" : "M"}${at.x(xs[i]).toFixed(1)} ${at.y(y).toFixed(1)}`)).join("");
}

function ticks(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  const found = [];
  for (let n = Math.ceil(low / size); n <= Math.floor(high / size); n++) found.push(Number((n * size).toPrecision(6)));
  return found;
}

// Set the axes of a chart that is drawn here. Ticks across are optional.
function axes(key, [x0, x1], [y0, y1], across, label) {
  const figure = find(`[data-key="${key}"]`);
  figure.dataset.x = `${x0} ${x1}`;
  figure.dataset.y = `${y0} ${y1}`;
  const at = scale(key);
  const marks = ticks(y0, y1).flatMap((tick) => [
    drawn("path", { class: "grid", d: `M${LEFT} ${TOP + at.y(tick)}h${WIDTH}` }),
    drawn("text", { class: "y", x: LEFT - 6, y: TOP + at.y(tick) + 4 }, tick),
  ]);
  for (const tick of across) marks.push(drawn("text", { class: "x", x: LEFT + at.x(tick), y: TOP + HEIGHT + 16 }, tick));
  marks.push(drawn("text", { class: "x", x: LEFT + WIDTH / 2, y: TOP + HEIGHT + 34 }, label));
  figure.querySelector(".ticks").replaceChildren(...marks);
  return { ...at, inside: figure.querySelector(".inside") };
}

// A slider: what it shows, and what it does.
function slide(id, shown, act) {
  const input = document.getElementById(id);
  const update = () => {
    const text = shown(Number(input.value));
    say(`${id}-value`, text);
    input.setAttribute("aria-valuetext", text);
    act(Number(input.value));
  };
  input.addEventListener("input", update);
  update();
  return update;
}

const press = (id, act) => document.getElementById(id).addEventListener("click", act);

// A digit as it is stored, bright ink on black.
function picture(index, caption) {
  const canvas = document.createElement("canvas");
  canvas.setAttribute("aria-hidden", "true"); // the caption says what is to be seen
  [canvas.width, canvas.height] = [images.width, images.height];
  const pixels = new ImageData(images.width, images.height);
  for (let i = 0; i < inputs; i++) {
    const grey = Math.round((255 * images.pixels[index * inputs + i]) / images.full);
    pixels.data.set([grey, grey, grey, 255], 4 * i);
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  const figure = document.createElement("figure");
  const text = document.createElement("figcaption");
  text.textContent = caption;
  figure.append(canvas, text);
  return figure;
}

// 1. Overfitting

const SHOWN = 14; // misread digits

function overfitting() {
  const { stops } = data.epochs;
  slide("epoch", (place) => `${stops[place]}`, (place) => {
    const epoch = stops[place];
    const said = Object.entries(NAMES).map(([name, words]) => {
      const own = data.epochs[name];
      mark(`loss-${name}`, epoch, [own.train_loss, own.clean_train_loss, own.val_loss].map((line) => line[epoch - 1]));
      const missed = own.read[place].map((read, index) => [read, index]).filter(([read, index]) => read !== images.labels[index]);
      const shown = missed.slice(0, SHOWN).map(([read, index]) => picture(index, `${images.labels[index]} as ${read}`));
      const gallery = document.getElementById(`misread-${name}`);
      gallery.replaceChildren(...shown);
      const head = document.getElementById(`misread-${name}-title`);
      head.textContent = `Misread ${words}: ${grouped(own.misread[place])} of ${grouped(images.tested)}` + (missed.length > SHOWN ? `, the first ${SHOWN}` : "");
      return `${words} it misreads ${grouped(own.misread[place])} of ${grouped(images.tested)} test digits, and its validation loss is ${own.val_loss[epoch - 1].toFixed(2)}`;
    });
    say("epoch-said", `After epoch ${epoch}: ${said.join("; ")}.`);
  });
}

// 2. Masks

const net = nets.dropout;
const current = { image: 0, gates: null, tally: new Map(), own: [] };

function grid(count, left, top, gap) {
  const columns = Math.ceil(Math.sqrt(count));
  return Array.from({ length: count }, (_, n) => [left + (n % columns) * gap, top + Math.floor(n / columns) * gap]);
}

const times = (n) => (n === 1 ? "once" : n === 2 ? "twice" : `${n} times`);

function show() {
  const x = image(current.image);
  const plain = forward(net, x);
  const now = current.gates ? forward(net, x, current.gates) : plain;
  const answer = largest(now.probabilities), label = images.labels[current.image], before = largest(plain.probabilities);
  drawNetwork(x, now, plain, answer, label);
  const off = current.gates?.map((gates) => gates.filter((one) => one === 0).length);
  const seen = `It reads a ${answer}, with probability ${percent(now.probabilities[answer])}.`;
  const whole = `With dropout off it reads a ${before} (${percent(plain.probabilities[before])}).`;
  say(
    "mask-said",
    current.gates
      ? `Off: ${off.map((n, layer) => `${n} of ${current.gates[layer].length}`).join(" and ")} units; the others count ${times(Number((1 / (1 - data.rate)).toPrecision(3)))}. ${seen} ${whole} The digit is a ${label}.`
      : `Dropout is off: every unit is on and counts once, as in the test. ${seen} The digit is a ${label}.`,
  );
  if (current.gates) current.tally.set(answer, (current.tally.get(answer) ?? 0) + 1), current.own.push(now.probabilities[label]);
  const counts = [...current.tally].sort(([, a], [, b]) => b - a).map(([digit, n]) => `${digit} (${times(n)})`);
  const [low, high] = [Math.min(...current.own), Math.max(...current.own)];
  const masks = current.own.length === 1 ? "1 mask" : `${current.own.length} masks`;
  say("mask-tally", counts.length ? `Under ${masks} it read ${counts.join(", ")}. The probability of the true digit went from ${percent(low)} to ${percent(high)}.` : "");
}

function drawNetwork(x, now, plain, answer, label) {
  const svg = find("#network"), parts = [];
  const size = 112 / Math.max(images.height, images.width);
  for (let i = 0; i < inputs; i++) {
    const grey = Math.round(255 * x[i]);
    const [column, row] = [i % images.width, Math.floor(i / images.width)];
    parts.push(drawn("rect", { x: 8 + column * size, y: 92 + row * size, width: size + 0.3, height: size + 0.3, fill: `rgb(${grey},${grey},${grey})` }));
  }
  const layers = now.hidden.map((h, layer) => grid(h.length, 186 + layer * 210, 62, 168 / Math.ceil(Math.sqrt(h.length))));
  const outputs = Array.from({ length: data.classes }, (_, n) => [596, 40 + n * 25]);
  const last = now.hidden.length - 1;
  const strongest = (values, most) => [...values.keys()].filter((n) => values[n] > 0).sort((a, b) => values[b] - values[a]).slice(0, most);
  const into = (layer, unit) => now.hidden[layer].map((h, from) => h * net.weights[layer + 1][unit * now.hidden[layer].length + from]);
  const wire = ([x1, y1], [x2, y2], width) => parts.push(drawn("path", { class: "wire", d: `M${x1} ${y1}C${(x1 + x2) / 2} ${y1} ${(x1 + x2) / 2} ${y2} ${x2} ${y2}`, "stroke-width": width }));
  let ends = strongest(into(last, answer), 6);
  for (const unit of ends) wire(layers[last][unit], [outputs[answer][0] - 16, outputs[answer][1]], 2);
  for (let layer = last; layer > 0; layer--) {
    const next = new Set();
    for (const unit of ends) for (const from of strongest(into(layer - 1, unit), 2)) wire(layers[layer - 1][from], layers[layer][unit], 1.2), next.add(from);
    ends = [...next];
  }
  layers.forEach((places, layer) => {
    const most = Math.max(...now.hidden[layer], 1e-9), radius = 84 / Math.ceil(Math.sqrt(places.length)) - 2.5;
    places.forEach(([cx, cy], unit) => {
      const gate = current.gates ? current.gates[layer][unit] : 1, value = now.hidden[layer][unit];
      const circle = drawn("circle", { class: gate ? "unit" : "unit off", cx, cy, r: radius, "fill-opacity": gate ? (value / most).toFixed(2) : 0 });
      circle.append(drawn("title", {}, gate ? `${(value / gate).toFixed(2)} times ${gate} is ${value.toFixed(2)}` : "off: times 0"));
      parts.push(circle);
      if (!gate) parts.push(drawn("path", { class: "cross", d: `M${cx - 4} ${cy - 4}l8 8m0 -8l-8 8` }));
    });
    parts.push(drawn("text", { x: places[0][0] - 8, y: 36 }, `hidden layer ${layer + 1}`));
  });
  outputs.forEach(([left, top], digit) => {
    const [wide, outline] = [now, plain].map((one) => 130 * one.probabilities[digit]);
    parts.push(drawn("text", { x: left - 12, y: top + 5, class: digit === answer ? "strong" : "" }, digit));
    parts.push(drawn("rect", { class: `answer-bar${digit === label ? " right" : ""}`, x: left, y: top - 8, width: wide, height: 16 }));
    parts.push(drawn("rect", { class: "before", x: left, y: top - 8, width: outline, height: 16 }));
    if (now.probabilities[digit] > 0.05) parts.push(drawn("text", { x: left + Math.max(wide, outline) + 5, y: top + 5 }, percent(now.probabilities[digit], 0)));
  });
  parts.push(drawn("text", { x: 8, y: 82 }, `digit ${current.image + 1}: a ${label}`), drawn("text", { x: 584, y: 20 }, "how probable each digit is"));
  svg.replaceChildren(...parts);
  svg.setAttribute("aria-label", `The network reads a ${label} as ${answer}; ${current.gates ? "dropout is on" : "dropout is off"}`);
}

function choose(index) {
  Object.assign(current, { image: index, gates: null, tally: new Map(), own: [] });
  show();
  clearSums();
}

function masks() {
  press("next-mask", () => {
    current.gates = net.sizes.slice(1, -1).map((units) => mask(units, data.rate));
    show();
  });
  press("no-mask", () => {
    current.gates = null;
    show();
  });
  press("next-digit", () => choose((current.image + 1) % images.count));
  press("hard-digit", () => {
    for (let step = 1; step <= images.count; step++) {
      const index = (current.image + step) % images.count;
      if (largest(net.recorded.subarray(index * data.classes, (index + 1) * data.classes)) !== images.labels[index]) return choose(index);
    }
  });
  show();
}

// 3. Trusted viewers

function viewers() {
  const ways = { important: "order", at_random: "random" };
  const circles = Object.fromEntries(Object.keys(NAMES).map((name) => {
    const svg = document.getElementById(`units-${name}`), { order } = data.viewers[name];
    const columns = Math.ceil(Math.sqrt(order.length)), places = grid(order.length, 14, 14, 24);
    svg.setAttribute("viewBox", `0 0 ${columns * 24 + 4} ${Math.ceil(order.length / columns) * 24 + 4}`);
    const rank = order.map((_, unit) => order.indexOf(unit));
    const made = places.map(([cx, cy], unit) => drawn("circle", { class: "unit", cx, cy, r: 9, "fill-opacity": (1 - rank[unit] / order.length).toFixed(2) }));
    svg.replaceChildren(...made);
    return [name, made];
  }));
  const update = slide("out", (place) => `${data.viewers.out[place]}`, (place) => {
    const way = find("[name=way]:checked").value, out = data.viewers.out[place];
    const left = Object.keys(NAMES).map((name) => {
      const own = data.viewers[name], gone = new Set(own[ways[way]].slice(0, out));
      circles[name].forEach((circle, unit) => circle.classList.toggle("off", gone.has(unit)));
      return [name, own[way][place]];
    });
    for (const other of Object.keys(ways)) find(`[data-key="viewers-${other}"] .marks`).replaceChildren();
    mark(`viewers-${way}`, out, left.map(([, accuracy]) => 100 * accuracy));
    const first = way === "important" ? "most important" : "random";
    const units = data.viewers.none.order.length;
    say("out-said", `${out} of ${units} units are out${out ? ` (${first} ones)` : ""}. Test digits read correctly: ${left.map(([name, accuracy]) => `${NAMES[name]} ${percent(accuracy)}`).join(", ")}.`);
  });
  for (const radio of document.querySelectorAll("[name=way]")) radio.addEventListener("change", update);
}

// 4. Scaling

let sums = [];

function clearSums() {
  sums = [];
  drawSums();
}

// What the last layer receives: the true digit's unit, its contributions from the last hidden layer, dropout off below.
function contributions() {
  const h = forward(net, image(current.image)).hidden.at(-1), unit = images.labels[current.image];
  return { parts: h.map((one, from) => one * net.weights.at(-1)[unit * h.length + from]), unit };
}

function drawSums() {
  const { parts, unit } = contributions(), keep = 1 - data.rate;
  const way = find("[name=scaling]:checked").value;
  const all = parts.reduce((sum, one) => sum + one, 0);
  const training = sums.map((one) => (way === "inverted" ? one / keep : one)), test = way === "test" ? keep * all : all;
  const spread = Math.sqrt(parts.reduce((sum, one) => sum + one * one, 0) * (data.rate / keep)); // of an inverted sum
  const [low, high] = [Math.min(0, all - 3.5 * spread), Math.max(0, all + 3.5 * spread)];
  const wide = Math.max(20, training.length);
  const at = axes("sums", [0, wide + 1], [low, high], ticks(0, wide).filter(Number.isInteger), "mask");
  const dots = training.map((sum, n) => drawn("circle", { class: "c1 dot", cx: at.x(n + 1), cy: at.y(sum), r: wide > 60 ? 3 : 4.5 }));
  let total = 0;
  const means = training.map((sum, n) => (total += sum) / (n + 1));
  const line = drawn("path", { class: "line c1", d: path(means.map((_, n) => n + 1), means, at) });
  const rule = drawn("path", { class: "line c2 d1", d: `M0 ${at.y(test)}h${WIDTH}` });
  at.inside.replaceChildren(...dots, rule, line);
  const mean = means.at(-1);
  const shown = training.length ? `The mean of ${training.length} sums in training is ${mean.toFixed(2)}` : "No mask is drawn yet";
  say("sums-said", `Unit of the digit ${unit}. ${shown}; the sum in the test is ${test.toFixed(2)}.` + (way === "none" ? " Without scaling the test receives about twice as much as training." : ""));
}

function scaling() {
  for (const radio of document.querySelectorAll("[name=scaling]")) radio.addEventListener("change", drawSums);
  for (const button of document.querySelectorAll("[data-draw]")) {
    button.addEventListener("click", () => {
      const { parts } = contributions();
      for (let n = 0; n < Number(button.dataset.draw); n++) sums.push(parts.reduce((sum, one) => sum + (random() < 1 - data.rate ? one : 0), 0));
      drawSums();
    });
  }
  press("clear-sums", clearSums);
  drawSums();
  slide("passes", (place) => `${place + 1}`, (place) => {
    const [mean, sd] = data.passes.errors[place];
    mark("passes", place + 1, [100 * mean, 100 * data.passes.scaled]);
    const spread = sd === null ? "" : ` ± ${percent(sd)}`;
    say("passes-said", `The mean over ${place + 1} ${place ? "masks" : "mask"} misreads ${percent(mean)}${spread} of the test digits, the scaled network ${percent(data.passes.scaled)}.`);
  });
}

// 5. The rate

function rates() {
  const found = data.rates;
  slide("rate-slider", (place) => `${found.rates[place]}`, (place) => {
    const own = found.curves[place], rate = found.rates[place], at = scale("rate-loss");
    const lines = [own.train_loss, own.clean_train_loss, own.val_loss];
    const epochs = own.val_loss.map((_, n) => n + 1);
    at.figure.querySelectorAll(".line").forEach((one, n) => one.setAttribute("d", path(epochs, lines[n], at)));
    const [mean, low, high] = found.error[place];
    mark("rate-error", rate, [100 * mean]);
    mark("rate-gap", rate, [found.gap[place]]);
    mark("rate-theory", rate, [found.raw[place], found.effective[place]]);
    say("rate-said", `Rate ${rate}: test error ${percent(mean)} (95 % interval ${percent(low)} to ${percent(high)}); gap ${found.gap[place].toFixed(2)}; r(1-r) = ${found.raw[place]}, r/(1-r) = ${found.effective[place]}.`);
  });
}

// 6. Gates

const drawnGates = { bernoulli: [], gaussian: [] };

function gates() {
  const { rates: all, sd } = data.gates;
  const place = () => Number(find("#gate-rate").value);
  const kinds = {
    bernoulli: () => (random() < 1 - all[place()] ? 1 / (1 - all[place()]) : 0),
    gaussian: () => 1 + sd[place()] * normal(),
  };
  function draw() {
    const most = 1 + 3.2 * sd[place()], least = Math.min(-0.5, 1 - 3.2 * sd[place()]);
    const variance = sd[place()] ** 2;
    const said = Object.entries(drawnGates).map(([kind, values]) => {
      const at = axes(`gates-${kind}`, [0, 33], [least, most], [1, 8, 16, 24, 32], "gate");
      const bars = values.slice(-32).map((value, n) => drawn("path", { class: kind === "bernoulli" ? "bar c1" : "bar c2", d: `M${at.x(n + 1)} ${at.y(0)}V${at.y(value) + (value ? 0 : 1.5)}` }));
      at.inside.replaceChildren(...bars, drawn("path", { class: "zero", d: `M0 ${at.y(0)}h${WIDTH}` }), drawn("path", { class: "mark", d: `M0 ${at.y(1)}h${WIDTH}` }));
      if (!values.length) return "";
      const mean = values.reduce((sum, one) => sum + one, 0) / values.length;
      const spread = values.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (values.length - 1);
      return `${kind === "bernoulli" ? "Bernoulli" : "Gaussian"}: mean ${mean.toFixed(2)}, variance ${spread.toFixed(2)}`;
    });
    const many = drawnGates.bernoulli.length;
    say("gates-said", `Rate ${all[place()]}: the theory says mean 1 and variance r/(1-r) = ${variance.toFixed(2)}.` + (many ? ` Of ${many} gates each, ${said.join("; ")}.` : ""));
  }
  const clear = () => {
    drawnGates.bernoulli = [];
    drawnGates.gaussian = [];
    draw();
  };
  press("draw-gates", () => {
    for (const kind of Object.keys(kinds)) for (let n = 0; n < 32; n++) drawnGates[kind].push(kinds[kind]());
    draw();
  });
  press("clear-gates", clear);
  slide("gate-rate", (at) => `${all[at]}`, (at) => {
    const found = data.rates.rates.indexOf(all[at]);
    mark("gate-error", all[at], [100 * data.rates.error[found][0], 100 * data.rates.gaussian_error[found][0]]);
    clear();
  });
}

// 7. Seeds

function shuffled(items) {
  const all = [...items];
  for (let n = all.length - 1; n > 0; n--) {
    const other = Math.floor(random() * (n + 1));
    [all[n], all[other]] = [all[other], all[n]];
  }
  return all;
}

// Mean and half the width of the 95 % t interval of numbers; NaN for one alone.
function estimate(values) {
  const mean = values.reduce((sum, one) => sum + one, 0) / values.length;
  const sd = Math.sqrt(values.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (values.length - 1));
  return [mean, values.length > 1 ? (data.seeds.t[values.length - 2] * sd) / Math.sqrt(values.length) : NaN];
}

function seeds() {
  let order = [], count = 0;
  const pair = () => data.seeds.pairs[Number(find("#pair").value)];
  function draw() {
    const { gains, better, worse } = pair(), all = Object.values(gains);
    const values = order.slice(0, count).map((seed) => gains[seed]);
    const [least, most] = [Math.min(0, ...all), Math.max(0, ...all)], margin = 0.5 * Math.max(most - least, 0.5);
    const [low, high] = [least - margin, most + margin];
    const at = axes("differences", [0, order.length + 1], [low, high], order.map((_, n) => n + 1), "seeds drawn");
    const parts = [drawn("path", { class: "zero", d: `M0 ${at.y(0)}h${WIDTH}` })];
    values.forEach((value, n) => {
      const [mean, half] = estimate(values.slice(0, n + 1));
      const clip = (y) => Math.max(low, Math.min(high, y));
      if (half >= 0) parts.push(drawn("path", { class: `bar ${Math.abs(mean) > half ? "c3" : "c2"}`, d: `M${at.x(n + 1)} ${at.y(clip(mean - half))}V${at.y(clip(mean + half))}` }));
      parts.push(drawn("circle", { class: "c1 dot", cx: at.x(n + 1), cy: at.y(value), r: 5 }));
    });
    at.inside.replaceChildren(...parts);
    const sides = `Above 0 ${better} is better, below 0 ${worse} is better.`;
    if (!count) return say("seeds-said", `No seed is drawn yet. ${sides}`);
    const won = values.filter((one) => one > 0).length, lost = values.filter((one) => one < 0).length;
    const [mean, half] = estimate(values), points = (one) => `${one < 0 ? "−" : "+"}${Math.abs(one).toFixed(2)}`;
    const alone = `Seed ${order[count - 1]} alone: ${points(values.at(-1))} points.`;
    const split = `${won} of ${count} say that ${better} is better, ${lost} that ${worse} is.`;
    if (count === 1) return say("seeds-said", `${alone} One seed has no interval: nobody knows how far the next one will be off.`);
    const word = half < Math.abs(mean) ? `without 0: ${mean > 0 ? better : worse} is better on average` : "with 0 in it: you cannot tell yet";
    say("seeds-said", `${alone} Mean of ${count} seeds ${points(mean)}, 95 % interval ${points(mean - half)} to ${points(mean + half)}, ${word}. ${split}`);
  }
  function again() {
    [order, count] = [shuffled(Object.keys(pair().gains)), 0];
    draw();
  }
  press("draw-seed", () => ((count = Math.min(order.length, count + 1)), draw()));
  press("draw-seeds", () => ((count = order.length), draw()));
  press("clear-seeds", again);
  find("#pair").addEventListener("change", again);
  again();
}

// 8. Claims

function quiz() {
  let right = 0, done = 0, open = 0;
  for (const item of document.querySelectorAll("[data-claim]")) {
    const { verdict } = data.claims.find((one) => one.id === item.dataset.claim);
    const buttons = [...item.querySelectorAll("button")];
    for (const button of buttons) {
      button.addEventListener("click", () => {
        const decided = verdict === "HOLDS" || verdict === "FAILS", hit = button.dataset.guess === verdict;
        for (const one of buttons) one.disabled = true;
        button.setAttribute("aria-pressed", "true");
        item.classList.add("shown", ...(decided ? [hit ? "right" : "wrong"] : []));
        decided ? ((done += 1), (right += hit)) : (open += 1);
        say("score", `${right} of ${done} guesses are right.` + (open ? ` For ${open} more, the answer is neither.` : ""));
      });
    }
  }
  say("score", "No guess yet.");
}

overfitting();
masks();
viewers();
scaling();
rates();
gates();
seeds();
quiz();
setTimeout(check);

// Paper cannot be opened: print what is folded, too, and fold it again.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const one of folded) one.open = true;
});
addEventListener("afterprint", () => {
  for (const one of folded) one.open = false;
});
