import type { Http2Session } from "node:http2";

export interface Keepalive {
  /** Idle time before a ping. */
  readonly intervalMs: number;
  /** Time to wait for the answer of a ping before the connection counts as dead. */
  readonly timeoutMs: number;
}

/** Pings the other side until the session closes, and calls `onDead` when a ping stays without an answer. */
export function keepAlive(session: Http2Session, { intervalMs, timeoutMs }: Keepalive, onDead: () => void): void {
  let limit: NodeJS.Timeout | undefined;
  const ping = (): void => {
    if (session.destroyed || session.closed) return;
    limit = setTimeout(onDead, timeoutMs);
    session.ping(() => clearTimeout(limit));
  };
  const timer = setInterval(ping, intervalMs);
  session.once("close", () => {
    clearInterval(timer);
    clearTimeout(limit);
  });
}
