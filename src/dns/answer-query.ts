import { describeError, type Logger, type Metrics } from "../base/index.ts";
import type { Forward, Transport } from "./forward.ts";
import type { LookupTable } from "./lookup-table.ts";
import { CODE, errorReply, fitReply, type Query, readQuery } from "./message.ts";
import { REQUESTS, UPSTREAM_DURATION, UPSTREAM_FAILURES, UPSTREAM_REQUESTS } from "./metrics.ts";
import { resolve } from "./resolve.ts";

export interface AnswerOptions {
  /** Undefined as long as no name table has come. */
  readonly table: () => LookupTable | undefined;
  readonly forward: Forward;
  /** Pass questions on while there is no table; otherwise they fail at once. */
  readonly isForwardingEarly: boolean;
  /** Questions that are with other servers at the same time; each takes a socket for each server. More are refused. */
  readonly mostForwarded: number;
  readonly stop: AbortSignal;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Gives the reply to a packet, or undefined for one that gets none. Gives up once the client is `gone`. Never rejects. */
export type Answer = (packet: Buffer, transport: Transport, gone?: AbortSignal) => Promise<Buffer> | Buffer | undefined;

const MOST_TCP = 0xffff;

export function createAnswerer(options: AnswerOptions): Answer {
  const { table, forward, isForwardingEarly, mostForwarded, stop, log, metrics } = options;
  let forwarded = 0;
  const failed = (query: Query): Buffer => errorReply(query.packet, CODE.SERVFAIL, query.questionEnd);
  const ask = async (query: Query, transport: Transport, limit: number, gone: AbortSignal): Promise<Buffer> => {
    metrics.count(UPSTREAM_REQUESTS);
    forwarded++;
    const startedMs = performance.now();
    try {
      return fitReply(await forward(query, transport, gone), limit);
    } catch (error) {
      log.debug("no server answered", { name: query.name, error: describeError(error) });
      metrics.count(UPSTREAM_FAILURES);
      return failed(query);
    } finally {
      forwarded--;
      metrics.observe(UPSTREAM_DURATION, (performance.now() - startedMs) / 1_000);
    }
  };
  return (packet, transport, gone = stop) => {
    const query = readQuery(packet);
    if (query === "ignore") return undefined;
    if ("code" in query) return errorReply(packet, query.code);
    metrics.count(REQUESTS);
    const limit = transport === "tcp" ? MOST_TCP : query.udpSize;
    const known = table();
    const own = known === undefined ? undefined : resolve(query, known, limit);
    if (own !== undefined) return own;
    if ((known === undefined && !isForwardingEarly) || forwarded >= mostForwarded) return failed(query);
    return ask(query, transport, limit, gone);
  };
}
