import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { cachedCluster } from "../cluster/binaries.ts";

/** Path of a real istioctl: `ISTIOCTL`, the one of the cached test cluster, else of PATH. Undefined when there is none. */
export function findIstioctl(): string | undefined {
  const { ISTIOCTL, PATH = "" } = process.env;
  const cached = cachedCluster();
  const places = [
    ISTIOCTL,
    cached && join(cached, "istioctl"),
    ...PATH.split(delimiter).map((one) => join(one, "istioctl")),
  ];
  const found = places.find((path) => path !== undefined && isExecutable(path));
  if (found === undefined)
    console.log("No istioctl here: its tests do not run (npm run test:cluster builds one, ISTIOCTL names one)");
  return found;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Its output. Rejects when it fails, or takes longer than it may. */
export async function runIstioctl(path: string, words: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { stdout } = await promisify(execFile)(path, words, {
    env: { PATH: process.env.PATH, HOME: "/nonexistent", ...env }, // no cluster of whoever runs the tests
    timeout: 40_000,
    maxBuffer: 16 * 2 ** 20,
  });
  return stdout;
}
