/** Compiling and instantiating, at once where that is allowed. */

/**
 * @param {WebAssembly.Module} module
 * @param {WebAssembly.Imports} imports
 */
export function instantiate(module, imports) {
  return atOnce(
    () => new WebAssembly.Instance(module, imports),
    () => WebAssembly.instantiate(module, imports),
  );
}

/**
 * Continuations are small: what takes longest is to wait for another thread.
 * @param {import("./description.mjs").Point[]} points
 * @param {import("./migratable.mjs").MakeContinuations} make
 */
export async function compileMade(points, make) {
  const made = await make(points);
  if (made instanceof WebAssembly.Module) return made;
  return atOnce(
    () => new WebAssembly.Module(made),
    () => WebAssembly.compile(made),
  );
}

/**
 * The main thread of a browser refuses (with a RangeError) to do something large at once.
 * @template T
 * @param {() => T} now
 * @param {() => Promise<T>} soon
 * @returns {Promise<T>}
 */
async function atOnce(now, soon) {
  try {
    return now();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return soon();
  }
}
