// Steps through a walk: the picture with the present step, its headers beside it, the list of steps below.
const SVG = "http://www.w3.org/2000/svg";

function el(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const line = (points) => "M" + points.map(([x, y]) => `${x} ${y}`).join("L");

export function mount(root, data) {
  root.classList.add("cnm-walk");
  root.replaceChildren();
  const head = el("header");
  head.append(el("h1", "", data.title));
  const verdict = el("span", "cnm-verdict " + (data.reachable ? "good" : "bad"), data.verdict);
  head.append(verdict);
  const bar = el("nav");
  const buttons = {};
  for (const [name, label, key] of [
    ["first", "|◀", "Home"], ["back", "◀", "←"], ["play", "▶ play", "space"], ["next", "▶", "→"], ["last", "▶|", "End"],
  ]) {
    buttons[name] = el("button", "cnm-" + name, label);
    buttons[name].type = "button";
    buttons[name].title = `${name} (${key})`;
    bar.append(buttons[name]);
  }
  const slider = el("input", "cnm-slider");
  slider.type = "range";
  slider.min = 0;
  const count = el("output", "cnm-count");
  const every = el("label", "cnm-every");
  const box = el("input");
  box.type = "checkbox";
  every.append(box, " every device");
  bar.append(slider, count, every);

  const main = el("main");
  const picture = el("div", "cnm-picture");
  picture.innerHTML = data.svg;
  const svg = picture.querySelector("svg");
  const trail = svg.querySelector(".cnm-ways");
  const mark = shape("g", {});
  svg.append(mark);
  const side = el("aside");
  main.append(picture, side);
  const now = el("section", "cnm-now");
  const list = el("ol", "cnm-steps");
  const finding = el("footer", "cnm-finding", data.finding);
  root.append(head, bar, now, main, list, finding);

  let steps = [], at = 0, timer = null;

  function choose() {
    const present = steps[at];
    steps = data.steps.filter((step) => box.checked || !step.plain);
    at = Math.max(0, steps.indexOf(present));
    slider.max = Math.max(0, steps.length - 1);
    list.replaceChildren();
    steps.forEach((step, index) => {
      const item = el("li", step.loss ? "loss" : step.step);
      item.append(
        el("span", "n", String(index + 1)), el("span", "t", step.time),
        el("span", "p", step.place + (step.device ? " " + step.device : "")), el("span", "m", step.packet), el("span", "w", step.what),
      );
      item.addEventListener("click", () => show(index));
      list.append(item);
    });
    show(at);
  }

  // The legs of hidden steps belong to the way as well: take all steps up to the present one.
  function walked() {
    const present = steps[at];
    const until = data.steps.indexOf(present);
    return data.steps.slice(0, until + 1);
  }

  function show(index) {
    if (!steps.length) return;
    at = Math.min(Math.max(index, 0), steps.length - 1);
    const step = steps[at];
    const before = at ? data.steps.indexOf(steps[at - 1]) : -1;
    trail.replaceChildren();
    mark.replaceChildren();
    walked().forEach((each, position) => {
      if (each.leg.length < 2) return;
      const isNew = position > before && each.message === step.message;
      trail.append(shape("path", {
        d: line(each.leg), fill: "none", "stroke-linecap": "round", "stroke-linejoin": "round",
        class: `cnm-leg ${each.message === step.message ? "same" : "old"} ${each.answer ? "answer" : ""} ${isNew ? "new" : ""}`,
      }));
    });
    if (step.at) {
      const [x, y] = step.at;
      mark.append(shape("circle", { cx: x, cy: y, r: 9, class: "cnm-here" + (step.loss ? " loss" : "") }));
      const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width || 1;
      const left = x * scale - picture.clientWidth / 2;
      if (picture.scrollTo) picture.scrollTo({ left, behavior: "auto" });
    }
    now.replaceChildren(
      el("b", "", `${at + 1}. ${step.place}${step.device ? " · " + step.device : ""}`),
      el("span", "cnm-what" + (step.loss ? " loss" : ""), step.what),
      el("code", "", step.decision || ""),
    );
    side.replaceChildren(el("h2", "", step.packet), el("p", "cnm-addresses", step.addresses));
    const depth = Math.max(0, ...step.headers.map((header) => header.depth));
    let group = null, last = -1;
    for (const header of step.headers) {
      if (header.depth !== last) {
        last = header.depth;
        group = el("div", "cnm-group depth" + Math.min(last, 2));
        if (depth) group.append(el("div", "cnm-depth", last === 0 ? "outer: on the wire between hosts" : "inner: what the container sent"));
        side.append(group);
      }
      const part = el("details");
      part.open = true;
      part.append(el("summary", "", header.protocol));
      const table = el("table");
      for (const [name, value] of header.fields) {
        const row = el("tr");
        row.append(el("th", "", name), el("td", "", value));
        table.append(row);
      }
      part.append(table);
      group.append(part);
    }
    if (!step.headers.length) side.append(el("p", "cnm-none", "no packet at this step"));
    slider.value = at;
    count.textContent = `${at + 1} / ${steps.length}`;
    [...list.children].forEach((item, number) => item.classList.toggle("here", number === at));
    const here = list.children[at];
    list.scrollTop = Math.max(0, here.offsetTop - list.offsetTop - list.clientHeight / 2);
    finding.classList.toggle("shown", at === steps.length - 1);
  }

  function play() {
    if (timer) { clearInterval(timer); timer = null; buttons.play.textContent = "▶ play"; return; }
    if (at === steps.length - 1) at = -1;
    buttons.play.textContent = "❚❚ pause";
    show(at + 1);
    timer = setInterval(() => { if (at >= steps.length - 1) play(); else show(at + 1); }, 900);
  }

  buttons.first.onclick = () => show(0);
  buttons.back.onclick = () => show(at - 1);
  buttons.next.onclick = () => show(at + 1);
  buttons.last.onclick = () => show(steps.length - 1);
  buttons.play.onclick = play;
  slider.oninput = () => show(Number(slider.value));
  box.onchange = choose;
  root.tabIndex = 0;
  root.addEventListener("keydown", (event) => {
    const act = { ArrowRight: "next", ArrowLeft: "back", Home: "first", End: "last", " ": "play" }[event.key];
    if (!act || event.target === slider || event.target === box) return;
    event.preventDefault();
    buttons[act].click();
  });
  choose();
  const wanted = /^#(\d+)$/.exec(location.hash);
  if (wanted && document.body.classList.contains("cnm-page")) show(Number(wanted[1]) - 1);
  root.focus({ preventScroll: true });
  return () => clearInterval(timer);
}

export default {
  render({ model, el: root }) {
    const holder = document.createElement("div");
    root.append(holder);
    return mount(holder, model.get("walk"));
  },
};
