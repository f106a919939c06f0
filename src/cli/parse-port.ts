import { AgentError } from "../base/index.ts";

/** The port of a service that is there, named by `name`. Throws USAGE. */
export function parseServicePort(name: string, text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw new AgentError("USAGE", `Cannot use ${name} "${text}", wanted 1 to 65535`);
}

/** A port that was named by `name`, 0 for a free one. Throws USAGE. */
export function parsePort(name: string, text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= 65_535) return port;
  throw new AgentError("USAGE", `Cannot use ${name} "${text}", wanted 0 to 65535`);
}
