import { type FileHandle, open } from "node:fs/promises";
import { resolve } from "node:path";
import { AgentError, describeError, escapeLine } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { recordingHead, recordingLine } from "../proto/recording.ts";
import * as client from "../xds-client/index.ts";
import { printWarnings } from "./print-error.ts";
import { stderrOf, stdoutOf } from "./terminal/index.ts";
import { readLimit, refuseSilence, tellNames } from "./xds-get.ts";
import { type AskFlags, readQuestion } from "./xds-question.ts";
import { readAccess } from "./xds-server.ts";
import { tellSilence } from "./xds-watch.ts";

export interface RecordFlags extends AskFlags {
  /** The file to write. */
  readonly recording: string;
  readonly follow: boolean;
  /** In Go's form. */
  readonly timeout: string;
}

/** Everything that an Envoy may ask for. */
const RECORDED_TYPES = ["cds", "lds", "eds", "rds", "sds", "ecds", "nds"];

/** `pilotboat xds record`. Rejects as `get` does, and with FILE_UNWRITABLE. */
export async function record(flags: RecordFlags, host: Host): Promise<number> {
  const limitMs = readLimit(flags.timeout);
  const { server, question } = await readQuestion(flags, host, RECORDED_TYPES);
  const teller = client.createTeller();
  const { referredNames } = teller;
  const head = { address: server.address, nodeId: question.node.id, isDelta: question.isDelta, startedMs: Date.now() };
  const broken = new AbortController();
  const path = resolve(host.cwd, flags.recording);
  const file = createRecording(path, recordingHead(head), teller, (error) => broken.abort(error));
  const stop = AbortSignal.any([host.signals.stop, broken.signal]);
  using silence = tellSilence(question, host);
  const onChange = (change: client.Change): void => {
    silence.answered(change.watched.typeUrl);
    file.add(change);
  };
  let watched: readonly client.Watched[] = [];
  try {
    if (flags.follow) {
      const onLost = (error: unknown): void => void stderrOf(host).print(`${escapeLine(describeError(error))}\n`);
      const again = async () => (await readAccess(flags, host)).server;
      await client.watchResources(again, question, { stop, referredNames, onChange, onLost });
    } else watched = await client.getResources(server, question, { limitMs, stop, referredNames, onChange });
  } finally {
    await file.close(); // a file that cannot be written is the first failure
  }
  tellNames(watched, host);
  tellResult(file.result(), flags.recording, host);
  refuseSilence(
    watched.filter(({ isWanted }) => isWanted),
    server.address,
    limitMs,
  );
  return 0;
}

interface Result {
  readonly responses: number;
  /** Resources that were written without their private keys, and that could not be. */
  readonly withoutKeys: number;
  readonly leftOut: readonly string[];
}

function tellResult({ responses, withoutKeys, leftOut }: Result, file: string, host: Host): void {
  stdoutOf(host).print(`${escapeLine(file)}: ${responses} responses\n`);
  printWarnings(host, [
    ...(withoutKeys === 0
      ? []
      : [withoutKeys === 1 ? ONE_WITHOUT : `${withoutKeys} resources were recorded without their private keys`]),
    ...leftOut.map((name) => `left out, because its private key cannot be taken out: ${name}`),
  ]);
}

const ONE_WITHOUT = "1 resource was recorded without its private keys";

interface Recording {
  add(change: client.Change): void;
  /** Resolves when everything is written. Rejects with FILE_UNWRITABLE. */
  close(): Promise<void>;
  result(): Result;
}

/**
 * Nothing is written, and an earlier recording stays, until something came. Only its owner may read it. `onBroken` is
 * called at once when the file takes no more.
 */
function createRecording(
  path: string,
  head: string,
  teller: client.ResourceTeller,
  onBroken: (error: unknown) => void,
): Recording {
  const result = { responses: 0, withoutKeys: 0, leftOut: [] as string[] };
  let handle: FileHandle | undefined;
  let last = Promise.resolve();
  const write = async (line: string): Promise<void> => {
    if (handle === undefined) {
      handle = await open(path, "w", 0o600);
      if ((await handle.stat()).isFile()) await handle.chmod(0o600); // an earlier one keeps its mode; a device its own
      await handle.writeFile(head); // unlike write, it writes all or fails
    }
    await handle.writeFile(line);
  };
  const keep = (resource: client.Received) => {
    const value = teller.withoutKeys(resource);
    if (value === undefined) result.leftOut.push(resource.name);
    else if (value !== resource.any.value) result.withoutKeys++;
    const { name, version, any } = resource;
    return value === undefined ? [] : [{ name, version, typeUrl: any.typeUrl, value }];
  };
  return {
    result: () => result,
    add({ response, added, changed, removed }) {
      result.responses++;
      const { typeUrl, version } = response;
      const resources = [...added, ...changed].flatMap(keep);
      const line = recordingLine({ atMs: Date.now(), typeUrl, version, resources, removed });
      last = last.then(() => write(line));
      last.catch(onBroken); // close tells why
    },
    async close() {
      try {
        await last;
      } catch (cause) {
        throw new AgentError("FILE_UNWRITABLE", `Cannot write "${path}": ${describeError(cause)}`, {
          cause,
          ...(handle !== undefined && { hint: "What is there is not the whole recording" }),
        });
      } finally {
        await handle?.close();
      }
    },
  };
}
