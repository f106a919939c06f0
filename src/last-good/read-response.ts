import { describeError } from "../base/index.ts";
import { DELTA, type Variant } from "../proto/ads-variant.ts";
import { readEntry } from "../proto/response-entry.ts";
import { bytesOf, readAny } from "../proto/wire.ts";
import { MOST_VALUE_BYTES } from "./entries.ts";
import { isKept, nameOf, ROUTES, WRAPPER } from "./kept-types.ts";
import { FieldSplitter } from "./split-fields.ts";
import type { StoredResource } from "./store.ts";

/** A resource of a response. */
export interface ReadResource extends StoredResource {
  readonly typeUrl: string;
}

/** A discovery response that is read while it arrives. Values share the memory of the chunks. */
export class ResponseReader {
  typeUrl = "";
  nonce = "";
  version = "";
  readonly removed: string[] = [];
  /** Of all resources, in the order in which they came. */
  readonly names = new Set<string>();
  /** Why the response cannot be kept; half a sentence. */
  flaw: string | undefined;
  /** Of the first resource. */
  #type: string | undefined;
  readonly #variant: Variant;
  readonly #splitter: FieldSplitter;
  #isReadable = true;
  #found: ReadResource[] = [];

  constructor(variant: Variant) {
    this.#variant = variant;
    this.#splitter = new FieldSplitter(MOST_VALUE_BYTES, (field, value) => this.#take(field, value));
  }

  /** Gives the resources that are complete now. With a flaw it goes on for the sake of type and nonce. */
  write(chunk: Uint8Array): readonly ReadResource[] {
    this.#found = [];
    this.#attempt(() => this.#splitter.write(chunk));
    return this.#found;
  }

  end(): void {
    this.#attempt(() => this.#splitter.end());
    if (this.#type !== undefined && this.#type !== this.typeUrl && isKept(this.typeUrl))
      this.flaw ??= this.#otherType();
  }

  #attempt(work: () => void): void {
    if (!this.#isReadable) return;
    try {
      work();
    } catch (error) {
      this.#isReadable = false;
      this.flaw ??= `it cannot be read: ${describeError(error)}`;
    }
  }

  #take(field: number, value: Uint8Array | undefined): void {
    const { response } = this.#variant;
    if (value === undefined) this.flaw ??= `a resource has more than ${MOST_VALUE_BYTES} bytes`;
    else if (field === response.versionInfo) this.version = text(value);
    else if (field === response.typeUrl) this.typeUrl = text(value);
    else if (field === response.nonce) this.nonce = text(value);
    else if (field === response.removed) this.removed.push(text(value));
    else if (field === response.resources) this.#takeResource(value);
  }

  #takeResource(entry: Uint8Array): void {
    const { response } = this.#variant;
    let resource = readEntry(entry, response);
    let isNamed = response.nameInResource !== undefined;
    if (!isNamed && readAny(resource.any).typeUrl === WRAPPER) {
      resource = readEntry(readAny(resource.any).value, DELTA.response);
      isNamed = resource.name !== "";
    }
    const { typeUrl, value } = readAny(resource.any);
    const name = isNamed ? resource.name : nameOf(typeUrl, value);
    this.names.add(name);
    this.#type ??= typeUrl;
    if (this.flaw !== undefined) return;
    if (typeUrl !== this.#type) this.flaw = this.#otherType();
    else if (typeUrl === ROUTES && bytesOf(value, VHDS).length > 0) this.flaw = `routes "${name}" need VHDS`;
    this.#found.push({ typeUrl, name, version: resource.version, value });
  }

  #otherType(): string {
    return "a resource is of another type than its response";
  }
}

/** `envoy.config.route.v3.RouteConfiguration.vhds` */
const VHDS = 9;

const UTF8 = new TextDecoder();

function text(bytes: Uint8Array): string {
  return UTF8.decode(bytes);
}
