const SIGTERM = "caught ENVOY_SIGTERM";
const CLOSED = /gRPC config stream (to \S+ )?closed: \d+,/;
/** Of a line in Envoy's usual format, text or JSON. It is local time, whatever its "Z" says. */
const TIME = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/;

export interface ClosingStreams {
  /** Of whole lines, those that are passed on. */
  edit(lines: Buffer): Buffer;
  /** The agent sends SIGTERM now. Envoy may log that its streams closed before it logs the signal. */
  noteSigterm(): void;
}

/**
 * Drops what Envoy says of its own streams to agent and control plane when it ends in order: that they close is no
 * news, and looks like a failure. What it said before is passed on, also when it is read late: it may be why the agent
 * is stopped. So is everything else. Source: envoy source/extensions/config_subscription/grpc/grpc_stream.h.
 */
export function withoutClosingStreams(): ClosingStreams {
  let hasSaidSo = false;
  let sigtermMs: number | undefined;
  function isDropped(line: string): boolean {
    hasSaidSo ||= line.includes(SIGTERM);
    return CLOSED.test(line) && (hasSaidSo || isSince(sigtermMs, line));
  }
  return {
    edit(lines) {
      if (!hasSaidSo && sigtermMs === undefined && !lines.includes(SIGTERM)) return lines;
      const kept = lines
        .toString("latin1") // any bytes come out as they went in
        .split(/(?<=\n)/)
        .filter((line) => !isDropped(line));
      return Buffer.from(kept.join(""), "latin1");
    },
    noteSigterm() {
      const now = new Date();
      sigtermMs ??= now.getTime() - now.getTimezoneOffset() * 60_000; // local, as Envoy's
    },
  };
}

/** A line of another format has no time, and is not since anything. */
function isSince(fromMs: number | undefined, line: string): boolean {
  const [time] = TIME.exec(line) ?? [];
  return fromMs !== undefined && time !== undefined && Date.parse(time) >= fromMs;
}
