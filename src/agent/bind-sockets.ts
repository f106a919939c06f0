import { dirname } from "node:path";
import {
  AgentError,
  allSettled,
  type BoundSocket,
  bindTcp,
  bindUnix,
  connectionLimit,
  type Lifetime,
} from "../base/index.ts";
import type { AgentConfig } from "../config/index.ts";
import type { SocketPlan } from "../identity/prepare/index.ts";
import { statusPortTaken } from "./ports/index.ts";
import { makeRunFolder, runAs, socketAccess, xdsSocketPath } from "./run-folder/index.ts";
import type { Sockets } from "./serve-identity.ts";

/**
 * Binds everything that the agent listens on; without Envoy nobody asks for secrets, and there is no SDS socket. A status
 * port of 0 means none. Rejects with ADDRESS_IN_USE, ADDRESS_UNUSABLE or SOCKET_PATH_TOO_LONG.
 * Source: istio/istio pilot/cmd/pilot-agent/app/cmd.go (`proxyConfig.StatusPort > 0`).
 */
export async function bindSockets(config: AgentConfig, sds: SocketPlan, life: Lifetime): Promise<Sockets> {
  const [status, xds, secrets] = await allSettled([
    config.proxy.statusPort === 0 ? undefined : life.own("status port", bindStatus(config)),
    life.own("xds socket", bindUnix(xdsSocketPath(config), { ...socketAccess(config), limit: connectionLimit() })),
    config.settings.isEnvoyDisabled ? undefined : bindSds(config, sds, life),
  ]);
  return { status, xds, sds: secrets };
}

async function bindSds(config: AgentConfig, { path, folderMode }: SocketPlan, life: Lifetime) {
  const owner = runAs(config, process.getuid?.());
  await life.own("sds folder", makeRunFolder(dirname(path), { mode: folderMode, owner }));
  return life.own("sds socket", bindUnix(path, { ...socketAccess(config), folderMode, limit: connectionLimit() }));
}

/** On every address, or the loopback. Machines may be without IPv6, or without IPv4; a taken port stays taken. */
async function bindStatus(config: AgentConfig): Promise<BoundSocket> {
  const { proxy, settings } = config;
  const [first, second] = settings.isLoopbackOnly ? ["127.0.0.1", "::1"] : ["::", "0.0.0.0"];
  try {
    return await bindTcp(first, proxy.statusPort, { limit: connectionLimit() });
  } catch (error) {
    if (error instanceof AgentError && error.code === "ADDRESS_IN_USE") throw await statusPortTaken(config, error);
    return bindTcp(second, proxy.statusPort, { limit: connectionLimit() });
  }
}
