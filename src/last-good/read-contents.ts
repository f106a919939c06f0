import type { Contents } from "./contents.ts";
import { type Entry, FORMAT } from "./entries.ts";
import { type ReadableLog, readLog } from "./log-file.ts";
import type { Turns } from "./turns.ts";

/** Adds what a log says. Rejects where it is another owner's, or damaged; what stood before the damage is added. */
export async function readContents(log: ReadableLog, into: Contents, owner: string, turns: Turns): Promise<void> {
  let isFirst = true;
  for await (const { entry, at, valueAt, valueBytes } of readLog(log, turns)) {
    if (isFirst) judgeHead(entry, owner);
    isFirst = false;
    into.apply(entry, { at: at + valueAt, bytes: valueBytes });
  }
}

function judgeHead(entry: Entry, owner: string): void {
  if (entry.kind !== "head") throw new Error("the file is no log of configuration");
  if (entry.format !== FORMAT) throw new Error(`its format is ${entry.format}, wanted ${FORMAT}`);
  if (entry.owner !== owner) throw new Error(`it belongs to ${entry.owner}`);
}
