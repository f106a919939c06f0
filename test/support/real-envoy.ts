import { channel } from "node:diagnostics_channel";
import { DEFAULT_ENVOY_VERSION, findOrFetchEnvoy } from "../../src/envoy/binary/index.ts";

/** Told of each request for a real Envoy, so that the tests that run with one can be counted. */
export const REAL_ENVOY_CHANNEL = "pilotboat:real-envoy";

const found = new Map<string, Promise<string>>();

/** Path of a real Envoy of that version: of PATH or the user's cache, else fetched into that. Safe to call at the same time. */
export function realEnvoy(version: string = DEFAULT_ENVOY_VERSION): Promise<string> {
  channel(REAL_ENVOY_CHANNEL).publish(version);
  const known = found.get(version) ?? locate(version);
  found.set(version, known);
  return known;
}

async function locate(version: string): Promise<string> {
  const options = { explicit: [], env: process.env, cwd: "/", version, onNote: (line: string) => console.log(line) };
  return (await findOrFetchEnvoy(options, new AbortController().signal)).path;
}
