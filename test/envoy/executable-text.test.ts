import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { executableContains } from "../../src/envoy/index.ts";
import { realEnvoy } from "../support/real-envoy.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-executable-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const ELF = Buffer.from("7f454c46", "hex");
const CHUNK_BYTES = 4 * 1_024 * 1_024;

test.each([
  ["at the start", 4],
  ["across the border of two chunks", CHUNK_BYTES - 5],
  ["in a later chunk", CHUNK_BYTES + 100],
])("a text is found %s", async (_where, at) => {
  const path = join(folder, "program");
  const bytes = Buffer.alloc(at + 20);
  ELF.copy(bytes);
  bytes.write("istio.workload", at);
  await writeFile(path, bytes);
  expect(await executableContains(path, "istio.workload")).toBe(true);
  expect(await executableContains(path, "istio.workloads")).toBe(false);
});

test("of a script nobody knows", async () => {
  const path = join(folder, "script");
  await writeFile(path, "#!/bin/sh\nexec envoy # istio.workload\n");
  expect(await executableContains(path, "istio.workload")).toBeUndefined();
});

test("upstream's Envoy has its own messages, and none of Istio's", async () => {
  const envoy = await realEnvoy();
  expect(await executableContains(envoy, "envoy.extensions.filters.http.router.v3")).toBe(true);
  expect(await executableContains(envoy, "istio.workload")).toBe(false);
});
