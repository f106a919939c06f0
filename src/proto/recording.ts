import { AgentError } from "../base/index.ts";

// What an ADS server sent on a stream, as a file: a line of JSON that says what it is, then one for each response. Bytes of
// resources are kept as they came, so that what serves them serves the same.

export interface RecordingHead {
  /** Of the server, `host:port`. */
  readonly address: string;
  readonly nodeId: string;
  readonly isDelta: boolean;
  /** Milliseconds since the epoch. */
  readonly startedMs: number;
}

export interface RecordedResponse {
  readonly atMs: number;
  readonly typeUrl: string;
  readonly version: string;
  /** What was new or changed. */
  readonly resources: readonly RecordedResource[];
  /** Names of what was there no longer. */
  readonly removed: readonly string[];
}

export interface RecordedResource {
  /** Empty where the type has no names. */
  readonly name: string;
  readonly version: string;
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** What was known in the end: by type, by name. */
export type RecordedState = ReadonlyMap<string, ReadonlyMap<string, RecordedResource>>;

const MARK = "pilotboat xds";
const VERSION = 1;

export function recordingHead(head: RecordingHead): string {
  return `${JSON.stringify({ recording: MARK, format: VERSION, ...head })}\n`;
}

export function recordingLine({ resources, ...response }: RecordedResponse): string {
  const written = resources.map(({ value, ...one }) => ({ ...one, value: Buffer.from(value).toString("base64") }));
  return `${JSON.stringify({ ...response, resources: written })}\n`;
}

export function isRecording(text: string): boolean {
  return text.startsWith(`{"recording":"${MARK}"`);
}

/** Plays a recording to its end. Throws CONFIG_INVALID for what is none; `place` names the text there. A last line that was cut is left out. */
export function readRecording(text: string, place: string): RecordedState {
  const refused = (why: string): AgentError => new AgentError("CONFIG_INVALID", `Cannot use ${place}: ${why}`);
  if (!isRecording(text)) throw refused('it is no recording of "pilotboat xds record"');
  const [first = "", ...lines] = text.split("\n");
  const { format } = parse(first) as { format?: unknown };
  if (format !== VERSION) throw refused(`its format is ${JSON.stringify(format)}, wanted ${VERSION}`);
  const state = new Map<string, Map<string, RecordedResource>>();
  lines.forEach((line, at) => {
    if (at === lines.length - 1) return; // empty, or not written to its end
    const response = responseIn(parse(line));
    if (response === undefined) throw refused(`line ${at + 2} is no response`);
    const known = state.get(response.typeUrl) ?? new Map<string, RecordedResource>();
    state.set(response.typeUrl, known);
    for (const name of response.removed) known.delete(name);
    for (const resource of response.resources) known.set(resource.name, resource);
  });
  return state;
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function responseIn(json: unknown): Pick<RecordedResponse, "typeUrl" | "resources" | "removed"> | undefined {
  const { typeUrl, resources, removed } = objectOf(json);
  if (typeof typeUrl !== "string" || !Array.isArray(resources) || !Array.isArray(removed)) return undefined;
  const read = resources.map(objectOf).flatMap(({ name, version, typeUrl: type, value }) => {
    const isWhole = [name, version, type, value].every((field) => typeof field === "string");
    if (!isWhole) return [];
    const bytes = Buffer.from(String(value), "base64");
    return [{ name: String(name), version: String(version), typeUrl: String(type), value: bytes }];
  });
  return read.length === resources.length ? { typeUrl, resources: read, removed: removed.map(String) } : undefined;
}

function objectOf(json: unknown): Readonly<Record<string, unknown>> {
  return typeof json === "object" && json !== null ? (json as Record<string, unknown>) : {};
}
