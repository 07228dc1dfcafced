/**
 * WASI preview 1 as data: its numbers, and how it lays things out in memory.
 */

/** @typedef {import("./files.mjs").Node} Node */

export const SUCCESS = 0;
export const EAGAIN = 6;
export const EBADF = 8;
export const EINVAL = 28;
export const EISDIR = 31;
export const ENOENT = 44;
export const ENOSYS = 52;
export const ENOTDIR = 54;
export const EROFS = 69;
export const ESPIPE = 70;

export const CHARACTER_DEVICE = 2;
export const DIRECTORY = 3;
export const REGULAR_FILE = 4;

export const CREATE = 1;
export const WANT_DIRECTORY = 2;
export const ALL_RIGHTS = (1n << 29n) - 1n;

/** Functions that need no more than one answer. */
export const ANSWERS = {
  fd_advise: SUCCESS,
  fd_allocate: EROFS,
  fd_datasync: SUCCESS,
  fd_fdstat_set_flags: SUCCESS,
  fd_fdstat_set_rights: SUCCESS,
  fd_filestat_set_size: EROFS,
  fd_filestat_set_times: EROFS,
  fd_pwrite: EBADF,
  fd_renumber: ENOSYS,
  fd_sync: SUCCESS,
  path_create_directory: EROFS,
  path_filestat_set_times: EROFS,
  path_link: EROFS,
  path_readlink: EINVAL,
  path_remove_directory: EROFS,
  path_rename: EROFS,
  path_symlink: EROFS,
  path_unlink_file: EROFS,
  proc_raise: ENOSYS,
  sched_yield: SUCCESS,
  sock_accept: ENOSYS,
  sock_recv: ENOSYS,
  sock_send: ENOSYS,
  sock_shutdown: ENOSYS,
};

const encoder = new TextEncoder();

/** @param {Node} node */
export function kindOf(node) {
  return "entries" in node ? DIRECTORY : REGULAR_FILE;
}

/** @param {bigint} next @param {string} title @param {Node} node */
export function directoryEntry(next, title, node) {
  const name = encoder.encode(title);
  const entry = new Uint8Array(24 + name.length);
  const view = new DataView(entry.buffer);
  view.setBigUint64(0, next, true);
  view.setBigUint64(8, node.inode, true);
  view.setUint32(16, name.length, true);
  view.setUint8(20, kindOf(node));
  entry.set(name, 24);
  return entry;
}

/** @param {string | Uint8Array} content */
export function bytesOf(content) {
  return typeof content === "string" ? encoder.encode(content) : content;
}

/** @param {Uint8Array[]} chunks */
export function total(chunks) {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
}

/** @param {Uint8Array[]} chunks */
export function concatenate(chunks) {
  const all = new Uint8Array(total(chunks));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}
