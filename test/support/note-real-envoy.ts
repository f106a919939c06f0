import { subscribe } from "node:diagnostics_channel";
import { afterEach, TestRunner } from "vitest";
import { REAL_ENVOY_CHANNEL } from "./real-envoy.ts";

declare module "vitest" {
  interface TaskMeta {
    /** The test ran with the real Envoy; the reporter counts those. */
    realEnvoy?: true;
  }
}

let isForWholeFile = false;

subscribe(REAL_ENVOY_CHANNEL, () => {
  const test = TestRunner.getCurrentTest();
  if (test === undefined || test.concurrent === true)
    isForWholeFile = true; // of concurrent ones any may be the current one
  else test.meta.realEnvoy = true;
});

afterEach(({ task }) => {
  // the examples are written as a user's tests are, and ask the product alone
  if (isForWholeFile || task.file.name.startsWith("examples/")) task.meta.realEnvoy = true;
});
