/**
 * Files in memory that never change: what interpreters find their libraries in.
 *
 * Knows paths and directories. Does not know WASI, nor who reads.
 */

const encoder = new TextEncoder();

/**
 * A file (bytes) or a directory (its entries, in an order that depends on nothing but the paths).
 * @typedef {{ inode: bigint, bytes: Uint8Array }} File
 * @typedef {{ inode: bigint, entries: Map<string, Node> }} Directory
 * @typedef {File | Directory} Node
 */

/** A tree of files that can only be read. */
export class Files {
  /** @type {Directory} */ #root;

  /** @param {Record<string, Uint8Array | string>} contents path -> content; paths are below "/" */
  constructor(contents = {}) {
    let inodes = 1n;
    this.#root = { inode: inodes++, entries: new Map() };
    const byPath = Object.entries(contents).map(([path, content]) => ({
      path: Files.join("", path),
      content,
    }));
    byPath.sort((a, b) => (a.path < b.path ? -1 : 1));
    for (const { path, content } of byPath) {
      const steps = stepsOf(path);
      const title = steps.pop();
      if (title === undefined) throw new TypeError(`${path} names no file`);
      let at = this.#root;
      for (const step of steps) {
        let next = at.entries.get(step);
        if (next === undefined) {
          next = { inode: inodes++, entries: new Map() };
          at.entries.set(step, next);
        }
        if (!("entries" in next)) throw new TypeError(`${path} lies in a file`);
        at = next;
      }
      const bytes = typeof content === "string" ? encoder.encode(content) : content;
      if (at.entries.has(title)) throw new TypeError(`${path} is there twice`);
      at.entries.set(title, { inode: inodes++, bytes });
    }
  }

  /** Whether there is nothing in it. */
  get empty() {
    return this.#root.entries.size === 0;
  }

  /**
   * What a path leads to. `..` stays below the root.
   * @param {string} path
   * @returns {Node | undefined}
   */
  find(path) {
    /** @type {Node | undefined} */ let at = this.#root;
    for (const step of stepsOf(path)) {
      if (at === undefined || !("entries" in at)) return undefined;
      at = at.entries.get(step);
    }
    return at;
  }

  /**
   * A path relative to a directory, as one path from the root.
   * @param {string} directory
   * @param {string} path
   */
  static join(directory, path) {
    return "/" + stepsOf(`${directory}/${path}`).join("/");
  }
}

/**
 * The names on a way, without `.` and `..`.
 * @param {string} path
 */
function stepsOf(path) {
  /** @type {string[]} */ const steps = [];
  for (const step of path.split("/")) {
    if (step === "..") steps.pop();
    else if (step !== "" && step !== ".") steps.push(step);
  }
  return steps;
}
