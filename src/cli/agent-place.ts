import { AgentError } from "../base/index.ts";
import { PATHS } from "../istio/index.ts";
import type { Argument } from "./contract/index.ts";

/** By which a running agent is found. */
export interface AgentPlace {
  readonly runFolder: string;
  /** As the agent's own, relative to the folder it runs in. */
  readonly configPath: string;
}

export const AGENT_FOLDER: Argument = {
  name: "FOLDER",
  isOptional: true,
  help: "Folder in which the agent runs; default: the working directory",
};

/** The flags of every command that talks to an agent. */
export const AGENT_FLAGS = [
  { name: "run-folder", type: "string", default: undefined, help: "Folder in which the agent runs", value: "FOLDER" },
  { name: "config-path", type: "string", default: PATHS.config, help: "The configPath of that agent", value: "FOLDER" },
] as const;

/** For programs. */
export const JSON_FLAG = {
  name: "output",
  shorthand: "o",
  type: "string",
  default: undefined,
  help: "For programs; the only form is json",
  value: "json",
} as const;

interface PlaceFlags {
  readonly "run-folder": string | undefined;
  readonly "config-path": string;
}

/** The agent that argument and flags name, the one of the working directory without. Throws USAGE when they name two. */
export function placeOf(flags: PlaceFlags, folder?: string): AgentPlace {
  const { "run-folder": flag, "config-path": configPath } = flags;
  if (folder !== undefined && flag !== undefined && folder !== flag) {
    throw new AgentError("USAGE", `Cannot ask two agents: "${folder}" and --run-folder "${flag}"`);
  }
  return { runFolder: folder ?? flag ?? ".", configPath };
}
