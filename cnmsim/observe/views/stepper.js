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

// The head of an arrow at the end of a line.
function head(points) {
  const [x, y] = points[points.length - 1], [a, b] = points[points.length - 2];
  const length = Math.hypot(x - a, y - b) || 1, dx = (x - a) / length, dy = (y - b) / length;
  const at = (along, aside) => `${x + dx * along - dy * aside} ${y + dy * along + dx * aside}`;
  return `M${at(1, 0)}L${at(-9, 6)}L${at(-9, -6)}Z`;
}

let mounted = 0;

export function mount(root, data) {
  root.classList.add("cnm-walk");
  root.replaceChildren();
  root.setAttribute("role", "region");
  root.setAttribute("aria-label", `walk: ${data.title}`);
  // Keys here are the walk's, not JupyterLab's.
  root.dataset.lmSuppressShortcuts = "true";
  const isPage = document.body.classList.contains("cnm-page");
  const prefix = `cnm-${++mounted}`;
  const top = el("header");
  top.append(el("h1", "", data.title));
  const verdict = el("span", "cnm-verdict", data.verdict);
  verdict.style.background = data.colour;
  top.append(verdict);
  const bar = el("nav");
  bar.setAttribute("aria-label", "steps of the walk");
  const buttons = {};
  for (const [name, label, title, key] of [
    ["first", "|◀", "first step", "Home"], ["back", "◀", "step back", "←"], ["play", "▶ play", "play", "space"],
    ["next", "▶", "next step", "→"], ["last", "▶|", "last step", "End"],
  ]) {
    buttons[name] = el("button", "cnm-" + name, label);
    buttons[name].type = "button";
    buttons[name].title = `${title} (${key})`;
    if (name !== "play") buttons[name].setAttribute("aria-label", title);
    bar.append(buttons[name]);
  }
  const slider = el("input", "cnm-slider");
  slider.type = "range";
  slider.min = 0;
  slider.setAttribute("aria-label", "step");
  const count = el("output", "cnm-count");
  const every = el("label", "cnm-every");
  const box = el("input");
  box.type = "checkbox";
  every.append(box, " every device");
  every.title = "also steps at which nothing was decided (d)";
  const fit = el("button", "cnm-fit", "fit");
  fit.type = "button";
  fit.title = "the whole picture at once (f)";
  fit.setAttribute("aria-pressed", "false");
  bar.append(slider, count, every, fit);

  const main = el("main");
  const picture = el("div", "cnm-picture");
  picture.innerHTML = data.svg;
  picture.tabIndex = 0;
  picture.setAttribute("aria-label", "picture of the lab");
  picture.setAttribute("role", "group");
  const svg = picture.querySelector("svg");
  const trail = svg.querySelector(".cnm-ways");
  const mark = shape("g", {});
  svg.append(mark);
  const side = el("aside");
  side.setAttribute("aria-label", "headers of the packet");
  side.tabIndex = 0;
  main.append(picture, side);
  const now = el("section", "cnm-now");
  now.setAttribute("aria-live", "polite");
  const list = el("ol", "cnm-steps");
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "steps");
  list.tabIndex = 0;
  root.append(top, el("div", "cnm-finding", data.finding), bar, now, main, list);

  let steps = [], at = 0, timer = null;

  // Show those steps that are wanted, and of them `target`, or the one that is present.
  function choose(target = -1) {
    const present = steps[at];
    steps = data.steps.filter((step) => box.checked || !step.plain);
    // Where the present step is hidden, go to the last one before it.
    const until = data.steps.indexOf(present);
    at = Math.max(0, steps.findLastIndex((step) => data.steps.indexOf(step) <= until));
    slider.max = Math.max(0, steps.length - 1);
    list.replaceChildren();
    steps.forEach((step, index) => {
      const item = el("li", (step.loss ? "loss" : step.step) + (step.answer ? " reply" : ""));
      item.id = `${prefix}-step-${index}`;
      item.setAttribute("role", "option");
      item.append(
        el("span", "n", String(index + 1)), el("span", "t", step.time),
        el("span", "p", step.place + (step.device ? " " + step.device : "")), el("span", "m", step.packet), el("span", "w", step.what),
      );
      item.addEventListener("click", () => show(index));
      list.append(item);
    });
    show(target >= 0 ? target : at);
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
      if (isNew) trail.append(shape("path", { d: head(each.leg), class: "cnm-head" + (each.answer ? " answer" : "") }));
    });
    if (step.at) {
      const [x, y] = step.at;
      mark.append(shape("circle", { cx: x, cy: y, r: step.loss ? 10 : 12, class: "cnm-here" + (step.loss ? " loss" : step.answer ? " answer" : "") }));
      if (step.loss) mark.append(shape("path", { d: `M${x - 4} ${y - 4}l8 8M${x + 4} ${y - 4}l-8 8`, class: "cnm-cross" }));
      bringIntoView();
    }
    now.className = "cnm-now" + (step.loss ? " loss" : step.answer ? " answer" : "");
    now.replaceChildren(
      el("b", "", `${at + 1}. ${step.place}${step.device ? " · " + step.device : ""}`),
      el("span", "cnm-what" + (step.loss ? " loss" : ""), step.what),
      el("code", "", step.decision || ""),
    );
    side.replaceChildren(el("h2", "", step.packet), el("p", "cnm-addresses", step.addresses));
    // What this step has written anew is told apart from what it has found.
    const earlier = data.steps.slice(0, data.steps.indexOf(step)).reverse().find((each) => each.message === step.message && each.headers.length);
    const deepest = (headers) => Math.max(0, ...headers.map((header) => header.depth));
    const depth = deepest(step.headers), earlierHeaders = earlier ? earlier.headers : [];
    // Headers answer each other from the inside out: a tunnel's are put in front.
    const within = (header, most) => header.protocol + (most - header.depth);
    const known = new Map(earlierHeaders.map((header) => [within(header, deepest(earlierHeaders)), new Map(header.fields)]));
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
        const before = known.get(within(header, depth));
        const row = el("tr", before && before.has(name) && before.get(name) !== value ? "changed" : "");
        if (row.className) row.title = `was ${before.get(name)}`;
        row.append(el("th", "", name), el("td", "", value));
        table.append(row);
      }
      part.append(table);
      group.append(part);
    }
    if (!step.headers.length) side.append(el("p", "cnm-none", "no packet at this step"));
    slider.value = at;
    slider.setAttribute("aria-valuetext", `${at + 1} of ${steps.length}: ${step.place} ${step.device} ${step.what}`);
    count.textContent = `${at + 1} / ${steps.length}`;
    [...list.children].forEach((item, number) => {
      item.classList.toggle("here", number === at);
      item.setAttribute("aria-selected", String(number === at));
    });
    const here = list.children[at];
    list.setAttribute("aria-activedescendant", here.id);
    if (isPage) history.replaceState(null, "", `#${box.checked ? "all-" : ""}${at + 1}`);
    list.scrollTop = Math.max(0, here.offsetTop - list.clientHeight / 2);
  }

  function bringIntoView() {
    const circle = mark.querySelector("circle");
    if (!circle || !picture.scrollTo) return;
    const seen = circle.getBoundingClientRect(), frame = picture.getBoundingClientRect();
    picture.scrollTo({
      left: picture.scrollLeft + seen.left + seen.width / 2 - frame.left - picture.clientWidth / 2,
      top: picture.scrollTop + seen.top + seen.height / 2 - frame.top - picture.clientHeight / 2,
      behavior: "auto",
    });
  }

  function play() {
    if (timer) { clearInterval(timer); timer = null; buttons.play.textContent = "▶ play"; now.setAttribute("aria-live", "polite"); return; }
    if (at === steps.length - 1) at = -1;
    buttons.play.textContent = "❚❚ pause";
    now.setAttribute("aria-live", "off");
    show(at + 1);
    timer = setInterval(() => { if (at >= steps.length - 1) play(); else show(at + 1); }, 900);
  }

  buttons.first.onclick = () => show(0);
  buttons.back.onclick = () => show(at - 1);
  buttons.next.onclick = () => show(at + 1);
  buttons.last.onclick = () => show(steps.length - 1);
  buttons.play.onclick = play;
  slider.oninput = () => show(Number(slider.value));
  box.onchange = () => choose();
  fit.onclick = () => {
    const isFit = picture.classList.toggle("fit");
    fit.setAttribute("aria-pressed", String(isFit));
    bringIntoView();
  };
  root.tabIndex = -1;
  const keys = {
    ArrowRight: "next", ArrowLeft: "back", ArrowDown: "next", ArrowUp: "back", Home: "first", End: "last", " ": "play", f: "fit", d: "every",
  };
  root.addEventListener("keydown", (event) => {
    const act = keys[event.key], target = event.target;
    if (!act || event.ctrlKey || event.altKey || event.metaKey) return;
    // A control that is in focus keeps its own keys; up and down scroll the picture and the headers.
    if (target === slider || (event.key === " " && (target === box || target.tagName === "BUTTON" || target.tagName === "SUMMARY"))) return;
    if (/^Arrow(Up|Down)$/.test(event.key) && (target === picture || target === side)) return;
    event.preventDefault();
    event.stopPropagation();
    if (act === "every") { box.checked = !box.checked; choose(); } else (act === "fit" ? fit : buttons[act]).click();
  });
  const onSize = () => bringIntoView();
  addEventListener("resize", onSize);

  function goToHash() {
    const wanted = /^#(all-)?(\d+)$/.exec(location.hash);
    if (wanted) box.checked = Boolean(wanted[1]);
    choose(wanted ? Number(wanted[2]) - 1 : -1);
  }

  if (!isPage) choose();
  else {
    goToHash();
    addEventListener("hashchange", goToHash);
    root.focus({ preventScroll: true });
  }
  return () => { clearInterval(timer); removeEventListener("resize", onSize); removeEventListener("hashchange", goToHash); };
}

export default {
  render({ model, el: root }) {
    const holder = document.createElement("div");
    root.append(holder);
    return mount(holder, model.get("walk"));
  },
};
