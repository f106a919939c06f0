import { createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { expect, test } from "vitest";
import { type LocalMeshOptions, startLocalMesh } from "../../src/agent/index.ts";
import { createLogger, type Host, silentLogger } from "../../src/base/index.ts";
import { realEnvoy } from "../support/real-envoy.ts";

const never = new AbortController().signal;

/** A mesh of one with a real Envoy; the working directory of this process is not its folder. */
async function start(options: Partial<LocalMeshOptions>) {
  const host: Host = {
    env: { PATH: process.env.PATH, HOME: process.env.HOME },
    cwd: process.cwd(),
    stdout: process.stdout,
    stderr: process.stderr,
    signals: { stop: never, hurry: never, force: never },
  };
  const env = { ...options.env, PILOTBOAT_RESTART: "never" };
  return startLocalMesh({ host, log: silentLogger, envoy: await realEnvoy(), ...options, env });
}

async function hasIpv6(): Promise<boolean> {
  const server = createServer();
  const isThere = await new Promise<boolean>((done) => {
    server.once("error", () => done(false)).listen(0, "::1", () => done(true));
  });
  server.close();
  return isThere;
}

/** An IPv4 address beside the given one makes the addresses mixed; with no interface at all loopback does. */
function hasIpv4(): boolean {
  const outer = Object.values(networkInterfaces()).flatMap((list = []) => list.filter(({ internal }) => !internal));
  return outer.length === 0 || outer.some(({ family }) => family === "IPv4");
}

const canBeDual = (await hasIpv6()) && hasIpv4();

test.skipIf(!canBeDual)("dual stack with IPv6 first: the agent asks and drains Envoy where it listens", async () => {
  const lines: string[] = [];
  const log = createLogger({ write: (line) => void lines.push(line), levels: new Map([["default", "debug"]]) });
  await using mesh = await start({ log, env: { INSTANCE_IP: "2001:db8::2", ISTIO_DUAL_STACK: "true" } });
  expect(mesh.agent.node.addresses).toContainEqual(expect.stringMatching(/^[\d.]+$/));
  await mesh.agent.ready;
  expect((await fetch(`http://[::1]:${mesh.ports.admin}/ready`)).status).toBe(200);
  await mesh.agent.drain();
  expect(lines.filter((line) => /Drain requested|Cannot request/.test(line))).toEqual([
    expect.stringMatching(/Drain requested\t.*body=OK/),
  ]);
});
