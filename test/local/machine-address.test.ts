import type { NetworkInterfaceInfo } from "node:os";
import { describe, expect, test } from "vitest";
import { AgentError } from "../../src/base/index.ts";
import { findMachineAddress } from "../../src/local/cluster/local-istiod/machine-address.ts";

const at = (address: string, netmask: string, internal = false): NetworkInterfaceInfo =>
  ({ address, netmask, family: "IPv4", internal, mac: "", cidr: null }) as NetworkInterfaceInfo;
const LAPTOP = {
  lo: [at("127.0.0.1", "255.0.0.0", true)],
  wlan0: [at("192.168.1.20", "255.255.255.0")],
  docker0: [at("172.17.0.1", "255.255.0.0")],
  "br-0123456789ab": [at("172.18.0.1", "255.255.0.0")],
  virbr1: [at("192.168.39.1", "255.255.255.0")],
  tun0: [at("10.8.0.6", "255.255.255.255")],
};

/** What an API server says of its nodes. */
const clusterOf = (node: string | AgentError, server = "https://203.0.113.9:6443") => ({
  context: "dev",
  server,
  async list() {
    if (typeof node !== "string") throw node;
    return [{ metadata: { name: "one" }, status: { addresses: [{ type: "InternalIP", address: node }] } }];
  },
});
const find = (cluster: ReturnType<typeof clusterOf>) =>
  findMachineAddress(cluster, LAPTOP, new AbortController().signal);

describe("the address at which a cluster reaches this machine", () => {
  test.each([
    ["kind or k3d: the bridge of their network", "172.18.0.3", "172.18.0.1"],
    ["minikube in a virtual machine", "192.168.39.87", "192.168.39.1"],
    ["nodes on the same network", "192.168.1.200", "192.168.1.20"],
    ["the highest addresses", "192.168.1.254", "192.168.1.20"],
  ])("%s", async (_name, node, address) => {
    expect(await find(clusterOf(node))).toEqual({ address, why: 'shares a network with node "one"' });
  });

  test.each([
    ["a cluster far away", "10.0.3.4"],
    ["a node in a virtual machine of Docker Desktop", "192.168.65.3"],
    ["a node that is this machine", "127.0.0.1"],
    ["a node with an IPv6 address", "fc00::3"],
  ])("%s: it has to be named, unless the API server is a port of this machine", async (_name, node) => {
    await expect(find(clusterOf(node))).rejects.toMatchObject({
      code: "USAGE",
      hint: expect.stringContaining("--address"),
    });
    const found = await find(clusterOf(node, "https://127.0.0.1:6443"));
    expect(found).toEqual({ address: "172.17.0.1", why: "is Docker's bridge" });
  });

  test("nodes that may not be listed: the network of the API server", async () => {
    const forbidden = new AgentError("KUBE_FORBIDDEN", "no");
    const found = await find(clusterOf(forbidden, "https://192.168.39.87:8443"));
    expect(found).toEqual({ address: "192.168.39.1", why: "shares a network with the API server" });
  });
});
