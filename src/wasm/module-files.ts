import { createHash, randomBytes } from "node:crypto";
import { constants, createReadStream } from "node:fs";
import { type FileHandle, open, rename, unlink, utimes } from "node:fs/promises";
import { join } from "node:path";
import {
  AgentError,
  describeError,
  holdFolder,
  makeFolder,
  type TrustedFolder,
  writeFileAtomically,
  writeHint,
} from "../base/index.ts";
import { judgeModule } from "./judge-module.ts";
import { purge, RECORD, readRecord, TEMPORARY, URL_RECORD, WASM } from "./purge.ts";

/** A module on disk, complete and verified. */
export interface StoredModule {
  /** Absolute. */
  readonly file: string;
}

/** What a URL stood for when it was last asked for. */
export interface UrlRecord {
  readonly checksum: string;
  /** The version of each WasmPlugin that it was asked for by, by name of the extension configuration. */
  readonly versions: Readonly<Record<string, string>>;
}

/** A module that is complete on disk under a temporary name. */
export interface StagedModule {
  /** Hexadecimal, of its bytes. */
  readonly sha256: string;
  /** Why it is no module; undefined when it is one. */
  readonly flaw: string | undefined;
  /** Gives it its name. Rejects with FILE_UNWRITABLE. */
  commit(checksum: string): Promise<StoredModule>;
  /** Removes what was not committed. */
  discard(): Promise<void>;
}

const FOLDER_MODE = 0o755; // Envoy may be another user
const FILE_MODE = 0o644;
const CHECKSUM = /^[0-9a-f]{64,128}$/;

/**
 * Modules in a folder, `<sha256 of the name>/<checksum>.wasm` as Istio's agent has them, and beside them what URLs stand for
 * (`url-<sha256 of the URL>.json`) and, where the checksum is not that of the file, the file's own (`<checksum>.json`). A file
 * gets its name when it is complete. One of an earlier run is verified before its first use. Agents may share the folder.
 */
export class ModuleFiles {
  readonly #folder: string;
  /** Files that were written or verified by this process. */
  readonly #verified = new Set<string>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Undefined when there is none, or what is there is damaged. Never rejects. */
  async find(name: string, checksum: string): Promise<StoredModule | undefined> {
    if (!CHECKSUM.test(checksum)) return undefined;
    const file = this.#fileOf(name, checksum);
    const now = new Date();
    try {
      if (!this.#verified.has(file) && !(await isIntact(file, await this.#sha256Of(name, checksum)))) return undefined;
      await utimes(file, now, now); // when it was last used
    } catch {
      this.#verified.delete(file);
      return undefined;
    }
    this.#verified.add(file);
    return { file };
  }

  /** Writes a module to disk as it comes. Rejects with what `pieces` throws, and FILE_UNWRITABLE. */
  async stage(name: string, pieces: AsyncIterable<Uint8Array>): Promise<StagedModule> {
    const place = this.#placeOf(name);
    const folder = await this.#enter(place);
    const temporary = temporaryName();
    const discard = async (): Promise<void> => {
      await unlink(folder.at(temporary)).catch(() => undefined);
      await folder[Symbol.asyncDispose]();
    };
    try {
      const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL;
      await using file = await open(folder.at(temporary), flags, FILE_MODE).catch(unwritable(place));
      await file.chmod(FILE_MODE);
      const sha256 = await write(file, pieces, place);
      const flaw = await judgeModule(file);
      const commit = (checksum: string): Promise<StoredModule> =>
        this.#commit({ name, checksum, sha256 }, folder, temporary);
      return { sha256, flaw, commit, discard };
    } catch (error) {
      await discard();
      throw error;
    }
  }

  /** A path for a file beside the modules, which is removed with it. Rejects with FILE_UNWRITABLE. */
  async scratch(name: string): Promise<{ readonly path: string } & AsyncDisposable> {
    const folder = await this.#enter(this.#placeOf(name));
    const path = folder.at(temporaryName());
    return {
      path,
      async [Symbol.asyncDispose]() {
        await unlink(path).catch(() => undefined);
        await folder[Symbol.asyncDispose]();
      },
    };
  }

  async #commit(module: ModuleFacts, folder: TrustedFolder, temporary: string): Promise<StoredModule> {
    const { name, checksum, sha256 } = module;
    const file = this.#fileOf(name, checksum);
    if (checksum !== sha256) await this.#writeRecord(this.#recordOf(name, checksum), { sha256 });
    await rename(folder.at(temporary), folder.at(`${checksum}${WASM}`)).catch(unwritable(file));
    this.#verified.add(file);
    return { file };
  }

  /** Undefined when the URL was never asked for, or nothing can be read. Never rejects. */
  async readUrl(name: string, url: string): Promise<UrlRecord | undefined> {
    const found = await readRecord(this.#urlRecordOf(name, url));
    const { checksum, versions } = found ?? {};
    if (typeof checksum !== "string" || typeof versions !== "object" || versions === null) return undefined;
    return { checksum, versions: Object.assign(Object.create(null), versions) };
  }

  /** Rejects with FILE_UNWRITABLE. The URL, which may have a login, is not in the record: its hash is the name. */
  writeUrl(name: string, url: string, record: UrlRecord): Promise<void> {
    return this.#writeRecord(this.#urlRecordOf(name, url), record);
  }

  /** As `purge`; a file that was removed is verified again, should it come back. */
  async purge(expiryMs: number, isInUse: (file: string) => boolean): Promise<number> {
    return purge(this.#folder, { expiryMs, isInUse, onRemoved: (file) => this.#verified.delete(file) });
  }

  async #enter(place: string): Promise<TrustedFolder> {
    try {
      await makeFolder(place, FOLDER_MODE);
      return await holdFolder(place);
    } catch (error) {
      throw error instanceof AgentError ? error : await unwritable(place)(error);
    }
  }

  async #sha256Of(name: string, checksum: string): Promise<string> {
    const { sha256 } = (await readRecord(this.#recordOf(name, checksum))) ?? {};
    return typeof sha256 === "string" ? sha256 : checksum;
  }

  #writeRecord(file: string, record: object): Promise<void> {
    return writeFileAtomically(file, JSON.stringify(record), { mode: FILE_MODE, folderMode: FOLDER_MODE });
  }

  #placeOf(name: string): string {
    return join(this.#folder, hash(name));
  }

  #fileOf(name: string, checksum: string): string {
    return join(this.#placeOf(name), `${checksum}${WASM}`);
  }

  #recordOf(name: string, checksum: string): string {
    return join(this.#placeOf(name), `${checksum}${RECORD}`);
  }

  #urlRecordOf(name: string, url: string): string {
    return join(this.#placeOf(name), `${URL_RECORD}${hash(url)}${RECORD}`);
  }
}

interface ModuleFacts {
  readonly name: string;
  readonly checksum: string;
  readonly sha256: string;
}

function temporaryName(): string {
  return `${randomBytes(8).toString("hex")}${TEMPORARY}`;
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

async function write(file: FileHandle, pieces: AsyncIterable<Uint8Array>, place: string): Promise<string> {
  const digesting = createHash("sha256");
  for await (const piece of pieces) {
    digesting.update(piece);
    await file.appendFile(piece).catch(unwritable(place));
  }
  return digesting.digest("hex");
}

async function isIntact(file: string, sha256: string): Promise<boolean> {
  const digesting = createHash("sha256");
  for await (const piece of createReadStream(file)) digesting.update(piece as Buffer);
  return digesting.digest("hex") === sha256;
}

function unwritable(place: string): (error: unknown) => never {
  return (error) => {
    const text = `Cannot write a Wasm module to "${place}": ${describeError(error)}`;
    throw new AgentError("FILE_UNWRITABLE", text, { hint: writeHint(error), cause: error });
  };
}
