import { bytesOf, readFields, textOf } from "../proto/wire.ts";

const RUNTIME = "envoy.wasm.runtime.";
/** For plugins that are compiled into Envoy. */
const NULL_RUNTIME = `${RUNTIME}null`;

/** The Wasm runtimes that an Envoy was built with, by `node.extensions` of its first request; empty when it does not say. Source: envoy/config/core/v3/base.proto. */
export function runtimesOf(firstRequest: Uint8Array, nodeField: number): ReadonlySet<string> {
  const runtimes = new Set<string>();
  readFields(bytesOf(firstRequest, nodeField), (field, reader) => {
    if (field !== 9) return false;
    const name = textOf(reader.bytes(), 1);
    if (name.startsWith(RUNTIME)) runtimes.add(name);
    return true;
  });
  return runtimes;
}

export function canRun(runtimes: ReadonlySet<string>, wanted: string): boolean {
  if (runtimes.size === 0) return true;
  return wanted === "" ? [...runtimes].some((name) => name !== NULL_RUNTIME) : runtimes.has(wanted);
}

export function withoutRuntime(wanted: string): string {
  const what = wanted === "" ? "a Wasm runtime" : `the Wasm runtime "${wanted}"`;
  return `this Envoy was built without ${what}: take another, such as 1.36.4, 1.40.0 or Istio's`;
}
