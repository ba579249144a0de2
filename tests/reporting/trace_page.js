// What a reader of the page does, done: keys, clicks and guesses; what it shows is left in #found.
const key = name => document.body.dispatchEvent(new KeyboardEvent("keydown", {key: name, bubbles: true}));
const all = selector => [...document.querySelectorAll(selector)];
const found = {stages: [], numbers: [], wrong: [], checked: 0, unchecked: [], wide: [], terms: null, quiz: {}, width: innerWidth};
const read = e => [e.dataset.backend, e.dataset.what, e.dataset.index, e.title, e.firstChild.textContent];

key("Home");
for (;;) {
  found.stages.push(document.querySelector("#rail [aria-current]").textContent);
  found.numbers.push(...all(".n").map(read));
  if (document.documentElement.scrollWidth > innerWidth) found.wide.push(found.stages.at(-1));
  for (const e of all(".n")) {
    const index = e.dataset.index ? e.dataset.index.split(",").map(Number) : [], value = Number(e.title);
    const m = made(e.dataset.backend, e.dataset.what, index);
    if (!m) continue;
    const t = total(e.dataset.backend, m), close = (D.single ? 2e-6 : 1e-13) * (1 + t.size);
    if (t.value === undefined) found.unchecked.push(e.dataset.what);
    else if (!(Math.abs(t.value - value) <= close)) found.wrong.push([e.dataset.what, e.dataset.index, value, t.value]);
    else found.checked++;
  }
  if (document.getElementById("next").disabled) break;
  key("ArrowRight");
}
key("ArrowLeft");
found.back = document.querySelector("#rail [aria-current]").textContent;
document.getElementById("next").click();
found.again = document.querySelector("#rail [aria-current]").textContent;

const stage = text => all("#rail button").find(e => e.textContent.startsWith(text)).click();
stage("1 ");
all(".result .n")[1].click();
found.terms = all(".term").map(e => [e.dataset.what, e.dataset.index]);
found.why = document.getElementById("why").textContent;

const hidden = () => all(".n.hidden").length, verdict = () => document.getElementById("verdict").textContent;
const guess = text => {
  document.getElementById("number").value = text;
  document.getElementById("guess").requestSubmit();
  return verdict();
};
const before = all(".result .n").map(e => e.title);
key("h");
const quiz = found.quiz;
quiz.before = hidden();
quiz.leaks = all(".result .n").filter(e => e.title || e.textContent !== "?").length
  + before.filter(text => document.querySelector("main").outerHTML.includes(text)).length;
all(".result .n")[1].click();
quiz.asked = !document.getElementById("guess").hidden;
quiz.leaksWhy = document.getElementById("why").textContent.includes(before[1]);
const value = Number(before[1]), digit = 10 ** (Math.floor(Math.log10(Math.abs(value))) - 1);
quiz.nothing = guess("half");
quiz.small = guess(String(value - digit));
quiz.large = guess(String(value + digit));
quiz.still = hidden();
quiz.right = guess(String(Math.round(value / digit) * digit));
const won = all(".result .n")[1];
quiz.won = [won.className, won.textContent];
quiz.after = hidden();
all(".result .n")[0].click();
document.getElementById("show").click();
quiz.shown = all(".result .n")[0].textContent;
quiz.score = document.getElementById("score").textContent;
key("h");
quiz.end = hidden();

const out = document.createElement("pre");
out.id = "found";
out.textContent = JSON.stringify(found);
parent.document.body.append(out);
