import { createSocket } from "node:dgram";
import { Agent as HttpAgent, request } from "node:http";
import type { SourceOrders } from "./ads-source.ts";
import type { Agent } from "./agent.ts";
import { questionFor } from "./dns-clients.ts";
import { CLUSTER, TABLE_NAMES } from "./payload.ts";
import type { RoleProcess } from "./roles.ts";
import type { SdsClientOrders } from "./sds-client.ts";

/** What an agent does in a day, at a rate that can be kept for hours. */
export interface SteadyLoad {
  /** Milliseconds that the tiny requests took since the last question. */
  takeDelaysMs(): number[];
  /** How often each kind of work was done. */
  readonly done: ReadonlyMap<string, number>;
  /** Rejects with the first failure; resolves when it was stopped. */
  readonly ended: Promise<void>;
}

export interface Loaded {
  readonly agent: Agent;
  readonly source: RoleProcess<SourceOrders>;
  readonly sds: RoleProcess<SdsClientOrders>;
  /** Whether it has `POST /reload`. */
  readonly canReload: boolean;
}

/** Nothing takes longer than this. */
const LIMIT_MS = 60_000;

export function startSteadyLoad({ agent, source, sds, canReload }: Loaded, stop: AbortSignal): SteadyLoad {
  const done = new Map<string, number>();
  const delaysMs: number[] = [];
  const http = new HttpAgent({ keepAlive: true, maxSockets: 1 });
  const get = (path: string): Promise<void> => expectAnswer(agent.statusPort, "GET", path, 200);
  const inTurn = takeTurns(); // a push that is under way while Envoy is replaced would have no ACK
  const push = (bytes: number) => inTurn(() => source.call("push", { type: CLUSTER, bytes, count: 1, afterAckMs: 0 }));
  const reload = () =>
    inTurn(async () => {
      await expectAnswer(agent.statusPort, "POST", "/reload", 200);
      await source.call("stream", null);
    });
  const every = async (ms: number, kind: string, work: () => Promise<unknown>): Promise<void> => {
    while (!stop.aborted) {
      const nextMs = performance.now() + ms;
      await work();
      done.set(kind, (done.get(kind) ?? 0) + 1);
      await pause(nextMs - performance.now(), stop);
    }
  };
  const work = [
    every(500, "push of 100 KB", () => push(100_000)),
    every(5_000, "push of 1 MB", () => push(1_000_000)),
    every(1_000, "scrape", () => get("/stats/prometheus")),
    every(500, "readiness probe", () => get("/healthz/ready")),
    every(500, "application probe", () => get(APP_PROBE)),
    every(50, "DNS question", () => askName(agent.dnsPort, done.get("DNS question") ?? 0)),
    every(50, "tiny request", async () => {
      const startedMs = performance.now();
      await expectAnswer(agent.statusPort, "GET", "/nothing", 404, http);
      delaysMs.push(performance.now() - startedMs);
    }),
    every(0, "rotation", () => Promise.race([sds.call("nextOfHeld", null), aborted(stop)])),
    ...(canReload ? [every(30_000, "reload", reload)] : []),
  ];
  return { takeDelaysMs: () => delaysMs.splice(0), done, ended: Promise.all(work).then(() => http.destroy()) };
}

/** The kubelet's path of the application's probe, and what the agent has to know of it. */
const APP_PROBE = "/app-health/app/readyz";
export const appProbers = (port: number): string =>
  JSON.stringify({ [APP_PROBE]: { httpGet: { path: "/healthz", port } } });

/** One after the other, in the order of the calls; a failure ends nobody else's turn. */
function takeTurns(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const mine = last.then(work);
    last = mine.catch(() => undefined);
    return mine;
  };
}

const aborted = (stop: AbortSignal): Promise<void> =>
  new Promise((resolve) => stop.addEventListener("abort", () => resolve(), { once: true }));

function pause(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      stop.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, Math.max(0, ms));
    stop.addEventListener("abort", done);
  });
}

function expectAnswer(port: number, method: string, path: string, wanted: number, agent?: HttpAgent): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, method, path, agent: agent ?? false, timeout: LIMIT_MS };
    const call = request(options, (response) => {
      let text = "";
      response.on("data", (piece: Buffer) => {
        if (response.statusCode !== wanted) text += piece;
      });
      response.once("error", reject).once("end", () => {
        if (response.statusCode === wanted) resolve();
        else reject(new Error(`${method} ${path} answered ${response.statusCode}: ${text}`));
      });
    });
    call.once("timeout", () => call.destroy(new Error(`${method} ${path} was not answered`)));
    call.once("error", reject).end();
  });
}

/** One question on a socket of its own. */
function askName(port: number, id: number): Promise<void> {
  const name = TABLE_NAMES[id % TABLE_NAMES.length] ?? "";
  return new Promise((resolve, reject) => {
    const socket = createSocket("udp4");
    const finish = (error?: Error): void => {
      clearTimeout(limit);
      socket.close();
      if (error === undefined) resolve();
      else reject(error);
    };
    const limit = setTimeout(() => finish(new Error(`no answer to ${name}`)), LIMIT_MS);
    socket.once("message", (reply) => {
      finish(reply.readUInt16BE(ANSWERS_AT) > 0 ? undefined : new Error(`no address in the answer to ${name}`));
    });
    socket.send(questionFor(name, id), port, "127.0.0.1");
  });
}

/** Place of the number of answers (RFC 1035, 4.1.1). */
const ANSWERS_AT = 6;
