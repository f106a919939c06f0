import { existsSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
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
  const before = whatIsOpen();
  for (let round = 0; round < ROUNDS; round++) await oneRound();
  // not by `expect.poll`, whose own timer would be seen
  for (const endMs = Date.now() + SETTLE_LIMIT_MS; Date.now() < endMs && !isDeepStrictEqual(whatIsOpen(), before); ) {
    await setTimeout(20);
  }
  expect(whatIsOpen()).toEqual(before);
  const { files, resources } = before;
  return {
    exit: "none",
    seen: `${ROUNDS} rounds later ${files} files and ${resources.length} handles are open, as before`,
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

/** Files and sockets, timers and handles, and listeners of the process. */
function whatIsOpen() {
  globalThis.gc?.();
  return {
    files: openFiles(process.pid),
    // without the requests that are under way, which end by themselves
    resources: process
      .getActiveResourcesInfo()
      .filter((name) => !name.includes("Req"))
      .sort(),
    listeners: process.eventNames().map((name) => `${String(name)} ${process.listenerCount(name)}`),
  };
}
