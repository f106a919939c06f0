import { resolve } from "node:path";
import { type LocalMesh, startLocalMesh } from "../agent/local/index.ts";
import { createLogger, type Host, systemClock } from "../base/index.ts";
import { agentExitCode, endError } from "../envoy/supervisor/index.ts";
import { VERSION } from "../version.ts";
import { type ExitWith, runCommander } from "./command.ts";

interface Flags {
  readonly envoy?: string;
  readonly port?: string;
  readonly verbose?: boolean;
}

const EXAMPLES = `
Examples:
  pilotboat up                          # a mesh of one, from the built-in quickstart
  pilotboat up my-mesh --port 8080      # Envoy resources of your own; edit them while it runs`;

/** `pilotboat up [folder]`. */
export function run(args: readonly string[], host: Host): Promise<number> {
  return runCommander("up", args, host, (program, exitWith) => {
    program
      .description("Embedded control plane, agent, Envoy and an example service, without a cluster")
      .argument("[folder]", "folder with YAML files of Envoy resources; default: the built-in quickstart")
      .option("--envoy <path>", "Envoy's executable; default: found, else fetched")
      .option("--port <port>", "port of the listener to send requests to; default: a free one")
      .option("-v, --verbose", "show the log lines of agent and Envoy")
      .addHelpText("after", EXAMPLES)
      .action((folder: string | undefined, flags: Flags) => up(folder, flags, host, exitWith));
  });
}

async function up(folder: string | undefined, flags: Flags, host: Host, exitWith: ExitWith): Promise<void> {
  const { stop } = host.signals;
  const print = (line: string): void => void host.stdout.write(`${line}\n`);
  const isVerbose = flags.verbose === true;
  const write = (line: string): void => void (isVerbose && host.stderr.write(line));
  print(`pilotboat ${VERSION}`);
  const mesh = await startLocalMesh({
    ...(folder === undefined ? {} : { resources: resolve(host.cwd, folder) }),
    ...(flags.port === undefined ? {} : { port: Number(flags.port) }),
    ...(flags.envoy === undefined ? {} : { envoy: flags.envoy }),
    host: isVerbose ? host : { ...host, stdout: quiet(host.stdout), stderr: quiet(host.stderr) },
    log: createLogger({ write, levels: new Map([["default", isVerbose ? "info" : "none"]]) }),
    onStep: (step, result, ms) => print(`  ${step.padEnd(14)} ${result.padEnd(44)} ${ms.toFixed(0).padStart(6)} ms`),
  }).catch((error: unknown) => {
    if (stop.aborted) return undefined;
    throw error;
  });
  if (mesh === undefined) return;
  await using _ = mesh;
  const readyAtMs = performance.now();
  const isReady = await reportReady(mesh, print, readyAtMs, stop);
  const end = await mesh.agent.ended;
  if (end.kind === "envoy") {
    const error = endError(end.end);
    if (error !== undefined) host.stderr.write(`Error: ${error.message} [${error.code}]\n`);
    exitWith(agentExitCode(end.end));
  } else if (isReady) {
    print(`${end.reason}: draining and ending`);
  }
}

async function reportReady(
  mesh: LocalMesh,
  print: (line: string) => void,
  sinceMs: number,
  stop: AbortSignal,
): Promise<boolean> {
  const late = new AbortController();
  void explainWaiting(mesh, print, AbortSignal.any([late.signal, stop]));
  try {
    await mesh.agent.ready;
  } catch {
    return false; // the end says why
  } finally {
    late.abort();
  }
  const ms = (performance.now() - sinceMs).toFixed(0).padStart(6);
  print(`  ${"ready".padEnd(14)} ${"".padEnd(44)} ${ms} ms\n`);
  printAddresses(mesh, print);
  return true;
}

function printAddresses({ agent, ports, controlPlane, folder }: LocalMesh, print: (line: string) => void): void {
  const rows = [
    ["listener", `http://127.0.0.1:${ports.outbound}`],
    ["envoy admin", `http://127.0.0.1:${ports.admin}`],
    ["status", `http://127.0.0.1:${agent.statusPort}/healthz/ready`],
    ["control plane", controlPlane.address],
    ["envoy process", String(agent.envoyPid() ?? "")],
    ["folder", folder],
  ] as const;
  for (const [name, value] of rows) print(`${name.padEnd(14)} ${value}`);
  print(`\nTry:  curl http://127.0.0.1:${ports.outbound}/hello\nCtrl-C stops everything.`);
}

const PATIENCE_MS = 5_000;

/** Says now and then why it takes so long, instead of being silent. */
async function explainWaiting(mesh: LocalMesh, print: (line: string) => void, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    await systemClock.sleep(PATIENCE_MS, stop).catch(() => undefined); // ready, or stopped
    if (!stop.aborted) print(`  still waiting: ${(await mesh.agent.whyNotReady()) ?? "almost there"}`);
  }
}

/** A stream that takes everything and shows nothing. */
function quiet(like: NodeJS.WritableStream): NodeJS.WritableStream {
  return Object.assign(Object.create(like) as NodeJS.WritableStream, { write: () => true });
}
