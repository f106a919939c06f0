// From its own file: through the room's index the declarations of all of `base` would be published.
import { AgentError, type ErrorCode } from "./base/errors.ts";
import { createLogger, type Logger, silentLogger } from "./base/index.ts";
import { startControlPlane as startPlane } from "./control-plane/index.ts";
import { fetchNewsAsLines } from "./envoy/binary/index.ts";
import { libraryHost, tellUser } from "./library-host.ts";
import {
  type CONTROL_PLANE_OPTIONS,
  checkControlPlaneOptions,
  checkSidecarOptions,
  type SIDECAR_OPTIONS,
} from "./library-options.ts";
import type {
  ControlPlane,
  LibraryControlPlaneOptions,
  MeshChoices,
  Sidecar,
  SidecarOptions,
} from "./library-types.ts";
import { type LocalMesh, startLocalMesh } from "./local/index.ts";

// The library's door: a real Envoy in a mesh of one, or a control plane alone, inside somebody's program or test.

export type * from "./library-types.ts";
export { AgentError, type ErrorCode };

/**
 * Starts control plane, agent, Envoy and an example service on free ports in a temporary folder; resolves when Envoy is
 * ready. Disposing it drains and removes everything. Rejects with USAGE for an unknown option, ENVOY_NOT_FOUND,
 * ENVOY_FETCH_FAILED, RESOURCES_INVALID, CONFIG_INVALID or STOPPED.
 */
export async function startSidecar(options: SidecarOptions = {}): Promise<Sidecar> {
  checkSidecarOptions(options);
  const mesh = await startLocalMesh({
    ...options,
    host: libraryHost(options.signal),
    log: logTo(options.onLog),
    ...(options.onLog === undefined ? { onFetch: fetchNewsAsLines(tellUser) } : {}),
  });
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
    statusUrl: `http://127.0.0.1:${ports.status}/healthz/ready`,
    controlPlane,
    folder,
    get envoyPid() {
      return agent.envoyPid();
    },
    [Symbol.asyncDispose]: () => mesh[Symbol.asyncDispose](),
  };
}

/**
 * Starts a development control plane: CA and ADS on one TLS port. Rejects with USAGE for an unknown option,
 * RESOURCES_INVALID, FILE_UNREADABLE, ADDRESS_IN_USE, CA_FOLDER_INVALID or the reason of `signal`.
 */
export async function startControlPlane(options: LibraryControlPlaneOptions): Promise<ControlPlane> {
  checkControlPlaneOptions(options);
  return startPlane({ ...options, log: logTo(options.onLog) }, options.signal ?? new AbortController().signal);
}

function logTo(onLog: ((line: string) => void) | undefined): Logger {
  return onLog === undefined ? silentLogger : createLogger({ write: onLog });
}

// The compiler holds the published types against the rooms': what fits is seen where they meet above, names here.
type Named<T> = { readonly [Name in keyof T]-?: unknown };
type SameNames<A, B> = [Named<A>, Named<B>] extends [Named<B>, Named<A>] ? true : false;
type InnerChoices = Omit<
  Parameters<typeof startLocalMesh>[0],
  "host" | "log" | "onStep" | "onFetch" | "onEnvoyNews" | "isTransparent"
>;
true satisfies SameNames<MeshChoices, InnerChoices>;
true satisfies SameNames<ControlPlane, LocalMesh["controlPlane"]>;
true satisfies SameNames<SidecarOptions, typeof SIDECAR_OPTIONS>;
true satisfies SameNames<LibraryControlPlaneOptions, typeof CONTROL_PLANE_OPTIONS>;
