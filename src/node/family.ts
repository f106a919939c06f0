import { AgentError } from "../base/index.ts";

/** Which addresses Envoy listens on and looks up. */
export interface AddressFamily {
  readonly localhost: "127.0.0.1" | "::1";
  /** Where Envoy's ports for others are: everywhere, or with `isLoopbackOnly` on `localhost`. */
  readonly wildcard: "0.0.0.0" | "::" | "127.0.0.1" | "::1";
  readonly dnsLookup: "V4_ONLY" | "V6_ONLY" | "ALL";
  /** The other family, when Envoy listens on both. */
  readonly additional: { readonly localhost: string; readonly wildcard: string } | undefined;
}

export interface FamilyOptions {
  readonly isDualStack: boolean;
  readonly isLoopbackOnly: boolean;
}

const V4 = { localhost: "127.0.0.1", wildcard: "0.0.0.0" } as const;
const V6 = { localhost: "::1", wildcard: "::" } as const;

/** Source: istio/istio pkg/bootstrap/config.go (getLocalhostAndWildcard), pkg/bootstrap/option (dual stack). */
export function addressFamily(addresses: readonly string[], options: FamilyOptions): AddressFamily {
  const family = familyOf(addresses, options.isDualStack);
  if (!options.isLoopbackOnly) return family;
  const { localhost, additional } = family;
  return {
    ...family,
    wildcard: localhost,
    additional: additional && { ...additional, wildcard: additional.localhost },
  };
}

function familyOf(addresses: readonly string[], isDualStack: boolean): AddressFamily {
  const isV6 = (address: string): boolean => address.includes(":");
  if (addresses.length > 0 && addresses.every(isV6)) return { ...V6, dnsLookup: "V6_ONLY", additional: undefined };
  const isMixed = addresses.some(isV6);
  if (!isMixed || !isDualStack) return { ...V4, dnsLookup: "V4_ONLY", additional: undefined };
  const [first = ""] = addresses;
  if (!/^[\d.]+$/.test(first) && !isV6(first)) {
    throw new AgentError("CONFIG_INVALID", `Cannot tell the family of the first address "${first}"`);
  }
  const isFirstV6 = isV6(first) && !/^fe[89ab]/i.test(first);
  return isFirstV6 ? { ...V6, dnsLookup: "ALL", additional: V4 } : { ...V4, dnsLookup: "ALL", additional: V6 };
}
