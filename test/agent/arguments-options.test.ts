import { expect, test } from "vitest";
import { argumentsOptions } from "../../src/agent/start-envoy/options.ts";
import { loadConfig } from "../../src/config/index.ts";
import type { NodeDescription } from "../../src/node/index.ts";

const NODE = { addresses: ["10.0.0.1"] } as unknown as NodeDescription;

test.each([
  ["10s", 10_000],
  ["1500us", 1],
  ["500us", 0],
])(
  "a flush interval of %s is whole milliseconds, as Envoy wants them",
  async (fileFlushInterval, fileFlushIntervalMs) => {
    const env = { PROXY_CONFIG: JSON.stringify({ fileFlushInterval }) };
    const { config } = await loadConfig({ args: [], env, cwd: "/nowhere" });
    expect(argumentsOptions(config, NODE, "envoy-rev.json")).toMatchObject({ fileFlushIntervalMs });
  },
);
