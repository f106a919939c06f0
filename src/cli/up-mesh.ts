import { resolve } from "node:path";
import { judgeEnvoyEnd } from "../agent/index.ts";
import { createLogger, escapeLine, isStopped, pause, shellWord, silentLogger } from "../base/index.ts";
import type { EnvoyNews } from "../envoy/supervisor/index.ts";
import { type Host, nowhere } from "../host/index.ts";
import { type LocalMesh, startLocalMesh } from "../local/index.ts";
import { VERSION } from "../version.ts";
import { PROGRAM } from "./contract/index.ts";
import { openDesk } from "./control-plane-token.ts";
import { checkNamedFolder } from "./named-path.ts";
import { parsePort, parseServicePort } from "./parse-port.ts";
import { reportOutcome } from "./print-error.ts";
import { showFetch } from "./progress-line.ts";
import { good, nameTable, plain, stdoutOf, type Text, wrap } from "./terminal/index.ts";
import { createMeshNews, curlLine, describeEnvoyNews, nothingToTry, shorten, transparentLine } from "./up-news.ts";

export interface UpOptions {
  /** With the resources. */
  readonly folder: string | undefined;
  readonly envoy: string | undefined;
  readonly envoyVersion: string | undefined;
  readonly port: string | undefined;
  readonly appPort: string | undefined;
  readonly netns: boolean;
  readonly verbose: boolean;
}

/** Starts a mesh of one, prints its progress, and runs it until a signal. Resolves with the exit code. */
export async function up({ folder, ...flags }: UpOptions, host: Host): Promise<number> {
  const terminal = stdoutOf(host);
  const print = (line: string): void => void host.stdout.write(`${line}\n`);
  const isVerbose = flags.verbose;
  const write = (line: string): void => void (isVerbose && host.stderr.write(line));
  const port = flags.port === undefined ? {} : { port: parsePort("--port", flags.port) };
  const appPort = flags.appPort === undefined ? {} : { appPort: parseServicePort("--app-port", flags.appPort) };
  const resources = folder === undefined ? {} : { resources: resolve(host.cwd, folder) };
  if (resources.resources !== undefined) await checkNamedFolder(resources.resources, "the folder of resources");
  print(`pilotboat ${VERSION}`);
  const path = flags.appPort === undefined ? "/hello" : "/";
  const news = createMeshNews(print, { path, isTransparent: flags.netns });
  let steppedMs = performance.now();
  const options = {
    ...resources,
    ...port,
    ...appPort,
    isTransparent: flags.netns,
    ...(flags.envoy === undefined ? {} : { envoy: flags.envoy }),
    ...(flags.envoyVersion === undefined ? {} : { envoyVersion: flags.envoyVersion }),
    host: isVerbose ? host : { ...host, stdout: nowhere(), stderr: nowhere() },
    log: createLogger({ write, levels: new Map([["default", isVerbose ? "info" : "none"]]) }),
    onFetch: showFetch(host, (line) => print(`  ${line}`)),
    onEnvoyNews: (news: EnvoyNews) => print(escapeLine(describeEnvoyNews(news))),
    onStep(step: string, result: string, ms: number) {
      steppedMs = performance.now();
      terminal.print(stepLine(step, result, ms, terminal.width));
    },
  };
  const mesh = await startLocalMesh(options, news.onNews).catch((error: unknown) => {
    if (!isStopped(error)) throw error;
    return undefined;
  });
  if (mesh === undefined) return 0;
  await using _ = mesh;
  await using _desk = await openDesk(mesh.controlPlane, host, options.log);
  const isReady = await reportReady(mesh, host, steppedMs);
  if (isReady) printAddresses(mesh, { port: news.target(mesh.ports.outbound), path, name: news.name() }, host, print);
  const end = await mesh.agent.ended;
  if (end.kind === "envoy") {
    const named = flags.envoy ?? host.env.ENVOY_BIN;
    const path = named ? resolve(host.cwd, named) : undefined;
    return reportOutcome(host, await judgeEnvoyEnd(end.end, { named: path, env: host.env, log: silentLogger }));
  }
  if (isReady) print(`${end.reason}: draining and ending`);
  return 0;
}

async function reportReady(mesh: LocalMesh, host: Host, sinceMs: number): Promise<boolean> {
  const terminal = stdoutOf(host);
  const late = new AbortController();
  const print = (line: string): void => terminal.print(`${line}\n`);
  void explainWaiting(mesh, print, AbortSignal.any([late.signal, host.signals.stop]));
  try {
    await mesh.agent.ready;
  } catch {
    return false; // the end says why
  } finally {
    late.abort();
  }
  terminal.print([stepLine(good("ready"), "", performance.now() - sinceMs, terminal.width), "\n"]);
  return true;
}

const STEP_COLUMNS = 14;
const RESULT_COLUMNS = 44;
const WHOLE_LINE = 71;

/** A step, its result and its duration; on a narrow terminal the result goes below. */
function stepLine(step: Text, result: string, ms: number, width = WHOLE_LINE): Text {
  const pad = " ".repeat(Math.max(0, STEP_COLUMNS - plain(step).length));
  const took = `${ms.toFixed(0).padStart(6)} ms\n`;
  if (width >= WHOLE_LINE) return ["  ", step, pad, ` ${result.padEnd(RESULT_COLUMNS)} ${took}`];
  return ["  ", step, pad, took, result === "" ? [] : wrap(result, width - 4).map((line) => ["    ", line, "\n"])];
}

/** `port` takes requests; undefined where the mesh has no such listener. */
function printAddresses(
  { agent, ports, controlPlane, folder, resources, namespace }: LocalMesh,
  { port, path, name }: { readonly port: number | undefined; readonly path: string; readonly name: string | undefined },
  host: Pick<Host, "stdout" | "env" | "program">,
  print: (line: string) => void,
): void {
  const { env, program = PROGRAM } = host;
  const command = env.npm_command === undefined ? program : `npx ${PROGRAM}`; // npm has no more of it on PATH
  const rows = [
    ...(port === undefined || namespace !== undefined ? [] : [["listener", `http://127.0.0.1:${port}`] as const]),
    ...(namespace === undefined ? [] : [["namespace", namespace.path] as const]),
    ["envoy admin", `http://127.0.0.1:${ports.admin}`],
    ["status", `http://127.0.0.1:${ports.status}/healthz/ready`],
    ...(agent.statusPort === undefined ? [] : [["page", `http://127.0.0.1:${agent.statusPort}/`] as const]),
    ["control plane", controlPlane.address],
    ["envoy process", String(agent.envoyPid() ?? "")],
    ["resources", `${resources}  (watched: Envoy follows your edits)`],
    ["folder", folder],
    ["more", `${command} status --run-folder ${shellWord(folder)}`],
  ] as const;
  const terminal = stdoutOf(host);
  terminal.print(nameTable(rows, { width: terminal.width }));
  const what =
    namespace === undefined
      ? `Try:  ${curlLine(port ?? 0, path)}`
      : transparentLine(env.SUDO_UID === undefined ? command : `sudo ${command}`, name, path);
  print(`\n${port === undefined ? nothingToTry() : what}`);
  print("Ctrl-C stops everything.");
}

const PATIENCE_MS = 5_000;
/** An unchanged reason is printed again after this time. */
const REMINDER_MS = 60_000;

/** Prints why the mesh is not ready yet: each new reason once, and a reminder while it stays the same. */
async function explainWaiting(mesh: LocalMesh, print: (line: string) => void, stop: AbortSignal): Promise<void> {
  const sinceMs = performance.now();
  let printed = { reason: "", atMs: sinceMs };
  while (!stop.aborted) {
    await pause(PATIENCE_MS, stop);
    const reason = shorten((await mesh.agent.whyNotReady()) ?? "almost there");
    const nowMs = performance.now();
    if (stop.aborted || (reason === printed.reason && nowMs - printed.atMs < REMINDER_MS)) continue;
    const seconds = Math.round((nowMs - sinceMs) / 1_000);
    print(reason === printed.reason ? `  still waiting, ${seconds} s` : `  still waiting: ${reason}`);
    printed = { reason, atMs: nowMs };
  }
}
