/** The part of Bun's interface to the C library that is used. Source: Bun's documentation, bun:ffi. */
declare module "bun:ffi" {
  interface Signature {
    readonly args: readonly string[];
    readonly returns: string;
  }
  export function dlopen<Name extends string>(
    library: string,
    symbols: Readonly<Record<Name, Signature>>,
  ): { readonly symbols: Readonly<Record<Name, (...args: readonly number[]) => number>> };
  /** The address of an array's bytes. */
  export function ptr(view: NodeJS.TypedArray): number;
}
