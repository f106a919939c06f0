import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, readdir, rename, stat, unlink } from "node:fs/promises";
import { holdFolder, makeFolder, systemCode, type TrustedFolder, untrusted } from "../base/index.ts";
import { type Encoded, type ReadEntry, readEntry } from "./entries.ts";
import type { Turns } from "./turns.ts";

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
/** What collects before it is written: a system call for each resource would cost more than all else. */
const WRITE_BYTES = 256 * 1_024;
const READ_BYTES = 256 * 1_024;
const SUFFIX = ".log";
const TEMPORARY = /\.[0-9a-f]{12}\.tmp$/;
const OPEN_FILE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const MAKE_FILE = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** What can be read of a log. */
export interface ReadableLog extends AsyncDisposable {
  read(at: number, bytes: number): Promise<Buffer>;
}

/** A new log. Until it is published it has a temporary name, and another log may be in its place. */
export interface WritableLog extends ReadableLog {
  /** Bytes, also those that are not written yet. */
  readonly size: number;
  /** Adds an entry; gives the offset of its value. Rejects with the system's error, and then the entry is not in the log. */
  append(encoded: Encoded): Promise<number>;
  /** Everything is written. */
  flush(): Promise<void>;
  /** Everything is on disk, and the log takes its name. */
  publish(): Promise<void>;
  /** Shows that the log is in use, where nothing else did for half a day. Never rejects. */
  touch(): Promise<void>;
}

/** The folder of logs: mode 0700, this user's. */
export class LogFolder {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** The log of that name; undefined where there is none. Rejects with UNTRUSTED_PATH where another user could have written or read it. */
  async open(name: string): Promise<ReadableLog | undefined> {
    try {
      await using folder = await this.#hold();
      const file = await open(folder.at(name + SUFFIX), OPEN_FILE);
      try {
        const found = await file.stat();
        const why = whyNot(found) ?? (found.isFile() ? undefined : "is no regular file");
        if (why !== undefined) throw untrusted(`${this.#path}/${name}${SUFFIX}`, why);
      } catch (error) {
        await file.close();
        throw error;
      }
      return readable(file);
    } catch (error) {
      if (systemCode(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  async create(name: string): Promise<WritableLog> {
    await makeFolder(this.#path, FOLDER_MODE);
    const folder = await this.#hold();
    const temporary = `${name}.${randomBytes(6).toString("hex")}.tmp`;
    try {
      const file = await open(folder.at(temporary), MAKE_FILE, FILE_MODE);
      return new NewLog(file, folder, { temporary, name: name + SUFFIX });
    } catch (error) {
      await folder[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Removes the log of that name, if there is one. Rejects with the system's error. */
  async remove(name: string): Promise<void> {
    try {
      await using folder = await this.#hold();
      await unlink(folder.at(name + SUFFIX));
    } catch (error) {
      if (!["ENOENT", "ENOTDIR"].includes(systemCode(error) ?? "")) throw error;
    }
  }

  /** Removes what killed agents left half written, and of many logs those that nobody used for days. Never rejects. */
  async tidy(kept: string): Promise<void> {
    try {
      await using folder = await this.#hold();
      const names = (await readdir(folder.here)).filter((name) => name !== kept + SUFFIX);
      const found = await Promise.all(
        names.map(async (name) => ({ name, writtenMs: await writtenMs(folder.at(name)) })),
      );
      const isOld = ({ writtenMs: ms }: { writtenMs: number }): boolean => Date.now() - ms > ABANDONED_MS;
      const logs = found.filter(({ name }) => name.endsWith(SUFFIX)).sort((a, b) => b.writtenMs - a.writtenMs);
      const temporary = found.filter((one) => TEMPORARY.test(one.name) && isOld(one));
      const isUnused = ({ writtenMs: ms }: { writtenMs: number }): boolean => Date.now() - ms > UNUSED_MS;
      for (const { name } of [...logs.slice(MOST_OTHERS).filter(isUnused), ...temporary]) await unlink(folder.at(name));
    } catch {
      // somebody else tidies at the same time, or the next write tells what is the matter
    }
  }

  async #hold(): Promise<TrustedFolder> {
    const folder = await holdFolder(this.#path);
    const why = whyNot(await stat(folder.here));
    if (why === undefined) return folder;
    await folder[Symbol.asyncDispose]();
    throw untrusted(this.#path, why);
  }
}

/** A file that is being written is younger. */
const ABANDONED_MS = 10 * 60_000;
/** Of other nodes, or of other control planes. Theirs may be agents that run. */
const MOST_OTHERS = 16;
/** An agent that runs touches its log more often. */
const UNUSED_MS = 7 * 24 * 3_600_000;
const TOUCH_MS = 12 * 3_600_000;

/** Entries from the beginning, with the offset of each. Throws where the log is damaged. */
export async function* readLog(log: ReadableLog, turns: Turns): AsyncGenerator<ReadEntry & { readonly at: number }> {
  let [at, from] = [0, 0];
  let buffer = Buffer.alloc(0);
  const take = async (bytes: number): Promise<Buffer | undefined> => {
    while (at + bytes > from + buffer.length) {
      const more = await log.read(from + buffer.length, Math.max(READ_BYTES, at + bytes - from - buffer.length));
      if (more.length === 0) return undefined;
      buffer = Buffer.concat([buffer.subarray(at - from), more]);
      from = at;
    }
    at += bytes;
    return buffer.subarray(at - from - bytes, at - from);
  };
  for (;;) {
    const begin = at;
    const read = await readEntry(take, turns);
    if (read === undefined) return;
    if (turns.isOver) await turns.next();
    yield { ...read, at: begin };
  }
}

/** Why what was found is not ours alone. */
function whyNot(found: { readonly uid: number; readonly mode: number }): string | undefined {
  const own = process.geteuid?.() ?? 0;
  if (found.uid !== own && process.geteuid !== undefined) return `belongs to uid ${found.uid}, not ${own}`;
  const mode = (found.mode & 0o777).toString(8).padStart(4, "0");
  return (found.mode & 0o077) === 0 ? undefined : `is open to others (mode ${mode})`;
}

/** Milliseconds since the epoch; 0 where it is gone. */
async function writtenMs(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.mtimeMs ?? 0;
}

function readable(file: FileHandle): ReadableLog {
  return {
    async read(at, bytes) {
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(bytes), 0, bytes, at);
      return buffer.subarray(0, bytesRead);
    },
    [Symbol.asyncDispose]: () => file.close(),
  };
}

class NewLog implements WritableLog {
  readonly #file: FileHandle;
  readonly #folder: TrustedFolder;
  readonly #names: { readonly temporary: string; readonly name: string };
  #isPublished = false;
  #written = 0;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;

  constructor(file: FileHandle, folder: TrustedFolder, names: { temporary: string; name: string }) {
    this.#file = file;
    this.#folder = folder;
    this.#names = names;
  }

  get size(): number {
    return this.#written + this.#waitingBytes;
  }

  async append({ front, value }: Encoded): Promise<number> {
    const at = this.size + front.length;
    this.#waiting.push(front, value);
    this.#waitingBytes += front.length + value.length;
    if (this.#waitingBytes >= WRITE_BYTES) await this.flush();
    return at;
  }

  /** What cannot be written whole is cut off again: what follows must not stand behind half an entry. */
  async flush(): Promise<void> {
    const bytes = Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#waitingBytes = 0;
    try {
      for (let at = 0; at < bytes.length; ) {
        const { bytesWritten } = await this.#file.write(bytes, at, bytes.length - at, this.#written + at);
        at += bytesWritten;
      }
    } catch (error) {
      await this.#file.truncate(this.#written).catch(() => undefined); // a reader recognizes the half entry, too
      throw error;
    }
    this.#written += bytes.length;
  }

  async read(at: number, bytes: number): Promise<Buffer> {
    if (at + bytes > this.#written) await this.flush();
    const { buffer, bytesRead } = await this.#file.read(Buffer.allocUnsafe(bytes), 0, bytes, at);
    return buffer.subarray(0, bytesRead);
  }

  async publish(): Promise<void> {
    await this.flush();
    await this.#file.datasync(); // else a power failure could leave the name with nothing behind it
    await rename(this.#folder.at(this.#names.temporary), this.#folder.at(this.#names.name));
    this.#isPublished = true;
  }

  async touch(): Promise<void> {
    const now = new Date();
    try {
      if (now.getTime() - (await this.#file.stat()).mtimeMs > TOUCH_MS) await this.#file.utimes(now, now);
    } catch {
      // the next write tells what is the matter
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.flush().catch(() => undefined);
    await this.#file.close();
    if (!this.#isPublished) await unlink(this.#folder.at(this.#names.temporary)).catch(() => undefined);
    await this.#folder[Symbol.asyncDispose]();
  }
}
