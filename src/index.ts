import { type MeshChoices, startLocalMesh } from "./agent/local/index.ts";
import { createLogger, type Logger, silentLogger } from "./base/index.ts";
import { type ControlPlane, startControlPlane as startPlane } from "./control-plane/index.ts";
import { libraryHost } from "./library-host.ts";

// The library's door: a real Envoy in a mesh of one, or a control plane alone, inside somebody's program or test.

export type { MeshChoices } from "./agent/local/index.ts";
export { AgentError, type ErrorCode } from "./base/index.ts";
export type { ControlPlane } from "./control-plane/index.ts";

export interface SidecarOptions extends MeshChoices {
  /** Takes the log lines of the agent. Default: nobody. */
  readonly onLog?: (line: string) => void;
  /** Gives up the start, and ends what runs. */
  readonly signal?: AbortSignal;
}

/** A real Envoy with a certificate, taking requests. */
export interface Sidecar extends AsyncDisposable {
  /** `http://127.0.0.1:port` of the listener `outbound`. */
  readonly url: string;
  readonly adminUrl: string;
  /** Port of the listener `inbound`, which takes mutual TLS only. */
  readonly inboundPort: number;
  /** Of `/healthz/ready`. */
  readonly statusUrl: string;
  readonly controlPlane: ControlPlane;
  readonly envoyPid: number | undefined;
  /** The run folder, removed at the end. */
  readonly folder: string;
}

/**
 * Starts control plane, agent, Envoy and an example service on free ports in a temporary folder; resolves when Envoy is
 * ready. Disposing it drains and removes everything. Rejects with ENVOY_NOT_FOUND, ENVOY_FETCH_FAILED,
 * RESOURCES_INVALID, CONFIG_INVALID or STOPPED.
 */
export async function startSidecar(options: SidecarOptions = {}): Promise<Sidecar> {
  const mesh = await startLocalMesh({ ...options, host: libraryHost(options.signal), log: logTo(options.onLog) });
  try {
    await mesh.agent.ready;
  } catch (error) {
    await mesh[Symbol.asyncDispose]();
    throw error;
  }
  const { agent, controlPlane, folder, ports } = mesh;
  return {
    url: `http://127.0.0.1:${ports.outbound}`,
    inboundPort: ports.inbound,
    adminUrl: `http://127.0.0.1:${ports.admin}`,
    statusUrl: `http://127.0.0.1:${agent.statusPort}/healthz/ready`,
    controlPlane,
    folder,
    get envoyPid() {
      return agent.envoyPid();
    },
    [Symbol.asyncDispose]: () => mesh[Symbol.asyncDispose](),
  };
}

export interface LibraryControlPlaneOptions {
  /** Folder with YAML files of Envoy resources; it is watched. */
  readonly resources: string;
  readonly host?: string;
  readonly port?: number;
  readonly trustDomain?: string;
  readonly values?: Readonly<Record<string, string>>;
  readonly onLog?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** Starts a development control plane: CA and ADS on one TLS port. */
export function startControlPlane(options: LibraryControlPlaneOptions): Promise<ControlPlane> {
  return startPlane({ ...options, log: logTo(options.onLog) }, options.signal ?? new AbortController().signal);
}

function logTo(onLog: ((line: string) => void) | undefined): Logger {
  return onLog === undefined ? silentLogger : createLogger({ write: onLog });
}
