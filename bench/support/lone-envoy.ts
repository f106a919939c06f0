import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { realEnvoy } from "../../test/support/real-envoy.ts";
import type { Sandbox } from "../../test/support/sandbox.ts";

/** An Envoy that nobody supervises, for floors. */
export interface LoneEnvoy {
  readonly process: ChildProcess;
  /** Settles with the end of the process. */
  readonly ended: Promise<void>;
}

/** Name of the file that `writeLoneBootstrap` writes into the sandbox. */
export const LONE_BOOTSTRAP = "lone.json";

/** Copies the bootstrap of a running proxy, with a fixed answer on the port of `outbound` instead of xDS. */
export function writeLoneBootstrap({ folder, ports }: Sandbox): void {
  const text = readFileSync(join(folder, "etc/istio/proxy/envoy-rev.json"), "utf8");
  const { dynamic_resources: _, ...fixed } = JSON.parse(text);
  fixed.static_resources.listeners.push(answering(ports.outbound));
  writeFileSync(join(folder, LONE_BOOTSTRAP), JSON.stringify(fixed));
}

export async function startLoneEnvoy({ folder }: Pick<Sandbox, "folder">): Promise<LoneEnvoy> {
  const child = spawn(await realEnvoy(), ["-c", LONE_BOOTSTRAP, "--disable-hot-restart", "-l", "error"], {
    cwd: folder,
    stdio: "ignore",
  });
  const ended = new Promise<void>((done) => {
    child.once("exit", () => done());
  });
  return { process: child, ended };
}

function answering(port: number): unknown {
  const type = (name: string): string => `type.googleapis.com/envoy.extensions.filters.${name}`;
  const routes = [{ match: { prefix: "/" }, direct_response: { status: 200 } }];
  const manager = {
    "@type": type("network.http_connection_manager.v3.HttpConnectionManager"),
    stat_prefix: "lone",
    route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes }] },
    http_filters: [{ name: "router", typed_config: { "@type": type("http.router.v3.Router") } }],
  };
  return {
    name: "lone",
    address: { socket_address: { address: "127.0.0.1", port_value: port } },
    filter_chains: [{ filters: [{ name: "manager", typed_config: manager }] }],
  };
}
