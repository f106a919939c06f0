import type { AgentReport } from "../agent/index.ts";
import { AgentError, describeError } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { hideSecrets } from "../istio/index.ts";
import * as proxyConfig from "../proxy-config/index.ts";
import { readAnswer } from "./agent-answer.ts";
import { placeOf } from "./agent-place.ts";
import { callAgent } from "./call-agent.ts";
import { writeDocument } from "./document.ts";
import { exchange } from "./http-exchange.ts";
import { readInput } from "./named-path.ts";
import { parseServicePort } from "./parse-port.ts";
import { writeExact } from "./terminal/index.ts";

export interface Wanted {
  readonly kind: "configuration" | "endpoints" | "secrets";
  readonly folder: string | undefined;
  readonly file: string | undefined;
  readonly "proxy-admin-port": number | undefined;
  readonly "run-folder": string | undefined;
  readonly "config-path": string;
  readonly output: string;
}

type Show = (room: typeof proxyConfig, dump: proxyConfig.Dump) => proxyConfig.Shown;

/** Prints what `show` makes of the dump, and resolves with the exit code. Rejects with USAGE, CONFIG_INVALID or REQUEST_FAILED. */
export async function showDump(host: Host, wanted: Wanted, show: Show): Promise<number> {
  const { output } = wanted;
  const shown = show(proxyConfig, await readDump(host, wanted));
  if (output !== "short") {
    const document = documentOf(shown.messages, wanted);
    await writeDocument(host, document, { form: output, indent: 4, isSorted: true }); // as istioctl has them
  } else if (wanted.kind === "secrets" && shown.table.rows.length === 0) {
    writeExact(host.stdout, "No active or warming secrets found.\n");
  } else writeExact(host.stdout, proxyConfig.tableText(shown.table));
  return 0;
}

function documentOf(messages: unknown, { kind }: Wanted): unknown {
  const safe = kind === "secrets" ? proxyConfig.withoutPrivate(messages) : hideSecrets(messages).document;
  return proxyConfig.protoJson(safe);
}

/** One of a large mesh has tens of megabytes. */
const MOST_BYTES = 256 * 2 ** 20;

async function readDump(host: Host, wanted: Wanted): Promise<proxyConfig.Dump> {
  const { file, folder, "run-folder": runFolder, "proxy-admin-port": port } = wanted;
  const places = [file, port, folder ?? runFolder].filter((place) => place !== undefined);
  if (places.length > 1)
    throw new AgentError("USAGE", "Cannot look at two: give a folder, --proxy-admin-port or --file");
  if (file !== undefined) {
    const { text, source } = await readInput(file, "--file", host, MOST_BYTES);
    return proxyConfig.parseDump(text, source);
  }
  const origin =
    port === undefined
      ? await adminOf(host, wanted)
      : `http://localhost:${parseServicePort("--proxy-admin-port", String(port))}`;
  const url = new URL(`${origin}${wanted.kind === "endpoints" ? "/clusters?format=json" : "/config_dump"}`);
  return proxyConfig.parseDump(await fetchText(url, host.signals.stop), `the answer of ${url.href}`);
}

const LIMIT_MS = 30_000;
const LOOK_LIMIT_MS = 5_000;

async function adminOf(host: Host, { folder, ...flags }: Wanted): Promise<string> {
  const call = { method: "GET", path: "/debug/agent", limitMs: LOOK_LIMIT_MS } as const;
  const { body } = await callAgent(host, placeOf(flags, folder), call);
  return readAnswer(body, ({ envoyAddresses: at }: AgentReport) => {
    if (at === undefined) throw new AgentError("REQUEST_FAILED", "Cannot ask Envoy: its agent has none");
    return `http://${at.admin}`;
  });
}

async function fetchText(url: URL, signal: AbortSignal): Promise<string> {
  const failed = (reason: string, cause?: unknown): AgentError =>
    new AgentError("REQUEST_FAILED", `Cannot ask Envoy at "${url.href}": ${reason}`, { cause });
  const call = { url, method: "GET", timeoutMs: LIMIT_MS, signal };
  const answer = await exchange(call).catch((error: unknown) => {
    throw failed(describeError(error), error);
  });
  if (answer.status !== 200) throw failed(`status ${answer.status}`);
  return answer.body;
}
