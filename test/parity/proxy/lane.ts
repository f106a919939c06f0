import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import type { Runtime } from "../../support/pilotboat.ts";
import type { Lane } from "../subject.ts";
import { furnish, type Given } from "./furnish.ts";
import { BASE_ENV, type ProxyInput } from "./input.ts";
import { observe } from "./observe.ts";

const ROOM = resolve("test/parity/proxy/room.sh");
/** No input takes longer than some seconds on a busy machine. */
const LIMIT_MS = 60_000;

/**
 * A folder for one program after another, in network and mount namespaces of its own: ports, addresses, /etc/hosts and
 * /usr/local/bin/envoy are as in a pod.
 */
export async function openLane(given: Given): Promise<Lane<ProxyInput>> {
  const folder = await mkdtemp(join(tmpdir(), "pilotboat-parity-"));
  await chmod(folder, 0o755); // Envoy may run as another user
  return {
    async observe(program, input) {
      await using places = await furnish(folder, given, input);
      const ended = await run(program, input, folder);
      return { observation: observe(places, ended), output: `${ended.stdout}${ended.stderr}` };
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

/** How a program ended: a code, a signal's name, or `TIMEOUT`. */
export interface Ended {
  readonly end: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(program: Runtime, input: ProxyInput, folder: string): Promise<Ended> {
  const { env = {}, args = [], addresses = ["10.3.3.3/24"] } = input;
  const root = join(folder, "root");
  const variables = Object.entries({ ...BASE_ENV, ...env })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${value?.replaceAll("{root}", root)}`);
  const namespaces = ["--net", "--mount", ...(process.getuid?.() === 0 ? [] : ["--map-root-user"])];
  const room = ["sh", ROOM, folder, addresses.join(",")];
  const words = args.map((word) => word.replaceAll("{root}", root));
  const command = ["env", "-i", ...variables, ...program.command, "proxy", ...words];
  const child = spawn("unshare", [...namespaces, ...room, ...command], {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const text = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (more: string) => {
      text[name] += more;
    });
  }
  const over = new AbortController();
  const ended = new Promise<number | string>((done, fail) => {
    child.once("error", fail);
    child.once("close", (code, signal) => done(code ?? signal ?? "unknown"));
  }).finally(() => over.abort());
  if (input.envoyEnds === "when told") {
    await isThere(join(folder, input.isUpWith ?? "record/complete"), over.signal);
    if (!over.signal.aborted) child.kill("SIGTERM");
  }
  const tooLate = after(LIMIT_MS, "TIMEOUT", { signal: over.signal }).catch(() => ended);
  const end = await Promise.race([ended, tooLate]);
  if (end === "TIMEOUT") process.kill(-Number(child.pid), "SIGKILL");
  await ended;
  return { end, ...text };
}

async function isThere(path: string, stop: AbortSignal): Promise<void> {
  for (const until = Date.now() + LIMIT_MS; !existsSync(path) && !stop.aborted && Date.now() < until; ) await after(10);
}
