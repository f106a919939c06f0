import { DEFAULT_ENVOY_VERSION, fetchEnvoy, findEnvoy } from "../../src/envoy/binary/index.ts";

const found = new Map<string, Promise<string>>();

/** Path of a real Envoy of that version, fetched into the user's cache when it is not there. */
export function realEnvoy(version: string = DEFAULT_ENVOY_VERSION): Promise<string> {
  const known = found.get(version) ?? locate(version);
  found.set(version, known);
  return known;
}

async function locate(version: string): Promise<string> {
  const { HOME, XDG_CACHE_HOME } = process.env;
  const cached = await findEnvoy({ explicit: [], env: { HOME, XDG_CACHE_HOME }, cwd: "/", version });
  if (cached !== undefined) return cached.path;
  const options = { env: process.env, version, onNote: (line: string) => console.log(line) };
  return (await fetchEnvoy(options, new AbortController().signal)).path;
}
