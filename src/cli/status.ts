import type { AgentReport } from "../agent/index.ts";
import { escapeLine } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { readAnswer } from "./agent-answer.ts";
import { type AgentPlace, callAgent, withAgentPlace } from "./call-agent.ts";
import { runCommander } from "./command.ts";

const LIMIT_MS = 5_000;

const EXAMPLES = `
Examples:
  pilotboat status ~/sidecar
  pilotboat status -o json`;

/** `pilotboat status`. */
export function run(args: readonly string[], host: Host): Promise<number> {
  return runCommander("status", args, host, (program) => {
    withAgentPlace(program)
      .description("Certificate, control plane and Envoy of a running agent")
      .addHelpText("after", EXAMPLES)
      .action(async (folder: string | undefined, flags: AgentPlace) => {
        const { body } = await callAgent(
          host,
          { ...flags, folder },
          { method: "GET", path: "/debug/agent", limitMs: LIMIT_MS },
        );
        const text = readAnswer(body, (report: AgentReport) =>
          flags.output === "json" ? JSON.stringify(report, null, 2) : describe(report, Date.now()),
        );
        host.stdout.write(`${text}\n`);
      });
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
    ...historyRows(report, nowMs),
    ["control plane", `${controlPlane.address}: ${controlPlane.state}`],
  ];
  for (const { filter, type, lost } of report.leftOut) {
    rows.push(["left out", `${filter} (${type}), which this Envoy does not have; lost: ${lost}`]);
  }
  for (const { name, uri, consequence } of report.substitutedWasm) {
    rows.push(["no Wasm", `${name} (${uri}), which this version does not fetch; ${consequence}`]);
  }
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
    rows.push(["token", `${identity.token.kind}, ${left(identity.token.expiresAtMs, nowMs)}${tokenFacts(identity)}`]);
  }
  for (const trouble of identity?.troubles ?? []) rows.push(["trouble", trouble]);
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${escapeLine(value)}`).join("\n");
}

/** Whose token it is and for whom; nothing where it does not tell. */
function tokenFacts({ tokenClaims }: NonNullable<AgentReport["identity"]>): string {
  if (tokenClaims === undefined || tokenClaims.subject === "") return "";
  const { subject, issuer, audiences } = tokenClaims;
  return `; of ${subject.replace("system:serviceaccount:", "account ")}, for ${audiences.join(" and ") || "nobody"}, by ${issuer}`;
}

/** Nothing where nothing has happened. */
function historyRows({ history }: AgentReport, nowMs: number): [string, string][] {
  if (history === undefined || (history.restarts === 0 && history.lastCrash === undefined)) return [];
  const { restarts, lastCrash } = history;
  const rows: [string, string][] = [["restarts", String(restarts)]];
  if (lastCrash === undefined) return rows;
  const { reason, pid, endedMs, evidence } = lastCrash;
  const where = evidence === undefined ? "" : `; evidence in ${evidence}`;
  return [...rows, ["last crash", `${reason}, pid ${pid}, ${span(nowMs - endedMs)} ago${where}`]];
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
