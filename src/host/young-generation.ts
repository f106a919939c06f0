import { isBun } from "../base/index.ts";

/**
 * Keeps V8 from making the young generation of its heap larger than it is now. By default it doubles it, under any
 * steady load, to 32 MB: the memory of an agent then rises for its first half an hour, and holds garbage that nobody
 * needs. The flag is read at each growth, other than `--max-semi-space-size`, which counts at the start of a process
 * only. It is for the whole process, so nothing that runs inside of a user's program may call this; and with another
 * flag V8 refuses the compiled form of files that are loaded from then on. Does nothing on Bun.
 */
export async function keepYoungGenerationSmall(): Promise<void> {
  if (isBun) return;
  const { setFlagsFromString } = await import("node:v8");
  setFlagsFromString("--semi-space-growth-factor=1");
}
