const SIGTERM = "caught ENVOY_SIGTERM";
const CLOSED = /gRPC config stream (to \S+ )?closed: \d+,/;

/**
 * Drops what Envoy says of its own streams to agent and control plane when it ends in order: that they close is no
 * news, and looks like a failure. Until then, and everything else, is passed on. Takes whole lines. Source: envoy
 * source/extensions/config_subscription/grpc/grpc_stream.h.
 */
export function withoutClosingStreams(): (lines: Buffer) => Buffer {
  let isEnding = false;
  return (lines) => {
    const at = isEnding ? 0 : lines.indexOf(SIGTERM);
    if (at < 0) return lines;
    isEnding = true;
    const kept = lines
      .toString("latin1", at) // any bytes come out as they went in
      .split(/(?<=\n)/)
      .filter((line) => !CLOSED.test(line));
    return Buffer.concat([lines.subarray(0, at), Buffer.from(kept.join(""), "latin1")]);
  };
}
