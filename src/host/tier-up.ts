/** Of Bun's runtime, as far as it is used here. Source: Bun's reference, `Bun.unsafe.setJITPolicy`. */
interface Bun {
  readonly unsafe: { setJITPolicy(scale: number): void };
}

/** By then a start is over: what runs from here on runs often. */
const START_MS = 1_000;

/**
 * The executable is built to compile late (`scripts/build-executable.mjs`): most of what a start calls it calls once, and the
 * threads that compile it have no processor of their own while Envoy boots. A second later it compiles as usual. Does
 * nothing on Node.
 */
export function restoreJitPolicySoon(): void {
  const { Bun: bun } = globalThis as { readonly Bun?: Bun };
  if (bun !== undefined) setTimeout(() => bun.unsafe.setJITPolicy(1), START_MS).unref();
}
