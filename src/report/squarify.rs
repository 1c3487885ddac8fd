//! How areas share a rectangle: "Squarified Treemaps" by Bruls, Huizing and van Wijk (2000).

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rectangle {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// One rectangle for each of `weights`, which are positive and fall, in the same order. They fill
/// `within`, and are as square as that allows.
pub(super) fn squarify(weights: &[f64], within: Rectangle) -> Vec<Rectangle> {
    let total: f64 = weights.iter().sum();
    let scale = within.width * within.height / total;
    let mut free = within;
    let mut placed = Vec::with_capacity(weights.len());
    let mut rest = weights;
    while !rest.is_empty() {
        let side = free.width.min(free.height);
        let mut count = 1;
        let mut sum = rest[0] * scale;
        while count < rest.len() {
            let next = sum + rest[count] * scale;
            if worst(rest, count + 1, next, scale, side) > worst(rest, count, sum, scale, side) {
                break;
            }
            count += 1;
            sum = next;
        }
        let (row, others) = rest.split_at(count);
        lay(row, sum, scale, &mut free, &mut placed);
        rest = others;
    }
    placed
}

/// How far from a square the worst of the first `count` is, in a row along `side`.
fn worst(weights: &[f64], count: usize, sum: f64, scale: f64, side: f64) -> f64 {
    let (largest, smallest) = (weights[0] * scale, weights[count - 1] * scale);
    let square = side * side;
    (square * largest / (sum * sum)).max(sum * sum / (square * smallest))
}

/// Lays a row along the shorter side of what is free.
fn lay(row: &[f64], sum: f64, scale: f64, free: &mut Rectangle, placed: &mut Vec<Rectangle>) {
    let is_column = free.width >= free.height;
    let side = if is_column { free.height } else { free.width };
    let depth = if side > 0.0 { sum / side } else { 0.0 };
    let mut along = 0.0;
    for weight in row {
        let length = if depth > 0.0 { weight * scale / depth } else { 0.0 };
        placed.push(if is_column {
            Rectangle { y: free.y + along, width: depth, height: length, ..*free }
        } else {
            Rectangle { x: free.x + along, width: length, height: depth, ..*free }
        });
        along += length;
    }
    if is_column {
        free.x += depth;
        free.width = (free.width - depth).max(0.0);
    } else {
        free.y += depth;
        free.height = (free.height - depth).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WITHIN: Rectangle = Rectangle { x: 10.0, y: 20.0, width: 600.0, height: 400.0 };

    #[test]
    fn the_example_of_the_paper() {
        let within = Rectangle { x: 0.0, y: 0.0, width: 6.0, height: 4.0 };
        let placed = squarify(&[6.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0], within);
        let first = Rectangle { x: 0.0, y: 0.0, width: 3.0, height: 2.0 };
        assert_eq!(placed[0], first);
        assert_eq!(placed[1], Rectangle { y: 2.0, ..first });
        assert!((placed[2].width - 12.0 / 7.0).abs() < 1e-9);
        assert!((placed[2].height - 7.0 / 3.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn areas_are_weights_inside_the_rectangle(
            mut weights in proptest::collection::vec(1..1_000_000_000_u64, 1..80)
        ) {
            weights.sort_by(|a, b| b.cmp(a));
            #[allow(clippy::cast_precision_loss, reason = "drawn in pixels")]
            let weights: Vec<f64> = weights.iter().map(|weight| *weight as f64).collect();
            let scale = WITHIN.width * WITHIN.height / weights.iter().sum::<f64>();
            let placed = squarify(&weights, WITHIN);
            prop_assert_eq!(placed.len(), weights.len());
            for (rectangle, weight) in placed.iter().zip(&weights) {
                prop_assert!((rectangle.width * rectangle.height - weight * scale).abs() < 1e-3);
                prop_assert!(rectangle.x >= WITHIN.x - 1e-6 && rectangle.y >= WITHIN.y - 1e-6);
                prop_assert!(rectangle.x + rectangle.width <= WITHIN.x + WITHIN.width + 1e-6);
                prop_assert!(rectangle.y + rectangle.height <= WITHIN.y + WITHIN.height + 1e-6);
            }
        }
    }
}
