import { accessSync, constants } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";

/**
 * Where `setpriv` (util-linux) is, by which the kernel ends Envoy with the agent, even after SIGKILL. Undefined where
 * there is none or the kernel is not Linux: Node itself cannot ask for it (nodejs/help issue 1790).
 */
export async function findSetpriv(path: string | undefined): Promise<string | undefined> {
  if (process.platform !== "linux") return undefined;
  for (const folder of (path ?? "").split(delimiter).filter((one) => isAbsolute(one))) {
    const file = join(folder, "setpriv");
    if (isExecutable(file)) return file;
  }
  return undefined;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
