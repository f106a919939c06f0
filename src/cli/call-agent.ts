import { lstat } from "node:fs/promises";
import { resolve } from "node:path";
import { type FoundAgent, findAgents, type RunFile, readOwnRunFile, runFilePath } from "../agent/run-folder/index.ts";
import { AgentError, describeError, httpRequest, shellWord, systemCode } from "../base/index.ts";
import { DEFAULT_TEMPORARY_PLACE, type Host, startOf, temporaryPlace } from "../host/index.ts";
import type { AgentPlace } from "./agent-place.ts";
import { loopbackHosts, onFirstHost } from "./loopback.ts";

export interface AgentCall {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly limitMs: number;
}

export interface AgentAnswer {
  readonly status: number;
  readonly body: string;
}

/**
 * Asks the agent that runs in a folder, at its status port. Rejects with REQUEST_FAILED when there is none, it is gone,
 * it does not answer in time, or its answer is neither 200 nor 409, which is a refusal with a reason.
 */
export async function callAgent(host: Host, place: AgentPlace, call: AgentCall): Promise<AgentAnswer> {
  const found = await findListening(host, place);
  const { pid, statusPort } = found;
  try {
    return await callFound(found, call);
  } catch (error) {
    const text = `Cannot ask the agent at port ${statusPort} (pid ${pid}): ${describeError(error)}`;
    throw new AgentError("REQUEST_FAILED", text, { hint: "The agent may have exited meanwhile" });
  }
}

/** Where the agent of a folder answers. Rejects as `callAgent` does when there is none. */
export async function agentUrl(host: Host, place: AgentPlace): Promise<URL> {
  const { statusPort, statusAddress } = await findListening(host, place);
  const [first = "", ...others] = loopbackHosts(statusAddress);
  const only = first.includes(":") ? `[${first}]` : first;
  return new URL(`http://${others.length === 0 ? only : "localhost"}:${statusPort}/`); // exchange() tries both for this name
}

async function findListening(host: Host, place: AgentPlace): Promise<RunFile & { readonly statusPort: number }> {
  const found = await findAgent(host, await runFileOf(host, place));
  const { pid, statusPort } = found;
  if (statusPort === 0) {
    throw new AgentError(
      "REQUEST_FAILED",
      `Cannot ask the agent with pid ${pid}: its statusPort is 0, so it has no status server`,
      {
        hint: "Set statusPort in PROXY_CONFIG, or the annotation status.sidecar.istio.io/port, to another number",
      },
    );
  }
  if (statusPort !== undefined) return { ...found, statusPort };
  throw new AgentError("REQUEST_FAILED", `Cannot ask the agent with pid ${pid}: its status port is not open yet`);
}

/** Where the folder is itself the `configPath` of its agent, as `ps` names those that have it elsewhere, the file is in it. */
async function runFileOf({ cwd }: Host, { runFolder, configPath }: AgentPlace): Promise<string> {
  const usual = resolve(cwd, runFolder, runFilePath(configPath));
  const inIt = resolve(cwd, runFolder, runFilePath("."));
  const [hasUsual, hasIt] = await Promise.all([usual, inIt].map((path) => lstat(path).catch(() => undefined)));
  return hasUsual === undefined && hasIt !== undefined ? inIt : usual;
}

/**
 * The file decides which port gets the request, so a file that another user may have written is refused. So is the file of
 * an agent that is gone: another program may have its port by now.
 */
async function findAgent(host: Host, runFile: string): Promise<RunFile> {
  const found = await readRunFile(host, runFile);
  const { pid, start } = found;
  if (start === undefined || (await startOf(pid)) === start) return found;
  throw new AgentError("REQUEST_FAILED", `Cannot ask the agent of "${runFile}": the agent with pid ${pid} is gone`, {
    hint: `It was killed and left its file behind. ${await whoRuns(host)}`,
  });
}

async function readRunFile(host: Host, runFile: string): Promise<RunFile> {
  try {
    return await readOwnRunFile(runFile);
  } catch (error) {
    const hint = "Run the command as the user that the agent runs as";
    if (error instanceof AgentError && error.code === "UNTRUSTED_PATH") {
      throw new AgentError("UNTRUSTED_PATH", error.message, { hint });
    }
    throw new AgentError("REQUEST_FAILED", `Cannot find a running agent: there is no usable "${runFile}"`, {
      hint: systemCode(error) === "EACCES" ? hint : await whoRuns(host),
      cause: error,
    });
  }
}

const MOST_NAMED = 8;

/** The agents of this user on this machine. Never rejects. */
export function agentsOf(host: Pick<Host, "env" | "cwd">): Promise<readonly FoundAgent[]> {
  return findAgents([temporaryPlace(host).folder, DEFAULT_TEMPORARY_PLACE.folder]);
}

/** Asks an agent that was found. Rejects when it does not answer in time, or with neither 200 nor 409. */
export function callFound({ statusPort = 0, statusAddress }: RunFile, call: AgentCall): Promise<AgentAnswer> {
  return onFirstHost(loopbackHosts(statusAddress), (at) => send(at, statusPort, call));
}

/** The running agents, each with the flag that names it. */
async function whoRuns(host: Host): Promise<string> {
  const agents = await agentsOf(host);
  if (agents.length === 0) return "Give the folder in which it runs";
  const named = agents
    .slice(0, MOST_NAMED)
    .map(({ pid, runFolder }) => `--run-folder ${shellWord(runFolder)} (pid ${pid})`);
  const more = agents.length > MOST_NAMED ? `, and ${agents.length - MOST_NAMED} more` : "";
  return `Give the folder in which it runs: ${named.join(", ")}${more}`;
}

async function send(host: string, port: number, { method, path, limitMs }: AgentCall): Promise<AgentAnswer> {
  const { status, body } = await httpRequest({ host, port, path }, { method, timeoutMs: limitMs });
  if (status === 200 || status === 409) return { status, body: body.toString("utf8") };
  throw new Error(`status ${status}`);
}
