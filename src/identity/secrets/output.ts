import { stat } from "node:fs/promises";
import { join } from "node:path";
import {
  type Clock,
  describeError,
  type Logger,
  type Metrics,
  pause,
  readRegularFile,
  type StagedFile,
  stageFile,
} from "../../base/index.ts";
import { OUTPUT_WRITE_FAILURES } from "./metrics.ts";
import type { SecretItem } from "./secret-item.ts";

/** Where to put a copy of the workload's certificate (`OUTPUT_CERTS`). */
export interface OutputOptions {
  /** Absolute; must exist. */
  readonly folder: string;
  /** Permission bits: Istio takes 0644 in Kubernetes, 0600 elsewhere. */
  readonly mode: number;
}

/** The copies, kept up to date until disposal. */
export interface Output extends AsyncDisposable {
  /** Writes what changed, soon. A failure is logged and shown in `problem`. */
  refresh(): void;
  /** Why the last write failed; undefined when it worked. */
  readonly problem: string | undefined;
}

interface Parts {
  /** The current secrets; asking does not fetch more. */
  readonly collect: () => Promise<readonly SecretItem[]>;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

/** Copies that could not be written, or that were removed, are put back within this time. */
const CHECK_MS = 60_000;

export function startOutput(options: OutputOptions, parts: Parts, stop: AbortSignal): Output {
  const { collect, log, metrics, clock } = parts;
  let last = Promise.resolve();
  let problem: string | undefined;
  const write = async (): Promise<void> => {
    try {
      const files = (await collect()).flatMap((item) => filesOf(item, options));
      await writeTogether(files, options.mode);
      problem = undefined;
    } catch (error) {
      const text = describeError(error);
      metrics.count(OUTPUT_WRITE_FAILURES);
      if (text !== problem) log.scope("cache").error("error when output the resource", { error: text });
      problem = text;
    }
  };
  const refresh = (): void => {
    last = last.then(write); // one after the other, so that no pair is mixed
  };
  const keep = async (): Promise<void> => {
    while (!stop.aborted) {
      refresh();
      await pause(CHECK_MS, stop, clock);
    }
  };
  const keeping = keep();
  return {
    refresh,
    get problem() {
      return problem;
    },
    async [Symbol.asyncDispose]() {
      await keeping;
      await last;
    },
  };
}

type FileContent = readonly [path: string, content: Buffer];

function filesOf(item: SecretItem, { folder }: OutputOptions): FileContent[] {
  if (item.kind === "roots") return [[join(folder, "root-cert.pem"), item.roots]];
  return [
    [join(folder, "key.pem"), item.key.reveal()],
    [join(folder, "cert-chain.pem"), item.certChain],
  ];
}

/** All new files are complete on disk before the first one takes its place, so a full disk changes nothing. */
async function writeTogether(files: readonly FileContent[], mode: number): Promise<void> {
  const staged: StagedFile[] = [];
  try {
    for (const [path, content] of files) {
      if (await isSame(path, content, mode)) continue;
      staged.push(await stageFile(path, content, { mode, mayCreateFolder: false }));
    }
    for (const file of staged) await file.commit();
  } finally {
    for (const file of staged) await file.discard();
  }
}

async function isSame(path: string, content: Buffer, mode: number): Promise<boolean> {
  try {
    return content.equals(await readRegularFile(path)) && ((await stat(path)).mode & 0o777) === mode;
  } catch {
    return false; // absent or unreadable: written anew
  }
}
