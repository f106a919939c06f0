import type { Path } from "../istio/mesh/index.ts";
import type { Origin } from "./problem.ts";

/** A YAML or JSON text as a JSON tree that still knows where everything stood. */
export interface ParsedDocument {
  /** Undefined for an empty document. */
  readonly tree: unknown;
  /** Where the value at this path stands, or the nearest one around it. */
  locate(path: Path): Origin;
  /** Where something begins that does not count; undefined when all of the text does. */
  readonly rest?: Origin | undefined;
}

export type DocumentReading =
  | { readonly ok: true; readonly document: ParsedDocument }
  | { readonly ok: false; readonly origin: Origin; readonly message: string };
