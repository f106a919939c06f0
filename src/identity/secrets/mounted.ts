import { statSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { dirname } from "node:path";
import { describeError, type Logger } from "../../base/index.ts";
import type { CertificateFiles } from "../prepare/paths.ts";
import type { FileResource } from "./file-resource.ts";
import type { FileResources } from "./file-resources.ts";
import { ROOTS, WORKLOAD } from "./names.ts";
import type { SecretItem } from "./secret-item.ts";

/** Certificate and roots of the workload from mounted files, which come before the CA's where they exist. */
export interface Mounted {
  /** Undefined when the files are not there, so that the CA is to be asked. Rejects when they are there and unusable. */
  certificate(): Promise<SecretItem | undefined>;
  roots(): Promise<Buffer | undefined>;
  /** Whether both are there, usable or not: their presence means that they should be used. An unusable one is logged. */
  warmUp(): Promise<boolean>;
}

export interface MountedOptions {
  /** Absolute. */
  readonly files: CertificateFiles;
  /** Where the agent writes its own copies; those are never read back, or they would never rotate. */
  readonly outputFolder: string | undefined;
  readonly resources: FileResources;
  /** Without a CA the last good version outlives missing files. */
  readonly hasCa: boolean;
  readonly stop: AbortSignal;
  readonly log: Logger;
}

/** Starts watching for the files, whether they are there or not. */
export async function watchMounted(options: MountedOptions): Promise<Mounted> {
  const { files, outputFolder, resources, hasCa, stop, log } = options;
  if (outputFolder !== undefined && (await isSameFolder(dirname(files.certChain), outputFolder))) {
    return { certificate: async () => undefined, roots: async () => undefined, warmUp: async () => false };
  }
  const read = async (resource: FileResource, paths: readonly string[]): Promise<SecretItem | undefined> => {
    await resource.watched();
    if (paths.every(hasContent)) return resource.get(stop);
    return hasCa ? undefined : resource.lastGood;
  };
  const { certChain, key, root } = files;
  const certificate = resources.want(WORKLOAD, { kind: "certificate", certChain, key });
  const roots = resources.want(ROOTS, { kind: "roots", path: root });
  const mounted = {
    certificate: () => read(certificate, [certChain, key]),
    async roots() {
      const item = await read(roots, [root]);
      return item?.kind === "roots" ? item.roots : undefined;
    },
  };
  const isThere = async (item: Promise<unknown>, failure: string): Promise<boolean> => {
    try {
      return (await item) !== undefined;
    } catch (error) {
      if (!stop.aborted) log.warn(failure, { error: describeError(error) });
      return true;
    }
  };
  return {
    ...mounted,
    async warmUp() {
      const pair = isThere(mounted.certificate(), "failed to warm certificate");
      const bundle = isThere(mounted.roots(), "failed to warm root certificate");
      return (await pair) && (await bundle);
    },
  };
}

/** Links count as what they lead to. */
async function isSameFolder(a: string, b: string): Promise<boolean> {
  const [realA, realB] = await Promise.all([a, b].map((path) => realpath(path).catch(() => path)));
  return realA === realB;
}

/**
 * Asked with each request for a secret, and most often there is nothing: that is known in microseconds, while a
 * way through the thread pool takes longer than all the rest of an answer.
 */
function hasContent(path: string): boolean {
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    return found?.isFile() === true && found.size > 0;
  } catch {
    return false; // out of reach counts as absent: the CA's turn
  }
}
