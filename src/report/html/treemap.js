/*
 * Draws one directory of the tree into an SVG, with what is in it nested inside. What is on screen
 * is all there is in the document: an image may have far more files than a browser has patience.
 */
const STRIP = 18; // Over what is in a directory, for its name.
const NESTED = 46; // A directory smaller than this is drawn as one tile.
const VISIBLE = 4; // What is smaller is drawn together, as one patch.

function svgElement(name, attributes, parent) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent?.append(element);
  return element;
}

class Treemap {
  /* `toneOf` gives the tone of a file; `onZoom` is told of the directory that is shown. */
  constructor(svg, root, { measure, toneOf, describe, onZoom }) {
    Object.assign(this, { svg, root, measure, toneOf, describe, onZoom });
    this.at = root;
    this.isLit = () => true; // What a legend entry picks.
    this.found = new Set(); // What a search found, and all that it is in.
    this.nodes = new Map(); // From the element that is drawn to its node.
    svg.addEventListener("click", (event) => this.click(event));
    svg.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(svg);
  }

  draw() {
    const width = this.svg.clientWidth;
    if (!width) return;
    const height = Math.round(Math.min(Math.max(window.innerHeight * 0.62, 360), 680));
    const hadFocus = this.svg.contains(document.activeElement);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.replaceChildren();
    this.nodes.clear();
    const pattern = svgElement("pattern", { id: "hatch", width: 7, height: 7, patternUnits: "userSpaceOnUse" }, svgElement("defs", {}, this.svg));
    svgElement("path", { d: "M-1 8L8 -1M-1 1L1 -1M6 8L8 6" }, pattern);
    this.stage = svgElement("g", {}, this.svg);
    this.drawChildren(this.at, { x: 0, y: 0, width, height }, 0, this.stage);
    const first = this.svg.querySelector("g[tabindex]");
    if (!first) {
      const text = svgElement("text", { x: 16, y: 32 }, this.stage);
      text.textContent = "Nothing to draw here.";
    } else {
      first.setAttribute("tabindex", "0");
      if (hadFocus) first.focus({ preventScroll: true });
    }
  }

  drawChildren(node, box, depth, into) {
    const measure = this.measure;
    const children = node.children.filter((child) => child[measure] > 0);
    children.sort((a, b) => b[measure] - a[measure]);
    const boxes = squarify(children.map((child) => child[measure]), box);
    const isVisible = ({ width, height }) => width >= VISIBLE && height >= VISIBLE;
    this.drawPatch(children.filter((_, index) => !isVisible(boxes[index])), boxes.filter((place) => !isVisible(place)), into);
    children.forEach((child, index) => {
      if (isVisible(boxes[index])) this.drawNode(child, boxes[index], depth, into);
    });
  }

  /* Below the others, so that it only fills what they leave free. */
  drawPatch(nodes, boxes, into) {
    if (!nodes.length) return;
    const x = Math.min(...boxes.map((box) => box.x));
    const y = Math.min(...boxes.map((box) => box.y));
    const width = Math.max(...boxes.map((box) => box.x + box.width)) - x;
    const height = Math.max(...boxes.map((box) => box.y + box.height)) - y;
    const { tone } = this.toneOf(heaviest(nodes[0], this.measure));
    svgElement("rect", { x, y, width, height, class: `patch tone-${tone}` }, into);
  }

  drawNode(node, box, depth, into) {
    const isNested = node.children && box.width >= NESTED && box.height >= NESTED;
    const group = svgElement("g", { tabindex: "-1", role: node.children ? "button" : "img" }, into);
    group.setAttribute("aria-label", this.describe(node));
    this.nodes.set(group, node);
    group.classList.toggle("opens", Boolean(node.children) || node.parent !== this.at);
    group.classList.toggle("found", this.found.has(node) && !isNested);
    const rx = Math.min(box.width, box.height) > 12 ? 2 : 0;
    svgElement("rect", { x: box.x, y: box.y, width: box.width, height: box.height, rx }, group);
    if (isNested) {
      group.classList.add("directory", depth % 2 ? "depth-odd" : "depth-even");
      this.label(group, `${node.name}  ${human(node[this.measure])}`, node.name, box, 13, "");
      const inside = { x: box.x + 3, y: box.y + STRIP, width: box.width - 6, height: box.height - STRIP - 3 };
      this.drawChildren(node, inside, depth + 1, group);
      return;
    }
    const { tone, sign, isHatched } = this.toneOf(heaviest(node, this.measure));
    group.classList.add("tile");
    group.classList.toggle("dim", !(this.isLit(tone) && (!this.found.size || this.found.has(node))));
    group.firstChild.setAttribute("class", `fill tone-${tone}`);
    if (isHatched || node.buried) {
      const { x, y, width, height } = box;
      svgElement("rect", { x, y, width, height, class: "hatched" }, group);
    }
    const name = sign ? `${sign} ${node.name}` : node.name;
    if (box.height > 18) this.label(group, name, name, box, 15, "");
    if (box.height > 35) this.label(group, human(node[this.measure]), "", box, 29, "small");
  }

  /* `long` where there is room for it, or else what fits of `short`. */
  label(group, long, short, box, y, style) {
    const room = Math.floor((box.width - 9) / 6.7);
    let text = long.length <= room ? long : short;
    if (text.length > room) text = room < 4 ? "" : `${text.slice(0, room - 1)}…`;
    if (!text) return;
    svgElement("text", { x: box.x + 5, y: box.y + y, class: style }, group).textContent = text;
  }

  /* The node that an event is about. */
  nodeOf(event) {
    return this.nodes.get(event.target.closest?.("g[tabindex]"));
  }

  elementOf(node) {
    for (const [element, drawn] of this.nodes) if (drawn === node) return element;
    return null;
  }

  zoom(node) {
    if (!node || node === this.at) return;
    const isIn = node.depth > this.at.depth;
    const from = this.elementOf(node)?.getBBox();
    this.at = node;
    this.draw();
    this.onZoom(node);
    if (!window.matchMedia("(prefers-reduced-motion: reduce)").matches) {
      const { width, height } = this.svg.viewBox.baseVal;
      const start = isIn && from
        ? `translate(${from.x}px, ${from.y}px) scale(${from.width / width}, ${from.height / height})`
        : `translate(${width * 0.04}px, ${height * 0.04}px) scale(0.92)`;
      const frames = [{ transform: start, opacity: 0.4 }, { transform: "none", opacity: 1 }];
      this.stage.animate(frames, { duration: 180, easing: "ease-out" });
    }
  }

  zoomOut() {
    this.zoom(this.at.parent);
  }

  click(event) {
    const node = this.nodeOf(event);
    if (node) this.zoom(node.children ? node : node.parent);
  }

  key(event) {
    const node = this.nodes.get(document.activeElement);
    if (!node) return;
    if (event.key === "Enter" || event.key === " ") {
      this.zoom(node.children ? node : node.parent);
    } else {
      const next = this.neighbor(document.activeElement, event.key);
      if (!next) return;
      document.activeElement.setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    }
    event.preventDefault();
  }

  /* Left and right go along a directory, down into one, up out of it. */
  neighbor(element, key) {
    const isTile = (other) => (other && this.nodes.has(other) ? other : null);
    const along = { ArrowLeft: "previousElementSibling", ArrowRight: "nextElementSibling" }[key];
    if (along) return isTile(element[along]);
    if (key === "ArrowUp") return isTile(element.parentElement);
    return key === "ArrowDown" ? element.querySelector("g[tabindex]") : null;
  }
}

/* The file that a directory too small to be opened is colored by: found by way of the heaviest. */
function heaviest(node, measure) {
  let at = node;
  while (at.children) {
    at = at.children.reduce((most, child) => (child[measure] > most[measure] ? child : most));
  }
  return at;
}
