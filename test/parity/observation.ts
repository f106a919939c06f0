/** A value as JSON has it. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** What was seen of one program with one input, by area. An area that it never came to is absent. */
export type Observation = Readonly<Record<string, Json>>;

/** One place where two observations differ. */
export interface Difference {
  readonly area: string;
  /** As in RFC 6901, such as `/metadata/LABELS/app`; empty for the whole area. */
  readonly path: string;
  /** Undefined where there is nothing. */
  readonly reference: Json | undefined;
  readonly pilotboat: Json | undefined;
}
