import { open, rename } from "node:fs/promises";
import { join } from "node:path";
import { type AgentError, describeError } from "../../base/index.ts";
import { cacheUnwritable, makeCacheFolder } from "./cache.ts";
import { rememberVerified } from "./verify-cached.ts";

/** On disk before the rename: after a crash the cache has a whole file or none. */
export async function makeLasting(executable: string): Promise<void> {
  const handle = await open(executable, "r+");
  try {
    await handle.chmod(0o755);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Puts a verified executable into its folder of the cache, in the place of what is there. */
export async function placeExecutable(executable: string, folder: string, sha256: string): Promise<void> {
  await makeCacheFolder(folder);
  await rename(executable, join(folder, "envoy"));
  await rememberVerified(folder, sha256);
}

const DISK_FAILURE = /\b(ENOSPC|EDQUOT|EROFS|EACCES|EPERM|EIO)\b|No space left on device|Read-only file system/;

/** FILE_UNWRITABLE for a failure of the disk that the cache is on; undefined for any other. */
export function diskFailure(error: unknown, folder: string): AgentError | undefined {
  return DISK_FAILURE.test(describeError(error)) ? cacheUnwritable(folder, error) : undefined;
}
