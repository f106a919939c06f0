import type { Logger } from "../base/index.ts";
import {
  type BootstrapFile,
  renderBootstrap,
  renderGrpcBootstrap,
  renderUserTemplate,
  writeBootstrap,
  writeGrpcBootstrap,
} from "../bootstrap/index.ts";
import type { AgentConfig } from "../config/index.ts";
import { readCgroup } from "../envoy/index.ts";
import type { NodeDescription } from "../node/index.ts";
import { heapLimit } from "./machine-limits.ts";
import * as options from "./room-options.ts";

/** Renders and writes what Envoy, and gRPC clients without Envoy, are started with. */
export async function prepareBootstrap(
  config: AgentConfig,
  node: NodeDescription,
  log: Logger,
  { isNext = false } = {},
): Promise<BootstrapFile> {
  const { content, extension, warnings } = await renderFor(config, node); // first: a refused template leaves no file
  for (const warning of warnings) log.warn(warning);
  const { grpcBootstrapPath, outputCerts } = config.settings;
  if (grpcBootstrapPath !== "") {
    // applications do not work in a run folder of its own
    const isElsewhere = outputCerts !== "" && config.cwd !== config.startedIn;
    const certs = isElsewhere ? options.inRunFolder(config, outputCerts) : outputCerts;
    const document = renderGrpcBootstrap(config.proxy.configPath, certs, node);
    await writeGrpcBootstrap(options.inRunFolder(config, grpcBootstrapPath), document);
  }
  const owner = options.runAs(config, process.getuid?.());
  return writeBootstrap({ proxy: config.proxy, cwd: config.cwd, owner }, content, { extension, isNext });
}

/** The bootstrap of this configuration: our own document, or the user's template. Nothing is written. */
export async function renderFor(config: AgentConfig, node: NodeDescription) {
  const wanted = options.bootstrapOptions(config);
  const template = config.settings.bootstrapTemplate || config.proxy.proxyBootstrapTemplatePath;
  if (template === "") {
    const heap = await askHeapLimit(config);
    const { document, warnings } = renderBootstrap({ ...wanted, heapLimitBytes: heap.bytes }, node);
    return { content: document, extension: "json", warnings: [...heap.warnings, ...warnings] } as const;
  }
  const { text, extension, warnings } = await renderUserTemplate(template, config.cwd, wanted, node);
  return { content: text, extension, warnings: [...ignoredHeapLimit(config), ...warnings] } as const;
}

function ignoredHeapLimit({ settings }: AgentConfig): readonly string[] {
  return settings.heapLimit.kind === "off" ? [] : ["PILOTBOAT_HEAP_LIMIT has no effect on a bootstrap of your own"];
}

/** The machine is asked only when somebody wants to know. */
async function askHeapLimit(config: AgentConfig) {
  if (config.proxy.customConfigFile !== "") return { bytes: undefined, warnings: ignoredHeapLimit(config) };
  const isShare = config.settings.heapLimit.kind === "percent";
  const limits = isShare ? (await readCgroup()).limits : { cpus: undefined, memoryBytes: undefined };
  return heapLimit(config, limits);
}
