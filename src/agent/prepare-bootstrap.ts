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
import type { NodeDescription } from "../node/index.ts";
import * as options from "./room-options.ts";

/** Renders and writes what Envoy, and gRPC clients without Envoy, are started with. */
export async function prepareBootstrap(
  config: AgentConfig,
  node: NodeDescription,
  log: Logger,
): Promise<BootstrapFile> {
  const { grpcBootstrapPath, outputCerts } = config.settings;
  if (grpcBootstrapPath !== "") {
    const document = renderGrpcBootstrap(config.proxy.configPath, outputCerts, node);
    await writeGrpcBootstrap(options.inRunFolder(config, grpcBootstrapPath), document);
  }
  const { content, extension, warnings } = await renderFor(config, node);
  for (const warning of warnings) log.warn(warning);
  return writeBootstrap(config.proxy, config.cwd, content, extension);
}

/** The bootstrap of this configuration: our own document, or the user's template. Nothing is written. */
export async function renderFor(config: AgentConfig, node: NodeDescription) {
  const wanted = options.bootstrapOptions(config);
  const template = config.settings.bootstrapTemplate || config.proxy.proxyBootstrapTemplatePath;
  if (template === "") {
    const { document, warnings } = renderBootstrap(wanted, node);
    return { content: document, extension: "json", warnings } as const;
  }
  const { text, extension, warnings } = await renderUserTemplate(template, config.cwd, wanted, node);
  return { content: text, extension, warnings } as const;
}
