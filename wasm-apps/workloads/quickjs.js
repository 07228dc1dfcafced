// Objects, closures, exceptions, regular expressions, sorting, generators, promises.
let seed = 42;
const random = (n) => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return (seed >>> 8) % n;
};

class Failure extends Error {
  constructor(code) {
    super(`failure ${code}`);
    this.code = code;
  }
}

class Queue {
  #items = [];
  push(item) {
    this.#items.push(item);
    this.#items.sort((a, b) => a.cost - b.cost || a.name.localeCompare(b.name));
    return this;
  }
  pop() {
    if (this.#items.length === 0) throw new Failure("empty");
    return this.#items.shift();
  }
}

function descend(depth) {
  try {
    if (depth === 0) throw new Failure(random(50));
    return descend(depth - 1) + 1;
  } catch (error) {
    if (error.code % 2 === 0) throw error;
    return error.code;
  } finally {
    total += depth;
  }
}

function* pairs(list) {
  for (const a of list) for (const b of list) if (a < b) yield [a, b];
}

let total = 0;
const log = [];
const later = async (round) => {
  await null;
  try {
    await Promise.reject(new Failure(round));
  } catch ({ code }) {
    total += code;
  }
  return round;
};

for (let round = 1; round <= 25; round++) {
  for (let depth = 1; depth < 12; depth++) {
    try {
      total += descend(depth);
    } catch (error) {
      total += error instanceof Failure ? error.code : 1000;
    }
  }
  const queue = new Queue();
  for (let i = 0; i < 15; i++) queue.push({ cost: random(20), name: "n" + i });
  let order = "";
  try {
    for (;;) order += queue.pop().name + ",";
  } catch (error) {
    order += error.message;
  }
  const text = Array.from({ length: 30 }, () => "abc de-12"[random(9)]).join("");
  const found = [...text.matchAll(/(?<letters>[a-c]+)|(\d+)-?/g)].map((it) => it.groups.letters ?? it[2]);
  for (const [a, b] of pairs([3, 1, 4, 1, 5, 9, 2, 6])) total += a * b;
  const grouped = found.reduce((map, word) => map.set(word, (map.get(word) ?? 0) + 1), new Map());
  total += [...grouped.values()].reduce((a, b) => a + b, 0);
  const data = JSON.parse(JSON.stringify({ round, found, nested: { list: [1.5, null, "x"] } }));
  if (round % 5 === 0) {
    print(round, total, order.slice(0, 24), data.found.sort().join("|"));
    later(round).then((value) => log.push(value));
  }
}
Promise.resolve().then(() => print("log", total, order(log)));
const order = (list) => list.map((it) => it.toString(16)).join(" ");
(async () => {
  for (let i = 0; i < 5; i++) await later(i);
  print("end", total, order(log));
})();
