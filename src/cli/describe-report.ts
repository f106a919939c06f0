import type { AgentReport } from "../agent/index.ts";
import { escapeLine, oneLine, utcTime } from "../base/index.ts";
import { bad, faint, good, nameTable, type Row, type Text, warning } from "./terminal/index.ts";

/** The report for people, as a table of that many columns. Rows of an agent of another version may lack. */
export function describeReport(report: AgentReport, nowMs: number, width?: number): Text {
  const { controlPlane, identity } = report;
  const { state } = controlPlane;
  const causes = (report.readiness?.causes ?? []).map(({ text }) => text);
  const troubles = (identity?.troubles ?? []).flatMap(({ text }) => unsaid(text, [...causes, state]) ?? []);
  const rows: Row[] = [
    ...readinessRows(report, nowMs),
    ["agent", describeAgent(report, nowMs)],
    ["node", report.node],
    ["envoy", describeEnvoy(report, nowMs)],
    ...historyRows(report, nowMs),
    ...portRows(report),
    ["control plane", [`${controlPlane.address}: `, describeState(state, causes)]],
    ...staleRows(report, nowMs),
    ...(report.xds ?? []).map((one): Row => [one.name, describeType(one, nowMs)]),
    ...report.leftOut.map(({ filter, type, lost }): Row => {
      return ["left out", warning(`${filter} (${type}), which this Envoy does not have; lost: ${lost}`)];
    }),
    ...(report.wasm ?? []).map((module): Row => wasmRow(module, nowMs)),
    ...healthRows(report, nowMs),
    ...certificateRows(identity, nowMs),
    ...troubles.map((trouble): Row => ["trouble", bad(trouble)]),
    ...timelineRows(report),
  ];
  return nameTable(
    rows.map(([name, value]) => [escapeLine(name as string), onOneLine(value)]),
    { width },
  );
}

/** The answer to "is it ready?", and what is awaited since when where it is not. */
export function describeReady({ ready, since, reason }: AgentReport["readiness"], nowMs: number): Text {
  const forSpan = `for ${span(nowMs - Date.parse(since))}`;
  return ready ? [good("yes"), `, ${forSpan}`] : [bad("no"), `, ${forSpan}: ${reason ?? ""}`];
}

function readinessRows({ readiness }: AgentReport, nowMs: number): Row[] {
  if (readiness === undefined) return [];
  return [
    ["ready", describeReady(readiness, nowMs)],
    ...readiness.causes.map(({ kind, text }): Row => ["because", [warning(kind), `: ${text}`]]),
  ];
}

function describeAgent({ version, runtime, pid, startedMs, residentBytes }: AgentReport, nowMs: number): Text {
  if (runtime === undefined) return `pilotboat ${version}, pid ${pid}`;
  const { name, version: of } = runtime;
  const runs = `pid ${pid}, for ${span(nowMs - startedMs)}, ${mebibytes(residentBytes)}`;
  return `pilotboat ${version} on ${name} ${of}, ${runs}`;
}

function wasmRow(module: AgentReport["wasm"][number], nowMs: number): Row {
  const { name, url, state, file, error, consequence, sinceMs } = module;
  if (state === "substituted") return ["no Wasm", warning(`${name} (${url}); ${consequence}: ${error}`)];
  const where = state === "loaded" ? ` in ${file}` : `, for ${span(nowMs - sinceMs)}`;
  return ["Wasm", `${name} (${url}): ${state}${where}`];
}

function portRows({ ports = [] }: AgentReport): Row[] {
  return ports.length === 0 ? [] : [["ports", ports.map(({ port, use }) => `${port} ${use}`).join(", ")]];
}

function timelineRows({ timeline }: AgentReport): Row[] {
  const steps = Object.entries(timeline);
  if (steps.length === 0) return [];
  return [["start", faint(steps.map(([step, ms]) => `${step} ${Math.round(ms)} ms`).join(", "))]];
}

function staleRows({ stale }: AgentReport, nowMs: number): Row[] {
  if (stale === undefined) return [];
  const ages = `accepted ${span(nowMs - stale.acceptedMs)} ago, served for ${span(nowMs - stale.sinceMs)}`;
  return [["stale", warning(`Envoy has the last configuration that it accepted (${ages})`)]];
}

type XdsType = AgentReport["xds"][number];

const TYPE_STYLES = { SYNCED: good, REJECTED: bad, STALE: warning, "NOT SENT": warning } as const;

function describeType({ state, version, syncedMs, resources, rejection }: XdsType, nowMs: number): Text {
  const style = TYPE_STYLES[state] ?? warning;
  const when = syncedMs === undefined ? "" : ` ${span(nowMs - syncedMs)} ago`;
  const has = `, ${resources} ${resources === 1 ? "resource" : "resources"}`;
  const taken = version === undefined || version === "" ? when.replace(" ", ", ") : `, version ${version}${when}`;
  if (rejection === undefined) return [style(state), has, taken];
  const what = rejection.resource === undefined ? "" : `${rejection.resource}: `;
  const refused = `${what}${oneLine(rejection.text, "; ")} (${span(nowMs - rejection.atMs)} ago)`;
  return [style(state), ` ${refused}; in use`, has.replace(",", ""), taken];
}

function healthRows({ health }: AgentReport, nowMs: number): Row[] {
  if (health === undefined) return [];
  const { state, sinceMs, probe, lastError } = health;
  const style = { pending: warning, healthy: good, unhealthy: bad }[state] ?? warning;
  const error = lastError && `; last error ${span(nowMs - lastError.atMs)} ago: ${oneLine(lastError.text, "; ")}`;
  return [["workload", [style(state), ` for ${span(nowMs - sinceMs)}: ${probe}${error ?? ""}`]]];
}

function describeState(state: string, causes: readonly string[]): Text {
  return stateOf(GOOD_STATES.includes(state) ? state : (unsaid(state, causes) ?? "no, the reason is above"));
}

const ATTEMPTS = / \(\d+ failed attempts.*$/s;

/**
 * A reason is said once: what a text adds to those above it, undefined for nothing. The count of attempts in one may be older.
 * CA and control plane are one istiod most of the time: what explains the failure of one, after a semicolon, explains both.
 */
function unsaid(text: string, above: readonly string[]): string | undefined {
  const reason = text.replace(ATTEMPTS, "");
  if (above.some((one) => one.includes(reason))) return undefined;
  const explanations = above.flatMap((one) => /^[A-Z_]+: .*?; (.*)$/s.exec(one.replace(ATTEMPTS, ""))?.[1] ?? []);
  const known = explanations.find((one) => text.includes(`; ${one}`));
  return known === undefined ? text : text.replace(`; ${known}`, () => "; the reason is above");
}

function onOneLine(value: Text): Text {
  if (typeof value === "string") return escapeLine(value);
  return "style" in value ? { ...value, text: escapeLine(value.text) } : value.map(onOneLine);
}

/** A word for a state of Envoy or of a connection, in the colour of how good that is. */
function stateOf(state: string): Text {
  if (GOOD_STATES.includes(state)) return good(state);
  return BAD_STATES.includes(state) ? bad(state) : warning(state);
}

const GOOD_STATES = ["running", "responding"];
const BAD_STATES = ["hung", "waiting", "ended"];

function describeEnvoy({ envoy, envoyVersion, envoyResidentBytes }: AgentReport, nowMs: number): Text {
  const version = envoyVersion === undefined ? "" : `, version ${envoyVersion}`;
  if (!("child" in envoy)) return [stateOf(envoy.kind), version];
  const { pid, epoch, startedMs } = envoy.child;
  const memory = envoyResidentBytes === undefined ? "" : `, ${mebibytes(envoyResidentBytes)}`;
  const runs = `${version}, pid ${pid}, epoch ${epoch}, for ${span(nowMs - startedMs)}${memory}`;
  return [stateOf(envoy.kind), runs];
}

function historyRows({ history }: AgentReport, nowMs: number): Row[] {
  if (history === undefined) return [];
  const { restarts, lastCrash } = history;
  const rows: Row[] = [["restarts", String(restarts)]];
  if (lastCrash === undefined) return rows;
  const { reason, pid, endedMs, evidence } = lastCrash;
  const where = evidence === undefined ? "" : `; evidence in ${evidence}`;
  return [...rows, ["last crash", [warning(reason), `, pid ${pid}, ${span(nowMs - endedMs)} ago${where}`]]];
}

function certificateRows(identity: AgentReport["identity"], nowMs: number): Row[] {
  const rows: Row[] = [];
  const certificate = identity?.certificate;
  if (certificate === undefined) rows.push(["certificate", warning("none yet")]);
  else {
    const { spiffeId, subjectAltName, issuer, serialNumber, notBeforeMs, notAfterMs } = certificate;
    rows.push(
      ["certificate", spiffeId ?? subjectAltName],
      ["issuer", oneLine(issuer, ", ")],
      ["serial", serialNumber],
      ["valid", [`${utcTime(notBeforeMs)} to ${utcTime(notAfterMs)}, `, left(notAfterMs, nowMs)]],
    );
  }
  if (identity?.nextRotationMs !== undefined) {
    rows.push(["next rotation", `${utcTime(identity.nextRotationMs)}, in ${span(identity.nextRotationMs - nowMs)}`]);
  }
  if (identity !== undefined && "leftMs" in identity.token) {
    rows.push(["token", [`${identity.token.kind}, `, left(identity.token.expiresAtMs, nowMs), tokenFacts(identity)]]);
  }
  return rows;
}

/** Whose token it is and for whom; nothing where it does not tell. */
function tokenFacts({ tokenClaims }: NonNullable<AgentReport["identity"]>): string {
  if (tokenClaims === undefined || tokenClaims.subject === "") return "";
  const { subject, issuer, audiences } = tokenClaims;
  return `; of ${subject.replace("system:serviceaccount:", "account ")}, for ${audiences.join(" and ") || "nobody"}, by ${issuer}`;
}

function left(untilMs: number, nowMs: number): Text {
  return untilMs > nowMs ? `${span(untilMs - nowMs)} left` : bad(`expired ${span(nowMs - untilMs)} ago`);
}

/** The two largest units: `2d3h`, `11h58m`, `4m3s`, `7s`. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  const [days, hours, minutes, rest] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3_600) % 24,
    Math.floor(seconds / 60) % 60,
    seconds % 60,
  ];
  if (days > 0) return `${days}d${hours}h`;
  if (hours > 0) return `${hours}h${minutes}m`;
  return minutes > 0 ? `${minutes}m${rest}s` : `${rest}s`;
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
