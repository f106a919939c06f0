import type { Http2Session } from "node:http2";
import { LONGEST_TIMER_MS } from "../base/index.ts";

export interface Keepalive {
  /** From one ping's answer to the next ping, whatever else is sent. 0: no pings. */
  readonly intervalMs: number;
  /** Time to wait for the answer of a ping before the connection counts as dead. */
  readonly timeoutMs: number;
}

/** Pings the other side until the session is gone, also while it drains, and calls `onDead` when a ping stays without an answer. */
export function keepAlive(session: Http2Session, { intervalMs, timeoutMs }: Keepalive, onDead: () => void): void {
  if (intervalMs <= 0) return;
  let timer: NodeJS.Timeout | undefined;
  const after = (ms: number, then: () => void): void => {
    clearTimeout(timer);
    timer = setTimeout(then, Math.min(ms, LONGEST_TIMER_MS)).unref();
  };
  const wait = (): void => {
    if (!session.destroyed) after(intervalMs, ping);
  };
  const ping = (): void => {
    if (session.destroyed) return;
    after(timeoutMs, onDead);
    // after a GOAWAY Node sends no ping; SETTINGS has to be acknowledged as well: RFC 9113 section 6.5.3
    if (session.closed) session.settings({}, wait);
    else session.ping(wait);
  };
  wait();
  session.once("close", () => clearTimeout(timer));
}
