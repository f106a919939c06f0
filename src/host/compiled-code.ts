import nodeModule from "node:module";
import { join } from "node:path";
import { openTrustedFolder, trustedUsers } from "../base/index.ts";
import type { Host } from "./host.ts";
import { xdgFolder } from "./places.ts";

/** What Node has from 22.1 on, and the types of Node 20 do not know. */
interface CodeCache {
  readonly enableCompileCache?: (folder: string) => unknown;
}

/**
 * Lets Node keep the compiled form of the files that are loaded from now on, for the next start, below our cache folder.
 * Does nothing where there is no such folder yet, because a command that only looks writes nothing; where others could
 * write to it, because what is in there is run; and on a runtime without such a cache. Node checks each entry against
 * its file and its own version, and writes at the end of the process. Source: Node's `module.enableCompileCache`.
 */
export async function keepCompiledCode(env: Host["env"]): Promise<void> {
  const { enableCompileCache } = nodeModule as CodeCache;
  if (enableCompileCache === undefined) return;
  const path = join(xdgFolder(env, "XDG_CACHE_HOME", ".cache"), "pilotboat");
  const folder = await openTrustedFolder(path, trustedUsers()).catch(() => undefined);
  if (folder === undefined) return;
  enableCompileCache(join(path, "compiled"));
  await folder[Symbol.asyncDispose]();
}
