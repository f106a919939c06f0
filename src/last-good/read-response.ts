import { describeError } from "../base/index.ts";
import type { Variant } from "../proto/ads-variant.ts";
import { readFields } from "../proto/wire.ts";
import { MOST_VALUE_BYTES } from "./entries.ts";
import { nameOf } from "./kept-types.ts";
import { holdsPrivateKey } from "./private-keys.ts";
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
    const resource = readEntry(entry, response);
    const { typeUrl, value } = readAny(resource.any);
    const name = response.nameInResource === undefined ? nameOf(typeUrl, value) : resource.name;
    this.names.add(name);
    if (this.flaw !== undefined) return;
    if (holdsPrivateKey(value)) this.flaw = `resource "${name}" holds a private key`;
    this.#found.push({ typeUrl, name, version: resource.version, value });
  }
}

interface ResourceParts {
  name: string;
  version: string;
  any: Uint8Array;
}

/** Of a whole state, the entry is the `Any` itself. */
function readEntry(entry: Uint8Array, { anyInResource, nameInResource }: Variant["response"]): ResourceParts {
  const parts: ResourceParts = { name: "", version: "", any: entry };
  if (anyInResource === undefined) return parts;
  parts.any = new Uint8Array();
  readFields(entry, (field, reader) => {
    if (field === nameInResource) parts.name = reader.string();
    else if (field === RESOURCE_VERSION) parts.version = reader.string();
    else if (field === anyInResource) parts.any = reader.bytes();
    else return false;
    return true;
  });
  return parts;
}

/** `envoy.service.discovery.v3.Resource.version` */
const RESOURCE_VERSION = 1;

function readAny(bytes: Uint8Array): { readonly typeUrl: string; readonly value: Uint8Array } {
  const any = { typeUrl: "", value: new Uint8Array() as Uint8Array };
  readFields(bytes, (field, reader) => {
    if (field === 1) any.typeUrl = reader.string();
    else if (field === 2) any.value = reader.bytes();
    else return false;
    return true;
  });
  return any;
}

const UTF8 = new TextDecoder();

function text(bytes: Uint8Array): string {
  return UTF8.decode(bytes);
}
