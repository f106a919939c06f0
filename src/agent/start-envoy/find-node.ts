import type { Logger } from "../../base/index.ts";
import type { AgentConfig } from "../../config/index.ts";
import { type FoundEnvoy, findEnvoy } from "../../envoy/binary/index.ts";
import { hasCredentialSocket } from "../../identity/prepare/index.ts";
import { describeNode, discoverPlatform, gatherFacts, type NodeDescription } from "../../node/index.ts";
import { nodeOptions, platformWords, wantedEnvoy } from "./options.ts";

/** What is found out elsewhere. */
export interface NodeWords {
  readonly hasExternalSds: boolean;
  /** The Envoy that is going to be started. It is looked for meanwhile; why it is not found says somebody else. */
  readonly envoy: Promise<FoundEnvoy | undefined>;
}

/**
 * Who this proxy is, from the configuration, the Envoy and what the machine says. A dead credential socket is removed.
 * Rejects with what finding Envoy does.
 */
export function findNode(
  config: AgentConfig,
  words: NodeWords,
  log: Logger,
  stop: AbortSignal,
): Promise<NodeDescription> {
  return askNode(config, { ...words, mayRemove: true }, log, stop);
}

/** The same for those who only want to see it: nothing is changed. Our own SDS socket, if any, is taken for ours. */
export function lookAtNode(config: AgentConfig, log: Logger, stop: AbortSignal): Promise<NodeDescription> {
  const envoy = findEnvoy({ ...wantedEnvoy(config), env: config.environment }).catch(() => undefined); // only a start needs one
  return askNode(config, { envoy, hasExternalSds: false, mayRemove: false }, log, stop);
}

async function askNode(
  config: AgentConfig,
  { hasExternalSds, mayRemove, envoy }: NodeWords & { readonly mayRemove: boolean },
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
  const node = describeNode(nodeOptions(config, (await envoy)?.istioVersion), facts);
  for (const warning of node.warnings) log.warn(warning);
  return node;
}
