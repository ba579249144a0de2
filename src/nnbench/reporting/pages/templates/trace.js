"use strict";
// A traced step: stages that can be walked, numbers that say what they are made of, and guessing.
const D = JSON.parse(document.getElementById("data").textContent);
const LAST = D.net.length - 1;
const $ = id => document.getElementById(id);
const make = (tag, name, text) => {
  const e = document.createElement(tag);
  if (name) e.className = name;
  if (text !== undefined) e.textContent = text;
  return e;
};

// ---- arrays: `at(what, index)` of a backend, undefined where the page has only a part ----
for (const a of Object.values(D.arrays)) {
  a.values = a.values.map(Number);
  a.places = a.shape.map((n, k) => a.kept ? a.kept[k] : [...Array(n).keys()]);
  a.where = a.places.map(p => new Map(p.map((place, i) => [place, i])));
}
const array = (b, what) => D.arrays[`${b}/${what}`];
function at(b, what, index) {
  const a = array(b, what);
  let flat = 0;
  for (let k = 0; k < index.length; k++) {
    const i = a.where[k].get(index[k]);
    if (i === undefined) return undefined;
    flat = flat * a.places[k].length + i;
  }
  return a.values[flat];
}
function* indices(a) {
  const index = Array(a.shape.length).fill(0), n = a.values.length;
  for (let flat = 0; flat < n; flat++) {
    let rest = flat;
    for (let k = index.length - 1; k >= 0; k--) {
      index[k] = a.places[k][rest % a.places[k].length];
      rest = Math.floor(rest / a.places[k].length);
    }
    yield [...index];
  }
}
const range = n => [...Array(n).keys()];
const shape = what => array(D.backends[0], what).shape;
const has = what => `${D.backends[0]}/${what}` in D.arrays;
const into = i => i ? `${i - 1}.output` : "input";

// ---- functions and their slopes ----
function erf(x) {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  let sum = a, term = a;
  if (a < 3) {
    for (let n = 1; Math.abs(term) > 1e-18 * sum && n < 200; n++) sum += (term *= 2 * a * a / (2 * n + 1));
    return Math.sign(x) * 2 / Math.sqrt(Math.PI) * Math.exp(-a * a) * sum;
  }
  let f = 0;
  for (let n = 60; n; n--) f = n / 2 / (a + f);
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + f));
}
const sigmoid = x => 1 / (1 + Math.exp(-x));
const cdf = x => 0.5 * (1 + erf(x * Math.SQRT1_2));
const gt = x => Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3));
const F = {
  linear: [x => x, () => 1, "x", "1"],
  sigmoid: [sigmoid, x => sigmoid(x) * (1 - sigmoid(x)), "1 / (1 + e⁻ˣ)", "y (1 − y)"],
  tanh: [Math.tanh, x => 1 - Math.tanh(x) ** 2, "tanh x", "1 − y²"],
  relu: [x => Math.max(x, 0), x => x > 0 ? 1 : 0, "x where x > 0, else 0", "1 where x > 0, else 0"],
  gelu: [x => x * cdf(x), x => cdf(x) + x * Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI), "x Φ(x)", "Φ(x) + x φ(x)"],
  gelu_tanh: [x => 0.5 * x * (1 + gt(x)), x => 0.5 * (1 + gt(x)) + 0.5 * x * (1 - gt(x) ** 2)
    * Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * x * x), "gelu(x), by tanh", "its slope"],
  silu: [x => x * sigmoid(x), x => sigmoid(x) * (1 + x * (1 - sigmoid(x))), "x / (1 + e⁻ˣ)", "σ(x) (1 + x (1 − σ(x)))"],
};
const curve = layer => layer.name === "leaky_relu"
  ? [x => Math.max(x, layer.slope * x), x => x > 0 ? 1 : layer.slope, "the larger of x and slope · x", "1 where x > 0, else the slope"]
  : F[layer.name];

// ---- what a number is made of: {rule, terms: [[[what, index], ...], ...], scale} for sums of
// products, {rule, refs, value} for others; value undefined where the page cannot tell ----
const sum = (rule, terms, scale = 1) => ({rule, terms, scale});
const from = (rule, refs, value) => ({rule, refs, value});
function window_(layer, [n, r, c, k]) {
  const found = [];
  for (const a of range(layer.size)) for (const b of range(layer.size)) found.push([n, r * layer.step + a, c * layer.step + b, k]);
  return found;
}
function forward(b, i, index) {
  const layer = D.net[i], x = into(i), [n, ...rest] = index, v = (w, ix) => at(b, w, ix);
  if (layer.name === "dense") {
    const terms = range(shape(x)[1]).map(k => [[x, [n, k]], [`${i}.kernel`, [k, rest[0]]]]);
    if (layer.bias) terms.push([[`${i}.bias`, rest]]);
    return sum("y = Σ x · W" + (layer.bias ? " + b" : ""), terms);
  }
  if (layer.name === "conv2d") {
    const [r, c, f] = rest, [, rows, columns, channels] = shape(x), terms = [];
    for (const a of range(layer.kernel_size)) for (const d of range(layer.kernel_size)) {
      const p = r * layer.stride + a - layer.pads[0], q = c * layer.stride + d - layer.pads[1];
      if (p < 0 || q < 0 || p >= rows || q >= columns) continue;
      for (const k of range(channels)) terms.push([[x, [n, p, q, k]], [`${i}.kernel`, [a, d, k, f]]]);
    }
    if (layer.bias) terms.push([[`${i}.bias`, [f]]]);
    return sum("y = Σ over the window x · W" + (layer.bias ? " + b" : ""), terms);
  }
  if (layer.name === "flatten") {
    const s = shape(x), source = [n];
    let flat = rest[0];
    for (let k = s.length - 1; k; k--) { source.splice(1, 0, flat % s[k]); flat = Math.floor(flat / s[k]); }
    return from("the same number, in one row", [[x, source]], v(x, source));
  }
  if (layer.name === "max_pool2d" || layer.name === "avg_pool2d") {
    const refs = window_(layer, index).map(ix => [x, ix]);
    if (layer.name === "avg_pool2d") return sum("y = the mean of the window", refs.map(ref => [ref]), 1 / layer.size ** 2);
    const seen = refs.map(ref => v(...ref));
    return from("y = the largest of the window", refs, seen.includes(undefined) ? undefined : Math.max(...seen));
  }
  if (layer.name === "global_avg_pool2d") {
    const [, rows, columns] = shape(x), terms = [];
    for (const r of range(rows)) for (const c of range(columns)) terms.push([[x, [n, r, c, rest[0]]]]);
    return sum("y = the mean over rows and columns", terms, 1 / rows / columns);
  }
  if (layer.name === "softmax") return softmax(b, x, index);
  if (layer.name === "dropout") {
    const y = v(`${i}.output`, index), kept = v(x, index);
    return from(`y = 0 where dropped, else x / (1 − ${layer.rate})`, [[x, index]], kept === undefined ? undefined : y === 0 ? 0 : kept / (1 - layer.rate));
  }
  if (layer.name === "embedding") {
    const token = v(x, index.slice(0, -1)), unit = index.at(-1);
    return from("y = the row of W that the token numbers", [[x, index.slice(0, -1)], [`${i}.kernel`, [token, unit]]], v(`${i}.kernel`, [token, unit]));
  }
  if (curve(layer)) {
    const value = v(x, index), [f, , text] = curve(layer);
    return from(`y = ${text}`, [[x, index]], value === undefined ? undefined : f(value));
  }
  return normalised(b, i, index);
}
function softmax(b, what, index) {
  const row = range(shape(what).at(-1)).map(k => [...index.slice(0, -1), k]), z = row.map(ix => at(b, what, ix));
  const top = Math.max(...z), whole = z.reduce((s, each) => s + Math.exp(each - top), 0);
  return from("p = eᶻ / Σ eᶻ over the row", row.map(ix => [what, ix]), z.includes(undefined) ? undefined : Math.exp(at(b, what, index) - top) / whole);
}
function normalised(b, i, index) {
  const layer = D.net[i], x = into(i), s = shape(x), channel = index.at(-1), batch = layer.name === "batch_norm";
  const group = [...indices(array(b, x))].filter(ix => batch ? ix.at(-1) === channel : ix.slice(0, -1).every((p, k) => p === index[k]));
  const whole = batch ? s.slice(0, -1).reduce((p, n) => p * n, 1) : s.at(-1);
  const refs = [...group.map(ix => [x, ix]), [`${i}.scale`, [channel]], [`${i}.offset`, [channel]]];
  const rule = `y = (x − mean) / √(variance + ε) · scale + offset, over ${batch ? "the batch" : "the sample"}`;
  if (group.length < whole) return from(rule, refs);
  const values = group.map(ix => at(b, x, ix)), mean = values.reduce((p, n) => p + n, 0) / whole;
  const variance = values.reduce((p, n) => p + (n - mean) ** 2, 0) / whole;
  const scale = at(b, `${i}.scale`, [channel]), offset = at(b, `${i}.offset`, [channel]);
  return from(rule, refs, (at(b, x, index) - mean) / Math.sqrt(variance + layer.epsilon) * scale + offset);
}
function target(b, [n, j]) {
  return shape("labels").length === 1 ? at(b, "labels", [n]) === j ? 1 : 0 : at(b, "labels", [n, j]);
}
const label = (n, j) => ["labels", shape("labels").length === 1 ? [n] : [n, j]];
function batchScale() { return D.loss.over_batch === "sum" ? 1 : 1 / shape(`${LAST}.output`)[0]; }
function lossOf(b, [n]) {
  const k = shape("prediction")[1], name = D.loss.name, s = D.loss.output_scale;
  const all = range(k).map(j => ["prediction", [n, j]]);
  if (!D.loss.plain || (name === "cross_entropy" && D.output_activation !== "softmax")) return from("the loss of the sample", all);
  if (name === "cross_entropy") {
    const ref = ["prediction", [n, at(b, "labels", [n])]];
    return from("−log p of the label", [ref, label(n)], -Math.log(at(b, ...ref)));
  }
  const each = {
    bce: (p, t) => -t * Math.log(p) - (1 - t) * Math.log(1 - p), mse: (p, t) => (p - t) ** 2, l1: (p, t) => Math.abs(p - t),
    huber: (p, t) => Math.abs(p - t) <= D.loss.delta ? (p - t) ** 2 / 2 : D.loss.delta * (Math.abs(p - t) - D.loss.delta / 2),
  }[name];
  const rule = {bce: "−t log p − (1 − t) log (1 − p)", mse: "(p − t)²", l1: "|p − t|", huber: "(p − t)² / 2, further away a line"}[name];
  return from(`${s === 1 ? "Σ" : "mean of"} ${rule}`, [...all, label(n, 0)], s * all.reduce((w, ref, j) => w + each(at(b, ...ref), target(b, [n, j])), 0));
}
function startOf(b, [n, j]) {
  const p = at(b, "prediction", [n, j]), t = target(b, [n, j]), name = D.loss.name, s = D.loss.output_scale * batchScale();
  const refs = [["prediction", [n, j]], label(n, j)];
  const by = D.loss.over_batch === "sum" ? "" : ` / ${shape("prediction")[0]}`, each = D.loss.output_scale === 1 ? "" : ` / ${shape("prediction")[1]} outputs`;
  const partner = name === "cross_entropy" ? "softmax" : "sigmoid";
  if (D.loss.plain && ["cross_entropy", "bce"].includes(name) && D.output_activation === partner)
    return from(`dz = (p − t)${by}${each}, t = ${t}`, refs, (p - t) * s);
  const f = F[D.output_activation], z = at(b, `${LAST}.output`, [n, j]);
  if (D.loss.plain && name === "mse" && f && z !== undefined)
    return from(`dz = 2 (p − t)${by}${each}${D.output_activation === "linear" ? "" : " · " + f[3]}, t = ${t}`, refs, 2 * (p - t) * s * f[1](z));
  return from("the loss's gradient at z", refs);
}
// The gradient at the output of layer i - 1: what layer i passes down.
function passed(b, i, index) {
  const layer = D.net[i], x = into(i), dy = `${i}.output.gradient`, [n, ...rest] = index, v = (w, ix) => at(b, w, ix);
  if (layer.name === "dense") return sum("dx = Σ dy · W", range(layer.units).map(j => [[dy, [n, j]], [`${i}.kernel`, [rest[0], j]]]));
  if (layer.name === "conv2d") {
    const [p, q, k] = rest, [, rows, columns, filters] = shape(dy), terms = [];
    for (const a of range(layer.kernel_size)) for (const d of range(layer.kernel_size)) {
      const r = (p + layer.pads[0] - a) / layer.stride, c = (q + layer.pads[1] - d) / layer.stride;
      if (!Number.isInteger(r) || !Number.isInteger(c) || r < 0 || c < 0 || r >= rows || c >= columns) continue;
      for (const f of range(filters)) terms.push([[dy, [n, r, c, f]], [`${i}.kernel`, [a, d, k, f]]]);
    }
    return sum("dx = Σ dy · W over the windows that saw x", terms);
  }
  if (layer.name === "flatten") {
    let flat = 0;
    rest.forEach((p, k) => { flat = flat * shape(x)[k + 1] + p; });
    return from("the same number, back in its place", [[dy, [n, flat]]], v(dy, [n, flat]));
  }
  if (layer.name === "max_pool2d" || layer.name === "avg_pool2d") return pooledBack(b, i, index);
  if (layer.name === "global_avg_pool2d") {
    const [, rows, columns] = shape(x);
    return sum("dx = dy / (rows · columns)", [[[dy, [n, rest[2]]]]], 1 / rows / columns);
  }
  if (layer.name === "dropout") {
    const d = v(dy, index), y = v(`${i}.output`, index), was = v(x, index);
    const value = d === undefined || was === undefined || (was === 0 && d !== 0) ? undefined : y === 0 ? 0 : d / (1 - layer.rate);
    return from("dx = dy times what x was multiplied by", [[dy, index]], value);
  }
  if (layer.name === "softmax") {
    const row = range(shape(dy).at(-1)).map(k => [...index.slice(0, -1), k]), y = `${i}.output`;
    const along = row.reduce((s, ix) => s + v(dy, ix) * v(y, ix), 0), refs = row.flatMap(ix => [[dy, ix], [y, ix]]);
    return from("dx = y (dy − Σ dy · y)", refs, Number.isNaN(along) ? undefined : v(y, index) * (v(dy, index) - along));
  }
  if (curve(layer)) {
    const value = v(x, index), d = v(dy, index), [, slope, , text] = curve(layer);
    return from(`dx = dy · (${text})`, [[dy, index], [x, index], [`${i}.output`, index]], value === undefined || d === undefined ? undefined : d * slope(value));
  }
  return from("dx: through the value itself, the mean and the variance", [[dy, index], [x, index]]);
}
function pooledBack(b, i, index) {
  const layer = D.net[i], dy = `${i}.output.gradient`, x = into(i), [n, p, q, k] = index, [, rows, columns] = shape(dy), terms = [];
  let known = true;
  for (const r of range(rows)) for (const c of range(columns)) {
    const seen = window_(layer, [n, r, c, k]);
    if (!seen.some(ix => ix[1] === p && ix[2] === q)) continue;
    if (layer.name === "avg_pool2d") { terms.push([[dy, [n, r, c, k]]]); continue; }
    const values = seen.map(ix => at(b, x, ix));
    if (values.includes(undefined)) { known = false; continue; }
    const first = seen[values.indexOf(Math.max(...values))];
    if (first[1] === p && first[2] === q) terms.push([[dy, [n, r, c, k]]]);
  }
  if (layer.name === "avg_pool2d") return sum("dx = dy / the size of the window", terms, 1 / layer.size ** 2);
  return known ? sum("dx = dy where x was the first largest of its window, else 0", terms) : from("dx = dy where x was the largest", []);
}
function learnt(b, i, role, index) {
  const layer = D.net[i], x = into(i), dy = `${i}.output.gradient`, s = shape(dy), terms = [];
  if (role === "bias" && (layer.name === "dense" || layer.name === "conv2d")) {
    for (const ix of every(s.slice(0, -1))) terms.push([[dy, [...ix, index[0]]]]);
    return sum("db = Σ dy over the batch" + (s.length > 2 ? ", rows and columns" : ""), terms);
  }
  if (layer.name === "dense") return sum("dW = Σ x · dy over the batch", range(s[0]).map(n => [[x, [n, index[0]]], [dy, [n, index[1]]]]));
  if (layer.name === "conv2d") {
    const [a, d, k, f] = index, [, rows, columns] = shape(x);
    for (const [n, r, c] of every(s.slice(0, -1))) {
      const p = r * layer.stride + a - layer.pads[0], q = c * layer.stride + d - layer.pads[1];
      if (p >= 0 && q >= 0 && p < rows && q < columns) terms.push([[x, [n, p, q, k]], [dy, [n, r, c, f]]]);
    }
    return sum("dW = Σ x · dy over all windows of the batch", terms);
  }
  if (layer.name === "embedding" && array(b, x).kept === null) {
    for (const ix of every(shape(x))) if (at(b, x, ix) === index[0]) terms.push([[dy, [...ix, index[1]]]]);
    return sum("dW of a token = Σ dy wherever it stands", terms);
  }
  return from("the gradient of what normalising learns", [[`${i}.${role}`, index]]);
}
function every(lengths) {
  return lengths.reduce((found, n) => found.flatMap(ix => range(n).map(k => [...ix, k])), [[]]);
}
function updated(b, key, index) {
  const o = D.optimizer, g = [`${key}.gradient`, index], value = at(b, ...g);
  const plain = o.name === "sgd" && !o.momentum && !o.weight_decay && o.clip_norm === null && o.clip_value === null;
  if (plain) return from(`ΔW = −${D.rate} · gradient`, [g], value === undefined ? undefined : -D.rate * value);
  return from(`ΔW by ${o.title}, at the rate ${D.rate}`, [g, [key, index]]);
}
function made(b, what, index) {
  if (what === "prediction") {
    if (D.output_activation === "softmax") return softmax(b, `${LAST}.output`, index);
    const z = at(b, `${LAST}.output`, index), [f, , text] = F[D.output_activation];
    return from(`p = ${text}`.replaceAll("x", "z"), [[`${LAST}.output`, index]], z === undefined ? undefined : f(z));
  }
  if (what === "losses") return lossOf(b, index);
  if (what === "loss") return sum(D.loss.over_batch === "sum" ? "the sum over the batch" : "the mean over the batch", range(shape("losses")[0]).map(n => [["losses", [n]]]), batchScale());
  const [i, role, end] = what.split("."), layer = Number(i);
  if (role === "output" && !end) return forward(b, layer, index);
  if (role === "output") return layer === LAST ? startOf(b, index) : passed(b, layer + 1, index);
  if (end === "gradient") return learnt(b, layer, role, index);
  if (end === "update") return updated(b, `${i}.${role}`, index);
  return null;
}
// The numbers of each term, and what they come to; `missing` counts what the page does not have.
function total(b, m) {
  if (m.refs) return {value: m.value, size: Math.abs(m.value), terms: [], missing: 0};
  const terms = m.terms.map(factors => {
    const values = factors.map(([what, index]) => at(b, what, index));
    return {factors, values, product: values.includes(undefined) ? undefined : values.reduce((p, v) => p * v, m.scale)};
  });
  const known = terms.filter(t => t.product !== undefined);
  const value = known.reduce((s, t) => s + t.product, 0);
  const missing = terms.length - known.length;
  return {value: missing ? undefined : value, size: known.reduce((s, t) => s + Math.abs(t.product), 0), terms: known, missing};
}

// ---- stages ----
const named = i => `${i + 1} ${D.net[i].name}`;
const roles = i => ["kernel", "bias", "scale", "offset", "mean", "variance"].map(r => `${i}.${r}`).filter(has);
function stages() {
  const found = [{id: "input", chip: "input", title: "What goes in", text: "A batch of samples, and what is true of each." + (D.augmented ? " The samples have been moved as augmentation says." : ""), show: ["input", "labels"], result: []}];
  D.net.forEach((layer, i) => found.push({id: `f${i}`, chip: `${named(i)} →`, title: `Forward: layer ${i + 1}, ${D.layers[i]}`, text: FORWARD[layer.name] || "", show: [into(i), ...roles(i)], result: [`${i}.output`]}));
  found.push({id: "loss", chip: "loss", title: "The loss", text: "The last layer's numbers become predictions; the loss says how far they are from what is true.", show: [`${LAST}.output`, "labels"], result: ["prediction", "losses", "loss"]});
  found.push({id: "start", chip: "← loss", title: "Where the gradient starts", text: "How the loss changes with each of the last layer's numbers.", show: ["prediction", "labels"], result: [`${LAST}.output.gradient`]});
  for (let i = LAST; i >= 0 && has(`${i}.output.gradient`); i--) {
    const own = roles(i).map(r => `${r}.gradient`).filter(has), down = i && has(`${i - 1}.output.gradient`) ? [`${i - 1}.output.gradient`] : [];
    if (own.length + down.length) found.push({id: `b${i}`, chip: `← ${named(i)}`, title: `Back: layer ${i + 1}, ${D.layers[i]}`, text: BACK(own.length, down.length), show: [`${i}.output.gradient`, into(i), ...(own.length ? roles(i).filter(r => down.length && r.endsWith("kernel")) : [`${i}.output`])], result: [...own, ...down]});
  }
  D.net.forEach((layer, i) => {
    const own = roles(i).filter(r => has(`${r}.update`));
    if (own.length) found.push({id: `u${i}`, chip: `Δ ${named(i)}`, title: `Update: layer ${i + 1}, ${D.layers[i]}`, text: `${D.optimizer.title}, learning rate ${D.rate}: what is added to each weight.`, show: own.flatMap(r => [r, `${r}.gradient`]), result: own.map(r => `${r}.update`)});
  });
  return found;
}
const FORWARD = {
  dense: "Every output is a sum over all inputs, each times a weight of its own.", conv2d: "Every output looks at a window of the input, through the same kernel everywhere.",
  flatten: "The same numbers, in one row.", max_pool2d: "Of every window the largest stays.", dropout: "Some numbers are dropped, the others scaled up.",
};
const BACK = (own, down) => [own ? "How the loss changes with each weight" : "", down ? "how it changes with what went in, which the layer below gets" : ""].filter(Boolean).join(", and ").replace(/^h/, "H") + ".";
const NAMES = {input: "x, the input", labels: "labels", prediction: "p, the predictions", losses: "loss of each sample", loss: "the loss"};
function nameOf(what) {
  if (NAMES[what]) return what === "labels" && shape("labels").length > 1 ? "targets" : NAMES[what];
  const [i, role, end] = what.split("."), n = Number(i) + 1;
  const word = {kernel: "W", bias: "b"}[role] || role;
  if (role === "output") return end ? `gradient at the output of layer ${n}` : n - 1 === LAST ? `z, the output of layer ${n}` : `output of layer ${n}`;
  return {gradient: `gradient of ${word}`, update: `update of ${word}`}[end] || word;
}
function placeOf(what, index) {
  const [i, role] = what.split("."), one = index.map(k => k + 1);
  if (["kernel"].includes(role)) return D.net[i].name === "conv2d" ? `row ${one[0]}, column ${one[1]}, channel ${one[2]}, filter ${one[3]}` : `from ${one[0]} to ${one[1]}`;
  if (!index.length) return "";
  const last = what === "prediction" || what.startsWith(`${LAST}.output`);
  if (last && shape("labels").length === 1) return `sample ${one[0]}, class ${index[1]}`;
  if (role && role !== "output") return `${one[0]}`;
  return `sample ${one[0]}` + (one.length > 1 ? one.length === 4 ? `, row ${one[1]}, column ${one[2]}, channel ${one[3]}` : `, number ${one.slice(1).join(", ")}` : "");
}

// ---- drawing ----
const STAGES = stages();
let now = 0, picked = null, hiding = false, timer = 0;
const revealed = new Map();
const keyOf = (what, index) => `${what}|${index.join(",")}`;
const isHidden = (what, index) => hiding && STAGES[now].result.includes(what) && !revealed.has(keyOf(what, index));
function short(v) {
  if (v === undefined) return "?";
  if (!Number.isFinite(v)) return String(v);
  if (v === 0 || (Number.isInteger(v) && Math.abs(v) < 1e5)) return String(v).replace("-", "−");
  const a = Math.abs(v), text = a < 1e-3 || a >= 1e5 ? v.toExponential(1) : v.toPrecision(a < 0.1 ? 2 : 3);
  return text.replaceAll("-", "−");
}
// Rows of as many as an image has columns, where a vector may be one.
function rowsOf(row) {
  const side = Math.sqrt(row.length);
  if (!Number.isInteger(side) || side < 4) return [row];
  return range(side).map(r => row.slice(r * side, (r + 1) * side));
}
function lines(what, a) {
  const p = a.places, role = what.split(".")[1], kernel = role === "kernel";
  const batch = !kernel && (what === "input" || role === "output" || !role);
  const head = n => `sample ${n + 1}`;
  if (!p.length) return [{head: "", rows: [[[]]]}];
  if (p.length === 1) return batch ? p[0].map(n => ({head: head(n), rows: [[[n]]]})) : [{head: "", rows: [p[0].map(k => [k])]}];
  if (p.length === 2) {
    if (!kernel) return p[0].map(n => ({head: head(n), rows: rowsOf(p[1].map(k => [n, k]))}));
    return p[1].map(j => ({head: D.net[what.split(".")[0]].name === "embedding" ? `value ${j + 1}` : `into ${j + 1}`, rows: rowsOf(p[0].map(k => [k, j]))}));
  }
  if (p.length === 3) return p[0].map(n => ({head: head(n), rows: p[1].map(t => p[2].map(u => [n, t, u]))}));
  if (kernel) return p[3].flatMap(f => p[2].map(k => ({head: `filter ${f + 1}, channel ${k + 1}`, rows: p[0].map(r => p[1].map(c => [r, c, k, f]))})));
  return p[0].flatMap(n => p[3].map(k => ({head: `${head(n)}, channel ${k + 1}`, rows: p[1].map(r => p[2].map(c => [n, r, c, k]))})));
}
function cell(b, what, index) {
  const e = make("button", "n"), v = at(b, what, index), mark = revealed.get(keyOf(what, index));
  e.type = "button";
  e.tabIndex = -1;
  e.dataset.backend = b;
  e.dataset.what = what;
  e.dataset.index = index.join(",");
  if (isHidden(what, index)) {
    e.classList.add("hidden");
    e.textContent = "?";
    e.setAttribute("aria-label", `hidden: ${nameOf(what)}, ${placeOf(what, index)}`);
  } else {
    e.textContent = short(v);
    e.title = String(v);
    if (v === 0) e.classList.add("zero");
    if (hiding && mark && STAGES[now].result.includes(what)) { e.classList.add(mark); e.append(make("small", "", mark)); }
  }
  return e;
}
function panel(b, what, isResult) {
  const a = array(b, what), e = make("section", "panel" + (isResult ? " result" : "")), h = make("h3", "", nameOf(what));
  h.append(make("span", "soft", a.shape.length ? ` ${a.shape.join(" × ")}` : ""));
  e.append(h);
  const box = make("div", "lines");
  e.append(box);
  for (const {head, rows} of lines(what, a)) {
    const line = make("div", rows.length > 1 ? "line wide" : "line");
    if (head) line.append(make("span", "head", head));
    const grid = rows.length > 1 ? make("div", "grid") : make("div", "flow");
    if (rows.length > 1) grid.style.setProperty("--columns", rows[0].length);
    for (const row of rows) for (const index of row) grid.append(cell(b, what, index));
    line.append(grid);
    box.append(line);
  }
  if (a.kept) e.append(make("p", "soft", `A part: ${a.values.length} of ${a.shape.reduce((p, n) => p * n, 1).toLocaleString("en")} numbers.`));
  return e;
}
function apart(what) {
  const [first, ...others] = D.backends, a = array(first, what);
  return others.map(b => [b, Math.max(0, ...array(b, what).values.map((v, i) => Math.abs(v - a.values[i])))]);
}
function draw() {
  const s = STAGES[now], board = $("board");
  [...$("rail").children].forEach((chip, i) => i === now ? chip.setAttribute("aria-current", "step") : chip.removeAttribute("aria-current"));
  $("title").textContent = s.title;
  $("text").textContent = s.text;
  $("count").textContent = `stage ${now + 1} of ${STAGES.length}`;
  $("back").disabled = now === 0;
  $("next").disabled = now === STAGES.length - 1;
  board.replaceChildren();
  board.style.setProperty("--sides", D.backends.length);
  for (const b of D.backends) {
    const side = make("div", "side");
    if (D.backends.length > 1) side.append(make("h2", "", b));
    for (const what of s.result) {
      const e = panel(b, what, true), off = apart(what).find(([other]) => other === b);
      if (!off && !hiding && D.backends.length > 1) e.append(make("p", "soft", "The others are compared with these."));
      if (off && !hiding) e.append(make("p", "soft", off[1] ? `Differs from ${D.backends[0]} by at most ${off[1].toExponential(0)}.` : `The same numbers as ${D.backends[0]}.`));
      side.append(e);
    }
    if (s.result.length) side.append(make("h2", "soft", "made from"));
    for (const what of s.show) side.append(panel(b, what, false));
    board.append(side);
  }
  const firsts = board.querySelectorAll(".panel");
  firsts.forEach(p => { const c = p.querySelector(".n"); if (c) c.tabIndex = 0; });
  $("hide").setAttribute("aria-pressed", hiding);
  $("score").textContent = hiding ? `· ${score()}` : "";
  mark();
}
function score() {
  const s = STAGES[now], all = s.result.reduce((n, what) => n + array(D.backends[0], what).values.length, 0);
  const right = s.result.reduce((n, what) => n + [...indices(array(D.backends[0], what))].filter(ix => revealed.get(keyOf(what, ix)) === "right").length, 0);
  return s.result.length ? `${right} of ${all} guessed` : "Nothing to guess here: go on to the next stage.";
}
const cells = (what, index) => [...document.querySelectorAll(`.n[data-what="${what}"][data-index="${index.join(",")}"]`)];
function mark() {
  document.querySelectorAll(".picked, .term").forEach(e => e.classList.remove("picked", "term"));
  $("why").hidden = !picked;
  if (!picked) return;
  const {what, index} = picked, b = D.backends[0], m = made(b, what, index);
  cells(what, index).forEach(e => e.classList.add("picked"));
  if (m) for (const [w, ix] of m.refs || m.terms.flat()) cells(w, ix).forEach(e => e.classList.add("term"));
  explain(b, m);
}
function explain(b, m) {
  const {what, index} = picked, hidden = isHidden(what, index), box = $("made"), place = placeOf(what, index);
  $("of").textContent = nameOf(what) + (place ? `, ${place}` : "");
  $("rule").textContent = m ? m.rule : "given: it comes from the data, or from the steps before.";
  box.replaceChildren();
  if (m) written(b, m).forEach(text => box.append(make("span", "part", text)));
  $("value").replaceChildren(...(hidden ? [] : D.backends.map(each => make("span", "part", `${D.backends.length > 1 ? each + " " : ""}= ${String(at(each, what, index)).replaceAll("-", "−")}`))));
  $("guess").hidden = !hidden;
  $("verdict").textContent = "";
  $("verdict").className = "";
}
function written(b, m) {
  const brackets = v => v < 0 ? `(${short(v)})` : short(v);
  if (m.refs) return m.refs.length > 24 ? [`${m.refs.length} numbers are marked.`] : m.refs.map(([what, index]) => `${nameOf(what)}: ${short(at(b, what, index))}`);
  const {terms, missing} = total(b, m), most = [...terms].sort((p, q) => Math.abs(q.product) - Math.abs(p.product)).slice(0, 8);
  const rest = terms.filter(t => !most.includes(t));
  const text = most.map((t, i) => (i ? "+ " : "") + t.values.map(brackets).join(" · "));
  if (rest.length) text.push(`+ ${rest.length} more that come to ${short(rest.reduce((s, t) => s + t.product / m.scale, 0))}`);
  if (missing) text.push(`+ ${missing} of ${m.terms.length} that are not on this page`);
  return m.scale === 1 ? text : [`${short(m.scale)} · (`, ...text, ")"];
}

// ---- what is done ----
function go(to) {
  now = Math.max(0, Math.min(STAGES.length - 1, to));
  picked = null;
  draw();
  if ($("stage").getBoundingClientRect().top < 0) $("stage").scrollIntoView();
}
function pick(what, index, focus) {
  picked = {what, index};
  mark();
  if (focus && !$("guess").hidden) { $("number").value = ""; $("number").focus(); }
}
function play() {
  if (timer) { clearInterval(timer); timer = 0; } else {
    if (now === STAGES.length - 1) go(0);
    timer = setInterval(() => now === STAGES.length - 1 ? play() : go(now + 1), 2500);
  }
  $("play").textContent = timer ? "Pause" : "Play";
}
// Right is what rounds to the same two digits.
function isRight(guess, v) {
  const digit = v === 0 ? 1e-3 : 10 ** (Math.floor(Math.log10(Math.abs(v))) - 1);
  return Math.abs(guess - v) <= 0.5 * digit * (1 + 1e-9);
}
function check(event) {
  event.preventDefault();
  if (!picked || !isHidden(picked.what, picked.index)) return;
  const text = $("number").value.trim().replace(",", ".").replace("−", "-"), guess = Number(text);
  const v = at(D.backends[0], picked.what, picked.index);
  if (!text || !Number.isFinite(guess)) return say("Type a number, as 0.25 or −3e-2.", "");
  if (!isRight(guess, v)) return say(`Not yet: ${guess < v ? "too small" : "too large"}.`, "wrong");
  reveal("right");
  say(`Right: ${String(v).replaceAll("-", "−")}`, "right");
}
function reveal(word) {
  revealed.set(keyOf(picked.what, picked.index), word);
  draw();
}
function say(text, name) {
  $("verdict").textContent = text;
  $("verdict").className = name;
}
$("rail").append(...STAGES.map((s, i) => {
  const e = make("button", s.id[0] === "f" ? "there" : "", s.chip);
  e.type = "button";
  e.addEventListener("click", () => go(i));
  return e;
}));
$("back").addEventListener("click", () => go(now - 1));
$("next").addEventListener("click", () => go(now + 1));
$("play").addEventListener("click", play);
$("hide").addEventListener("click", () => { hiding = !hiding; draw(); });
$("guess").addEventListener("submit", check);
$("show").addEventListener("click", () => { reveal("shown"); });
$("close").addEventListener("click", () => { picked = null; mark(); });
$("board").addEventListener("click", event => {
  const e = event.target.closest(".n");
  if (e) pick(e.dataset.what, e.dataset.index ? e.dataset.index.split(",").map(Number) : [], true);
});
document.addEventListener("keydown", event => {
  if (event.target.tagName === "INPUT") { if (event.key === "Escape") event.target.blur(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const done = {
    ArrowRight: () => go(now + 1), ArrowLeft: () => go(now - 1), Home: () => go(0), End: () => go(STAGES.length - 1),
    h: () => $("hide").click(), p: play, Escape: () => $("close").click(),
  }[event.key];
  const beside = {ArrowDown: 1, ArrowUp: -1}[event.key];
  if (done) { event.preventDefault(); done(); }
  else if (beside && event.target.classList.contains("n")) {
    const all = [...event.target.closest(".panel").querySelectorAll(".n")], to = all[all.indexOf(event.target) + beside];
    if (to) { event.preventDefault(); to.focus(); }
  }
});
function fromAddress() {
  const [id, what, index] = location.hash.slice(1).split("/"), i = STAGES.findIndex(s => s.id === id);
  go(i < 0 ? 0 : i);
  if (what && index !== undefined) pick(what, index ? index.split(",").map(Number) : [], false);
}
addEventListener("hashchange", fromAddress);
fromAddress();
