import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { createLogger, createMetrics, systemClock } from "../../src/base/index.ts";
import { type LastGood, type Owner, openLastGood } from "../../src/last-good/index.ts";
import type { Answers, LastGoodStream } from "../../src/last-good/open-last-good.ts";
import type { Variant } from "../../src/proto/ads-variant.ts";
import { readFields, textOf } from "../../src/proto/wire.ts";
import { message } from "../support/wire-messages.ts";

export const CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
export const LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener";
export const ENDPOINTS = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
export const SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
export const ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
const WRAPPER = "type.googleapis.com/envoy.service.discovery.v3.Resource";
export const NAME_TABLE = "type.googleapis.com/istio.networking.nds.v1.NameTable";

export const NODE = "sidecar~10.0.0.1~a.b~b.svc.cluster.local";

export const OWNER: Owner = { nodeId: NODE, others: ["istiod:15012", "Kubernetes"] };

/** A resource: its name, and something that tells one state from another. */
export type Resource = readonly [name: string, state: string | Uint8Array];

/** One run of an agent over a folder. */
export interface Run extends AsyncDisposable {
  readonly lines: string[];
  readonly lastGood: LastGood;
  open(node?: string): Stream;
}

/** Both sides of one stream: the test is Envoy and the control plane. */
export class Stream {
  readonly followed: LastGoodStream;
  readonly #variant: Variant;
  #nonce = 0;

  constructor(variant: Variant, followed: LastGoodStream) {
    this.#variant = variant;
    this.followed = followed;
  }

  ask(typeUrl: string, request: Ask = {}): void {
    this.followed.request(encodeAsk(this.#variant, typeUrl, request));
  }

  /** The control plane sends; gives the nonce. `chunkBytes` cuts the message. */
  send(typeUrl: string, resources: readonly Resource[], options: Sent = {}): string {
    const nonce = options.nonce ?? `n${++this.#nonce}`;
    const bytes = encodeResponse(this.#variant, typeUrl, resources, { version: nonce, ...options, nonce });
    const sink = this.followed.response();
    const { chunkBytes = bytes.length } = options;
    for (let at = 0; at < bytes.length; at += chunkBytes) sink.write(bytes.subarray(at, at + chunkBytes));
    sink.end();
    return nonce;
  }

  accept(typeUrl: string, nonce: string, request: Ask = {}): void {
    this.ask(typeUrl, { version: nonce, ...request, nonce });
  }

  /** Envoy asks for all of a type, and accepts what it is sent. */
  take(typeUrl: string, resources: readonly Resource[], options: Sent = {}): void {
    this.accept(typeUrl, this.send(typeUrl, resources, options));
  }

  /** A new Envoy starts with these clusters and listeners. */
  boot(clusters: readonly Resource[], listeners: readonly Resource[] = [["l", "1"]]): void {
    this.ask(CLUSTER);
    this.take(CLUSTER, clusters);
    this.ask(LISTENER);
    this.take(LISTENER, listeners);
  }
}

export interface Ask {
  readonly names?: readonly string[];
  readonly unsubscribe?: readonly string[];
  readonly nonce?: string;
  /** Whole states only. */
  readonly version?: string;
  readonly rejection?: string;
  /** With the version where there is one. */
  readonly initial?: readonly (string | readonly [name: string, version: string])[];
}

export interface Sent {
  readonly nonce?: string;
  readonly version?: string;
  readonly removed?: readonly string[];
  /** Of each resource; delta only. */
  readonly own?: string;
  /** Each resource is of this type, in an envelope: whole states only. */
  readonly wrapped?: string;
  /** Appended to each resource. */
  readonly more?: Uint8Array;
  readonly chunkBytes?: number;
}

export function encodeAsk({ request }: Variant, typeUrl: string, ask: Ask = {}): Buffer {
  const { names = [], unsubscribe = [], nonce = "", version = "", rejection, initial = [] } = ask;
  return message(
    [request.typeUrl, typeUrl],
    [request.nonce, nonce],
    ...(request.versionInfo === undefined ? [] : [[request.versionInfo, version] as const]),
    ...names.map((name) => [request.names, name] as const),
    ...unsubscribe.map((name) => [request.unsubscribe ?? 0, name] as const),
    ...initial.map((one) => {
      const [name, own] = typeof one === "string" ? [one, ""] : one;
      return [request.initialVersions ?? 0, message([1, name], [2, own])] as const;
    }),
    ...(rejection === undefined ? [] : [[request.errorDetail, message([1, 13], [2, rejection])] as const]),
  );
}

function encodeResponse(
  { response }: Variant,
  typeUrl: string,
  resources: readonly Resource[],
  { nonce = "", version = "", removed = [], own = "", wrapped, more = Buffer.alloc(0) }: Sent,
): Buffer {
  const entry = ([name, state]: Resource): Buffer => {
    const any = message([1, wrapped ?? typeUrl], [2, Buffer.concat([message([1, name], [99, state]), more])]);
    if (wrapped !== undefined) return message([1, WRAPPER], [2, message([3, name], [2, any])]);
    const { anyInResource, nameInResource } = response;
    if (anyInResource === undefined || nameInResource === undefined) return any;
    return message([1, own], [anyInResource, any], [nameInResource, name]); // in the order of Go's encoder
  };
  return message(
    [response.versionInfo, version],
    ...resources.map((one) => [response.resources, entry(one)] as const),
    [response.typeUrl, typeUrl],
    [response.nonce, nonce],
    ...removed.map((name) => [response.removed ?? 0, name] as const),
  );
}

export function startRun(folder: string, variant: Variant, mostBytes = 64 * 2 ** 20, clock = systemClock): Run {
  const lines: string[] = [];
  const log = createLogger({ write: (line) => void lines.push(line) });
  const lastGood = openLastGood({
    ...{ folder, owner: OWNER, mostBytes, log, metrics: createMetrics(""), clock },
  });
  return {
    lines,
    lastGood,
    open(node = NODE) {
      const first = message([variant.request.node, message([1, node])], [variant.request.typeUrl, CLUSTER]);
      const followed = lastGood.follow(variant, first);
      if (followed === undefined) throw new Error("the stream is not followed");
      return new Stream(variant, followed);
    },
    [Symbol.asyncDispose]: () => lastGood[Symbol.asyncDispose](),
  };
}

/** What a new Envoy of a new run gets without a control plane: resources by name, or undefined where nobody stands in. */
export async function servedOf(folder: string, variant: Variant, typeUrl = CLUSTER, ask: Ask = {}) {
  await using run = startRun(folder, variant);
  const answers = await run.open().followed.standIn();
  return answers === undefined ? undefined : await askStandIn(answers, variant, typeUrl, ask);
}

export async function askStandIn(answers: Answers, variant: Variant, typeUrl: string, ask: Ask = {}) {
  const answer = await answers.answer(encodeAsk(variant, typeUrl, ask));
  if (answer === undefined) return undefined;
  const pieces: Buffer[] = [];
  for await (const piece of answer.pieces()) pieces.push(piece);
  const bytes = Buffer.concat(pieces);
  const resources = decodeResources(variant, bytes);
  expect([bytes.length, Object.keys(resources).length]).toEqual([answer.length, answer.resourceCount]);
  return resources;
}

export function decodeResources({ response }: Variant, bytes: Uint8Array): Record<string, string> {
  const found: Record<string, string> = {};
  readFields(bytes, (field, reader) => {
    if (field !== response.resources) return false;
    const entry = reader.bytes();
    const any = response.anyInResource === undefined ? entry : fieldOf(entry, response.anyInResource);
    const value = fieldOf(any, 2);
    found[textOf(value, 1)] = textOf(value, 99);
    return true;
  });
  return found;
}

function fieldOf(bytes: Uint8Array, wanted: number): Uint8Array {
  let found = new Uint8Array() as Uint8Array;
  readFields(bytes, (field, reader) => {
    if (field !== wanted) return false;
    found = reader.bytes();
    return true;
  });
  return found;
}

export async function makeFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "pb-last-good-"));
  return { path: join(path, "kept"), [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Everything that lies in the folder, as one text. */
export async function everythingIn(folder: string): Promise<string> {
  const names = await readdir(folder).catch(() => []);
  const files = await Promise.all(names.map((name) => readFile(join(folder, name), "latin1")));
  return files.join("");
}
