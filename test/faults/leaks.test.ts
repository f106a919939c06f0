import { existsSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { beforeAll, expect } from "vitest";
import { type Sidecar, startSidecar } from "../../src/index.ts";
import { isAlive } from "../support/processes.ts";
import { realEnvoy } from "../support/real-envoy.ts";
import { fault } from "./fault.ts";
import { openFiles } from "./rig.ts";

beforeAll(() => realEnvoy());

const ROUNDS = 4;
const SETTLE_LIMIT_MS = 5_000;

fault("the agent is started and stopped again and again in one process", async () => {
  await oneRound(); // the first one loads code, whose threads and files stay
  const before = await settled(() => true);
  for (let round = 0; round < ROUNDS; round++) await oneRound();
  // Something of the runner may end meanwhile, so fewer are fine; what a round leaves behind is there ROUNDS times.
  const after = await settled((open) => open.files <= before.files && open.resources <= before.resources);
  expect(after.files).toBeLessThanOrEqual(before.files);
  expect(after.resources).toBeLessThanOrEqual(before.resources);
  expect(after.listeners).toEqual(before.listeners);
  return {
    exit: "none",
    seen: `${ROUNDS} rounds later no more files and handles are open, and the same listeners`,
  };
});

async function oneRound(): Promise<void> {
  const sidecar: Sidecar = await startSidecar();
  expect((await fetch(sidecar.url)).status).toBe(200);
  const { envoyPid = 0, folder } = sidecar;
  expect(isAlive(envoyPid)).toBe(true);
  await sidecar[Symbol.asyncDispose]();
  expect(isAlive(envoyPid)).toBe(false);
  expect(existsSync(folder)).toBe(false);
}

interface Open {
  readonly files: number;
  readonly resources: number;
  readonly listeners: readonly string[];
}

/** What is open when no request of the process is under way (a file that is being closed, say) and it is as wanted. */
async function settled(wanted: (open: Open) => boolean): Promise<Open> {
  // not by `expect.poll`, whose own timer would be seen
  const endMs = Date.now() + SETTLE_LIMIT_MS;
  for (;;) {
    const requests = process.getActiveResourcesInfo().some(isRequest);
    const open = whatIsOpen();
    if ((!requests && wanted(open)) || Date.now() > endMs) return open;
    await setTimeout(20);
  }
}

/** Files and sockets, timers and handles, and listeners of the process. */
function whatIsOpen(): Open {
  globalThis.gc?.();
  return {
    files: openFiles(process.pid),
    resources: process.getActiveResourcesInfo().filter((name) => !isRequest(name)).length,
    listeners: process.eventNames().map((name) => `${String(name)} ${process.listenerCount(name)}`),
  };
}

/** A request of the process, such as the closing of a file, ends by itself. */
function isRequest(name: string): boolean {
  return name.includes("Req");
}
