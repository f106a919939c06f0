import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realEnvoy } from "../../test/support/real-envoy.ts";
import type { Sandbox } from "../../test/support/sandbox.ts";
import { ask, GIVE_UP_MS, pause } from "./ask.ts";

/** An Envoy that nobody supervises, for floors. */
export interface LoneEnvoy {
  readonly process: ChildProcess;
  /** Settles with the end of the process. */
  readonly ended: Promise<void>;
}

const LONE_BOOTSTRAP = "lone.json";
const LOOK_MS = 2;

/**
 * Milliseconds from the spawn until Envoy's admin says that it is ready, with the bootstrap of an agent that is gone, but
 * without what comes from a control plane.
 */
export async function timeLoneStart(bootstrap: string): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "pb-bench-lone-"));
  const { dynamic_resources: _, ...fixed } = JSON.parse(bootstrap);
  writeFileSync(join(folder, LONE_BOOTSTRAP), JSON.stringify(fixed));
  const startedMs = performance.now();
  const envoy = await startLoneEnvoy({ folder });
  try {
    const limitMs = startedMs + GIVE_UP_MS;
    while ((await ask(fixed.admin.address.socket_address.port_value, "/ready")) !== 200) {
      if (performance.now() > limitMs) throw new Error("Envoy alone is not ready within the limit");
      await pause(LOOK_MS);
    }
    return performance.now() - startedMs;
  } finally {
    envoy.process.kill("SIGTERM");
    await envoy.ended;
    rmSync(folder, { recursive: true, force: true });
  }
}

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
