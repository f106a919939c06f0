import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Variant } from "../proto/ads-variant.ts";
import { encodeFields } from "../proto/wire.ts";
import type { TypeContents } from "./contents.ts";
import { type Request, readRequest } from "./read-request.ts";
import type { Store, StoredResource } from "./store.ts";
import { Subscription } from "./subscription.ts";

/** Answers one stream of Envoy as the control plane would, with what Envoy accepted before. */
export class StandIn {
  readonly #variant: Variant;
  readonly #store: Store;
  readonly #subscriptions = new Map<string, Subscription>();
  #lastNonce = 0;

  constructor(variant: Variant, store: Store) {
    this.#variant = variant;
    this.#store = store;
  }

  /**
   * The response to a request, whole; undefined where there is none: it acknowledges or rejects, asks for what Envoy has,
   * or for what is not known. Rejects where the log cannot be read, or was damaged.
   */
  async answer(message: Uint8Array): Promise<Buffer | undefined> {
    const request = readRequest(this.#variant, message);
    const type = this.#store.type(request.typeUrl);
    const asked = this.#asked(request, type);
    if (type === undefined || asked === undefined) return undefined;
    const resources: StoredResource[] = [];
    for (const name of asked) {
      const place = type.resources.get(name);
      if (place === undefined) continue;
      const version = place.version === "" ? type.version : place.version;
      resources.push({ name, version, value: await this.#store.read(place) });
    }
    return this.#encode(request.typeUrl, type.version, resources);
  }

  /** Names to be sent; undefined where nothing is. */
  #asked(request: Request, type: TypeContents | undefined): readonly string[] | undefined {
    const known = this.#subscriptions.get(request.typeUrl);
    if (known !== undefined) return some(known.change(request).asked.filter((name) => type?.resources.has(name)));
    const subscription = new Subscription(request, this.#variant.name === "delta");
    this.#subscriptions.set(request.typeUrl, subscription);
    const { initial, isFresh, isWildcard, names } = subscription;
    if (isWildcard) return isFresh ? [...(type?.resources.keys() ?? [])] : undefined; // also none: that is an answer
    if (initial === undefined) return undefined; // Envoy has a version of them
    return some([...names].filter((name) => !initial.has(name) && type?.resources.has(name)));
  }

  #encode(typeUrl: string, version: string, resources: readonly StoredResource[]): Buffer {
    const { response } = this.#variant;
    const writer = new BinaryWriter();
    writer.tag(response.versionInfo, WireType.LengthDelimited).string(version);
    for (const { name, version: own, value } of resources) {
      const any = encodeFields({ 1: typeUrl, 2: value });
      const { anyInResource, nameInResource } = response;
      const entry =
        anyInResource === undefined || nameInResource === undefined
          ? any
          : encodeFields({ 1: own, [anyInResource]: any, [nameInResource]: name });
      writer.tag(response.resources, WireType.LengthDelimited).bytes(entry);
    }
    writer.tag(response.typeUrl, WireType.LengthDelimited).string(typeUrl);
    writer.tag(response.nonce, WireType.LengthDelimited).string(`last-good-${++this.#lastNonce}`);
    return Buffer.from(writer.finish());
  }
}

function some(names: readonly string[]): readonly string[] | undefined {
  return names.length === 0 ? undefined : names;
}
