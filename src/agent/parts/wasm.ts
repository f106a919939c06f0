import { join } from "node:path";
import { createTransport } from "../../base/index.ts";
import { type AgentConfig, readEgressProxy } from "../../config/index.ts";
import type { WasmConversion, WasmModule } from "../../wasm/index.ts";
import { dataFolder, inRunFolder } from "../run-folder/index.ts";
import type { Part, Serving, Surroundings } from "./part.ts";
import { imageSource } from "./wasm-images.ts";

/** Its rows of the report. */
export interface WasmReport {
  /** Remote Wasm modules that Envoy was told of. */
  readonly wasm: readonly WasmModule[];
}

/** Fetches Wasm modules for Envoy, which gets them as local files. */
export class WasmPart implements Part {
  readonly #around: Surroundings;
  #conversion: WasmConversion | undefined;

  constructor(around: Surroundings) {
    this.#around = around;
  }

  lasting({ settings }: AgentConfig): Record<string, unknown> {
    return {
      isWasmConverted: settings.isWasmConversionEnabled,
      wasm: [...wasmSettings(settings)],
    };
  }

  /** Before the relay, which asks for the hook. */
  async serve({ life }: Serving): Promise<void> {
    const { config, context, metrics } = this.#around;
    const { settings } = config;
    if (!settings.isWasmConversionEnabled) return;
    const { ModuleCache, WasmConversion, fetchPermits } = await import("../../wasm/index.ts");
    const log = context.log.scope("wasm");
    const reach = {
      proxy: readEgressProxy(context.host.env, [], HTTP_PORT),
      permits: fetchPermits(settings.blockedWasmCidrs, log),
      isUnverified: (host: string) => isInsecure(settings, host),
    };
    const modules = new ModuleCache({
      folder: dataFolder(inRunFolder(config, join(config.proxy.configPath, "wasm"))),
      transport: createTransport(reach),
      images: imageSource({ reach, env: context.host.env, isInsecure: reach.isUnverified, log }),
      requestTimeoutMs: settings.wasmRequestTimeoutMs || DEFAULT_REQUEST_TIMEOUT_MS,
      attempts: settings.wasmMaxRetries,
      mostBytes: settings.wasmMaxBytes,
      expiryMs: settings.wasmModuleExpiryMs || DEFAULT_EXPIRY_MS,
      purgeIntervalMs: settings.wasmPurgeIntervalMs || DEFAULT_PURGE_INTERVAL_MS,
      isInUse: (file) => this.report().wasm.some((module) => module.file === file),
      log,
      metrics,
    });
    await life.own("wasm cache", modules);
    this.#conversion = new WasmConversion({ modules, log, metrics });
  }

  get hooks(): NonNullable<Part["hooks"]> {
    return this.#conversion === undefined ? [] : [this.#conversion];
  }

  report(): WasmReport {
    return { wasm: this.#conversion?.modules ?? [] };
  }

  notes(): readonly string[] {
    return this.report().wasm.flatMap(({ name, state, consequence, error }) =>
      state === "substituted" ? [`without its Wasm module: "${name}"; ${consequence}: ${error}`] : [],
    );
  }
}

type Settings = AgentConfig["settings"];

const HTTP_PORT = "80";
// what the reference takes for 0
const DEFAULT_REQUEST_TIMEOUT_MS = 5_000;
const DEFAULT_EXPIRY_MS = 86_400_000;
const DEFAULT_PURGE_INTERVAL_MS = 3_600_000;

function* wasmSettings(settings: Settings): Generator<unknown> {
  yield settings.wasmInsecureRegistries;
  yield settings.blockedWasmCidrs;
  yield [settings.wasmRequestTimeoutMs, settings.wasmMaxRetries, settings.wasmMaxBytes];
  yield [settings.wasmModuleExpiryMs, settings.wasmPurgeIntervalMs];
}

function isInsecure({ wasmInsecureRegistries: list }: Settings, host: string): boolean {
  return list.includes(host) || list.includes("*");
}
