import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { explicitEnvoys, lookAtNode, renderFor } from "../agent/index.ts";
import { AgentError, describeError, type Host, silentLogger } from "../base/index.ts";
import { describeDifference, diffByPath } from "../bootstrap/index.ts";
import { type AgentConfig, loadConfig } from "../config/index.ts";
import { findEnvoy } from "../envoy/binary/index.ts";
import type { JsonValue } from "../proto/mesh/index.ts";

const HELP = `Usage: pilotboat bootstrap [render] [proxy flags]
       pilotboat bootstrap validate [proxy flags]
       pilotboat bootstrap diff FILE FILE
       pilotboat bootstrap diff --run-folder FOLDER [proxy flags]

Envoy's bootstrap as "pilotboat proxy" would write it here; nothing is started or written.

  render     print it
  validate   have the real Envoy check it; prints what Envoy says, exit code 1 when it refuses
  diff       two files, or a running agent's against what would be rendered now, by path and not by line;
             exit code 1 when they differ

Examples:
  pilotboat bootstrap render sidecar
  PROXY_CONFIG='{"statsdUdpAddress":"127.0.0.1:9125"}' pilotboat bootstrap validate
  pilotboat bootstrap diff before.json after.json
`;

/** `pilotboat bootstrap [render|validate|diff]`. */
export async function run(args: readonly string[], host: Host): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    host.stdout.write(HELP);
    return 0;
  }
  const [first, ...rest] = args;
  if (first === "validate") return validate(rest, host);
  if (first === "diff") return diff(rest, host);
  host.stdout.write((await render(first === "render" ? rest : args, host)).text);
  return 0;
}

async function render(args: readonly string[], host: Host): Promise<{ config: AgentConfig; text: string }> {
  const { config } = await loadConfig({ args, env: host.env, cwd: host.cwd });
  const node = await lookAtNode(config, silentLogger, host.signals.stop);
  const { content, warnings } = await renderFor(config, node);
  for (const warning of warnings) host.stderr.write(`warning: ${warning}\n`);
  return { config, text: typeof content === "string" ? content : `${JSON.stringify(content, null, 2)}\n` };
}

const VALIDATE_LIMIT_MS = 30_000;

async function validate(args: readonly string[], host: Host): Promise<number> {
  const { config, text } = await render(args, host);
  const search = { explicit: explicitEnvoys(config), usual: config.proxy.binaryPath, env: host.env, cwd: config.cwd };
  const envoy = await findEnvoy(search);
  if (envoy === undefined) {
    throw new AgentError("ENVOY_NOT_FOUND", "Cannot validate: there is no Envoy here", {
      hint: 'Run "pilotboat envoy fetch", or name one with --envoy',
    });
  }
  const folder = await mkdtemp(join(tmpdir(), "pilotboat-validate-"));
  try {
    const file = join(folder, "bootstrap.json");
    await writeFile(file, text, { mode: 0o600 });
    const command = ["--mode", "validate", "-c", file, "--allow-unknown-static-fields"];
    const { code, output } = await runEnvoy(envoy.path, command, config.cwd);
    host.stdout.write(output);
    return code === 0 ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function runEnvoy(path: string, args: readonly string[], cwd: string): Promise<{ code: number; output: string }> {
  return new Promise((done) => {
    execFile(path, [...args], { cwd, timeout: VALIDATE_LIMIT_MS }, (error, stdout, stderr) => {
      done({ code: error === null ? 0 : 1, output: `${stdout}${stderr}` });
    });
  });
}

async function diff(args: readonly string[], host: Host): Promise<number> {
  const [before, after] = await documentsOf(args, host);
  const differences = diffByPath(before, after);
  for (const difference of differences) host.stdout.write(`${describeDifference(difference)}\n`);
  if (differences.length === 0) host.stdout.write("no differences\n");
  return differences.length === 0 ? 0 : 1;
}

async function documentsOf(args: readonly string[], host: Host): Promise<readonly [JsonValue, JsonValue]> {
  const isAgainstAgent = args.some((word) => word.startsWith("--run-folder"));
  if (!isAgainstAgent) {
    const [one, two, ...more] = args;
    if (one === undefined || two === undefined || more.length > 0) {
      throw new AgentError("USAGE", "Cannot compare: wanted two files, or --run-folder", {
        hint: 'See "pilotboat bootstrap --help"',
      });
    }
    return [await readJson(resolve(host.cwd, one)), await readJson(resolve(host.cwd, two))];
  }
  const { config, text } = await render(args, host);
  const running = await readJson(resolve(config.cwd, config.proxy.configPath, "envoy-rev.json"));
  return [running, JSON.parse(text) as JsonValue];
}

async function readJson(path: string): Promise<JsonValue> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as JsonValue;
  } catch (error) {
    throw new AgentError("FILE_UNREADABLE", `Cannot read "${path}": ${describeError(error)}`, { cause: error });
  }
}
