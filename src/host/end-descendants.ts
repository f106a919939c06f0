import { readFile } from "node:fs/promises";
import { systemClock } from "../base/index.ts";

const LOOK_MS = 10;
/** A program that starts others without end is killed before them. */
const LIMIT_MS = 200;

/**
 * Kills what a process has started, and waits until it has collected that: what loses its parent becomes a child of
 * process 1, and where that is the agent it stays as a zombie, because neither runtime can wait for a child that it has
 * not started. Linux only; elsewhere nothing happens.
 */
export async function endDescendants(pid: number): Promise<void> {
  const untilMs = performance.now() + LIMIT_MS;
  for (;;) {
    const below = await descendantsOf(pid);
    if (below.length === 0 || performance.now() > untilMs) return;
    for (const one of below) kill(one);
    await systemClock.sleep(LOOK_MS);
  }
}

/** The deepest first. */
async function descendantsOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  const children = text
    .split(" ")
    .map(Number)
    .filter((child) => child > 0);
  const deeper = await Promise.all(children.map(descendantsOf));
  return [...deeper.flat(), ...children];
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it is gone
  }
}
