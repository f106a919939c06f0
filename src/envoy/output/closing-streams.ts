const SIGTERM = "caught ENVOY_SIGTERM";
const CLOSED = /gRPC config stream (to \S+ )?closed: \d+,/;

export interface ClosingStreams {
  /** Of whole lines, those that are passed on. */
  edit(lines: Buffer): Buffer;
  /** The agent has sent SIGTERM. Envoy may log that its streams closed before it logs the signal. */
  noteSigterm(): void;
}

/**
 * Drops what Envoy says of its own streams to agent and control plane when it ends in order: that they close is no
 * news, and looks like a failure. Until then, and everything else, is passed on. Source: envoy
 * source/extensions/config_subscription/grpc/grpc_stream.h.
 */
export function withoutClosingStreams(): ClosingStreams {
  let isEnding = false;
  return {
    edit(lines) {
      const at = isEnding ? 0 : lines.indexOf(SIGTERM);
      if (at < 0) return lines;
      isEnding = true;
      const kept = lines
        .toString("latin1", at) // any bytes come out as they went in
        .split(/(?<=\n)/)
        .filter((line) => !CLOSED.test(line));
      return Buffer.concat([lines.subarray(0, at), Buffer.from(kept.join(""), "latin1")]);
    },
    noteSigterm() {
      isEnding = true;
    },
  };
}
