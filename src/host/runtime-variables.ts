/**
 * Whether a variable is meant for a JavaScript runtime or for a library inside the bundle. The ones around the agent are
 * somebody else's, most often the application's: it gets them, and the agent does not obey them. What each does is in
 * docs/runtimes.md. Roots of trust (`NODE_EXTRA_CA_CERTS`) stay: a download behind a company's proxy needs them.
 */
export function isForRuntime(name: string): boolean {
  if (KEPT.has(name)) return false;
  return NAMES.has(name) || PREFIXES.some((prefix) => name.startsWith(prefix));
}

const KEPT = new Set(["NODE_EXTRA_CA_CERTS", "NODE_USE_SYSTEM_CA"]);
const PREFIXES = ["NODE_", "BUN_"];
/** libuv's pool; then protobuf and yaml, which prints to stdout. */
const NAMES = new Set(["UV_THREADPOOL_SIZE", "BUF_BIGINT_DISABLE", "LOG_STREAM", "LOG_TOKENS"]);
