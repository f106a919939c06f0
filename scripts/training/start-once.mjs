// Starts an agent as in a mesh until it is ready, and ends it: what a build learns from. Our own control plane, a stand-in for Envoy.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const LIMIT_MS = 60_000;

/** Both are command lines of pilotboat; `env` is the agent's alone. Rejects with what it printed when it does not get ready. */
export async function startOnce({ controlPlane, agent, env = {} }) {
  const folder = mkdtempSync(join(tmpdir(), "pilotboat-training-"));
  const limit = AbortSignal.timeout(LIMIT_MS);
  const children = [];
  const start = (command, words, more = {}) => {
    const [file, ...first] = command;
    const own = { PATH: process.env.PATH, HOME: folder, XDG_STATE_HOME: folder };
    const child = spawn(file, [...first, ...words], { cwd: folder, env: { ...own, ...more }, signal: limit });
    children.push(child);
    return child;
  };
  try {
    const envoy = join(folder, "envoy");
    const script = [process.execPath, resolve("scripts/training/envoy.mjs")].map((word) => `'${word}'`).join(" ");
    writeFileSync(envoy, `#!/bin/sh\nexec ${script} "$@"\n`, { mode: 0o755 });
    const resources = resolve("examples/quickstart/xds");
    const words = ["control-plane", "--dir", resources, "--port", "0", "--write-credentials", folder];
    const [, address] = await printed(start(controlPlane, words), /^control plane +(\S+)\n(?:.*\n)*credentials /m);
    const running = start(agent, ["proxy", "sidecar", "--free-ports"], { ...environment(envoy, address), ...env });
    await printed(running, /\tStart: .*\n/);
    running.kill("SIGTERM");
    await once(running, "close");
  } finally {
    for (const child of children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)) {
      child.kill("SIGTERM");
      await once(child, "close").catch(() => undefined);
    }
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Nothing of this machine's mesh or cloud. */
function environment(envoy, address) {
  return {
    PROXY_CONFIG: JSON.stringify({
      binaryPath: envoy,
      discoveryAddress: address,
      terminationDrainDuration: "0s",
    }),
    POD_NAME: "training",
    POD_NAMESPACE: "default",
    SERVICE_ACCOUNT: "quickstart",
    INSTANCE_IP: "127.0.0.1",
    CLOUD_PLATFORM: "none",
    PILOTBOAT_LOOPBACK_ONLY: "true",
  };
}

/** What matches in the output of a child, once it is there. */
function printed(child, pattern) {
  return new Promise((resolve, reject) => {
    let text = "";
    const take = (chunk) => {
      text += chunk;
      const found = pattern.exec(text);
      if (found !== null) resolve(found);
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.once("error", reject);
    child.once("close", () => reject(new Error(`it ended:\n${text}`)));
  });
}
