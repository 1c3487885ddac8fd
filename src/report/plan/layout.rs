//! Where the cards of a graph stand: columns from what is read to what reads it. An arrow that
//! passes a column has a place of its own in it, so that it goes around the cards.

/// What is between two cards of a column.
const GAP: f64 = 26.0;
/// What an arrow needs that passes between cards.
const BEND: f64 = 10.0;
/// How often the order of the columns, and the heights, are mended.
const ROUNDS: usize = 8;

/// A graph without cycles: heights of its cards, and arrows from one card to a later one.
pub(super) struct Graph<'a> {
    pub heights: &'a [f64],
    pub arrows: &'a [(usize, usize)],
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    /// Column and top of each card.
    pub cards: Vec<(usize, f64)>,
    /// Of each arrow: the heights at which it passes the columns between its ends.
    pub bends: Vec<Vec<f64>>,
    pub columns: usize,
    pub height: f64,
}

/// A card, or the place where an arrow passes.
struct Item {
    height: f64,
    top: f64,
    column: usize,
    /// Items of the neighboring columns.
    before: Vec<usize>,
    after: Vec<usize>,
}

impl Item {
    fn middle(&self) -> f64 {
        self.top + self.height / 2.0
    }
}

impl Graph<'_> {
    pub(super) fn layout(&self) -> Layout {
        let columns_of = self.columns();
        let columns = columns_of.iter().max().map_or(0, |last| last + 1);
        let mut items: Vec<Item> = std::iter::zip(self.heights, &columns_of)
            .map(|(height, column)| Item::new(*height, *column))
            .collect();
        let chains: Vec<Vec<usize>> =
            self.arrows.iter().map(|arrow| chain(&mut items, &columns_of, *arrow)).collect();
        let mut order: Vec<Vec<usize>> = vec![Vec::new(); columns];
        for (index, item) in items.iter().enumerate() {
            order[item.column].push(index);
        }
        for column in &order {
            stack(&mut items, column);
        }
        for round in 0..ROUNDS {
            settle(&mut items, &mut order, round);
        }
        let top = items.iter().map(|item| item.top).fold(f64::INFINITY, f64::min);
        for item in &mut items {
            item.top -= top;
        }
        Layout {
            cards: items[..self.heights.len()].iter().map(|i| (i.column, i.top)).collect(),
            bends: chains
                .iter()
                .map(|chain| chain.iter().map(|bend| items[*bend].middle()).collect())
                .collect(),
            columns,
            height: items.iter().map(|item| item.top + item.height).fold(0.0, f64::max),
        }
    }

    /// Each card stands one column behind the last that it has an arrow from; one that reads nothing
    /// stands right before the first that reads it.
    fn columns(&self) -> Vec<usize> {
        let mut columns = vec![0; self.heights.len()];
        // Arrows go from earlier cards to later ones, so one pass in their order is enough.
        let mut arrows = self.arrows.to_vec();
        arrows.sort_unstable_by_key(|(_, to)| *to);
        for (from, to) in &arrows {
            columns[*to] = columns[*to].max(columns[*from] + 1);
        }
        for card in (0..columns.len()).rev() {
            if arrows.iter().any(|(_, to)| *to == card) {
                continue;
            }
            let readers = arrows.iter().filter(|(from, _)| *from == card);
            if let Some(first) = readers.map(|(_, to)| columns[*to]).min() {
                columns[card] = first - 1;
            }
        }
        columns
    }
}

impl Item {
    fn new(height: f64, column: usize) -> Self {
        Self { height, top: 0.0, column, before: Vec::new(), after: Vec::new() }
    }
}

/// Adds the bends of an arrow and joins it all.
fn chain(items: &mut Vec<Item>, columns: &[usize], (from, to): (usize, usize)) -> Vec<usize> {
    let first = items.len();
    items.extend((columns[from] + 1..columns[to]).map(|column| Item::new(BEND, column)));
    let bends: Vec<usize> = (first..items.len()).collect();
    let mut last = from;
    for next in bends.iter().copied().chain([to]) {
        items[last].after.push(next);
        items[next].before.push(last);
        last = next;
    }
    bends
}

/// One below the other, from the top.
fn stack(items: &mut [Item], column: &[usize]) {
    let mut top = 0.0;
    for &index in column {
        items[index].top = top;
        top += items[index].height + GAP;
    }
}

/// Orders each column by where the neighbors of its items are, and moves the items there, as far as
/// the others leave room. Every other round looks at the other neighbors.
fn settle(items: &mut [Item], order: &mut [Vec<usize>], round: usize) {
    let forth = round.is_multiple_of(2);
    let columns: Vec<usize> =
        if forth { (0..order.len()).collect() } else { (0..order.len()).rev().collect() };
    for column in columns {
        let wanted = |item: &Item| {
            let neighbors = if forth { &item.before } else { &item.after };
            if neighbors.is_empty() {
                return item.middle();
            }
            let sum: f64 = neighbors.iter().map(|n| items[*n].middle()).sum();
            sum / neighbors.len() as f64
        };
        let mut places: Vec<(usize, f64)> =
            order[column].iter().map(|index| (*index, wanted(&items[*index]))).collect();
        places.sort_by(|(_, left), (_, right)| left.total_cmp(right));
        order[column] = places.iter().map(|(index, _)| *index).collect();
        place(items, &places);
    }
}

/// Gives every item the place it wants, moved down where the one before it needs the room; then the
/// column as a whole is moved back by what it came too low on average.
fn place(items: &mut [Item], places: &[(usize, f64)]) {
    let mut free = f64::NEG_INFINITY;
    let mut excess = 0.0;
    for (index, middle) in places {
        let item = &mut items[*index];
        let wanted = middle - item.height / 2.0;
        item.top = wanted.max(free);
        excess += item.top - wanted;
        free = item.top + item.height + GAP;
    }
    for (index, _) in places {
        items[*index].top -= excess / places.len() as f64;
    }
}
