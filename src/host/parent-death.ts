import { access, constants } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";

/**
 * Where `setpriv` (util-linux) is, by which the kernel ends Envoy with the agent, even after SIGKILL. Undefined where
 * there is none or the kernel is not Linux: Node itself cannot ask for it (nodejs/help issue 1790).
 */
export async function findSetpriv(path: string | undefined): Promise<string | undefined> {
  if (process.platform !== "linux") return undefined;
  for (const folder of (path ?? "").split(delimiter).filter((one) => isAbsolute(one))) {
    const file = join(folder, "setpriv");
    const isThere = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return file;
  }
  return undefined;
}
