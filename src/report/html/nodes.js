/*
 * The tree as the page has it, from the arrays that it comes in:
 *
 *   [name, [children...]]                                       a directory
 *   [name, [children...], 1]                                    what no container sees
 *   [name, unpacked, compressed, layer, package, old, kind, moved]   a file
 *   [count, unpacked, ...]                                      so many smaller files of a directory
 *
 * Layer and package are indices, -1 for several, null for none. The last three are there where two
 * images are compared. A compressed size that is not known is null.
 */
function readNode(array, parent) {
  const [name, body] = array;
  const node = { name: String(name), parent, files: 1, depth: parent ? parent.depth + 1 : 0 };
  node.buried = Boolean(parent?.buried);
  if (!Array.isArray(body)) {
    [, node.unpacked, node.compressed, node.layer, node.package, node.old, node.kind, node.moved] = array;
    node.whole = Math.max(node.unpacked, node.old ?? 0);
    if (typeof name === "number") {
      node.files = name;
      node.isRest = true;
      node.name = name === 1 ? "1 smaller file" : `${count(name)} smaller files`;
    }
    return node;
  }
  if (array[2]) {
    node.buried = true;
    node.isGrave = true;
    node.name = "replaced or removed";
  }
  node.children = body.map((child) => readNode(child, node));
  const sum = (key) => node.children.reduce((total, child) => total + child[key], 0);
  node.files = sum("files");
  node.unpacked = sum("unpacked");
  node.whole = sum("whole");
  const known = node.children.every((child) => child.compressed !== null);
  node.compressed = known ? sum("compressed") : null;
  if (node.children[0]?.old !== undefined) {
    node.old = sum("old");
    node.moved = sum("moved");
  }
  return node;
}

/* As it is in the image; what is above all is "/". */
function pathOf(node) {
  const names = [];
  for (let at = node; at.parent && !at.isGrave; at = at.parent) {
    if (!at.isRest) names.unshift(at.name);
  }
  return `/${names.join("/")}`;
}

/* The same words as everywhere else in Plimsoll: decimal units, one digit after the point. */
function human(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  let unit = 0;
  let tenth = 100;
  const rounded = () => Math.floor(bytes / tenth) + (bytes % tenth >= tenth / 2 ? 1 : 0);
  while (rounded() >= 10000 && unit < 5) {
    tenth *= 1000;
    unit += 1;
  }
  const tenths = rounded();
  return `${Math.floor(tenths / 10)}.${tenths % 10} ${["kB", "MB", "GB", "TB", "PB", "EB"][unit]}`;
}

function signed(bytes) {
  return `${bytes > 0 ? "+" : bytes < 0 ? "-" : ""}${human(Math.abs(bytes))}`;
}

function count(number) {
  return number.toLocaleString("en-US");
}
