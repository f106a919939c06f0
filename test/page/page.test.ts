import { expect, test } from "vitest";
import type { AgentFacts } from "../../src/page/model/facts.ts";
import { createPage } from "../../src/page/page.ts";

const FACTS: AgentFacts = {
  version: "1",
  runtime: { name: "node", version: "20" },
  pid: 7,
  startedMs: 0,
  residentBytes: 1,
  node: "sidecar~x",
  readiness: { ready: true, since: "2026-01-01T00:00:00Z", causes: [] },
  envoy: { kind: "running" },
  controlPlane: { address: "istiod:15012", state: "responding" },
  xds: [],
  leftOut: [],
  wasm: [],
};

test("all streams and documents of a tick share one rendering, and a change of readiness makes a new one", async () => {
  const over = new AbortController();
  const changed = new Set<() => void>();
  let renderings = 0;
  const page = createPage({
    facts: async () => FACTS,
    watchReadiness: (listener) => {
      changed.add(listener);
      return () => changed.delete(listener);
    },
    adminGet: undefined,
    logLines: () => {
      renderings++;
      return [];
    },
    over: over.signal,
  });
  const streams = [1, 2, 3].map(() => page.events()?.[Symbol.asyncIterator]());
  for (const stream of streams) await stream?.next();
  const [first] = await Promise.all([...streams.map((stream) => stream?.next()), page.document()]);
  expect(first).toMatchObject({ value: expect.stringContaining("Ready") });
  expect(renderings).toBe(1);
  const next = streams.map((stream) => stream?.next());
  for (const listener of changed) listener();
  await Promise.all(next);
  expect(renderings).toBe(2);
  over.abort();
  for (const stream of streams) await stream?.return?.();
  expect(changed.size).toBe(0);
});

test("a configuration that the control plane has not confirmed is marked as stale, for as long as it is", async () => {
  const over = new AbortController();
  const shown = async (facts: AgentFacts): Promise<string> => {
    const page = createPage({
      ...{ facts: async () => facts, watchReadiness: () => () => undefined, adminGet: undefined, logLines: () => [] },
      over: over.signal,
    });
    return await page.document();
  };
  const nowMs = Date.now();
  const stale = { acceptedMs: nowMs - 3_600_000, sinceMs: nowMs - 65_000 };
  expect(await shown({ ...FACTS, stale })).toMatch(
    /<li>Stale: Envoy has the last configuration that it accepted \(accepted 1h 0m ago, served for 1m \ds\)<\/li>/,
  );
  expect(await shown(FACTS)).not.toContain("Stale:");
  over.abort();
});
