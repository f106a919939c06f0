export { aborted, type Clock, LONGEST_TIMER_MS, pause, systemClock } from "./clock.ts";
export { connectionLimit } from "./connection-limit.ts";
export { derOid, derSequence, derSignature, derValue, pemBlock } from "./der.ts";
export * from "./duration.ts";
export { connectThrough, type EgressProxy, isProxied } from "./egress-proxy.ts";
export { AgentError, describeError, type ErrorCode, isStopped, stoppedOr, systemCode } from "./errors.ts";
export { escapeLine, escapeText, oneLine } from "./escape.ts";
export {
  makeFolder,
  type Owner,
  removeFile,
  renameFile,
  type StagedFile,
  stageFile,
  writeFileAtomically,
  writeHint,
} from "./files.ts";
export { parseGoBool } from "./go-bool.ts";
export { escapeGoJson, goJson } from "./go-json.ts";
export { dropUnderscores, parseGoFloat } from "./go-number.ts";
export {
  CutAnswerError,
  type HttpAnswer,
  type HttpOptions,
  type HttpStream,
  httpRequest,
  httpStream,
  NoAnswerError,
} from "./http.ts";
export { HttpConnections } from "./http-connections.ts";
export { isBun } from "./is-bun.ts";
export { allSettled, Lifetime } from "./lifetime.ts";
export { type Follower, followSignal, startLimit } from "./limit.ts";
export { createLogger, type Logger, silentLogger } from "./log.ts";
export { type LogLevel, LogLevels } from "./log-levels.ts";
export { lookupForSocket, lookupHost } from "./lookup-host.ts";
export { counter, createMetrics, gauge, histogram, type Metrics, type MetricsRegistry } from "./metrics.ts";
export { nearest } from "./nearest.ts";
export { type BoundSocket, bindTcp, bindUnix, freePorts, joinHostPort, splitHostPort, tryTcp } from "./net.ts";
export {
  encodeCertificate,
  encodeCertificates,
  parseCertificates,
  parseChain,
  parsePrivateKey,
  readPemBlocks,
} from "./pem.ts";
export { poll } from "./poll.ts";
export { limitBody, MOST_BODY_BYTES, readBody } from "./read-body.ts";
export { checkRegularFile, FileProblem, isAbsent, readRegularFile, readTextFile } from "./read-file.ts";
export { keepRecent, type LogLine } from "./recent-log.ts";
export { removeTree } from "./remove-tree.ts";
export { readUpstreams, withoutFinalDot } from "./resolv-conf.ts";
export { type Backoff, backoffMs, Retries, type RetryOptions, retry } from "./retry.ts";
export { HIDDEN, Secret } from "./secret.ts";
export { hideShapes } from "./secret-shapes.ts";
export { shellWord } from "./shell-word.ts";
export { isSocketPathShort, shortSocketPath } from "./socket-path.ts";
export { type DeadSocket, lookAtSocketPlace, removeDeadSocket, type SocketPlace } from "./socket-place.ts";
export { createTimeline, type Timeline } from "./timeline.ts";
export { type Answer, type Call, createTransport, type Transport, type TransportOptions } from "./transport.ts";
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
export { utcTime } from "./utc-time.ts";
export { VERIFIED_TLS } from "./verified-tls.ts";
export { watchPaths } from "./watch.ts";
export { MOST_YAML_DEPTH, tooDeepAt } from "./yaml-depth.ts";
