// Classes, generics, maps, strings and the garbage collector of
// AssemblyScript, with WASI through its shim.
//
// Usage: assemblyscript [rounds=20]

abstract class Shape {
  constructor(readonly name: string) {}
  abstract area(): f64;
}

class Circle extends Shape {
  constructor(readonly radius: f64) {
    super("circle");
  }
  area(): f64 {
    return Math.PI * this.radius * this.radius;
  }
}

class Rectangle extends Shape {
  constructor(
    readonly width: f64,
    readonly height: f64,
  ) {
    super("rectangle");
  }
  area(): f64 {
    return this.width * this.height;
  }
}

class Tree<T> {
  left: Tree<T> | null = null;
  right: Tree<T> | null = null;
  constructor(public value: T) {}

  add(value: T): void {
    const next = value < this.value ? this.left : this.right;
    if (next) return next.add(value);
    if (value < this.value) this.left = new Tree<T>(value);
    else this.right = new Tree<T>(value);
  }

  walk(visit: (value: T) => void): void {
    const left = this.left;
    const right = this.right;
    if (left) left.walk(visit);
    visit(this.value);
    if (right) right.walk(visit);
  }
}

let seed: u32 = 42;
let sum: u32 = 0;

function random(limit: u32): u32 {
  seed = seed * 1664525 + 1013904223;
  return (seed >> 8) % limit;
}

function round(words: Map<string, u32>): string {
  const tree = new Tree<u32>(random(10000));
  for (let i = 0; i < 120; i++) tree.add(random(10000));
  tree.walk((value) => {
    sum = sum * 31 + value;
  });

  const shapes: Shape[] = [];
  for (let i = 0; i < 40; i++) {
    if (random(2)) shapes.push(new Circle(<f64>random(100) / 7));
    else shapes.push(new Rectangle(<f64>random(100), <f64>random(100) / 3));
  }
  shapes.sort((a, b) => (a.area() < b.area() ? -1 : a.area() > b.area() ? 1 : 0));

  let text = "";
  for (let i = 0; i < 60; i++) text += String.fromCharCode(97 + random(26)) + (i % 5 == 4 ? " " : "");
  const parts = text.trim().split(" ");
  for (let i = 0; i < parts.length; i++) {
    const key = parts[i].substring(0, 2);
    words.set(key, (words.has(key) ? words.get(key) : 0) + 1);
  }
  return shapes[20].name + " " + shapes[20].area().toString() + " " + parts[3].toUpperCase();
}

const rounds = process.argv.length > 1 ? I32.parseInt(process.argv[1]) : 20;
const words = new Map<string, u32>();
for (let number = 0; number < rounds; number++) {
  const line = round(words);
  if (number % max(rounds / 5, 1) == 0) process.stdout.write(number.toString() + " " + line + "\n");
}
let largest = "";
const keys = words.keys();
for (let i = 0; i < keys.length; i++) {
  if (largest == "" || words.get(keys[i]) > words.get(largest)) largest = keys[i];
}
process.stdout.write("sum " + sum.toString() + " " + largest + " of " + keys.length.toString() + "\n");
