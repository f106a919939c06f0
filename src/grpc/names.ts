import { describeError, lookupHost, splitHostPort } from "../base/index.ts";
import { Code } from "./codes.ts";

type Experimental = typeof import("@grpc/grpc-js")["experimental"];
type Resolver = import("@grpc/grpc-js").experimental.Resolver;
type ResolverListener = import("@grpc/grpc-js").experimental.ResolverListener;

type Found = Parameters<ResolverListener>[0];

/** Of targets whose names we look up ourselves: `name:host:port`. */
export const NAME_SCHEME = "name";

/**
 * Has a gRPC client look names up with `lookupHost` instead of getaddrinfo, once for each channel: our clients make a
 * channel for each attempt, and tries of the same channel that come at once would never let anything else run. Every
 * address is tried in turn. May be called more than once.
 */
export function registerNames({ registerResolver, statusOrFromError, statusOrFromValue }: Experimental): void {
  class NameResolver implements Resolver {
    readonly #address: string;
    readonly #listener: ResolverListener;
    #pending: AbortController | undefined;
    #isFound = false;

    constructor(target: { readonly path: string }, listener: ResolverListener) {
      this.#address = target.path;
      this.#listener = listener;
    }

    updateResolution(): void {
      if (this.#pending !== undefined || this.#isFound) return;
      const pending = new AbortController();
      this.#pending = pending;
      void addressesOf(this.#address, pending.signal)
        .then(
          (addresses): Found => statusOrFromValue(addresses.map((one) => ({ addresses: [one] }))),
          (error): Found => statusOrFromError({ code: Code.UNAVAILABLE, details: describeError(error) }),
        )
        .then((result) => {
          if (pending.signal.aborted) return;
          this.#pending = undefined;
          this.#isFound = result.ok;
          this.#listener(result, {}, null, "");
        });
    }

    destroy(): void {
      this.#pending?.abort(new Error("no longer needed"));
      this.#pending = undefined;
      this.#isFound = false;
    }

    static getDefaultAuthority({ path }: { readonly path: string }): string {
      return path;
    }
  }
  registerResolver(NAME_SCHEME, NameResolver);
}

async function addressesOf(address: string, signal: AbortSignal): Promise<{ host: string; port: number }[]> {
  const split = splitHostPort(address);
  if (typeof split === "string") throw new Error(split);
  const found = await lookupHost(split.host, { signal });
  return found.map((one) => ({ host: one.address, port: Number(split.port) }));
}
