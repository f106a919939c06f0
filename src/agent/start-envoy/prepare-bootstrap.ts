import { extname } from "node:path";
import { AgentError, describeError, readTextFile } from "../../base/index.ts";
import {
  type BootstrapFile,
  foreignFile,
  renderBootstrap,
  renderGrpcBootstrap,
  renderUserTemplate,
  writeBootstrap,
  writeGrpcBootstrap,
} from "../../bootstrap/index.ts";
import type { AgentConfig } from "../../config/index.ts";
import { readCgroup } from "../../host/index.ts";
import { refuseDump } from "../../istio/index.ts";
import type { JsonObject } from "../../istio/mesh/index.ts";
import type { NodeDescription } from "../../node/index.ts";
import { inRunFolder, runAs } from "../run-folder/index.ts";
import type { Around, StaticResources } from "./around.ts";
import { fitBootstrap } from "./fit-bootstrap.ts";
import { heapLimit } from "./machine-limits.ts";
import * as options from "./options.ts";

/**
 * Renders and writes what Envoy, and gRPC clients without Envoy, are started with. A `customConfigFile` is used as it is
 * and never removed; with DISABLE_ENVOY nothing is written for Envoy.
 */
export async function prepareBootstrap(
  config: AgentConfig,
  node: NodeDescription,
  { log, staticResources }: Pick<Around, "log" | "staticResources">,
  { isNext = false, envoyPath }: { readonly isNext?: boolean; readonly envoyPath?: string | undefined } = {},
): Promise<BootstrapFile> {
  const { customConfigFile } = config.proxy;
  const isOurs = customConfigFile === "" && !config.settings.isEnvoyDisabled;
  const rendered = isOurs ? await renderFitting(config, node, envoyPath, { log, staticResources }) : undefined; // first: a refused one leaves no file
  if (customConfigFile !== "") await refuseCustomDump(config);
  for (const warning of rendered?.warnings ?? ignoredHeapLimit(config)) log.warn(warning);
  const { grpcBootstrapPath, outputCerts } = config.settings;
  if (grpcBootstrapPath !== "") {
    // absolute, because an application works in a folder of its own
    const certificates = outputCerts === "" ? "" : inRunFolder(config, outputCerts);
    const document = renderGrpcBootstrap(options.grpcSocket(config), certificates, node);
    await writeGrpcBootstrap(inRunFolder(config, grpcBootstrapPath), document);
  }
  if (rendered === undefined) return foreignFile(customConfigFile);
  const { content, extension } = rendered;
  const owner = runAs(config, process.getuid?.());
  return writeBootstrap({ proxy: config.proxy, cwd: config.cwd, owner }, content, { extension, isNext });
}

async function renderFitting(
  config: AgentConfig,
  node: NodeDescription,
  envoyPath: string | undefined,
  { log, staticResources }: Pick<Around, "log" | "staticResources">,
) {
  const own = await renderFor(config, node);
  const rendered = { ...own, content: withStatic(own.content, staticResources) };
  if (envoyPath === undefined) return rendered;
  return { ...rendered, content: await fitBootstrap(rendered.content, envoyPath, config, log) };
}

/** A document of ours has both lists; a text is somebody's own. */
function withStatic(content: Rendered["content"], more: StaticResources | undefined): Rendered["content"] {
  if (more === undefined || typeof content === "string") return content;
  const found = content.static_resources as { readonly [list in keyof StaticResources]: JsonObject[] };
  const listeners = [...found.listeners, ...more.listeners];
  return { ...content, static_resources: { ...found, clusters: [...found.clusters, ...more.clusters], listeners } };
}

/** What Envoy is, or would be, started with: a document, or a text and the form that it is in. */
export interface Rendered {
  readonly content: JsonObject | string;
  readonly extension: "json" | "yaml";
  readonly warnings: readonly string[];
}

/**
 * The bootstrap of this configuration: `customConfigFile` as it is, the user's template, or our own document. Nothing is
 * written. Rejects with CONFIG_INVALID, or FILE_UNREADABLE for a file of the user's own.
 */
export async function renderFor(config: AgentConfig, node: NodeDescription): Promise<Rendered> {
  if (config.proxy.customConfigFile !== "") return readCustomFile(config);
  const wanted = options.bootstrapOptions(config);
  const template = config.settings.bootstrapTemplate || config.proxy.proxyBootstrapTemplatePath;
  if (template === "") {
    const heap = await askHeapLimit(config);
    const { document, warnings } = renderBootstrap({ ...wanted, heapLimitBytes: heap.bytes }, node);
    return { content: document, extension: "json", warnings: [...heap.warnings, ...warnings] };
  }
  const { text, extension, warnings } = await renderUserTemplate(template, options.templateWords(config), wanted, node);
  refuseDump(text, "Cannot start Envoy with the bootstrap template", template);
  return { content: text, extension, warnings: [...ignoredHeapLimit(config), ...warnings] };
}

/** A bootstrap with many static resources may be large. */
const MOST_BYTES = 256 * 1_024 * 1_024;

const CUSTOM = "Cannot start Envoy with customConfigFile";

async function readCustomFile(config: AgentConfig): Promise<Rendered> {
  const { customConfigFile: path } = config.proxy;
  const content = await readTextFile(inRunFolder(config, path), { mostBytes: MOST_BYTES }).catch((error: unknown) => {
    throw new AgentError("FILE_UNREADABLE", `Cannot read customConfigFile "${path}": ${describeError(error)}`, {
      cause: error,
    });
  });
  refuseDump(content, CUSTOM, path);
  return { content, extension: extname(path) === ".json" ? "json" : "yaml", warnings: ignoredHeapLimit(config) };
}

/** Envoy would pass over every field of a dump, and start with nothing. Why a file cannot be read is for Envoy to say. */
async function refuseCustomDump(config: AgentConfig): Promise<void> {
  const { customConfigFile: path } = config.proxy;
  const reading = readTextFile(inRunFolder(config, path), { mostBytes: MOST_BYTES });
  refuseDump(await reading.catch(() => ""), CUSTOM, path);
}

function ignoredHeapLimit({ settings }: AgentConfig): readonly string[] {
  return settings.heapLimit.kind === "off" ? [] : ["PILOTBOAT_HEAP_LIMIT has no effect on a bootstrap of your own"];
}

/** The machine is asked only when somebody wants to know. */
async function askHeapLimit(config: AgentConfig) {
  const isShare = config.settings.heapLimit.kind === "percent";
  const limits = isShare ? (await readCgroup()).limits : { cpus: undefined, memoryBytes: undefined };
  return heapLimit(config, limits);
}
