import { describeError, escapeLine } from "../base/index.ts";
import { type Host, whileRead } from "../host/index.ts";
import * as client from "../xds-client/index.ts";
import { writeDocument } from "./document.ts";
import { stderrOf, stdoutOf } from "./terminal/index.ts";
import { shownJson } from "./xds-json.ts";
import { type AskFlags, readQuestion } from "./xds-question.ts";
import { readAccess } from "./xds-server.ts";

export interface WatchFlags extends AskFlags {
  readonly output: string;
}

/** `pilotboat xds watch`: until a signal, which is its usual end. Rejects as `get` does when there is no first answer. */
export async function watchAndPrint(flags: WatchFlags, host: Host): Promise<number> {
  const { question } = await readQuestion(flags, host);
  const stop = whileRead(host.stdout, host.signals.stop);
  const teller = client.createTeller();
  let last = Promise.resolve();
  using silence = tellSilence(question, host);
  await client.watchResources(async () => (await readAccess(flags, host)).server, question, {
    stop,
    referredNames: teller.referredNames,
    onLost: (error, waitMs) => {
      const text = `${describeError(error)}; trying again in ${(waitMs / 1_000).toFixed(1)} s`;
      stderrOf(host).print(`${timeOfDay()} ${escapeLine(text)}\n`);
    },
    onChange: (change) => {
      const { watched, added, changed, removed } = change;
      silence.answered(watched.typeUrl);
      if (!watched.isWanted || added.length + changed.length + removed.length === 0) return;
      if (flags.output === "short") printShort(change, host);
      else {
        const document = changeJson(change, teller);
        last = last.then(() => writeDocument(host, document, { form: flags.output, isOneOfMany: true }));
      }
    },
  });
  await last;
  return 0;
}

const SILENCE_MS = 5_000;

/** Says on stderr, once and after five seconds, which types have no answer yet; only those that are certainly asked for. */
export function tellSilence({ wanted }: client.Question, host: Host) {
  const answered = new Set<string>();
  const timer = setTimeout(() => {
    const silent = wanted.filter(
      ({ typeUrl, names }) =>
        !answered.has(typeUrl) && (answered.size === 0 || names.length > 0 || client.namedBy(typeUrl) === undefined),
    );
    if (silent.length === 0) return;
    const types = silent.map(({ typeUrl }) => client.showType(typeUrl)).join(", ");
    stderrOf(host).print(`${timeOfDay()} no answer yet for ${escapeLine(types)}\n`);
  }, SILENCE_MS);
  return {
    answered: (typeUrl: string): void => void answered.add(typeUrl),
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}

function printShort({ watched, response, added, changed, removed }: client.Change, host: Host): void {
  const counts = [
    [added.length, "added"],
    [changed.length, "changed"],
    [removed.length, "removed"],
  ].flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}`]));
  const version = response.version === "" ? "" : ` ${response.version}`;
  const head = `${timeOfDay()} ${client.showType(watched.typeUrl)}${version}: ${counts.join(", ")}`;
  const lines = [
    ...added.map(({ name }) => `  + ${name || "-"}`),
    ...changed.map(({ name }) => `  ~ ${name || "-"}`),
    ...removed.map((name) => `  - ${name || "-"}`),
  ];
  stdoutOf(host).print([head, ...lines].map((line) => `${escapeLine(line)}\n`));
}

function changeJson({ watched, response, added, changed, removed }: client.Change, teller: client.ResourceTeller) {
  const shown = (resources: readonly client.Received[]) =>
    resources.map((one) => ({ name: one.name, version: one.version, resource: shownJson(one, teller) }));
  return {
    time: new Date().toISOString(),
    typeUrl: watched.typeUrl,
    version: response.version,
    added: shown(added),
    changed: shown(changed),
    removed,
  };
}

/** `15:04:05.678`, in UTC as in the log. */
function timeOfDay(): string {
  return new Date().toISOString().slice(11, 23);
}
