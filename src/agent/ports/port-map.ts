import { AgentError, tryTcp } from "../../base/index.ts";
import { portHolders } from "../../host/index.ts";

/** A port that the agent or its Envoy is going to listen on. */
export interface PlannedPort {
  readonly port: number;
  readonly use: string;
  /** What sets it: a variable, or a field of ProxyConfig. */
  readonly from: string;
  /** How it is found out in time that it is taken; undefined: not at all. */
  readonly tried: "by binding" | "on the loopback" | "on every address" | undefined;
}

/** `15000 Envoy's admin, 15020 status, ...`, for people. Throws CONFIG_INVALID for a port with two uses. */
export function describePorts(ports: readonly PlannedPort[]): string {
  for (const [at, { port, use, from }] of ports.entries()) {
    const other = ports.slice(0, at).find((earlier) => earlier.port === port);
    if (other === undefined) continue;
    const text = `Cannot use port ${port} twice, for ${other.use} (${other.from}) and for ${use} (${from})`;
    throw new AgentError("CONFIG_INVALID", text, { hint: "Change one of the two ports" });
  }
  return ports.map(({ port, use }) => `${port} ${use}`).join(", ");
}

/**
 * Tries what others are going to listen on. Rejects with ADDRESS_IN_USE, naming all that are taken, who has them and what
 * sets them, or with ADDRESS_UNUSABLE.
 */
export async function tryPorts(ports: readonly PlannedPort[], localhost: string): Promise<void> {
  const taken = await takenPorts(ports, localhost);
  if (taken.length > 0) throw await describeTaken(taken);
}

/** The failure to bind a port, with what else is taken. */
export async function statusPortTaken(ports: readonly PlannedPort[], error: AgentError): Promise<AgentError> {
  const own = ports.filter(({ tried }) => tried === "by binding").map((one) => ({ ...one, error }));
  return describeTaken([...own, ...(await takenPorts(ports, "127.0.0.1"))]);
}

/** Of the ports that are taken: what sets them. */
export async function takenNow(ports: readonly PlannedPort[]): Promise<readonly string[]> {
  const own = ports.filter(({ tried }) => tried === "by binding");
  const taken = await Promise.all([...own.map(tryOwn), takenPorts(ports, "127.0.0.1")]);
  return taken.flat().map(({ from }) => from);
}

interface TakenPort extends PlannedPort {
  readonly error: AgentError;
}

async function takenPorts(ports: readonly PlannedPort[], localhost: string): Promise<TakenPort[]> {
  const hosts = { "on the loopback": localhost, "on every address": "0.0.0.0" };
  const tries = ports.map((one) =>
    one.tried === undefined || one.tried === "by binding" ? [] : tryPort(hosts[one.tried], one),
  );
  return (await Promise.all(tries)).flat();
}

async function tryPort(host: string, planned: PlannedPort): Promise<TakenPort[]> {
  try {
    await tryTcp(host, planned.port);
    return [];
  } catch (error) {
    if (error instanceof AgentError && error.code === "ADDRESS_IN_USE") return [{ ...planned, error }];
    throw error;
  }
}

/** There may be no IPv6 here: binding it tells. */
function tryOwn(planned: PlannedPort): Promise<TakenPort[]> {
  return tryPort("::", planned).catch(() => []);
}

async function describeTaken(taken: readonly TakenPort[]): Promise<AgentError> {
  const holders = await portHolders(taken.map(({ port }) => port));
  const lines = taken.map(({ port, use, error }) => {
    const who = (holders.get(port) ?? []).map(({ pid, program }) => `${program} (pid ${pid})`).join(" and ");
    return `${who === "" ? error.message : error.message.replace("another process", who)}, for ${use}`;
  });
  const [first = "", ...more] = lines.map((line, at) => (at === 0 ? line : line.replace("Cannot listen on ", "")));
  return new AgentError("ADDRESS_IN_USE", [first, ...more].join("; "), {
    hint: `Stop the process that listens there, choose other ports with --free-ports, or set ${settersOf(taken)}`,
    cause: taken[0]?.error.cause,
  });
}

function settersOf(taken: readonly TakenPort[]): string {
  const isVariable = (from: string): boolean => /^[A-Z_]+$/.test(from);
  const names = taken.map(({ from }) => from);
  const fields = names.filter((from) => !isVariable(from));
  const inProxyConfig = fields.length === 0 ? [] : [`${fields.join(" and ")} in PROXY_CONFIG`];
  return [...names.filter(isVariable), ...inProxyConfig].join(" and ");
}
