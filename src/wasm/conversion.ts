import { describeError, type Logger, type Metrics } from "../base/index.ts";
import { readFields, rewriteFields } from "../proto/wire.ts";
import {
  nameOf,
  type RemoteWasm,
  readRemoteWasm,
  withLocalModule,
  withSubstitute,
  withTypedWasm,
} from "./extension.ts";
import { CONVERSION_DURATION, CONVERSIONS } from "./metrics.ts";
import type { ModuleCache } from "./module-cache.ts";
import { shownUrl } from "./module-url.ts";
import { canRun, runtimesOf, withoutRuntime } from "./runtimes.ts";

/** Field numbers of discovery messages that the conversion looks at; they differ between whole states and changes. */
export interface MessageShape {
  readonly name: "sotw" | "delta";
  readonly request: { readonly node: number; readonly names: number; readonly unsubscribe: number | undefined };
  readonly response: { readonly resources: number; readonly anyInResource: number | undefined };
}

/** A Wasm filter with a remote module that Envoy was told of. */
export interface WasmModule {
  /** Of the extension configuration; istiod makes it of the WasmPlugin's namespace and name. */
  readonly name: string;
  readonly url: string;
  /** `substituted`: there is no module, and another filter in its place. */
  readonly state: "fetching" | "loaded" | "substituted";
  readonly sinceMs: number;
  /** Where Envoy reads it from. */
  readonly file?: string;
  /** Why there is no module. */
  readonly error?: string;
  /** What follows for traffic. */
  readonly consequence?: string;
}

export interface ConversionOptions {
  readonly modules: Pick<ModuleCache, "get">;
  readonly log: Logger;
  readonly metrics: Metrics;
}

const EXTENSION_TYPE = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";

/**
 * Gives Envoy local files for remote Wasm modules, and where a module cannot be had, a filter that allows or denies everything,
 * as its policy says. Source: istio/istio pkg/wasm/convert.go.
 */
export class WasmConversion {
  readonly #options: ConversionOptions;
  readonly #modules = new Map<string, WasmModule>();

  constructor(options: ConversionOptions) {
    this.#options = options;
  }

  /** In the order in which they came. */
  get modules(): readonly WasmModule[] {
    return [...this.#modules.values()];
  }

  /** A hook of the xDS relay. Throws on bytes that are not protobuf. */
  forStream(shape: MessageShape, firstRequest: Uint8Array) {
    const runtimes = runtimesOf(firstRequest, shape.request.node);
    return {
      handles: (typeUrl: string): boolean => typeUrl === EXTENSION_TYPE,
      rewrite: (message: Buffer, _: unknown, over: AbortSignal): Promise<Buffer> =>
        this.#convert(message, shape, { runtimes, over }),
      noteRequest: (_: string, message: Uint8Array): void => this.#noteRequest(shape, message),
    };
  }

  /** Rejects with an Error, whose text is for the control plane, when a resource is no extension configuration. */
  async #convert(message: Buffer, { response }: MessageShape, stream: Stream): Promise<Buffer> {
    const startMs = performance.now();
    const { resources, anyInResource } = response;
    // a Buffer cuts parts out of itself several times slower than a plain array
    const bytes = new Uint8Array(message.buffer, message.byteOffset, message.length);
    const anys: Uint8Array[] = [];
    const eachAny = (visit: (any: Uint8Array) => Uint8Array): Uint8Array =>
      rewriteFields(bytes, (field, value) => {
        if (field !== resources) return value;
        if (anyInResource === undefined) return visit(value);
        return rewriteFields(value, (inner, any) => (inner === anyInResource ? visit(any) : any));
      });
    eachAny((any) => {
      anys.push(any);
      return any;
    });
    const converted = await Promise.allSettled(anys.map((any) => this.#convertOne(any, stream)));
    this.#options.metrics.observe(CONVERSION_DURATION, performance.now() - startMs);
    stream.over.throwIfAborted();
    const failures = converted.filter(({ status }) => status === "rejected") as PromiseRejectedResult[];
    if (failures.length > 0) throw new Error(listed(failures.map(({ reason }) => describeError(reason))));
    let at = 0;
    const next = eachAny(() => (converted[at++] as PromiseFulfilledResult<Uint8Array>).value);
    return next === bytes ? message : Buffer.from(next.buffer, next.byteOffset, next.length);
  }

  async #convertOne(any: Uint8Array, stream: Stream): Promise<Uint8Array> {
    let typed: Uint8Array;
    let remote: RemoteWasm | undefined;
    try {
      typed = await withTypedWasm(any);
      remote = readRemoteWasm(typed);
    } catch (error) {
      this.#count("unmarshal_failure");
      throw error;
    }
    if (remote === undefined) {
      this.#modules.delete(nameOf(any));
      this.#count("no_remote_load");
      return any;
    }
    try {
      const file = await this.#fetch(remote, stream);
      this.#count("success");
      this.#note({ ...this.#facts(remote), state: "loaded", file });
      return withLocalModule(typed, remote, file);
    } catch (error) {
      stream.over.throwIfAborted();
      this.#count(remote.url === undefined ? "miss_remote_fetch_hint" : "fetch_failure");
      return this.#substitute(typed, remote, describeError(error));
    }
  }

  async #fetch(remote: RemoteWasm, { runtimes, over }: Stream): Promise<string> {
    const { name, plugin, url, checksum, timeoutMs, pull, runtime } = remote;
    const facts = this.#facts(remote);
    if (this.#modules.get(name)?.url !== facts.url) this.#note({ ...facts, state: "fetching" });
    if (!canRun(runtimes, runtime)) throw new Error(withoutRuntime(runtime));
    if (url === undefined) throw new Error(`the Wasm module of "${name}" has no URL`);
    if (pull.secret === "") throw new Error(`cannot fetch Wasm module ${plugin}: missing image pulling secret`);
    return await this.#options.modules
      .get({ url, checksum, resource: name, pull, timeoutMs }, over)
      .catch((cause: unknown) => {
        throw new Error(`cannot fetch Wasm module ${shownUrl(url)}`, { cause });
      });
  }

  #substitute(any: Uint8Array, remote: RemoteWasm, error: string): Uint8Array {
    const effect = remote.isFailOpen ? "allow" : "deny";
    const consequence = CONSEQUENCES[effect];
    const last = this.#modules.get(remote.name);
    this.#note({ ...this.#facts(remote), state: "substituted", error, consequence });
    const { name, url = "" } = remote;
    const isNews = last?.error !== error || last.consequence !== consequence;
    const facts = { name, uri: shownUrl(url), consequence };
    this.#options.log[isNews ? "error" : "debug"](
      `error in converting the wasm config to local: ${error}. applying ${effect} RBAC filter`,
      facts,
    );
    return withSubstitute(any, remote, effect);
  }

  #facts({ name, url = "" }: RemoteWasm) {
    return { name, url: shownUrl(url), sinceMs: Date.now() };
  }

  #note(module: WasmModule): void {
    this.#modules.set(module.name, module);
  }

  #count(result: string): void {
    this.#options.metrics.count(CONVERSIONS, { result });
  }

  /** Envoy no longer asks for an extension configuration once its listener is without the filter. Throws on bytes that are not protobuf. */
  #noteRequest({ name, request }: MessageShape, message: Uint8Array): void {
    if (this.#modules.size === 0) return;
    const wanted = new Set<string>();
    readFields(message, (field, reader) => {
      if (field === request.unsubscribe) this.#modules.delete(reader.string());
      else if (name === "sotw" && field === request.names) wanted.add(reader.string());
      else return false;
      return true;
    });
    if (name === "delta") return;
    for (const known of this.#modules.keys()) if (!wanted.has(known)) this.#modules.delete(known);
  }
}

/** Of one stream. */
interface Stream {
  /** Wasm runtimes that Envoy was built with; empty when it does not say. */
  readonly runtimes: ReadonlySet<string>;
  readonly over: AbortSignal;
}

const CONSEQUENCES = {
  allow: "traffic passes without the module, as its policy FAIL_OPEN says",
  deny: "all traffic through the filter is refused (HTTP 403), as its policy FAIL_CLOSE says",
} as const;

/** As Go's multierror prints them. */
function listed(failures: readonly string[]): string {
  const [first = ""] = failures;
  if (failures.length === 1) return first;
  return `${failures.length} errors occurred:${failures.map((text) => `\n\t* ${text}`).join("")}\n`;
}
