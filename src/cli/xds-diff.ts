import { escapeLine } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { hideSecrets } from "../istio/index.ts";
import * as client from "../xds-client/index.ts";
import { writeDocument } from "./document.ts";
import { readInput } from "./named-path.ts";
import { stdoutOf } from "./terminal/index.ts";

const MOST_BYTES = 512 * 2 ** 20;

/** `pilotboat xds diff`: 1 where they differ, as diff(1). Rejects with USAGE, FILE_UNREADABLE, CONFIG_INVALID. */
export async function diffDumps(files: readonly [string, string], output: string, host: Host): Promise<number> {
  const teller = client.createTeller();
  const [first, second] = await Promise.all(files.map((file) => read(file, teller, host)));
  const found = client.compareDumps(first ?? new Map(), second ?? new Map());
  const differences = hideSecrets(found).document as readonly client.Difference[];
  if (output === "short") printShort(differences, files, host);
  else await writeDocument(host, differences, { form: output });
  return found.length === 0 ? 0 : 1;
}

async function read(file: string, teller: client.ResourceTeller, host: Host) {
  const { text, source } = await readInput(file, "FILE", host, MOST_BYTES);
  return client.readDump(text, source, teller);
}

function printShort(
  differences: readonly client.Difference[],
  [first, second]: readonly [string, string],
  host: Host,
): void {
  const lines = differences.flatMap(({ typeUrl, name, kind, fields }) => {
    const what = `${client.showType(typeUrl)} ${name || "-"}`;
    if (kind === "only in the first") return [`- ${what}: only in ${first}`];
    if (kind === "only in the second") return [`+ ${what}: only in ${second}`];
    return [`~ ${what}`, ...fields.map((field) => `    ${field.path}: ${show(field.first)} -> ${show(field.second)}`)];
  });
  stdoutOf(host).print(lines.map((line) => `${escapeLine(line)}\n`));
}

const MOST_CHARACTERS = 200;

function show(value: unknown): string {
  const text = value === undefined ? "nothing" : JSON.stringify(value);
  return text.length <= MOST_CHARACTERS ? text : `${text.slice(0, MOST_CHARACTERS)}…`;
}
