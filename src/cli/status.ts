import { readFile } from "node:fs/promises";
import { request } from "node:http";
import { resolve } from "node:path";
import { type AgentReport, type RunFile, runFilePath } from "../agent/index.ts";
import { AgentError, describeError, type Host } from "../base/index.ts";
import { runCommander } from "./command.ts";

interface Flags {
  readonly runFolder: string;
  readonly configPath: string;
  readonly output?: string;
}

const EXAMPLES = `
Examples:
  pilotboat status --run-folder /tmp/sidecar
  pilotboat status -o json`;

/** `pilotboat status`. */
export function run(args: readonly string[], host: Host): Promise<number> {
  return runCommander("status", args, host, (program) => {
    program
      .description("Certificate, control plane and Envoy of a running agent")
      .option("--run-folder <folder>", "the folder in which the agent runs; default: the working directory", ".")
      .option("--config-path <folder>", "its configPath", "./etc/istio/proxy")
      .option("-o, --output <format>", "json")
      .addHelpText("after", EXAMPLES)
      .action(async (flags: Flags) => {
        const report = await askAgent(resolve(host.cwd, flags.runFolder, runFilePath(flags.configPath)));
        const text = flags.output === "json" ? JSON.stringify(report, null, 2) : describe(report, Date.now());
        host.stdout.write(`${text}\n`);
      });
  });
}

async function askAgent(runFile: string): Promise<AgentReport> {
  let found: RunFile;
  try {
    found = JSON.parse(await readFile(runFile, "utf8")) as RunFile;
  } catch (error) {
    throw new AgentError("REQUEST_FAILED", `Cannot find a running agent: there is no usable "${runFile}"`, {
      hint: "Name its folder with --run-folder",
      cause: error,
    });
  }
  if (found.statusPort === undefined) {
    throw new AgentError("REQUEST_FAILED", `Cannot ask the agent with pid ${found.pid}: it does not listen yet`);
  }
  try {
    return JSON.parse(await get(found.statusPort)) as AgentReport;
  } catch (error) {
    throw new AgentError(
      "REQUEST_FAILED",
      `Cannot ask the agent at port ${found.statusPort} (pid ${found.pid}): ${describeError(error)}`,
      { hint: "It may have been killed; its file stays behind then" },
    );
  }
}

const LIMIT_MS = 5_000;

function get(port: number): Promise<string> {
  return new Promise((done, fail) => {
    const call = request({ host: "127.0.0.1", port, path: "/debug/agent", timeout: LIMIT_MS }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      response.once("end", () =>
        response.statusCode === 200 ? done(body) : fail(new Error(`status ${response.statusCode}`)),
      );
    });
    call.once("timeout", () => call.destroy(new Error(`no answer within ${LIMIT_MS} ms`)));
    call.once("error", fail);
    call.end();
  });
}

type Child = Extract<AgentReport["envoy"], { child: unknown }>["child"];

/** The report for people. */
export function describe(report: AgentReport, nowMs: number): string {
  const { envoy, controlPlane, identity } = report;
  const certificate = identity?.certificate;
  const rows: [string, string][] = [
    ["agent", `pilotboat ${report.version}, pid ${report.pid}`],
    ["node", report.node],
    ["envoy", "child" in envoy ? describeChild(envoy.kind, envoy.child, nowMs) : envoy.kind],
    ["control plane", `${controlPlane.address}: ${controlPlane.state}`],
  ];
  if (certificate === undefined) rows.push(["certificate", "none yet"]);
  else {
    rows.push(
      ["certificate", certificate.subjectAltName],
      ["issuer", certificate.issuer.replaceAll("\n", ", ")],
      ["serial", certificate.serialNumber],
      [
        "valid",
        `${iso(certificate.notBeforeMs)} to ${iso(certificate.notAfterMs)}, ${left(certificate.notAfterMs, nowMs)}`,
      ],
    );
  }
  if (identity?.nextRotationMs !== undefined) {
    rows.push(["next rotation", `${iso(identity.nextRotationMs)}, in ${span(identity.nextRotationMs - nowMs)}`]);
  }
  if (identity !== undefined && "leftMs" in identity.token) {
    rows.push(["token", `${identity.token.kind}, ${left(identity.token.expiresAtMs, nowMs)}`]);
  }
  for (const trouble of identity?.troubles ?? []) rows.push(["trouble", trouble]);
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join("\n");
}

function describeChild(state: string, { pid, epoch, startedMs }: Child, nowMs: number): string {
  return `${state}, pid ${pid}${epoch === 0 ? "" : `, epoch ${epoch}`}, for ${span(nowMs - startedMs)}`;
}

function left(untilMs: number, nowMs: number): string {
  return untilMs > nowMs ? `${span(untilMs - nowMs)} left` : `expired ${span(nowMs - untilMs)} ago`;
}

function iso(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}

/** The two largest units: `11h58m`, `4m3s`, `7s`. */
function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  const [hours, minutes, rest] = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60, seconds % 60];
  if (hours > 0) return `${hours}h${minutes}m`;
  return minutes > 0 ? `${minutes}m${rest}s` : `${rest}s`;
}
