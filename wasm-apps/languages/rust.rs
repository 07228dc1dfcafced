// Traits, generic collections, closures, iterators and formatting of Rust's standard library.
//
// Usage: rust [rounds=20]
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, VecDeque};
use std::fmt;

trait Shape {
    fn area(&self) -> f64;
    fn name(&self) -> String;
}

struct Circle(f64);
struct Rectangle {
    width: f64,
    height: f64,
}

impl Shape for Circle {
    fn area(&self) -> f64 {
        std::f64::consts::PI * self.0 * self.0
    }
    fn name(&self) -> String {
        format!("circle {:.1}", self.0)
    }
}

impl Shape for Rectangle {
    fn area(&self) -> f64 {
        self.width * self.height
    }
    fn name(&self) -> String {
        format!("rectangle {:.1} x {:.1}", self.width, self.height)
    }
}

#[derive(Debug)]
enum Failure {
    Odd(u64),
    TooLarge { value: u64, limit: u64 },
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Failure::Odd(value) => write!(out, "{} is odd", value),
            Failure::TooLarge { value, limit } => write!(out, "{} > {}", value, limit),
        }
    }
}

struct Random(u64);

impl Iterator for Random {
    type Item = u64;
    fn next(&mut self) -> Option<u64> {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        Some(self.0 >> 33)
    }
}

fn halve(value: u64, limit: u64) -> Result<u64, Failure> {
    if value > limit {
        return Err(Failure::TooLarge { value, limit });
    }
    if value % 2 == 1 {
        return Err(Failure::Odd(value));
    }
    Ok(value / 2)
}

fn halve_all(values: &[u64]) -> Result<u64, Failure> {
    values.iter().map(|&value| halve(value, 1000)).sum()
}

fn shortest(edges: &BTreeMap<u64, Vec<(u64, u64)>>, from: u64) -> HashMap<u64, u64> {
    let mut found = HashMap::new();
    let mut queue = BinaryHeap::new();
    queue.push((std::cmp::Reverse(0), from));
    while let Some((std::cmp::Reverse(cost), node)) = queue.pop() {
        if found.contains_key(&node) {
            continue;
        }
        found.insert(node, cost);
        for (to, weight) in edges.get(&node).into_iter().flatten() {
            queue.push((std::cmp::Reverse(cost + weight), *to));
        }
    }
    found
}

fn main() {
    let rounds: u64 = std::env::args().nth(1).and_then(|it| it.parse().ok()).unwrap_or(20);
    let mut random = Random(42);
    let (mut total, mut failures) = (0u64, BTreeMap::<String, u64>::new());
    for round in 0..rounds {
        let values: Vec<u64> = random.by_ref().take(200).map(|it| it % 100_000).collect();
        let distinct: HashSet<u64> = values.iter().cloned().collect();
        let mut sorted: Vec<u64> = distinct.into_iter().collect();
        sorted.sort_by(|a, b| b.cmp(a));

        let mut edges: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
        for pair in values.windows(3) {
            edges.entry(pair[0] % 64).or_default().push((pair[1] % 64, pair[2] % 90 + 1));
        }
        let reached = shortest(&edges, values[0] % 64);
        total += reached.values().sum::<u64>() + sorted[0];

        let shapes: Vec<Box<dyn Shape>> = values
            .chunks(2)
            .map(|pair| -> Box<dyn Shape> {
                if pair[0] % 3 == 0 {
                    Box::new(Circle(pair[1] as f64 / 1e4))
                } else {
                    Box::new(Rectangle { width: pair[0] as f64 / 1e3, height: pair[1] as f64 / 1e3 })
                }
            })
            .collect();
        let largest = shapes.iter().max_by(|a, b| a.area().total_cmp(&b.area())).unwrap();

        for chunk in values.chunks(5) {
            let smaller: Vec<u64> = chunk.iter().map(|it| it % 1010).collect();
            match halve_all(&smaller) {
                Ok(sum) => total += sum,
                Err(failure) => {
                    let text = failure.to_string();
                    *failures.entry(text.chars().rev().take(3).collect()).or_insert(0) += 1;
                }
            }
        }
        let mut ring: VecDeque<u64> = values.iter().copied().collect();
        ring.rotate_left((round % 200) as usize);
        let words: String = ring.iter().take(6).map(|it| format!("{:x}-", it)).collect();
        if round % (rounds / 5).max(1) == 0 {
            println!("{} {} {} {}", round, total, largest.name(), words.trim_end_matches('-'));
        }
    }
    println!("total {} failures {:?}", total, failures);
}
