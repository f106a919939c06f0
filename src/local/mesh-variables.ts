import { join } from "node:path";
import type { RunningAgent } from "../agent/index.ts";
import { joinHostPort } from "../base/index.ts";
import { PATHS } from "../istio/index.ts";

/** What an application in a mesh of one gets, beside our own environment. */
export function meshVariables({ agent, ports, folder, ...identity }: MeshFacts): Readonly<Record<string, string>> {
  const at = (port: number): string => `http://${joinHostPort(agent.node.family.localhost, port)}`;
  return {
    PILOTBOAT_NODE_ID: agent.node.id,
    PILOTBOAT_ADMIN_URL: at(ports.admin),
    PILOTBOAT_STATUS_URL: at(ports.status),
    PILOTBOAT_OUTBOUND_URL: `http://127.0.0.1:${ports.outbound}`,
    PILOTBOAT_RUN_FOLDER: folder,
    GRPC_XDS_BOOTSTRAP: join(folder, PATHS.config, "grpc-bootstrap.json"),
    POD_NAMESPACE: identity.namespace,
    SERVICE_ACCOUNT: identity.serviceAccount,
  };
}

interface MeshFacts {
  readonly agent: Pick<RunningAgent, "node">;
  readonly ports: Readonly<Record<"admin" | "status" | "outbound", number>>;
  /** The run folder. */
  readonly folder: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}
