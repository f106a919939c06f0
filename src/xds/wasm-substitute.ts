import { memberOf, TYPED_STRUCTS, valueIn } from "../proto/struct.ts";
import { bytesOf, encodeFields, fieldOf, nameIn, readFields, rewriteFields, textOf, typeOf } from "../proto/wire.ts";
import type { Variant } from "./variant.ts";

/** What stands for a Wasm filter whose module is remote. */
export interface WasmSubstitute {
  /** URI of the module; empty when the configuration names none. */
  readonly uri: string;
  /** `allow` where the policy is fail-open: traffic goes on without the module. `deny` with every other one. */
  readonly effect: "allow" | "deny";
}

/** Called for each extension configuration of a response, in order; `substitute` is undefined where its bytes stay. */
export type OnExtension = (name: string, substitute: WasmSubstitute | undefined) => void;

/**
 * A discovery response of extension configurations in which an RBAC filter that allows or denies everything, as the
 * policy of the module says, stands for each Wasm filter with a remote module: istiod expects the agent to fetch it, and
 * Envoy refuses such a configuration. All other bytes stay; a response without such a filter is returned as it is.
 * Throws on bytes that are not protobuf.
 * Source: istio/istio pkg/wasm/convert.go; numbers: envoy/extensions/filters/{http,network}/{wasm,rbac}/v3.
 */
export function substituteWasm(message: Uint8Array, { response }: Variant, onExtension: OnExtension): Uint8Array {
  const { resources, anyInResource } = response;
  const inResource = (any: Uint8Array): Uint8Array =>
    rewriteFields(any, (field, value) => (field === ANY_VALUE ? inExtension(value, onExtension) : value));
  return rewriteFields(message, (field, value) => {
    if (field !== resources) return value;
    if (anyInResource === undefined) return inResource(value);
    return rewriteFields(value, (inner, any) => (inner === anyInResource ? inResource(any) : any));
  });
}

const ANY_TYPE_URL = 1;
const ANY_VALUE = 2;

/** By the message that configures the Wasm filter: the RBAC filter of the same kind, and where its statistics prefix is. */
const FILTERS: ReadonlyMap<string, { readonly rbac: string; readonly statPrefix: number }> = new Map([
  ["envoy.extensions.filters.http.wasm.v3.Wasm", { rbac: "envoy.extensions.filters.http.rbac.v3.RBAC", statPrefix: 6 }],
  [
    "envoy.extensions.filters.network.wasm.v3.Wasm",
    { rbac: "envoy.extensions.filters.network.rbac.v3.RBAC", statPrefix: 3 },
  ],
]);

function inExtension(extension: Uint8Array, onExtension: OnExtension): Uint8Array {
  let substitute: WasmSubstitute | undefined;
  const next = rewriteFields(extension, (field, config) => {
    const found = field === 2 ? readWasm(config) : undefined;
    if (found === undefined) return config;
    substitute = { uri: found.uri, effect: found.isFailOpen ? "allow" : "deny" };
    return rbacConfig(found.filter, substitute.effect);
  });
  onExtension(textOf(extension, 1), substitute);
  return next;
}

/** Without rules RBAC does nothing; with rules that match no caller it admits none. */
function rbacConfig({ rbac, statPrefix }: { rbac: string; statPrefix: number }, effect: WasmSubstitute["effect"]) {
  const rules = effect === "deny" ? { 1: new Uint8Array() } : {};
  const value = encodeFields({ ...rules, [statPrefix]: `wasm-default-${effect}` });
  return encodeFields({ [ANY_TYPE_URL]: `type.googleapis.com/${rbac}`, [ANY_VALUE]: value });
}

/** Undefined for what is no Wasm filter, or has its module at hand. */
function readWasm(any: Uint8Array) {
  const value = bytesOf(any, ANY_VALUE);
  const isStruct = TYPED_STRUCTS.has(typeOf(any));
  const filter = FILTERS.get(isStruct ? nameIn(textOf(value, 1)) : typeOf(any));
  if (filter === undefined) return undefined;
  const module = isStruct ? moduleOfStruct(bytesOf(value, 2)) : moduleOfMessage(value);
  return module && { ...module, filter };
}

interface RemoteModule {
  readonly uri: string;
  readonly isFailOpen: boolean;
}

const UNSPECIFIED = 0;
const FAIL_OPEN = 3;

function moduleOfMessage(wasm: Uint8Array): RemoteModule | undefined {
  const plugin = bytesOf(wasm, 1);
  const remote = fieldOf(bytesOf(bytesOf(plugin, 3), 3), 2); // vm_config.code.remote
  if (remote === undefined) return undefined;
  let policy = UNSPECIFIED;
  let failOpen = false;
  const skip = (): boolean => false;
  readFields(plugin, skip, (field, reader) => {
    if (field === 7) policy = reader.int32();
    else if (field === 5) failOpen = reader.bool();
    else return false;
    return true;
  });
  const isFailOpen = policy === FAIL_OPEN || (policy === UNSPECIFIED && failOpen);
  return { uri: textOf(bytesOf(remote, 1), 1), isFailOpen };
}

/** The same as JSON; its names are those of protobuf or of JSON. */
function moduleOfStruct(wasm: Uint8Array): RemoteModule | undefined {
  const plugin = structIn(wasm, "config");
  const code = structIn(structIn(plugin, "vm_config", "vmConfig"), "code");
  const remote = fieldOfStruct(code, "remote");
  if (plugin === undefined || !(remote instanceof Uint8Array)) return undefined;
  const policy = fieldOfStruct(plugin, "failure_policy", "failurePolicy") ?? UNSPECIFIED;
  const isUnspecified = policy === UNSPECIFIED || policy === "UNSPECIFIED";
  const failOpen = fieldOfStruct(plugin, "fail_open", "failOpen") === true;
  const uri = fieldOfStruct(structIn(remote, "http_uri", "httpUri"), "uri");
  return {
    uri: typeof uri === "string" ? uri : "",
    isFailOpen: policy === FAIL_OPEN || policy === "FAIL_OPEN" || (isUnspecified && failOpen),
  };
}

function fieldOfStruct(struct: Uint8Array | undefined, ...names: readonly string[]) {
  return struct && valueIn(memberOf(struct, ...names));
}

function structIn(struct: Uint8Array | undefined, ...names: readonly string[]): Uint8Array | undefined {
  const value = fieldOfStruct(struct, ...names);
  return value instanceof Uint8Array ? value : undefined;
}
