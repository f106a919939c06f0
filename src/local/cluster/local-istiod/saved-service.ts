import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  AgentError,
  describeError,
  FileProblem,
  isAbsent,
  makeFolder,
  readTextFile,
  removeFile,
  systemCode,
  writeFileAtomically,
  writeHint,
} from "../../../base/index.ts";
import type { KubeObject } from "../../../kubernetes/index.ts";
import type { ServicePlace } from "./service-objects.ts";

/** What a Service and its endpoints were before they led to this machine, and who did that. */
export interface SavedService {
  /** The same as in the annotation of the Service. */
  readonly id: string;
  readonly context: string;
  readonly server: string;
  /** The process that holds it. */
  readonly owner: { readonly pid: number; readonly start: string | undefined };
  readonly savedAt: string;
  /** Name of the EndpointSlice that leads here. */
  readonly slice: string;
  readonly service: KubeObject;
  readonly slices: readonly KubeObject[];
  readonly endpoints?: KubeObject | undefined;
}

/** One file for each API server, namespace and Service. */
export function savedFile(stateFolder: string, server: string, { namespace, name }: ServicePlace): string {
  const cluster = createHash("sha256").update(server).digest("hex").slice(0, 12);
  return join(stateFolder, `${namespace}.${name}.${cluster}.json`);
}

/**
 * Takes the file for this process, still empty. False when another process, of now or before, has it. Rejects with
 * FILE_UNWRITABLE or UNTRUSTED_PATH.
 */
export async function reserve(file: string): Promise<boolean> {
  try {
    await makeFolder(dirname(file));
    await (await open(file, "wx", 0o600)).close();
    return true;
  } catch (error) {
    if (systemCode(error) === "EEXIST") return false;
    if (error instanceof AgentError) throw error;
    const text = `Cannot write "${file}": ${describeError(error)}`;
    throw new AgentError("FILE_UNWRITABLE", text, { hint: writeHint(error), cause: error });
  }
}

/** What is saved in a file that this process has reserved. */
export class SavedState {
  readonly #file: string;
  #saved: SavedService;

  constructor(file: string, saved: SavedService) {
    this.#file = file;
    this.#saved = saved;
  }

  get saved(): SavedService {
    return this.#saved;
  }

  /** Mode 0600, as a whole or not at all. Rejects with FILE_UNWRITABLE or UNTRUSTED_PATH. */
  async write(): Promise<void> {
    await writeFileAtomically(this.#file, `${JSON.stringify(this.#saved, null, 2)}\n`);
  }

  /** Rejects as `write` does. */
  async change(fields: Partial<Pick<SavedService, "service" | "slices" | "endpoints">>): Promise<void> {
    this.#saved = { ...this.#saved, ...fields };
    await this.write();
  }
}

/**
 * `empty`: its process ended before it had saved anything, and so before it changed anything. Undefined when there is none.
 * Rejects with FILE_UNREADABLE.
 */
export async function readSaved(file: string): Promise<SavedService | "empty" | undefined> {
  try {
    const text = await readTextFile(file);
    return text === "" ? "empty" : (JSON.parse(text) as SavedService);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    const why = error instanceof FileProblem ? error.message : "it is not what pilotboat has written";
    throw new AgentError("FILE_UNREADABLE", `Cannot read "${file}", which has what a Service was: ${why}`, {
      cause: error,
    });
  }
}

export const forget = removeFile;
