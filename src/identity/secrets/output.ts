import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { describeError, type Logger, type Metrics, type StagedFile, stageFile } from "../../base/index.ts";
import type { SecretItem } from "./secret-item.ts";

/** Where to put a copy of the workload's certificate (`OUTPUT_CERTS`). */
export interface OutputOptions {
  /** Absolute; must exist. */
  readonly folder: string;
  /** Permission bits: Istio takes 0644 in Kubernetes, 0600 elsewhere. */
  readonly mode: number;
}

export interface Output {
  /** Writes what differs from the files. Never rejects: a failure is logged and shown in `problem`. */
  write(items: readonly SecretItem[]): Promise<void>;
  /** Why the last write failed; undefined when it worked. */
  readonly problem: string | undefined;
}

interface Parts {
  readonly log: Logger;
  readonly metrics: Metrics;
}

export function createOutput(options: OutputOptions, parts: Parts): Output {
  let last: Promise<void> = Promise.resolve();
  let problem: string | undefined;
  const writeNow = async (items: readonly SecretItem[]): Promise<void> => {
    try {
      await writeTogether(
        items.flatMap((item) => filesOf(item, options)),
        options.mode,
      );
      problem = undefined;
    } catch (error) {
      const text = describeError(error);
      parts.metrics.count("output_write_failures");
      if (text !== problem) parts.log.scope("cache").error("error when output the resource", { error: text });
      problem = text;
    }
  };
  return {
    write(items) {
      last = last.then(() => writeNow(items)); // one after the other, so that no pair is mixed
      return last;
    },
    get problem() {
      return problem;
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
    return content.equals(await readFile(path)) && ((await stat(path)).mode & 0o777) === mode;
  } catch {
    return false; // absent or unreadable: written anew
  }
}
