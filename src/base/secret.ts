import { inspect } from "node:util";

/** What stands in the place of a secret. */
export const HIDDEN = "[hidden]";

/**
 * A private key or token. It prints itself as hidden in templates, JSON, `console.log` and errors; the only way to
 * the bytes is `reveal()`, which makes every use easy to find.
 */
export class Secret {
  readonly #bytes: Buffer;

  constructor(value: string | Uint8Array) {
    this.#bytes = typeof value === "string" ? Buffer.from(value, "utf8") : Buffer.from(value);
  }

  /** The bytes themselves: pass them on, never keep or print them. */
  reveal(): Buffer {
    return this.#bytes;
  }

  /** The bytes as UTF-8 text. */
  revealText(): string {
    return this.#bytes.toString("utf8");
  }

  equals(other: Secret): boolean {
    return this.#bytes.equals(other.#bytes);
  }

  toString(): string {
    return HIDDEN;
  }

  toJSON(): string {
    return HIDDEN;
  }

  [inspect.custom](): string {
    return HIDDEN;
  }
}
