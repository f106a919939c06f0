import type { X509Certificate } from "node:crypto";
import { type AgentReport, plannedPorts } from "../../agent/index.ts";
import { wantedEnvoy } from "../../agent/start-envoy/index.ts";
import { isAbsent, parseCertificates, readRegularFile, tryTcp, utcTime } from "../../base/index.ts";
import type { AgentConfig } from "../../config/index.ts";
import { askVersion, fetchCommand, findEnvoy } from "../../envoy/binary/index.ts";
import { executableContains } from "../../envoy/index.ts";
import { portHolders } from "../../host/index.ts";
import { DISPENSABLE_FILTERS } from "../../xds/index.ts";
import { credentialFiles } from "../cluster/index.ts";
import { type Check, type Finding, failed, ok, skipped, warning } from "./check.ts";
import type { Credentials } from "./credentials.ts";

/** An agent that runs in the folder. */
export interface FoundAgent {
  readonly pid: number;
  readonly envoyPids: readonly number[];
  readonly report: AgentReport;
}

export interface LocalFacts {
  readonly config: AgentConfig;
  /** Undefined when none runs there. */
  readonly agent: FoundAgent | undefined;
  readonly credentials: Credentials;
  /** The command that gets token and root. */
  readonly credentialsCommand: string;
}

/** What can be known without a cluster. */
export function localChecks(facts: LocalFacts): readonly Check[] {
  return [
    ...(facts.agent === undefined ? [] : [agentCheck(facts.agent)]),
    { name: "Envoy", needs: [], run: () => checkEnvoy(facts) },
    { name: "Envoy's extensions", needs: ["Envoy"], run: () => checkExtensions(facts) },
    { name: "ports", needs: [], run: () => checkPorts(facts) },
    { name: "token", needs: [], run: () => checkToken(facts) },
    { name: "root", needs: [], run: () => checkRoot(facts) },
  ];
}

function agentCheck({ pid, report }: FoundAgent): Check {
  return {
    name: "agent",
    needs: [],
    async run() {
      const { controlPlane, identity } = report;
      const found = `pid ${pid}; control plane ${controlPlane.address}: ${controlPlane.state}`;
      const troubles = identity?.troubles ?? [];
      return troubles.length === 0 ? ok(found) : failed(`${found}; ${troubles.join("; ")}`, "See the checks below");
    },
  };
}

async function checkEnvoy({ config }: LocalFacts): Promise<Finding> {
  const wanted = wantedEnvoy(config);
  const found = await findEnvoy({ ...wanted, env: config.environment });
  if (found === undefined)
    return failed("there is none, on PATH or in the cache", `Run: ${fetchCommand(wanted.version)}`);
  const version = found.version ?? (await askVersion(found.path, config.environment));
  if (version === undefined)
    return failed(`"${found.path}" does not answer --version as Envoy does`, `Run: ${fetchCommand(wanted.version)}`);
  const istio = found.istioVersion === undefined ? "" : ` of Istio ${found.istioVersion}`;
  return ok(`${version}${istio}, "${found.path}"`);
}

const ISTIOS_ENVOY = "pilotboat envoy fetch --istio VERSION gets Istio's Envoy";

/** Of those that istiod sends by default: what the executable does not know by name. A running agent knows what was sent. */
async function checkExtensions({ config, agent }: LocalFacts): Promise<Finding> {
  const leftOut = agent?.report.leftOut ?? [];
  if (leftOut.length > 0) {
    const list = leftOut.map(({ filter, lost }) => `${filter} (lost: ${lost})`).join(", ");
    return warning(`istiod sent what this Envoy does not have, and it was left out: ${list}`, ISTIOS_ENVOY);
  }
  const found = await findEnvoy({ ...wantedEnvoy(config), env: config.environment });
  const path = found?.path ?? "";
  const missing: string[] = [];
  for (const { name, type } of DISPENSABLE_FILTERS) {
    const knows = await executableContains(path, type);
    if (knows === undefined) return skipped(`"${path}" is a script: nobody knows what it starts`);
    if (!knows && !missing.includes(name)) missing.push(name);
  }
  if (missing.length === 0) return ok("it has all of Istio's");
  const text = `it does not have ${missing.join(", ")}, which istiod sends`;
  return config.settings.stockEnvoy === "adapt"
    ? warning(`${text}; --stock-envoy adapt leaves them out`, ISTIOS_ENVOY)
    : warning(
        `${text}, and "proxy" would refuse them`,
        `--stock-envoy adapt leaves them out ("run" does so); ${ISTIOS_ENVOY}`,
      );
}

/** An agent that runs here, and its Envoy, may hold them. */
async function checkPorts({ config, agent }: LocalFacts): Promise<Finding> {
  const ports = plannedPorts(config);
  const holders = await portHolders(ports.map(({ port }) => port));
  const own = agent === undefined ? [] : [agent.pid, ...agent.envoyPids];
  const taken: string[] = [];
  const fixes: string[] = [];
  for (const { port, use, from } of ports) {
    const found = holders.get(port) ?? [];
    if (found.some(({ pid }) => own.includes(pid))) continue;
    const isFree = await tryTcp("0.0.0.0", port).then(
      () => true,
      () => false,
    );
    if (isFree && found.length === 0) continue;
    const who = found.map(({ pid, program }) => `${program} (pid ${pid})`).join(" and ");
    taken.push(`${port} (${use}) is held by ${who || "a process that this user cannot see"}`);
    fixes.push(`stop it, or set ${from}`);
  }
  const list = ports.map(({ port }) => port).join(", ");
  if (taken.length > 0)
    return failed(taken.join("; "), `${sentence(fixes)}; "pilotboat run" takes free ports by itself`);
  return ok(agent === undefined ? `${list} are free` : `${list} are this agent's, or free`);
}

function sentence(fixes: readonly string[]): string {
  const text = [...new Set(fixes)].join("; ");
  return `${text[0]?.toUpperCase()}${text.slice(1)}`;
}

async function checkToken({ credentials, credentialsCommand }: LocalFacts): Promise<Finding> {
  const { state, differences, whose } = await credentials.token();
  const fix = `Run: ${credentialsCommand}`;
  switch (state.kind) {
    case "none":
    case "missing":
      return warning(state.kind === "missing" ? state.reason : "there is none", fix);
    case "opaque":
      return failed("it is no JWT with an expiry", fix);
    case "expired":
      return failed([`it expired at ${utcTime(state.expiresAtMs)}`, ...differences].join(", and it "), `${fix} --keep`);
    default: {
      if (differences.length > 0) return failed(`it ${differences.join(", and it ")}`, fix);
      const found = `${whose}, until ${utcTime(state.expiresAtMs)}`;
      return state.kind === "expiring" ? warning(found, `${fix} --keep`) : ok(found);
    }
  }
}

async function checkRoot({ config, credentialsCommand }: LocalFacts): Promise<Finding> {
  const { root } = credentialFiles(config.cwd);
  const fix = `Run: ${credentialsCommand}`;
  const bytes = await readRegularFile(root).catch((error: unknown) => {
    if (isAbsent(error)) return undefined;
    throw error;
  });
  if (bytes === undefined) return warning(`there is no "${root}"`, fix);
  const roots = parseCertificates(bytes);
  const [first] = roots;
  if (first === undefined) return failed(`"${root}" has no certificate`, fix);
  const over = roots.find(({ validTo }) => Date.parse(validTo) <= Date.now());
  if (over !== undefined) return failed(`${describeRoot(over)} expired at ${utcTime(Date.parse(over.validTo))}`, fix);
  return ok(`${roots.map(describeRoot).join(", ")}, until ${utcTime(Date.parse(first.validTo))}`);
}

/** Its beginning is enough to compare by eye. */
function describeRoot({ subject, fingerprint256 }: Pick<X509Certificate, "subject" | "fingerprint256">): string {
  return `"${subject.trim().replaceAll("\n", ", ")}" (SHA-256 ${fingerprint256.slice(0, 23)}…)`;
}
