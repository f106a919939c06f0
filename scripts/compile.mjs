// Leaves the compiled form of the bundle for the Node that runs this, in dist/compiled/VERSION-ARCH/: one file for each file
// of the bundle that `pilotboat proxy` loads. V8 compiles a function when it is first called, so this starts an agent, with a
// program that only waits as its Envoy, and keeps what V8 has compiled until the agent is up.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { rootCertificates } from "node:tls";

const LIMIT_MS = 60_000;

const compiled = resolve("dist/compiled", `${process.version}-${process.arch}`);
rmSync("dist/compiled", { recursive: true, force: true });
mkdirSync(compiled, { recursive: true }); // where this folder is, the launcher loads the bundle itself
const folder = mkdtempSync(join(tmpdir(), "pilotboat-compile-"));
try {
  write("envoy", "#!/bin/sh\nexec sleep 60\n", 0o755);
  write("var/run/secrets/istio/root-cert.pem", rootCertificates[0]);
  write("var/run/secrets/tokens/istio-token", "e30.e30.e30");
  const words = [resolve("scripts/compile/record-start.cjs"), resolve("dist/main.js"), compiled];
  execFileSync(process.execPath, words, { cwd: folder, env: environment(), stdio: "pipe", timeout: LIMIT_MS });
} catch (error) {
  rmSync(compiled, { recursive: true, force: true });
  console.warn(`Without a compiled form, which makes a start faster: ${error.stderr?.toString() || error}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Nothing of this machine's mesh or cloud, and nobody to connect to. */
function environment() {
  const proxy = {
    binaryPath: join(folder, "envoy"),
    discoveryAddress: "127.0.0.1:1",
    terminationDrainDuration: "0s",
  };
  return {
    PATH: process.env.PATH,
    PROXY_CONFIG: JSON.stringify(proxy),
    POD_NAME: "compile",
    POD_NAMESPACE: "default",
    SERVICE_ACCOUNT: "default",
    INSTANCE_IP: "127.0.0.1",
    CLOUD_PLATFORM: "none",
    PILOTBOAT_LOOPBACK_ONLY: "true",
  };
}

function write(name, content, mode = 0o600) {
  const file = join(folder, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content, { mode });
}
