import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  type Stats,
} from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { AgentError, describeError, systemCode } from "./errors.ts";

/** Users that may change what we rely on: root, whoever we are, and those that are named. */
export type Trusted = ReadonlySet<number>;

/** Root and the user of this process, and `more`, such as the user that a child runs as. */
export function trustedUsers(...more: readonly (number | undefined)[]): Trusted {
  const own = process.geteuid?.() ?? 0;
  return new Set([0, own, ...more.filter((uid) => uid !== undefined)]);
}

/** A folder that was judged and stays open: whatever happens to its name, this is the one that was judged. */
export interface TrustedFolder extends AsyncDisposable {
  /** The folder itself. */
  readonly here: string;
  /** The path by which to reach a name in it. */
  at(name: string): string;
}

/**
 * Opens a folder that only the trusted can change: each folder from the root down, and each link on the way, belongs to
 * one of them, and nobody else may write it. Above the last one a sticky folder such as /tmp will do, because in it
 * nobody can replace what is another's. So sshd (StrictModes) and sudo judge paths. On Linux it is done on open
 * descriptors, elsewhere on names. Rejects with UNTRUSTED_PATH, or with the system's error, such as ENOENT.
 */
export function openTrustedFolder(path: string, trusted: Trusted): Promise<TrustedFolder> {
  return enter(new Walk(path, trusted));
}

/**
 * Opens a folder in which we change something. Others may be able to write it, as they can an `emptyDir` of Kubernetes,
 * but no link of theirs leads there: they cannot send us into another folder. A link is followed only where it belongs to
 * root or this user, in a folder that only those can write. Rejects as `openTrustedFolder` does.
 */
export function holdFolder(path: string): Promise<TrustedFolder> {
  return enter(new Walk(path, trustedUsers(), { judgesOnlyLinks: true }));
}

async function enter(walk: Walk): Promise<TrustedFolder> {
  try {
    walk.run();
  } catch (error) {
    walk.close();
    throw error;
  }
  return {
    here: `${walk.here}/.`,
    at: (name) => `${walk.here}/${name}`,
    [Symbol.asyncDispose]: async () => walk.close(),
  };
}

/** Judges a folder as above, as far as it exists. Rejects with UNTRUSTED_PATH, also where this user may not look. */
export async function judgeFolder(path: string, trusted: Trusted): Promise<void> {
  try {
    await (await openTrustedFolder(path, trusted))[Symbol.asyncDispose]();
  } catch (error) {
    if (error instanceof AgentError) throw error;
    if (["ENOENT", "ENOTDIR"].includes(systemCode(error) ?? "")) return;
    throw new AgentError("UNTRUSTED_PATH", `Cannot look whether "${path}" can be relied on: ${describeError(error)}`, {
      hint: "Grant this user access to it and to every parent folder, or use another path",
      cause: error,
    });
  }
}

/**
 * Reads a small file that one of the trusted has written and nobody else can write. Judged is the open file itself; it is
 * no link, has no second name, and is a regular file. Rejects with UNTRUSTED_PATH, or with the system's error.
 */
export async function readTrustedFile(path: string, trusted: Trusted, mostBytes: number): Promise<string> {
  const file = openSync(path, OPEN_FILE);
  try {
    const found = fstatSync(file);
    const why = whyNotFile(found, trusted, mostBytes);
    if (why !== undefined) throw untrusted(path, why);
    const buffer = Buffer.alloc(found.size);
    return buffer.toString("utf8", 0, readSync(file, buffer, 0, found.size, 0));
  } finally {
    closeSync(file);
  }
}

/** Why one of the trusted cannot rely on what was found there, or undefined. The text follows "it". */
export function whyUntrusted(found: Pick<Stats, "uid" | "gid" | "mode">, trusted: Trusted): string | undefined {
  const mode = (found.mode & 0o7777).toString(8).padStart(4, "0");
  if (!trusted.has(found.uid)) return `belongs to uid ${found.uid}`;
  if (found.mode & constants.S_IWOTH) return `can be written by everybody (mode ${mode})`;
  const isShared = (found.mode & constants.S_IWGRP) !== 0 && !isPrivateGroup(found);
  return isShared ? `can be written by its group ${found.gid} (mode ${mode})` : undefined;
}

export function untrusted(path: string, why: string): AgentError {
  return new AgentError("UNTRUSTED_PATH", `Cannot rely on "${path}": it ${why}`, {
    hint: "Use a path that only this user and root can write, including every parent folder",
  });
}

/** The group that many systems give each user alone, by the same number (adduser's USERGROUPS, login.defs). */
function isPrivateGroup({ uid, gid }: Pick<Stats, "uid" | "gid">): boolean {
  return gid !== 0 && gid === uid;
}

function whyNotFile(found: Stats, trusted: Trusted, mostBytes: number): string | undefined {
  if (!found.isFile()) return "is no regular file";
  if (found.nlink !== 1) return `has ${found.nlink} names`;
  if (found.size > mostBytes) return `has ${found.size} bytes, at most ${mostBytes} are read`;
  return whyUntrusted(found, trusted);
}

/** A FIFO must not keep us waiting, and a link is not followed. */
const OPEN_FILE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;

/** Linux's O_PATH, which Node does not name: to hold what may be entered, but not read; of a link, the link itself. */
const O_PATH = 0o10_000_000;
const HOLD = O_PATH | constants.O_NOFOLLOW;

const STICKY = 0o1000;

const MOST_LINKS = 40; // as many as Linux follows (path_resolution(7))

/** The way down, part by part. */
class Walk {
  /** By which the folder that was reached can be named. */
  here = "/";
  readonly #path: string;
  readonly #trusted: Trusted;
  readonly #judgesOnlyLinks: boolean;
  /** Why links in the folder that was reached cannot be relied on. */
  #whyNoLinks: string | undefined;
  /** Still to be entered, the next one last. */
  readonly #parts: string[];
  /** For people: what was reached. */
  #shown = "/";
  #held: number | undefined;
  #links = 0;

  constructor(path: string, trusted: Trusted, { judgesOnlyLinks = false } = {}) {
    this.#path = resolve(path);
    this.#trusted = trusted;
    this.#judgesOnlyLinks = judgesOnlyLinks;
    this.#parts = partsOf(this.#path);
  }

  run(): void {
    this.#enter("/", "/");
    for (let name = this.#parts.pop(); name !== undefined; name = this.#parts.pop()) {
      this.#enter(`${this.here}/${name}`, join(this.#shown, name)); // `join` would take ".." off a descriptor's path
    }
  }

  close(): void {
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) closeSync(held);
  }

  #enter(path: string, shown: string): void {
    const { found, held } = hold(path, shown);
    try {
      if (found.isSymbolicLink()) {
        this.#follow(path, shown, found);
        return;
      }
      if (!found.isDirectory()) throw Object.assign(new Error(`"${shown}" is no folder`), { code: "ENOTDIR" });
      this.#judge(found, shown);
      this.close();
      this.#held = held;
      this.#shown = shown;
      this.here = held === undefined ? shown : `/proc/self/fd/${held}`;
    } finally {
      if (held !== undefined && held !== this.#held) closeSync(held);
    }
  }

  /** Its folder was judged, so nobody else can have exchanged it meanwhile. */
  #follow(path: string, shown: string, found: Stats): void {
    const why = this.#trusted.has(found.uid) ? this.#whyNoLinks : `belongs to uid ${found.uid}`;
    if (why !== undefined) throw untrusted(this.#path, this.#where(shown, why));
    if (++this.#links > MOST_LINKS) throw untrusted(this.#path, "forms a loop");
    const target = readlinkSync(path);
    this.#parts.push(...partsOf(target));
    if (isAbsolute(target)) this.#enter("/", "/");
  }

  #judge(found: Stats, shown: string): void {
    const isSticky = (found.mode & STICKY) !== 0 && this.#parts.length > 0;
    const seen = isSticky ? { ...found, mode: found.mode & ~(constants.S_IWOTH | constants.S_IWGRP) } : found;
    const why = whyUntrusted(seen, this.#trusted);
    this.#whyNoLinks = why && `is a link in a folder that ${why}`;
    if (why !== undefined && !this.#judgesOnlyLinks) throw untrusted(this.#path, this.#where(shown, why));
  }

  #where(shown: string, why: string): string {
    return shown === this.#path ? why : `lies below "${shown}", which ${why}`;
  }
}

function partsOf(path: string): string[] {
  return path
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .reverse();
}

/** Whether what is open has a name by which it is reached, whatever happens to its own. */
export const canHoldFolders = process.platform === "linux" && existsSync("/proc/self/fd");

/** `shown` stands for `path` in the system's error. */
function hold(path: string, shown: string): { readonly found: Stats; readonly held: number | undefined } {
  if (!canHoldFolders) return { found: lstatSync(path), held: undefined };
  const held = openShown(path, shown);
  try {
    return { found: fstatSync(held), held };
  } catch (error) {
    closeSync(held);
    throw error;
  }
}

function openShown(path: string, shown: string): number {
  try {
    return openSync(path, HOLD);
  } catch (error) {
    if (error instanceof Error) error.message = error.message.replace(path, () => shown);
    throw error;
  }
}
