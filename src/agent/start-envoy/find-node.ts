import type { Logger } from "../../base/index.ts";
import type { AgentConfig } from "../../config/index.ts";
import { hasCredentialSocket } from "../../identity/prepare/index.ts";
import { describeNode, discoverPlatform, gatherFacts, type NodeDescription } from "../../node/index.ts";
import { nodeOptions, platformWords } from "./options.ts";

/** Who this proxy is, from the configuration and what the machine says. A dead credential socket is removed. */
export function findNode(
  config: AgentConfig,
  hasExternalSds: boolean,
  log: Logger,
  stop: AbortSignal,
): Promise<NodeDescription> {
  return askNode(config, { hasExternalSds, mayRemove: true }, log, stop);
}

/** The same for those who only want to see it: nothing is changed. Our own SDS socket, if any, is taken for ours. */
export function lookAtNode(config: AgentConfig, log: Logger, stop: AbortSignal): Promise<NodeDescription> {
  return askNode(config, { hasExternalSds: false, mayRemove: false }, log, stop);
}

async function askNode(
  config: AgentConfig,
  { hasExternalSds, mayRemove }: { readonly hasExternalSds: boolean; readonly mayRemove: boolean },
  log: Logger,
  stop: AbortSignal,
): Promise<NodeDescription> {
  const hasCredentials = await hasCredentialSocket(config.cwd, { mayRemove });
  if (hasCredentials) log.info("Credential SDS socket found");
  const facts = await gatherFacts(
    {
      cwd: config.cwd,
      podAnnotations: config.podAnnotations.size === 0 ? undefined : config.podAnnotations,
      instanceIp: config.settings.instanceIp,
      platform: (isIpv6) => discoverPlatform({ ...platformWords(config), isIpv6 }),
      hasCredentialSocket: hasCredentials,
      hasExternalSds,
      log,
    },
    stop,
  );
  const node = describeNode(nodeOptions(config), facts);
  for (const warning of node.warnings) log.warn(warning);
  return node;
}
