// Values under the pointer, by touch or by the arrow keys; groups on and off, in all figures.
const off = new Set(), clamp = (x, low, high) => Math.max(low, Math.min(high, x));
for (const chart of document.querySelectorAll(".chart[data-marks]")) {
  const marks = JSON.parse(chart.dataset.marks), svg = chart.querySelector("svg");
  if (!marks.length) continue;
  const tip = document.createElement("div"), ring = document.createElement("div");
  tip.className = "tip"; tip.setAttribute("role", "status"); ring.className = "ring";
  tip.hidden = ring.hidden = true; chart.append(ring, tip);
  chart.tabIndex = 0; chart.setAttribute("role", "group");
  chart.setAttribute("aria-label", "Figure; the arrow keys go through its values");
  let at = -1;
  const visible = () => marks.filter(mark => !off.has(mark[0]));
  const hide = () => { tip.hidden = ring.hidden = true; at = -1; fade(null); };
  const fade = group => chart.querySelectorAll("[data-group]").forEach(part =>
    part.classList.toggle("faint", group !== null && +part.dataset.group !== group));
  const show = (mark, among) => {
    const box = svg.viewBox.baseVal, scale = svg.clientWidth / box.width;
    const x = mark[1] * scale, y = mark[2] * scale;
    const same = among.filter(m => Math.hypot(m[1] - mark[1], m[2] - mark[2]) < 1.5).map(m => m[3]);
    tip.replaceChildren(...[...new Set(same)].slice(0, 6).map(text => Object.assign(document.createElement("div"), {textContent: text})));
    tip.hidden = ring.hidden = false;
    ring.style.left = x + "px"; ring.style.top = y + "px";
    tip.style.left = clamp(x - tip.offsetWidth / 2, 0, chart.clientWidth - tip.offsetWidth) + "px";
    tip.style.top = (y - tip.offsetHeight - 12 < 0 ? y + 14 : y - tip.offsetHeight - 12) + "px";
    fade(same.length > 1 ? null : mark[0]);
  };
  const near = event => {
    const frame = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / frame.width;
    const x = (event.clientX - frame.left) * scale, y = (event.clientY - frame.top) * scale;
    const all = visible(), far = mark => Math.hypot(mark[1] - x, mark[2] - y);
    const best = all.reduce((a, b) => a && far(a) <= far(b) ? a : b, null);
    if (best && far(best) < 45) { at = all.indexOf(best); show(best, all); } else hide();
  };
  svg.addEventListener("pointermove", near); svg.addEventListener("pointerdown", near);
  chart.addEventListener("pointerleave", event => { if (event.pointerType === "mouse") hide(); });
  chart.addEventListener("blur", hide); chart.addEventListener("hide", hide);
  chart.addEventListener("keydown", event => {
    const all = visible(), step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    if (event.key === "Escape") hide();
    if (!step || !all.length) return;
    event.preventDefault();
    at = at < 0 && step < 0 ? all.length - 1 : clamp(at + step, 0, all.length - 1);
    show(all[at], all);
  });
}
for (const button of document.querySelectorAll("button[data-toggle]")) {
  button.addEventListener("click", () => {
    const group = +button.dataset.toggle, shown = off.has(group);
    if (shown) off.delete(group); else off.add(group);
    document.querySelectorAll(`button[data-toggle="${group}"]`).forEach(b => b.setAttribute("aria-pressed", shown));
    document.querySelectorAll(`.chart [data-group="${group}"]`).forEach(part => part.classList.toggle("off", !shown));
    document.querySelectorAll(".chart").forEach(chart => chart.dispatchEvent(new Event("hide")));
  });
}
