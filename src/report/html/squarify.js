"use strict";

/*
 * Rectangles for `weights`, positive and falling, that fill `box` and are as square as that allows:
 * "Squarified Treemaps" by Bruls, Huizing and van Wijk.
 */
function squarify(weights, box) {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const scale = (box.width * box.height) / total;
  let { x, y, width, height } = box;
  const placed = [];
  let start = 0;
  while (start < weights.length) {
    const side = Math.min(width, height);
    const worst = (end, sum) =>
      Math.max(
        (side * side * weights[start] * scale) / (sum * sum),
        (sum * sum) / (side * side * weights[end - 1] * scale),
      );
    let end = start + 1;
    let sum = weights[start] * scale;
    while (end < weights.length) {
      const next = sum + weights[end] * scale;
      if (worst(end + 1, next) > worst(end, sum)) break;
      sum = next;
      end += 1;
    }
    // A row along the shorter side of what is free.
    const isColumn = width >= height;
    const depth = side > 0 ? sum / side : 0;
    let along = 0;
    for (; start < end; start += 1) {
      const length = depth > 0 ? (weights[start] * scale) / depth : 0;
      placed.push(
        isColumn
          ? { x, y: y + along, width: depth, height: length }
          : { x: x + along, y, width: length, height: depth },
      );
      along += length;
    }
    if (isColumn) {
      x += depth;
      width = Math.max(width - depth, 0);
    } else {
      y += depth;
      height = Math.max(height - depth, 0);
    }
  }
  return placed;
}
