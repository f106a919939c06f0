import { closeSync, fstatSync, openSync, readFileSync, statSync } from "node:fs";
import type { RunningApplication } from "../../application/index.ts";
import { poll } from "../../base/index.ts";
import { runProgram } from "../../host/index.ts";
import { coveredFiles, type Way } from "./enter-namespace.ts";
import { withSystemPath } from "./open-namespace.ts";

/** While it passes, programs see the machine's own file. */
const PACE = { firstMs: 200, hurryMs: 0, factor: 1, mostMs: 200 };
const LIMIT_MS = 20_000;

/**
 * NetworkManager, DHCP clients and package managers put a new file in the place of resolv.conf or nsswitch.conf, and the
 * kernel then removes what is mounted on the previous one, in every mount namespace. To be called before the application
 * starts; the result takes the application and covers the files again until its end. It never rejects.
 */
export async function keepCovered(
  way: Way,
  env: Readonly<Record<string, string | undefined>>,
): Promise<(application: RunningApplication) => Promise<void>> {
  let covered = await coveredFiles();
  return async ({ pid, ended }) => {
    const over = new AbortController();
    void ended.then(() => over.abort());
    let namespace: number | undefined;
    const look = async (): Promise<boolean> => {
      const files = await coveredFiles();
      if (files === covered || over.signal.aborted) return false;
      namespace ??= openMountNamespace(pid);
      if (namespace === undefined) return false; // it is on its way in
      const [file = "", ...args] = way.coverAgain(`/proc/${process.pid}/fd/${namespace}`);
      const options = { env: withSystemPath(env), limitMs: LIMIT_MS, stop: over.signal };
      covered = files;
      await runProgram(file, args, options).catch(() => undefined); // after a failure the next change is another try
      return false;
    };
    await poll(look, { stop: over.signal, pace: PACE });
    if (namespace !== undefined) closeSync(namespace);
  };
}

/** Of the root: mounts made there appear in the namespace that this one is a copy of. */
const SHARED_ROOT = /^\d+ \d+ \S+ \S+ \/ \S+ shared:/m;

/** A descriptor of the program's own; undefined while what is mounted there would be mounted on the machine, too. */
function openMountNamespace(pid: number): number | undefined {
  try {
    const descriptor = openSync(`/proc/${pid}/ns/mnt`, "r");
    const isOwn = fstatSync(descriptor).ino !== statSync("/proc/self/ns/mnt").ino;
    if (isOwn && !SHARED_ROOT.test(readFileSync(`/proc/${pid}/mountinfo`, "utf8"))) return descriptor;
    closeSync(descriptor);
    return undefined;
  } catch {
    return undefined;
  }
}
