import { crc32 } from "node:zlib";
import { any, message } from "../../test/support/wire-messages.ts";

export const CLUSTER = "envoy.config.cluster.v3.Cluster";
export const ENDPOINTS = "envoy.config.endpoint.v3.ClusterLoadAssignment";
export const LISTENER = "envoy.config.listener.v3.Listener";

export const NAME_TABLE = "istio.networking.nds.v1.NameTable";

export const typeUrl = (type: string): string => `type.googleapis.com/${type}`;

/** A DeltaDiscoveryResponse, encoded but for its nonce. */
export interface Payload {
  readonly type: string;
  /** Everything before the nonce: version, resources, type URL. */
  readonly body: Buffer;
  /** CRC-32 of the body. */
  readonly sum: number;
}

const VERSION = "2026-01-01T00:00:00Z/1";
const PLACEHOLDER = "service-00000";
const DIGITS = 5;

/** Resources of one type as a mesh has them, each under a name of its own, until the body has about this size. */
export function buildPayload(type: string, bytes: number): Payload {
  const resource = message([2, resourceOf(type, bytes < 4_096 ? 2 : 10)]);
  const places = placesOf(resource, PLACEHOLDER).map((at) => at + PLACEHOLDER.length - DIGITS);
  const head = message([1, VERSION]);
  const tail = message([4, typeUrl(type)]);
  const count = Math.max(1, Math.round((bytes - head.length - tail.length) / resource.length));
  const resources = Buffer.alloc(count * resource.length);
  for (let index = 0; index < count; index++) {
    const start = index * resource.length;
    resource.copy(resources, start);
    const digits = String(index).padStart(DIGITS, "0");
    for (const at of places) resources.write(digits, start + at, "latin1");
  }
  const body = Buffer.concat([head, resources, tail]);
  return { type, body, sum: crc32(body) };
}

/** Without resources. */
export function emptyOf(type: string): Payload {
  const body = message([1, VERSION], [4, type]);
  return { type, body, sum: crc32(body) };
}

/** Names that `nameTable` has, each with an address. */
export const TABLE_NAMES = Array.from({ length: 1_000 }, (_, at) => `s${at}.shop.svc.cluster.local`);

export function nameTable(): Payload {
  const entries = TABLE_NAMES.map((name, at) => {
    const info = message([1, `10.1.${at >> 8}.${at & 255}`], [2, "Kubernetes"], [3, `s${at}`], [4, "shop"]);
    return [1, message([1, name], [2, info])] as const;
  });
  const resource = message([1, "v1"], [2, any(NAME_TABLE, message(...entries))], [3, "nds"]);
  const body = message([1, VERSION], [2, resource], [4, typeUrl(NAME_TABLE)]);
  return { type: NAME_TABLE, body, sum: crc32(body) };
}

function placesOf(bytes: Buffer, text: string): number[] {
  const places: number[] = [];
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) places.push(at);
  return places;
}

/** A `Resource` of delta xDS. */
function resourceOf(type: string, endpoints: number): Buffer {
  const name = `outbound|8000||${PLACEHOLDER}.namespace-007.svc.cluster.local`;
  const assignment = loadAssignment(name, endpoints);
  const value = type === ENDPOINTS ? assignment : cluster(name, assignment);
  return message([1, "v1"], [2, any(type, value)], [3, name]);
}

function loadAssignment(name: string, endpoints: number): Buffer {
  const locality = message([1, "region-1"], [2, "zone-1"]);
  const weight = message([1, 1]);
  const all = Array.from({ length: endpoints }, (_, at) => {
    const address = message([1, message([2, `10.1.7.${at + 1}`], [3, 8_080])]);
    const metadata = istioMetadata("workload", `deploy-7;namespace-007;${PLACEHOLDER};;cluster-1`);
    return [2, message([1, message([1, address])], [3, metadata], [4, weight])] as const;
  });
  return message([1, name], [2, message([1, locality], ...all, [3, weight])]);
}

/** Of static endpoints, so that a real Envoy takes it without asking for more. */
function cluster(name: string, assignment: Buffer): Buffer {
  const most = message([1, 4_294_967_295]);
  const thresholds = message([2, most], [3, most], [4, most], [5, most], [6, true]);
  const connectTimeout = message([1, 10]);
  const metadata = istioMetadata("host", `${PLACEHOLDER}.namespace-007.svc.cluster.local`);
  const leastRequest = 1;
  return message(
    ...([
      [1, name],
      [4, connectTimeout],
      [6, leastRequest],
      [10, message([1, thresholds])],
    ] as const),
    ...([
      [25, metadata],
      [33, assignment],
    ] as const),
  );
}

/** `Metadata` with one text under `istio`. */
function istioMetadata(key: string, text: string): Buffer {
  const struct = message([1, message([1, key], [2, message([3, text])])]);
  return message([1, message([1, "istio"], [2, struct])]);
}
