export { type Clock, pause, systemClock } from "./clock.ts";
export { type ConnectionLimit, connectionLimit } from "./connection-limit.ts";
export { derOid, derSequence, derSignature, derValue, pemBlock } from "./der.ts";
export * from "./duration.ts";
export { connectThrough, type EgressProxy, isProxied, type Tunnel } from "./egress-proxy.ts";
export {
  AgentError,
  type AgentErrorOptions,
  describeError,
  ERROR_CATALOGUE,
  type ErrorCode,
  type ErrorKind,
  isStopped,
  stoppedOr,
  systemCode,
} from "./errors.ts";
export { escapeLine, escapeText } from "./escape.ts";
export {
  makeFolder,
  type Owner,
  removeFile,
  renameFile,
  type StagedFile,
  stageFile,
  type WriteOptions,
  writeFileAtomically,
  writeHint,
} from "./files.ts";
export { parseGoBool } from "./go-bool.ts";
export { escapeGoJson, goJson } from "./go-json.ts";
export { dropUnderscores, parseGoFloat } from "./go-number.ts";
export {
  type HttpAnswer,
  type HttpOptions,
  type HttpStream,
  httpRequest,
  httpStream,
  NoAnswerError,
} from "./http.ts";
export { allSettled, type Ending, Lifetime } from "./lifetime.ts";
export { createLogger, type LogFields, type Logger, type LogLevel, type LogOptions, silentLogger } from "./log.ts";
export { type HostAddress, lookupForSocket, lookupHost } from "./lookup-host.ts";
export {
  type Counter,
  counter,
  createMetrics,
  type Gauge,
  gauge,
  type Histogram,
  histogram,
  type Metric,
  type Metrics,
  type MetricsRegistry,
  noMetrics,
} from "./metrics.ts";
export { nearest } from "./nearest.ts";
export {
  type BoundSocket,
  bindTcp,
  bindUnix,
  freePorts,
  splitHostPort,
  tryTcp,
} from "./net.ts";
export {
  encodeCertificate,
  encodeCertificates,
  type ParsedKey,
  parseCertificates,
  parseChain,
  parsePrivateKey,
  readPemBlocks,
} from "./pem.ts";
export { type PollOptions, poll } from "./poll.ts";
export { limitBody, MOST_BODY_BYTES, readBody } from "./read-body.ts";
export {
  checkRegularFile,
  FileProblem,
  isAbsent,
  type ReadOptions,
  readRegularFile,
  readTextFile,
} from "./read-file.ts";
export { removeTree } from "./remove-tree.ts";
export { withoutFinalDot } from "./resolv-conf.ts";
export { type Backoff, backoffMs, type RetryOptions, retry } from "./retry.ts";
export { HIDDEN, Secret } from "./secret.ts";
export { hideKnownShapes, hideShapes } from "./secret-shapes.ts";
export { isSocketPathShort, shortSocketPath } from "./socket-path.ts";
export { type DeadSocket, lookAtSocketPlace, removeDeadSocket, type SocketPlace } from "./socket-place.ts";
export { createTimeline, type Timeline } from "./timeline.ts";
export {
  holdFolder,
  judgeFolder,
  openTrustedFolder,
  readTrustedFile,
  type Trusted,
  type TrustedFolder,
  trustedUsers,
  untrusted,
  whyUntrusted,
} from "./trust.ts";
export { VERIFIED_TLS } from "./verified-tls.ts";
export { contentDigest, type WatchOptions, watchPaths } from "./watch.ts";
export { MOST_YAML_DEPTH, tooDeepAt } from "./yaml-depth.ts";
