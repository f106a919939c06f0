import { createHash } from "node:crypto";
import { type FSWatcher, watch } from "node:fs";
import { lstat, readdir, readlink, realpath } from "node:fs/promises";
import { join, parse, resolve, sep } from "node:path";
import { systemCode } from "./errors.ts";
import { FileProblem, readRegularFile } from "./read-file.ts";

export interface WatchOptions {
  /** Absolute paths of files or folders; they need not exist yet. A folder counts with everything below it. */
  readonly paths: readonly string[];
  /** Called once after a burst of events, and only when content really changed (appearing and vanishing count). */
  readonly onChange: () => void;
  /** Called once when the system allows no (more) watches; polling goes on. */
  readonly onTrouble?: (error: unknown) => void;
  /** Quiet time that ends a burst. Default 100 ms. */
  readonly debounceMs?: number;
  /** How often content is compared whatever the events say. Default 30 s. */
  readonly pollMs?: number;
}

/**
 * Watches content, not events: folders are watched (a watch on a file dies with its inode), every link on the way is
 * followed anew after each event, and a slow poll covers what the system's watches miss. So Kubernetes' swaps of
 * `..data`, removed and recreated folders, and a spent inotify limit all work. Changes after the returned promise
 * resolved are seen.
 */
export async function watchPaths(options: WatchOptions): Promise<AsyncDisposable> {
  const watching = new Watching(options);
  await watching.start();
  return watching;
}

/** SHA-256 of what is at `path` now, as hex: a file's bytes, or the names and contents of a folder. */
export async function contentDigest(path: string): Promise<string> {
  const hash = createHash("sha256");
  await addContent(path, (part) => hash.update(part));
  return hash.digest("hex");
}

const MOST_LINKS = 40; // Linux gives up following there, too

class Watching implements AsyncDisposable {
  readonly #options: WatchOptions;
  readonly #watchers = new Map<string, { readonly watcher: FSWatcher; names: ReadonlySet<string> | undefined }>();
  #digest = "";
  #debounce: NodeJS.Timeout | undefined;
  #poll: NodeJS.Timeout | undefined;
  #checking: Promise<void> | undefined;
  #isAgain = false;
  #isClosed = false;
  #hasTrouble = false;

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    await this.#arm();
    this.#digest = await this.#read();
    this.#poll = setInterval(() => this.#check(), this.#options.pollMs ?? 30_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#debounce);
    clearInterval(this.#poll);
    await this.#checking;
    for (const { watcher } of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #onEvent(folder: string, name: string | null): void {
    const names = this.#watchers.get(folder)?.names;
    if (names !== undefined && name !== null && !names.has(name)) return;
    clearTimeout(this.#debounce);
    this.#debounce = setTimeout(() => this.#check(), this.#options.debounceMs ?? 100);
  }

  /** One check at a time; what comes meanwhile leads to one more. */
  #check(): void {
    this.#isAgain = true;
    this.#checking ??= this.#checkWhileAsked().finally(() => {
      this.#checking = undefined;
    });
  }

  async #checkWhileAsked(): Promise<void> {
    while (this.#isAgain && !this.#isClosed) {
      this.#isAgain = false;
      await this.#arm(); // first: what changes after this is seen
      const digest = await this.#read();
      if (digest === this.#digest || this.#isClosed) continue;
      this.#digest = digest;
      this.#options.onChange();
    }
  }

  async #read(): Promise<string> {
    return (await Promise.all(this.#options.paths.map(contentDigest))).join();
  }

  async #arm(): Promise<void> {
    const wanted = new Map<string, Set<string> | undefined>();
    for (const path of this.#options.paths) await addFolders(path, wanted);
    if (this.#isClosed) return;
    for (const [folder, { watcher }] of this.#watchers) {
      if (wanted.has(folder)) continue;
      watcher.close();
      this.#watchers.delete(folder);
    }
    for (const [folder, names] of wanted) this.#watchFolder(folder, names);
  }

  #watchFolder(folder: string, names: ReadonlySet<string> | undefined): void {
    const existing = this.#watchers.get(folder);
    if (existing !== undefined) {
      existing.names = names;
      return;
    }
    try {
      const watcher = watch(folder, (_event, name) => this.#onEvent(folder, name));
      this.#watchers.set(folder, { watcher, names });
      watcher.on("error", (error) => this.#lose(folder, error));
    } catch (error) {
      this.#lose(folder, error);
    }
  }

  #lose(folder: string, error: unknown): void {
    this.#watchers.get(folder)?.watcher.close();
    this.#watchers.delete(folder);
    if (this.#hasTrouble || systemCode(error) === "ENOENT" || systemCode(error) === "EACCES") return; // the poll goes on
    this.#hasTrouble = true;
    this.#options.onTrouble?.(error);
  }
}

/**
 * Collects the folders in which a change can give `path` another content: each folder on the way, with the name of
 * the entry that matters there, links followed. `undefined` as names: every entry matters.
 */
async function addFolders(path: string, folders: Map<string, Set<string> | undefined>): Promise<void> {
  let rest = partsOf(path);
  let at = parse(path).root;
  for (let links = 0; rest.length > 0; ) {
    const [name = "", ...further] = rest;
    addName(folders, at, name);
    const next = join(at, name);
    const found = await lstat(next).catch(() => undefined);
    if (found === undefined) return; // its nearest existing folder is watched
    if (found.isSymbolicLink()) {
      if (++links > MOST_LINKS) return;
      const target = resolve(at, await readlink(next).catch(() => name));
      rest = [...partsOf(target), ...further];
      at = parse(target).root;
      continue;
    }
    at = next;
    rest = further;
    if (rest.length === 0 && found.isDirectory()) await addTree(at, folders);
  }
}

async function addTree(folder: string, folders: Map<string, Set<string> | undefined>): Promise<void> {
  if (folders.has(folder) && folders.get(folder) === undefined) return; // a link led back to it
  folders.set(folder, undefined);
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    if (entry.isDirectory()) await addTree(join(folder, entry.name), folders);
    if (entry.isSymbolicLink()) await addFolders(join(folder, entry.name), folders);
  }
}

function addName(folders: Map<string, Set<string> | undefined>, folder: string, name: string): void {
  if (folders.has(folder) && folders.get(folder) === undefined) return;
  const names = folders.get(folder) ?? new Set();
  folders.set(folder, names.add(name));
}

const partsOf = (path: string): string[] =>
  path
    .slice(parse(path).root.length)
    .split(sep)
    .filter((part) => part !== "");

type Add = (part: string | Uint8Array) => void;

/** Each folder counts once, also when links lead to it again. */
async function addContent(path: string, add: Add, seen = new Set<string>()): Promise<void> {
  try {
    add(await readRegularFile(path));
  } catch (error) {
    if (systemCode(error) === "EISDIR") return addFolder(path, add, seen);
    add(`unreadable ${error instanceof FileProblem ? error.message : systemCode(error)}`); // of a large file the size
  }
}

async function addFolder(path: string, add: Add, seen: Set<string>): Promise<void> {
  try {
    const real = await realpath(path);
    if (seen.has(real)) return;
    seen.add(real);
    for (const name of (await readdir(path)).sort()) {
      add(`/${name}\0`);
      await addContent(join(path, name), add, seen);
    }
  } catch (error) {
    add(`unreadable ${systemCode(error)}`); // it vanished meanwhile
  }
}
