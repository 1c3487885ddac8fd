/* What is around the treemap: controls, legend, path, search, tooltip, tables, theme. */
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const root = readNode(data.tree, null);

const KINDS = {
  added: { sign: "+", label: "added" },
  grown: { sign: "▲", label: "grown" },
  removed: { sign: "−", label: "removed", isHatched: true },
  shrunk: { sign: "▼", label: "shrunk", isHatched: true },
  altered: { sign: "≠", label: "altered" },
  same: { sign: "", label: "unchanged" },
};

/* What a color can stand for; each gives the tone of a file and what the legend says of it. */
const COLORS = {
  layer: {
    label: "Layer",
    toneOf: (file) => ({ tone: toneOf(data.layers, file.layer) }),
    names: () => names(data.layers, (layer) => layer.name, "other layers", "in no layer"),
  },
  package: {
    label: "Package",
    toneOf: (file) => ({ tone: toneOf(data.packages, file.package) }),
    names: () => names(data.packages, (item) => item.name, "other packages", "in no package"),
  },
  kind: {
    label: "Change",
    toneOf: (file) => ({ tone: file.kind, ...KINDS[file.kind] }),
    names: () => Object.entries(KINDS).map(([tone, kind]) => [tone, `${kind.sign} ${kind.label}`.trim()]),
  },
};
const MEASURES = {
  unpacked: "Unpacked",
  compressed: "Compressed, estimated",
  moved: "What changed",
  whole: "Whole image",
};

function toneOf(items, index) {
  if (index === null) return "none";
  return index < 0 ? "mixed" : items[index].tone;
}

function names(items, name, rest, none) {
  const known = items.filter((item) => item.tone !== "rest").map((item) => [item.tone, name(item)]);
  known.sort();
  return [...known, ["rest", rest], ["mixed", "small files, added up"], ["none", none]];
}

function element(tag, attributes = {}, ...content) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...content);
  return made;
}

/* The treemap, and what it is drawn by. */
const measures = data.compared
  ? ["moved", "whole"].filter((measure) => root[measure] > 0)
  : ["unpacked", "compressed"].filter((measure) => root[measure] !== null);
const colors = data.compared
  ? ["kind"]
  : ["layer", "package"].filter((name) => data[`${name}s`].length > 1);
let color = COLORS[colors[0] ?? "layer"];

const map = new Treemap(byId("treemap"), root, {
  measure: measures[0] ?? "whole",
  toneOf: (file) => color.toneOf(file),
  describe: (node) => [pathOf(node), ...facts(node).map((fact) => fact.join(" "))].join(", "),
  onZoom: () => {
    hideTip();
    drawCrumbs();
    drawLegend();
  },
});

function choice(label, options, names, pick) {
  if (options.length < 2) return;
  const group = element("div", { class: "choice", role: "group", "aria-label": label });
  options.forEach((option, index) => {
    const button = element("button", { type: "button", "aria-pressed": index === 0 }, names(option));
    button.addEventListener("click", () => {
      for (const other of group.children) other.setAttribute("aria-pressed", other === button);
      pick(option);
      map.draw();
      drawCrumbs();
      drawLegend();
    });
    group.append(button);
  });
  byId("controls").append(group);
}

choice("Area", measures, (measure) => MEASURES[measure], (measure) => {
  map.measure = measure;
});
choice("Color", colors, (name) => COLORS[name].label, (name) => {
  color = COLORS[name];
  light(null);
});

function drawCrumbs() {
  const crumbs = [];
  for (let node = map.at; node; node = node.parent) {
    const button = element("button", { type: "button" }, node.parent ? node.name : "/");
    if (node === map.at) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => map.zoom(node));
    // The root is a slash itself: none follows it.
    crumbs.unshift(...(node.depth > 1 ? ["/", button] : [button]));
  }
  const size = human(map.at[map.measure]);
  const about = map.measure === "moved" ? `${size} changed` : `${size}, ${files(map.at)}`;
  byId("crumbs").replaceChildren(...crumbs, element("span", { class: "quiet" }, about));
}

/* Which tone is picked in the legend, if any. */
let picked = null;

function light(tone) {
  map.isLit = (other) => tone === null || other === tone;
  picked = tone;
}

function drawLegend() {
  const sums = new Map();
  const add = (node) => {
    if (node.children) return node.children.forEach(add);
    const { tone } = color.toneOf(node);
    sums.set(tone, (sums.get(tone) ?? 0) + node[map.measure]);
  };
  add(map.at);
  const entries = color.names().filter(([tone]) => sums.get(tone) > 0);
  const buttons = entries.map(([tone, label]) => {
    const button = element("button", { type: "button", "aria-pressed": tone === picked, title: label });
    const swatch = svgElement("svg", { viewBox: "0 0 14 14", "aria-hidden": "true" }, button);
    svgElement("rect", { class: `tone-${tone}`, width: 14, height: 14 }, swatch);
    button.append(element("span", { class: "label" }, label));
    button.append(element("span", { class: "size" }, human(sums.get(tone))));
    button.addEventListener("click", () => {
      light(picked === tone ? null : tone);
      map.draw();
      for (const other of byId("legend").children) {
        other.setAttribute("aria-pressed", other === button && picked !== null);
      }
    });
    return button;
  });
  byId("legend").replaceChildren(...buttons);
}

/* What the tooltip says of a node, as pairs of words. */
function facts(node) {
  const facts = [];
  if (data.compared) {
    facts.push(["Unpacked", `${human(node.old)} → ${human(node.unpacked)} (${signed(node.unpacked - node.old)})`]);
    if (!node.children) facts.push(["Change", KINDS[node.kind].label]);
  } else {
    facts.push(["Unpacked", human(node.unpacked)]);
  }
  if (node.compressed !== null && (node.unpacked > 0 || !data.compared)) {
    facts.push(["Compressed", `~${human(node.compressed)}`]);
  }
  if (node.children || node.isRest) facts.push(["Files", count(node.files)]);
  const layer = data.layers[node.layer];
  if (layer) facts.push(["Layer", layer.name]);
  const owner = data.packages[node.package];
  if (owner) facts.push(["Package", `${owner.name} (${owner.kind})`]);
  if (node.buried) facts.push(["Visible", "no: a higher layer replaces or removes it"]);
  return facts;
}

function files(node) {
  return `${count(node.files)} ${node.files === 1 ? "file" : "files"}`;
}

/* The tooltip follows the pointer, and the focus. */
const tip = byId("tip");

function showTip(node, x, y) {
  const list = element("dl");
  for (const [name, value] of facts(node)) list.append(element("dt", {}, name), element("dd", {}, value));
  const path = node.isRest ? `${pathOf(node)} · ${node.name}` : pathOf(node);
  tip.replaceChildren(element("div", { class: "path" }, path), list);
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = x + 16 + width > window.innerWidth ? Math.max(x - 16 - width, 4) : x + 16;
  const top = y + 16 + height > window.innerHeight ? Math.max(y - 12 - height, 4) : y + 16;
  tip.style.transform = `translate(${left}px, ${top}px)`;
}

function hideTip() {
  tip.hidden = true;
}

map.svg.addEventListener("pointermove", (event) => {
  const node = map.nodeOf(event);
  if (node) showTip(node, event.clientX, event.clientY);
  else hideTip();
});
map.svg.addEventListener("pointerleave", hideTip);
map.svg.addEventListener("focusin", (event) => {
  const node = map.nodeOf(event);
  if (!node || !event.target.matches(":focus-visible")) return;
  const { left, top } = event.target.getBoundingClientRect();
  showTip(node, left, top + STRIP);
});
map.svg.addEventListener("focusout", hideTip);
window.addEventListener("scroll", hideTip, { passive: true });

/* Search: all words of it, in any case, somewhere in the path. */
const SHOWN = 30;
const search = byId("search");
const found = byId("found");

function look() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  map.found = new Set();
  if (words.length) {
    const matches = [];
    const walk = (node, path) => {
      if (node.isRest) return;
      const own = node.parent && !node.isGrave ? `${path}/${node.name.toLowerCase()}` : path;
      // A directory that matches says it for all that is in it.
      if (node.parent && words.every((word) => own.includes(word))) matches.push(node);
      else node.children?.forEach((child) => walk(child, own));
    };
    walk(root, "");
    matches.sort((a, b) => b[map.measure] - a[map.measure]);
    matches.forEach(markFound);
    showMatches(matches);
  }
  found.hidden = !words.length;
  map.draw();
}

/* Whatever it is in is lit too, and all that is in it. */
function markFound(node) {
  for (let at = node; at; at = at.parent) map.found.add(at);
  const inside = (child) => {
    map.found.add(child);
    child.children?.forEach(inside);
  };
  inside(node);
}

function showMatches(matches) {
  const rows = matches.slice(0, SHOWN).map((node) => {
    const size = element("span", {}, human(node[map.measure]));
    const button = element("button", { type: "button" }, element("span", { class: "path" }, pathOf(node)), size);
    button.addEventListener("click", () => go(node));
    return element("li", {}, button);
  });
  const more = matches.length - rows.length;
  const note = !matches.length ? `Nothing found. ${leftOut}` : more > 0 ? `and ${count(more)} more` : "";
  if (note) rows.push(element("li", {}, element("p", {}, note)));
  found.replaceChildren(...rows);
}

/* Shows where a node is: the directory itself, or the one that a file is in. */
function go(node) {
  found.hidden = true;
  map.found = new Set();
  markFound(node);
  const target = node.children ? node : node.parent;
  if (target === map.at) map.draw();
  else map.zoom(target);
}

search.addEventListener("input", look);
search.addEventListener("focus", () => {
  found.hidden = !search.value.trim();
});
search.addEventListener("keydown", (event) => {
  if (event.key === "Enter") found.querySelector("button")?.click();
  if (event.key === "ArrowDown") {
    found.querySelector("button")?.focus();
    event.preventDefault();
  }
});
found.addEventListener("keydown", (event) => {
  const row = document.activeElement.closest("li");
  const next = { ArrowDown: row?.nextElementSibling, ArrowUp: row?.previousElementSibling }[event.key];
  if (next === undefined) return;
  (next?.querySelector("button") ?? search).focus();
  event.preventDefault();
});
document.addEventListener("pointerdown", (event) => {
  if (!event.target.closest(".search")) found.hidden = true;
});

/* Escape undoes one thing: the search, then what the legend picked, then a step of the zoom. */
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (search.value || map.found.size) {
    search.value = "";
    look();
  } else if (picked !== null) {
    light(null);
    map.draw();
    drawLegend();
  } else {
    map.zoomOut();
  }
});

/* What the page has not one by one. */
function smaller(node) {
  if (node.isRest) return node.files;
  return node.children?.reduce((sum, child) => sum + smaller(child), 0) ?? 0;
}
const small = smaller(root);
const leftOut = small ? `${count(small)} small files are added up by directory and can't be found by name.` : "";
byId("left-out").textContent = leftOut;

/* Tables that a heading sorts; numbers the largest first. */
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, index) => {
    const button = element("button", { type: "button" }, ...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const isNumber = heading.classList.contains("number");
      const first = isNumber ? "descending" : "ascending";
      const second = isNumber ? "ascending" : "descending";
      const order = heading.getAttribute("aria-sort") === first ? second : first;
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", order);
      const key = (row) => (isNumber ? Number(row.cells[index].dataset.sort) : row.cells[index].textContent);
      const compare = isNumber ? (a, b) => key(a) - key(b) : (a, b) => key(a).localeCompare(key(b), "en");
      const rows = [...table.tBodies[0].rows].sort(compare);
      if (order === "descending") rows.reverse();
      table.tBodies[0].append(...rows);
      fold(table);
    });
  });
}

/* Of long tables the first rows, and a button for the others. */
const ROWS = 20;

function fold(table) {
  const rows = [...table.tBodies[0].rows];
  const isOpen = table.dataset.open === "true";
  rows.forEach((row, index) => {
    row.hidden = !isOpen && index >= ROWS;
  });
}

for (const table of document.querySelectorAll("table")) {
  const length = table.tBodies[0].rows.length;
  if (length <= ROWS + 5) {
    table.dataset.open = "true";
    continue;
  }
  fold(table);
  const button = element("button", { type: "button", class: "show" }, `Show all ${count(length)}`);
  button.addEventListener("click", () => {
    table.dataset.open = "true";
    fold(table);
    button.remove();
  });
  table.parentElement.after(button);
}

/* The theme: the system's until someone picks one, which is kept where the browser allows it. */
const theme = byId("theme");
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const { theme: own } = document.documentElement.dataset;
  return own ? own === "dark" : dark.matches;
}

function setTheme(name) {
  if (name) document.documentElement.dataset.theme = name;
  theme.setAttribute("aria-pressed", isDark());
}

theme.addEventListener("click", () => {
  const name = isDark() ? "light" : "dark";
  setTheme(name);
  try {
    localStorage.setItem("plimsoll-theme", name);
  } catch {
    // No storage here: the choice lasts as long as the page.
  }
});
dark.addEventListener("change", () => setTheme());
try {
  setTheme(localStorage.getItem("plimsoll-theme"));
} catch {
  setTheme();
}

drawCrumbs();
drawLegend();
