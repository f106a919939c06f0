import { rm } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomically } from "../base/index.ts";
import type { AgentConfig } from "../config/index.ts";
import { inRunFolder } from "./room-options.ts";

/** What a running agent leaves in its folder, so that `pilotboat status` finds it. */
export interface RunFile {
  readonly pid: number;
  readonly statusPort: number;
}

/** `<configPath>/agent.json`. */
export function runFilePath(configPath: string): string {
  return join(configPath, "agent.json");
}

/** Writes the file, mode 0600; disposing it removes it. */
export async function writeRunFile(config: AgentConfig, statusPort: number): Promise<AsyncDisposable> {
  const path = inRunFolder(config, runFilePath(config.proxy.configPath));
  const content: RunFile = { pid: process.pid, statusPort };
  await writeFileAtomically(path, `${JSON.stringify(content)}\n`);
  return { [Symbol.asyncDispose]: () => rm(path, { force: true }) };
}
