import { readFile } from "node:fs/promises";

/** Physical memory of a process, in bytes. Undefined where there is no such process, or the system does not show it (not Linux). */
export async function residentBytes(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(text) ?? [];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1_024;
}

/** The runtime that this program runs on. */
export function thisRuntime(): Runtime {
  const { Bun: bun } = globalThis as { readonly Bun?: { readonly version: string } };
  return bun === undefined
    ? { name: "Node", version: process.version.replace(/^v/, "") }
    : { name: "Bun", version: bun.version };
}

export interface Runtime {
  readonly name: "Node" | "Bun";
  readonly version: string;
}
