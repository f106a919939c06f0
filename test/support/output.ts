import { tmpdir } from "node:os";
import { silentLogger } from "../../src/base/index.ts";
import { OutputSource } from "../../src/envoy/output/index.ts";
import type { OutputSourceOptions } from "../../src/envoy/output/output-source.ts";

/** Outputs for a child as the agent makes them. */
export function outputSource(options: Partial<OutputSourceOptions> = {}): OutputSource {
  return new OutputSource({
    folders: [tmpdir()],
    path: process.env.PATH,
    owner: undefined,
    ownStdout: undefined,
    log: silentLogger,
    ...options,
  });
}
