import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { run, runtimes } from "../support/pilotboat.ts";
import { realEnvoy } from "../support/real-envoy.ts";

/** Takes 127.0.0.1 away, and gives the machine one IPv6 address. */
const NETWORK =
  "ip link set lo up && ip -4 addr flush dev lo && ip link add pb0 type veth peer name pb1 && " +
  "ip link set pb0 up && ip link set pb1 up && ip -6 addr add fd00::7/64 dev pb0 nodad && ! ip -4 addr | grep -q inet";

/** A network of its own needs root and `ip`. */
function whyNot(): string | undefined {
  try {
    execFileSync("unshare", ["-n", "sh", "-c", NETWORK], { stdio: "pipe" });
    return undefined;
  } catch (error) {
    return `no network namespace here: ${String(error).split("\n")[0]}`;
  }
}

const reason = whyNot();
const ENVOY_BIN = await realEnvoy();

let cwd: string;
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), "pb-ipv6-"));
});
afterEach(() => rm(cwd, { recursive: true, force: true }));

const STATIC = `node: {id: mine, cluster: c}
admin: {address: {socket_address: {address: "::1", port_value: 15000}}}
static_resources:
  listeners:
  - name: health
    address: {socket_address: {address: "::", port_value: 15021, ipv4_compat: true}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: health
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: "/"}, direct_response: {status: 200}}]}]}
          http_filters:
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
`;

/** The agent, then each look command beside it, in one namespace. */
const SCRIPT = `${NETWORK} || exit 99
$PILOTBOAT proxy sidecar >agent.log 2>&1 & agent=$!
$PILOTBOAT wait --timeoutSeconds 20 --periodMillis 100 && echo waited
$PILOTBOAT status
$PILOTBOAT request GET ready
$PILOTBOAT request --debug-port 15020 GET healthz/ready; echo asked $?
kill $agent; wait $agent; echo ended $?`;

describe.skipIf(reason !== undefined).each(runtimes())(
  `$name${reason === undefined ? "" : ` (${reason})`}`,
  (runtime) => {
    test("reality 18: without 127.0.0.1 the agent is found by wait, status and request", async () => {
      await writeFile(join(cwd, "envoy.yaml"), STATIC);
      const shell = { name: "sh", command: ["unshare", "-n", "sh", "-c", SCRIPT] };
      const { stdout, stderr } = await run(shell, [], {
        cwd,
        env: {
          PILOTBOAT: runtime.command.join(" "),
          ENVOY_BIN,
          POD_NAMESPACE: "default",
          PROXY_CONFIG: "{customConfigFile: envoy.yaml, terminationDrainDuration: 0s}",
          GRPC_XDS_BOOTSTRAP: "",
          CLOUD_PLATFORM: "none",
        },
      });
      expect(stderr).toBe("");
      expect(stdout).toMatch(/\nwaited\n/);
      expect(stdout).toMatch(/^node +sidecar~fd00::7~/m);
      expect(stdout).toMatch(/^LIVE$/m);
      expect(stdout).toMatch(/^asked 0$/m);
      expect(stdout).toMatch(/^ended 0$/m);
    });

    test("reality 18: without 127.0.0.1 an application runs beside its sidecar", async () => {
      await writeFile(join(cwd, "envoy.yaml"), STATIC);
      const script = `${NETWORK} || exit 99
      $PILOTBOAT run --ready-timeout 20s -- sh -c 'echo application at $PILOTBOAT_ADMIN_URL'`;
      const shell = { name: "sh", command: ["unshare", "-n", "sh", "-c", script] };
      await writeFile(join(cwd, "envoy.yaml"), STATIC);
      const { code, stdout } = await run(shell, [], {
        cwd,
        env: {
          PILOTBOAT: runtime.command.join(" "),
          ENVOY_BIN,
          POD_NAMESPACE: "default",
          PROXY_CONFIG: "{customConfigFile: envoy.yaml, proxyAdminPort: 15000}",
          GRPC_XDS_BOOTSTRAP: "",
          CLOUD_PLATFORM: "none",
        },
      });
      expect({ code, stdout }).toEqual({ code: 0, stdout: "application at http://[::1]:15000\n" });
    });
  },
);
