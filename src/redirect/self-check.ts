import { randomUUID } from "node:crypto";
import { connect, createServer, type Server } from "node:net";
import { AgentError, describeError, type Logger, systemClock } from "../base/index.ts";
import type { Family } from "./capture.ts";

export interface SelfCheck {
  /** Where the rules send traffic to. */
  readonly ports: readonly string[];
  /** Nobody listens there. */
  readonly probePort: number;
  readonly family: Family;
  readonly timeoutMs: number;
  readonly proxyUids: readonly string[];
}

/** From the first address calls to the second one, at any port, are redirected to the first one. */
const ADDRESSES: Readonly<Record<Family, readonly [own: string, called: string]>> = {
  IPv4: ["127.0.0.1", "127.0.0.6"],
  IPv6: ["::1", "::6"],
};

/**
 * Whether a call to a port where nobody listens comes to one of Envoy's ports, at which we listen ourselves. Rejects with
 * REDIRECT_NOT_SEEN. Source: istio/istio tools/istio-iptables/pkg/validation, which asks the kernel for the port that was
 * called; a word that only we know says the same.
 */
export async function checkRedirection(check: SelfCheck, log: Logger, stop: AbortSignal): Promise<void> {
  log.info(
    "Starting iptables validation. This check verifies that iptables rules are properly established for the network.",
  );
  const word = randomUUID();
  const servers = await listenAtAll(check, word, log);
  const end = AbortSignal.any([stop, AbortSignal.timeout(check.timeoutMs)]);
  try {
    if (servers.length === 0) throw notSeen(check, "no listener available");
    await callUntil(check, word, end);
    log.info("Validation passed, iptables rules established");
  } catch (error) {
    stop.throwIfAborted();
    const failure = end.aborted ? notSeen(check, "validation timeout", error) : error;
    log.error(`Validation failed: ${describeError(failure)}`);
    throw failure;
  } finally {
    for (const server of servers) server.close();
  }
}

/** At those ports that are free; a proxy that runs already keeps its own. */
async function listenAtAll({ ports, family }: SelfCheck, word: string, log: Logger): Promise<Server[]> {
  const [host] = ADDRESSES[family];
  const servers: Server[] = [];
  for (const port of ports) {
    const server = createServer((socket) => socket.on("error", () => undefined).end(word));
    log.info(`Listening on ${family === "IPv6" ? `[${host}]` : host}:${port}`);
    const failure = await new Promise<unknown>((done) => {
      server.once("error", done);
      server.listen({ host, port: Number(port) }, () => done(undefined));
    });
    if (failure === undefined) servers.push(server);
    else log.error(`Error on listening: ${describeError(failure)}`);
  }
  return servers;
}

const PERIOD_MS = 1_000;

async function callUntil(check: SelfCheck, word: string, stop: AbortSignal): Promise<void> {
  for (let last: unknown; ; ) {
    stop.throwIfAborted();
    const heard = await call(check, stop).catch((error: unknown) => {
      last = error;
      return "";
    });
    if (heard === word) return;
    await systemClock.sleep(PERIOD_MS, stop).catch((error: unknown) => {
      throw last ?? error;
    });
  }
}

/** What the other end says, to its end. */
function call({ family, probePort }: SelfCheck, signal: AbortSignal): Promise<string> {
  const [localAddress, host] = ADDRESSES[family];
  return new Promise((done, fail) => {
    const heard: Buffer[] = [];
    const socket = connect({ host, port: probePort, localAddress });
    const giveUp = (): void => void socket.destroy(new Error("no answer in time"));
    signal.addEventListener("abort", giveUp, { once: true });
    socket.on("data", (chunk) => heard.push(chunk));
    socket.once("end", () => done(Buffer.concat(heard).toString("utf8")));
    socket.once("error", fail);
    socket.once("close", () => {
      signal.removeEventListener("abort", giveUp);
      fail(new Error("closed without a word"));
    });
  });
}

function notSeen({ proxyUids }: SelfCheck, why: string, cause?: unknown): AgentError {
  const uid = String(process.getuid?.());
  const hint = proxyUids.includes(uid)
    ? "If Istio CNI makes the rules, the pod may have started before it was ready on this node: delete the pod, or let cni.repair.deletePods do it."
    : `On the loopback interface only calls of the proxy are redirected (uid ${proxyUids.join(", ")}): run the check as that user, not as ${uid}.`;
  const message = `iptables validation failed; workload is not ready for Istio: ${why}`;
  return new AgentError("REDIRECT_NOT_SEEN", message, { hint, ...(cause === undefined ? {} : { cause }) });
}
