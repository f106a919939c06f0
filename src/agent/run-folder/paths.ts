import { accessSync, constants } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import type { Owner } from "../../base/index.ts";
import type { AgentConfig } from "../../config/index.ts";
import { PATHS } from "../../istio/index.ts";

// Where things of a run lie, and whose they are.

/** Where something of the run lies, seen from the agent. */
export function inRunFolder({ cwd }: AgentConfig, path: string): string {
  return isAbsolute(path) ? path : join(cwd, path);
}

/** Istio's folder for data where the image or the package has made it, and this user can write there; else the other one. */
export function dataFolder(otherwise: string): string {
  try {
    accessSync(PATHS.data, constants.W_OK | constants.X_OK);
    return PATHS.data;
  } catch {
    return otherwise;
  }
}

/** `<configPath>/XDS`, absolute. */
export function xdsSocketPath({ cwd, proxy }: AgentConfig): string {
  return resolve(cwd, proxy.configPath, "XDS");
}

/** Envoy runs as istio-proxy when the agent is root and answers DNS on port 53. Source: istio/istio pkg/envoy/proxy.go. */
export function runAs({ settings }: AgentConfig, uid: number | undefined): Owner | undefined {
  return uid === 0 && settings.dnsProxyAddress.endsWith(":53") ? { uid: 1337, gid: 1337 } : undefined;
}

/**
 * Who may connect to the sockets that Envoy uses: Envoy's user. In a pod, everybody who reaches them: which containers do
 * is decided by the volumes that they share, and those run as other users. Source: istio/istio pkg/uds/listener.go.
 */
export function socketAccess(config: AgentConfig): { readonly mode: number; readonly owner: Owner | undefined } {
  const isPod = config.settings.kubernetesServiceHost !== "";
  return { mode: isPod ? 0o666 : 0o600, owner: runAs(config, process.getuid?.()) };
}
