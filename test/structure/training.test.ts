import { expect, test } from "vitest";
// @ts-expect-error a plain script without types
import { startOnce } from "../../scripts/training/start-once.mjs";
import { runtimes } from "../support/pilotboat.ts";

// A build that cannot train warns and goes on, so that this says when it cannot.
test.each(runtimes())("$name gets ready in the start that a build learns from", async ({ command }) => {
  await expect(startOnce({ controlPlane: command, agent: command })).resolves.toBeUndefined();
});
