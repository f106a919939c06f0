import { LONGEST_TIMER_MS } from "../base/index.ts";
import { TYPED_STRUCTS } from "../proto/struct.ts";
import { bytesOf, encodeFields, fieldOf, nameIn, readFields, rewriteFields, textOf, typeOf } from "../proto/wire.ts";
import { messageOfStruct } from "./typed-struct.ts";

/** A Wasm filter whose module is remote, as an extension configuration has it. */
export interface RemoteWasm {
  /** Of the extension configuration; istiod makes it of the WasmPlugin's namespace and name. */
  readonly name: string;
  /** Of the plugin, as its configuration has it. */
  readonly plugin: string;
  readonly filter: FilterKind;
  /** What runs it in Envoy, such as `envoy.wasm.runtime.v8`; empty for any. */
  readonly runtime: string;
  /** Traffic goes on without the module when it cannot be had. */
  readonly isFailOpen: boolean;
  /** Undefined when the configuration says not where the module is. */
  readonly url: string | undefined;
  /** Hexadecimal SHA-256; empty when the configuration has none. */
  readonly checksum: string;
  /** Of the whole fetch. */
  readonly timeoutMs: number;
  readonly pull: PullWords;
}

/** What istiod tells the agent by way of variables that Envoy never gets. */
export interface PullWords {
  /** A docker configuration; empty when the secret that a WasmPlugin names is not there; undefined when it names none. */
  readonly secret: string | undefined;
  readonly policy: PullPolicy;
  /** Of the WasmPlugin. */
  readonly version: string;
}

export type PullPolicy = "unspecified" | "if not present" | "always";

/** An HTTP or network filter: the RBAC filter of the same kind, and where that one has its statistics prefix. */
export interface FilterKind {
  readonly wasm: string;
  readonly rbac: string;
  readonly statPrefix: number;
}

// Source of all numbers: envoy/config/core/v3, envoy/extensions/{wasm,filters/{http,network}/{wasm,rbac}}/v3.
const FILTERS: readonly FilterKind[] = [
  {
    wasm: "envoy.extensions.filters.http.wasm.v3.Wasm",
    rbac: "envoy.extensions.filters.http.rbac.v3.RBAC",
    statPrefix: 6,
  },
  {
    wasm: "envoy.extensions.filters.network.wasm.v3.Wasm",
    rbac: "envoy.extensions.filters.network.rbac.v3.RBAC",
    statPrefix: 3,
  },
];
const EXTENSION = "envoy.config.core.v3.TypedExtensionConfig";
const ANY = { typeUrl: 1, value: 2 } as const;
const CONFIG = { name: 1, typed: 2 } as const;
const WASM = { plugin: 1 } as const;
const PLUGIN = { name: 1, vm: 3, failOpen: 5, failurePolicy: 7 } as const;
const VM = { runtime: 2, code: 3, environment: 7 } as const;
const CODE = { local: 1, remote: 2 } as const;
const REMOTE = { httpUri: 1, sha256: 2 } as const;
const HTTP_URI = { uri: 1, timeout: 3 } as const;
const ENVIRONMENT = { hostKeys: 1, keyValues: 2 } as const;
const FAIL_OPEN = 3;
const DEFAULT_TIMEOUT_MS = 5_000;
/** What istiod writes for a module without a checksum: Envoy wants one. */
const NO_CHECKSUM = "nil";
const PRIVATE_PREFIX = "ISTIO_META_";

/**
 * An extension configuration (as an `Any`) whose Wasm filter, if it is one, is configured by its own message: what a
 * TypedStruct holds is turned into that. Rejects with an Error for what is no extension configuration. The same object is
 * returned for everything that is no Wasm filter in a TypedStruct.
 */
export function withTypedWasm(any: Uint8Array): Uint8Array | Promise<Uint8Array> {
  if (typeOf(any) !== EXTENSION) throw new Error(`it is a "${typeOf(any)}", wanted a "${EXTENSION}"`);
  const config = fieldOf(bytesOf(any, ANY.value), CONFIG.typed);
  if (config === undefined) throw new Error(`"${nameOf(any)}" has no typed configuration`);
  if (!TYPED_STRUCTS.has(typeOf(config))) return any;
  const typed = bytesOf(config, ANY.value);
  const type = nameIn(textOf(typed, 1));
  if (!FILTERS.some(({ wasm }) => wasm === type)) return any;
  return messageOfStruct(type, bytesOf(typed, 2)).then((value) => withConfig(any, anyOf(type, value)));
}

/** The name of an extension configuration. */
export function nameOf(any: Uint8Array): string {
  return textOf(bytesOf(any, ANY.value), CONFIG.name);
}

/**
 * Undefined for what is no Wasm filter, or has its module at hand. Throws an Error for a Wasm filter without a module, and
 * for bytes that are not protobuf. Source: istio/istio pkg/wasm/convert.go.
 */
export function readRemoteWasm(any: Uint8Array): RemoteWasm | undefined {
  const config = bytesOf(bytesOf(any, ANY.value), CONFIG.typed);
  const filter = FILTERS.find(({ wasm }) => wasm === typeOf(config));
  if (filter === undefined) return undefined;
  const plugin = bytesOf(bytesOf(config, ANY.value), WASM.plugin);
  const vm = bytesOf(plugin, PLUGIN.vm);
  const code = bytesOf(vm, VM.code);
  const remote = fieldOf(code, CODE.remote);
  const name = nameOf(any);
  if (remote === undefined) {
    if (fieldOf(code, CODE.local) !== undefined) return undefined;
    throw new Error(`the Wasm filter "${name}" has neither a remote nor a local module`);
  }
  const http = fieldOf(remote, REMOTE.httpUri);
  const checksum = textOf(remote, REMOTE.sha256);
  return {
    ...{ name, filter },
    plugin: textOf(plugin, PLUGIN.name),
    runtime: textOf(vm, VM.runtime),
    isFailOpen: isFailOpen(plugin),
    url: http && textOf(http, HTTP_URI.uri),
    checksum: checksum === NO_CHECKSUM ? "" : checksum,
    timeoutMs: (http && durationMs(fieldOf(http, HTTP_URI.timeout))) ?? DEFAULT_TIMEOUT_MS,
    pull: pullWords(bytesOf(vm, VM.environment)),
  };
}

/** The same configuration with the module in a file, and without the variables that are the agent's alone. */
export function withLocalModule(any: Uint8Array, { filter }: RemoteWasm, file: string): Uint8Array {
  const local = encodeFields({ [CODE.local]: encodeFields({ 1: file }) });
  const wasm = bytesOf(bytesOf(bytesOf(any, ANY.value), CONFIG.typed), ANY.value);
  const value = inField(wasm, WASM.plugin, (plugin) =>
    inField(plugin, PLUGIN.vm, (vm) =>
      rewriteFields(vm, (field, bytes) => {
        if (field === VM.code) return local;
        return field === VM.environment ? publicEnvironment(bytes) : bytes;
      }),
    ),
  );
  return withConfig(any, anyOf(filter.wasm, value));
}

/** What stands for a filter without its module: an RBAC filter. Without rules it does nothing; with rules that match no caller it admits none. */
export function withSubstitute(any: Uint8Array, { filter }: RemoteWasm, effect: "allow" | "deny"): Uint8Array {
  const rules = effect === "deny" ? { 1: new Uint8Array() } : {};
  const value = encodeFields({ ...rules, [filter.statPrefix]: `wasm-default-${effect}` });
  return withConfig(any, anyOf(filter.rbac, value));
}

function withConfig(any: Uint8Array, config: Uint8Array): Uint8Array {
  return inField(any, ANY.value, (extension) => inField(extension, CONFIG.typed, () => config));
}

function inField(bytes: Uint8Array, wanted: number, rewrite: (value: Uint8Array) => Uint8Array): Uint8Array {
  return rewriteFields(bytes, (field, value) => (field === wanted ? rewrite(value) : value));
}

function anyOf(type: string, value: Uint8Array): Uint8Array {
  return encodeFields({ [ANY.typeUrl]: `type.googleapis.com/${type}`, [ANY.value]: value });
}

/** The old `fail_open` counts where there is no policy. */
function isFailOpen(plugin: Uint8Array): boolean {
  const numbers = numbersOf(plugin);
  const policy = numbers.get(PLUGIN.failurePolicy) ?? 0;
  return policy === FAIL_OPEN || (policy === 0 && numbers.get(PLUGIN.failOpen) === 1);
}

function durationMs(duration: Uint8Array | undefined): number | undefined {
  if (duration === undefined) return undefined;
  const numbers = numbersOf(duration);
  const ms = (numbers.get(1) ?? 0) * 1_000 + Math.round((numbers.get(2) ?? 0) / 1e6);
  return Math.min(ms, LONGEST_TIMER_MS);
}

function numbersOf(message: Uint8Array): ReadonlyMap<number, number> {
  const numbers = new Map<number, number>();
  readFields(
    message,
    () => false,
    (field, reader) => {
      numbers.set(field, Number(reader.int64()));
      return true;
    },
  );
  return numbers;
}

const POLICIES: Readonly<Record<string, PullPolicy>> = { IfNotPresent: "if not present", Always: "always" };

function pullWords(environment: Uint8Array): PullWords {
  const variables = new Map<string, string>();
  readFields(environment, (field, reader) => {
    if (field !== ENVIRONMENT.keyValues) return false;
    const entry = reader.bytes();
    variables.set(textOf(entry, 1), textOf(entry, 2));
    return true;
  });
  const policy = variables.get("ISTIO_META_WASM_IMAGE_PULL_POLICY") ?? "";
  return {
    secret: variables.get("ISTIO_META_WASM_IMAGE_PULL_SECRET"),
    policy: (Object.hasOwn(POLICIES, policy) ? POLICIES[policy] : undefined) ?? "unspecified",
    version: variables.get("ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION") ?? "",
  };
}

/** Undefined when nothing is left of it. */
function publicEnvironment(environment: Uint8Array): Uint8Array | undefined {
  const left = rewriteFields(environment, (field, value) => {
    const isPrivate = field === ENVIRONMENT.keyValues && textOf(value, 1).startsWith(PRIVATE_PREFIX);
    return isPrivate ? undefined : value;
  });
  return left.length === 0 ? undefined : left;
}
