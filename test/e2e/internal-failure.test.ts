import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type RunningCommand, runtimes, start } from "../support/pilotboat.ts";
import { freePorts } from "../support/ports.ts";
import { processesIn } from "../support/processes.ts";
import { createTestCa } from "../support/test-ca.ts";

// Node can be told to load the code that breaks; the executable cannot.
const runtime = runtimes().find(({ command: [file = ""] }) => basename(file).startsWith("node"));

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-internal-"));
});
afterEach(async () => {
  for (const pid of processesIn(folder)) process.kill(pid, "SIGKILL"); // of a test that came to no end
  await rm(folder, { recursive: true, force: true });
});

/** A proxy with the fake in Envoy's place, into which this code is loaded. */
async function startProxy(code: string): Promise<RunningCommand> {
  if (runtime === undefined) throw new Error("asked without Node");
  const [statusPort, proxyAdminPort, envoyStatus, prometheus] = await freePorts(4);
  await mkdir(join(folder, "var/run/secrets/istio"), { recursive: true });
  await writeFile(join(folder, "var/run/secrets/istio/root-cert.pem"), (await createTestCa()).certPem);
  await writeFile(join(folder, "breaks.cjs"), code);
  const [file = "", ...before] = runtime.command;
  const breaking = { ...runtime, command: [file, "--require", join(folder, "breaks.cjs"), ...before] };
  const proxy = await start(breaking, ["proxy", "sidecar", "--log_output_level=default:debug"], {
    cwd: folder,
    env: {
      PROXY_CONFIG: JSON.stringify({
        ...{ statusPort, proxyAdminPort, controlPlaneAuthPolicy: "NONE", terminationDrainDuration: "0s" },
        binaryPath: resolve("test/fixtures/fake-envoy"),
        discoveryAddress: "localhost:1",
      }),
      POD_NAMESPACE: "n",
      SERVICE_ACCOUNT: "s",
      INSTANCE_IP: "127.0.0.1",
      ENVOY_STATUS_PORT: String(envoyStatus),
      ENVOY_PROMETHEUS_PORT: String(prometheus),
    },
  });
  await proxy.waitFor(/Start: /);
  return proxy;
}

test.skipIf(runtime === undefined).each([
  ["an exception that nobody catches", 'throw new Error("it broke")'],
  ["a rejection that nobody handles", 'Promise.reject(new Error("it broke"))'],
])("%s is told, and the run ends in order with 1", async (_what, statement) => {
  await using proxy = await startProxy(`process.on("SIGUSR2", () => { ${statement}; });`);
  proxy.kill("SIGUSR2");
  expect((await proxy.ended).code).toBe(1);
  expect(proxy.stderr()).toMatch(/Error: Internal failure, please report it: Error: it broke\n +at /);
  expect(proxy.stdout()).toMatch(/\terror\tInternal failure: it broke\tcode=INTERNAL/);
  expect(proxy.stdout()).toContain("Ending: internal failure: it broke");
  expect(proxy.stdout()).toContain("Agent has successfully terminated");
  expect(processesIn(folder)).toEqual([]);
  expect(await readdir(join(folder, "etc/istio/proxy"))).not.toContain("envoy-rev.json");
});

test.skipIf(runtime === undefined)("SIGUSR1 opens no inspector in a proxy and is passed over", async () => {
  await using proxy = await startProxy("");
  proxy.kill("SIGUSR1");
  await proxy.waitFor(/\tdebug\tIgnoring a signal\tsignal=SIGUSR1/);
  proxy.kill("SIGTERM");
  expect((await proxy.ended).code).toBe(0);
  expect(proxy.stderr()).not.toContain("Debugger listening");
});
