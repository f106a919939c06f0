import { closeSync, constants, fstatSync, openSync, readlinkSync, readSync, type Stats, statSync } from "node:fs";
import { describeError, systemCode } from "./errors.ts";

export interface ReadOptions {
  /** A larger file is refused. Default 16 MiB. */
  readonly mostBytes?: number;
}

const MOST_BYTES = 16 * 1_024 * 1_024;

/** `absent`: nothing has that name. A link that leads nowhere is something: somebody meant a file to be there. */
export type FileProblemKind = "absent" | "unusable";

/** Why a file cannot be read, as half a sentence for people: `it is a folder, wanted a regular file`. */
export class FileProblem extends Error {
  readonly kind: FileProblemKind;
  /** The system's code, or the one it would have used. */
  readonly code: string;

  constructor(kind: FileProblemKind, code: string, message: string) {
    super(message);
    this.name = "FileProblem";
    this.kind = kind;
    this.code = code;
  }
}

/** Whether the failure of a read means that no such file, so that a default may hold. */
export function isAbsent(error: unknown): boolean {
  return error instanceof FileProblem && error.kind === "absent";
}

/**
 * The one way in which the agent reads files that others provide. Links are followed, because Kubernetes lays its volumes
 * with them. What is judged is the open descriptor, so that nothing can be swapped in between, and only a regular file is
 * read: a FIFO or a device could keep the agent waiting. `/dev/null` is read as an empty file. Rejects with a FileProblem.
 */
export async function readRegularFile(path: string, options: ReadOptions = {}): Promise<Buffer> {
  const { mostBytes = MOST_BYTES } = options;
  const { file, found } = openFile(path);
  try {
    refuseOther(found, { mayBeNull: true });
    if (found.size > mostBytes) throw tooLarge(found.size, mostBytes);
    return readUpTo(file, found.size, mostBytes);
  } catch (error) {
    throw error instanceof FileProblem
      ? error
      : new FileProblem("unusable", systemCode(error) ?? "EIO", describeError(error));
  } finally {
    closeSync(file);
  }
}

/** The same for UTF-8 text. */
export async function readTextFile(path: string, options: ReadOptions = {}): Promise<string> {
  return (await readRegularFile(path, options)).toString("utf8");
}

/** Opens the file as `readRegularFile` would, and reads nothing. Rejects with a FileProblem. */
export async function checkRegularFile(path: string): Promise<void> {
  const { file, found } = openFile(path);
  try {
    refuseOther(found, { mayBeNull: false });
  } finally {
    closeSync(file);
  }
}

/** What kind of thing that is, for people; undefined for a regular file. */
export function kindOfPlace(found: Pick<Stats, "isFile" | "isDirectory" | "isFIFO" | "isSocket" | "isSymbolicLink">) {
  if (found.isFile()) return undefined;
  if (found.isDirectory()) return "a folder";
  if (found.isFIFO()) return "a FIFO";
  if (found.isSocket()) return "a socket";
  return found.isSymbolicLink() ? "a link" : "a device";
}

/** `file` is a descriptor. */
function openFile(path: string): { readonly file: number; readonly found: Stats } {
  // non-blocking: a FIFO without a writer opens at once; no controlling terminal: one in the way must not become ours
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
  let file: number;
  try {
    file = openSync(path, flags);
  } catch (error) {
    throw explainOpen(path, error);
  }
  try {
    return { file, found: fstatSync(file) };
  } catch (error) {
    closeSync(file);
    throw error;
  }
}

function refuseOther(found: Stats, { mayBeNull }: { readonly mayBeNull: boolean }): void {
  const kind = kindOfPlace(found);
  if (kind === undefined) return;
  if (mayBeNull && found.isCharacterDevice() && found.rdev === statSync("/dev/null").rdev) return;
  throw notRegular(kind);
}

/** Until the end, not until the size that was seen: the files of /proc say 0, and a file may grow meanwhile. */
function readUpTo(file: number, size: number, mostBytes: number): Buffer {
  const chunks: Buffer[] = [];
  let total = 0;
  for (let next = size + 1; ; next = 65_536) {
    const buffer = Buffer.allocUnsafe(next);
    const bytesRead = readSync(file, buffer, 0, next, total);
    total += bytesRead;
    if (total > mostBytes) throw tooLarge(total, mostBytes);
    chunks.push(buffer.subarray(0, bytesRead));
    if (bytesRead === 0 || (size > 0 && total === size))
      return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
  }
}

function notRegular(kind: string): FileProblem {
  const code = kind === "a folder" ? "EISDIR" : "EINVAL";
  return new FileProblem("unusable", code, `it is ${kind}, wanted a regular file`);
}

function tooLarge(bytes: number, mostBytes: number): FileProblem {
  return new FileProblem("unusable", "EFBIG", `it has ${bytes} bytes, at most ${mostBytes} are read`);
}

function explainOpen(path: string, error: unknown): FileProblem {
  const code = systemCode(error) ?? "EIO";
  switch (code) {
    case "ENOENT": {
      const target = targetOf(path);
      if (target === undefined) return new FileProblem("absent", code, "no such file or directory");
      return new FileProblem("unusable", code, `it is a link to "${target}", which leads to no file`);
    }
    case "ENOTDIR":
      return new FileProblem("absent", code, "no such file: a part of its path is not a folder");
    case "ELOOP":
      return new FileProblem("unusable", code, "its links form a loop");
    case "ENXIO":
      return notRegular(kindAt(path) ?? "a device");
    case "EACCES":
    case "EPERM":
      return new FileProblem("unusable", code, explainRefusal(path));
    default:
      return new FileProblem("unusable", code, describeError(error));
  }
}

/** Of a link; undefined for what is none, or gone. */
function targetOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** Undefined for what is gone meanwhile, or lies in a folder that is closed to us. */
function lookAt(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

function kindAt(path: string): string | undefined {
  const found = lookAt(path);
  return found && kindOfPlace(found);
}

function explainRefusal(path: string): string {
  const us = `permission denied for uid ${process.geteuid?.() ?? "?"} gid ${process.getegid?.() ?? "?"}`;
  const found = lookAt(path);
  if (found === undefined) return `${us}, its folder cannot be entered`;
  const mode = (found.mode & 0o777).toString(8).padStart(4, "0");
  return `${us}, the file belongs to uid ${found.uid} gid ${found.gid} with mode ${mode}`;
}
