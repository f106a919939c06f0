import { isIPv4 } from "node:net";
import type { NetworkInterfaceInfo } from "node:os";
import { AgentError } from "../../../base/index.ts";
import type { Cluster } from "../../../kubernetes/index.ts";

/** An address of this machine at which pods reach it. */
export interface MachineAddress {
  readonly address: string;
  /** Why it is this one: `shares a network with node "kind-control-plane"`. */
  readonly why: string;
}

type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

/**
 * The address of this machine on a network that it shares with a node. That is the bridge of kind, k3d and minikube in
 * containers, the network of minikube's virtual machines, and a network that is shared with real nodes. Else the same with
 * the API server's address; then, when that is a port of this machine, Docker's own bridge, which containers reach. IPv4. Rejects with USAGE when none is found.
 */
export async function findMachineAddress(
  cluster: Pick<Cluster, "context" | "server" | "list">,
  interfaces: Interfaces,
  signal: AbortSignal,
): Promise<MachineAddress> {
  const nodes = await nodeAddresses(cluster, signal);
  const server = new URL(cluster.server).hostname;
  const found =
    sharedAddress(interfaces, nodes) ??
    sharedAddress(interfaces, [{ address: server, what: "the API server" }]) ??
    (isLoopback(server) ? bridgeAddress(interfaces) : undefined);
  if (found !== undefined) return found;
  throw new AgentError(
    "USAGE",
    `Cannot find the address at which pods of context "${cluster.context}" reach this machine: no interface shares a network with a node`,
    { hint: "Name it with --address; the machine must be reachable there from pods" },
  );
}

interface Peer {
  readonly address: string;
  readonly what: string;
}

async function nodeAddresses(cluster: Pick<Cluster, "list">, signal: AbortSignal): Promise<readonly Peer[]> {
  const nodes = await cluster.list({ resource: "nodes" }, {}, signal).catch((error: unknown) => {
    if (error instanceof AgentError && error.code === "KUBE_FORBIDDEN") return []; // it only helps
    throw error;
  });
  return nodes.flatMap(({ metadata, status }) => {
    const { addresses = [] } = (status ?? {}) as { readonly addresses?: readonly { type: string; address: string }[] };
    return addresses
      .filter(({ type }) => type === "InternalIP")
      .map(({ address }) => ({ address, what: `node "${metadata?.name}"` }));
  });
}

/** The first interface, loopback aside, whose network has one of `peers`. */
function sharedAddress(interfaces: Interfaces, peers: readonly Peer[]): MachineAddress | undefined {
  for (const { address: peer, what } of peers) {
    for (const { address, netmask, family, internal } of Object.values(interfaces).flatMap((one) => one ?? [])) {
      if (internal || family !== "IPv4" || !isIPv4(peer) || address === peer) continue;
      if ((bits(address) & bits(netmask)) === (bits(peer) & bits(netmask)))
        return { address, why: `shares a network with ${what}` };
    }
  }
  return undefined;
}

function bridgeAddress(interfaces: Interfaces): MachineAddress | undefined {
  const found = interfaces.docker0?.find(({ family }) => family === "IPv4");
  return found === undefined ? undefined : { address: found.address, why: "is Docker's bridge" };
}

/** Of a URL's host: the cluster runs in containers of this machine, or behind a tunnel. */
function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || host.startsWith("127.");
}

function bits(address: string): number {
  return address.split(".").reduce((sum, part) => (sum << 8) | Number(part), 0);
}
