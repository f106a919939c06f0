import { accessSync, constants } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";
import { isatty } from "node:tty";
import { AgentError, describeError, Secret } from "../base/index.ts";
import { runProgram } from "../host/index.ts";
import type { ExecPlugin, KubeHost, KubeServer } from "./kubeconfig.ts";
import { entryOf, text } from "./kubeconfig-values.ts";

export interface ExecCredential {
  readonly token: Secret | undefined;
  /** PEM. */
  readonly certificate: { readonly chain: string; readonly key: Secret } | undefined;
  /** Milliseconds since the epoch; undefined for as long as the process lives. */
  readonly expiresAtMs: number | undefined;
}

export interface ExecPluginCall {
  readonly plugin: ExecPlugin;
  readonly server: KubeServer & { readonly caPem: string | undefined };
  readonly host: KubeHost;
  readonly signal: AbortSignal;
}

/** A person may have to log in meanwhile, in a browser. */
const LIMIT_MS = 300_000;

/**
 * Runs the program and reads the ExecCredential that it prints; its own lines go to our stderr. Rejects with
 * KUBE_CREDENTIALS, which says what the program is and how it ended. Source: client-go plugin/pkg/client/auth/exec.
 */
export async function runExecPlugin(call: ExecPluginCall): Promise<ExecCredential> {
  const { plugin, host } = call;
  const file = findCommand(plugin, host);
  const isInteractive = plugin.interactiveMode !== "Never" && isatty(0);
  if (plugin.interactiveMode === "Always" && !isInteractive) {
    throw failed(plugin, "it wants to ask somebody, and there is no terminal");
  }
  return readCredential(plugin, await outputOf(call, file, isInteractive));
}

/** Throws when it is not there: `spawn` reports that in many ways. */
function findCommand(plugin: ExecPlugin, { env }: KubeHost): string {
  const { command, installHint } = plugin;
  const places = isAbsolute(command)
    ? [command]
    : (env.PATH ?? "").split(delimiter).map((folder) => join(folder, command));
  const names = process.platform === "win32" ? places.flatMap((place) => [place, `${place}.exe`]) : places;
  const found = names.find(isExecutable);
  if (found !== undefined) return found;
  const where = isAbsolute(command) ? "no such executable" : "it is not in PATH";
  throw new AgentError("KUBE_CREDENTIALS", `Cannot run the credential plugin "${command}": ${where}`, {
    hint: installHint?.trim().replace(/\s+/g, " ") ?? "Install it, or let its tool write the kubeconfig again",
  });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function outputOf(call: ExecPluginCall, file: string, isInteractive: boolean): Promise<string> {
  const { plugin, host, signal: stop } = call;
  const ran = await runProgram(file, plugin.args, {
    cwd: host.cwd,
    env: { ...host.env, ...plugin.env, KUBERNETES_EXEC_INFO: execInfo(call, isInteractive) },
    ...(isInteractive && { stdin: "terminal" }),
    onStderr: (chunk) => host.stderr.write(chunk),
    limitMs: LIMIT_MS,
    graceMs: 0,
    stop,
  }).catch((error: unknown) => {
    if (stop.aborted) throw stop.reason;
    throw failed(plugin, describeError(error));
  });
  if (ran.code === 0) return ran.stdout.toString("utf8");
  const lastLine = ran.stderr.split("\n").findLast((line) => /\w/.test(line));
  const end = ran.signal === null ? `exit code ${ran.code}` : `signal ${ran.signal}`;
  throw failed(plugin, lastLine === undefined ? `it ended with ${end}` : `it ended with ${end}: ${lastLine.trim()}`);
}

function execInfo({ plugin, server }: ExecPluginCall, interactive: boolean): string {
  const caData = server.caPem === undefined ? undefined : Buffer.from(server.caPem).toString("base64");
  const cluster = {
    server: server.url,
    "tls-server-name": server.serverName,
    "insecure-skip-tls-verify": server.isInsecure || undefined,
    "certificate-authority-data": caData,
    "proxy-url": server.proxyUrl,
    config: server.execConfig,
  };
  const spec = plugin.wantsClusterInfo ? { cluster, interactive } : { interactive };
  return JSON.stringify({ kind: "ExecCredential", apiVersion: plugin.apiVersion, spec });
}

function readCredential(plugin: ExecPlugin, printed: string): ExecCredential {
  let answer: unknown;
  try {
    answer = JSON.parse(printed);
  } catch {
    throw failed(plugin, "it did not print JSON"); // what it printed may be a token
  }
  const { kind, apiVersion, status } = entryOf(answer);
  if (kind !== "ExecCredential") throw failed(plugin, `it printed the kind "${kind}", expected "ExecCredential"`);
  if (apiVersion !== plugin.apiVersion) {
    throw failed(plugin, `it printed the version "${apiVersion}", expected "${plugin.apiVersion}"`);
  }
  const values = entryOf(status);
  const token = text(values.token);
  const chain = text(values.clientCertificateData);
  const key = text(values.clientKeyData);
  if ((chain === undefined) !== (key === undefined)) throw failed(plugin, "it printed half of a client certificate");
  if (token === undefined && chain === undefined) throw failed(plugin, "it printed neither token nor certificate");
  const expiresAtMs = Date.parse(text(values.expirationTimestamp) ?? "");
  return {
    token: token === undefined ? undefined : new Secret(token),
    certificate: chain === undefined || key === undefined ? undefined : { chain, key: new Secret(key) },
    expiresAtMs: Number.isNaN(expiresAtMs) ? undefined : expiresAtMs,
  };
}

function failed({ command, args }: ExecPlugin, reason: string): AgentError {
  const tool = command.split(/[/\\]/).at(-1) ?? command;
  const words = [tool, ...args.filter((word) => /^[a-z][a-z-]*$/.test(word))].join(" "); // no flags: some hold secrets
  const hint = `Log in again with the tool that the plugin belongs to, then try "kubectl auth whoami"`;
  return new AgentError("KUBE_CREDENTIALS", `Cannot get credentials from the plugin "${words}": ${reason}`, { hint });
}
