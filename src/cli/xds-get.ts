import { AgentError, escapeLine, parseGoDuration, toMs } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import * as client from "../xds-client/index.ts";
import { writeDocument } from "./document.ts";
import { printWarnings } from "./print-error.ts";
import { columnTable, stderrOf, stdoutOf } from "./terminal/index.ts";
import { responseJson } from "./xds-json.ts";
import { type AskFlags, readQuestion } from "./xds-question.ts";

export interface GetFlags extends AskFlags {
  /** In Go's form. */
  readonly timeout: string;
  readonly output: string;
}

/** `pilotboat xds get`. Rejects with USAGE, CONFIG_INVALID, CONTROL_PLANE_UNREACHABLE, UNAUTHENTICATED, REQUEST_FAILED, TIMEOUT. */
export async function getAndPrint(flags: GetFlags, host: Host): Promise<number> {
  const limitMs = readLimit(flags.timeout);
  const { stop } = host.signals;
  const { server, question } = await readQuestion(flags, host);
  const teller = client.createTeller();
  const { referredNames } = teller;
  const watched = await client.getResources(server, question, { limitMs, stop, referredNames });
  const wanted = watched.filter(({ isWanted }) => isWanted);
  tellNames(wanted, host);
  if (flags.output === "short") printShort(wanted, host);
  else {
    const answers = wanted.flatMap(({ response, resources }) =>
      response === undefined ? [] : [responseJson({ response, resources }, question.isDelta, teller)],
    );
    await writeDocument(host, answers, { form: flags.output });
  }
  printWarnings(host, wanted.flatMap(tellMissing));
  refuseSilence(wanted, server.address, limitMs);
  return 0;
}

export function readLimit(text: string): number {
  const ns = parseGoDuration(text);
  if (ns !== undefined && ns > 0n) return Math.max(1, toMs(ns));
  throw new AgentError("USAGE", `Cannot use --timeout "${text}", wanted a time such as 10s or 1m`);
}

/** Whose names were asked for, where nobody gave any. */
export function tellNames(wanted: readonly client.Watched[], host: Host): void {
  for (const { typeUrl, namesFrom, names, response } of wanted) {
    if (namesFrom === undefined || (response === undefined && names.length > 0)) continue;
    const from = namesFrom.map(client.showType).join(" and ");
    const refer = namesFrom.length === 1 ? "refers to" : "refer to";
    const what = names.length === 0 ? `${from} ${refer} none` : `asked for the ${names.length} that ${from} ${refer}`;
    stderrOf(host).print(`${client.showType(typeUrl)}: no names given, ${what}\n`);
  }
}

function printShort(wanted: readonly client.Watched[], host: Host): void {
  const terminal = stdoutOf(host);
  const rows = wanted.flatMap(({ typeUrl, resources }) =>
    [...resources.values()].map(({ name, version, any }) => [
      client.showType(typeUrl),
      escapeLine(name === "" ? "-" : name),
      escapeLine(version === "" ? "-" : version),
      String(any.value.length),
    ]),
  );
  if (rows.length > 0) terminal.print(columnTable(["TYPE", "NAME", "VERSION", "BYTES"], rows, undefined));
  for (const { typeUrl, resources, response } of wanted) {
    if (response !== undefined && resources.size === 0)
      stderrOf(host).print(`${client.showType(typeUrl)}: the answer is empty\n`);
  }
}

function tellMissing(watched: client.Watched): string[] {
  const missing = watched.response === undefined ? [] : client.missingNames(watched);
  if (missing.length === 0) return [];
  return [`${client.showType(watched.typeUrl)}: there is no ${missing.map((name) => JSON.stringify(name)).join(", ")}`];
}

/** A server may leave a question open for ever; that is no success. */
export function refuseSilence(wanted: readonly client.Watched[], address: string, limitMs: number): void {
  const silent = wanted.filter(
    ({ response, isAsked, namesFrom }) => response === undefined && (isAsked || namesFrom === undefined),
  );
  if (silent.length === 0) return;
  const types = silent.map(({ typeUrl }) => client.showType(typeUrl));
  const reasons = [...new Set(silent.map(({ typeUrl }) => whySilent(typeUrl)))];
  throw new AgentError("TIMEOUT", `No answer of "${address}" for ${types.join(", ")} within ${limitMs / 1_000} s`, {
    hint: reasons.join("; "),
  });
}

function whySilent(typeUrl: string): string {
  return (
    SILENCE[client.showType(typeUrl)] ??
    "A control plane may leave a type that it does not know, or has nothing for, without an answer"
  );
}

/** Source: istio/istio pilot/pkg/xds (sds.go, ecds.go). */
const SILENCE: Readonly<Record<string, string>> = {
  SDS: "istiod answers for secrets only to a proxy whose service account may read them, and names them kubernetes://NAME",
  ECDS: "istiod answers for extensions only where a WasmPlugin or EnvoyFilter makes one of that name",
};
