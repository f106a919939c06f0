import { hideSecretsInText } from "../hide-secrets.ts";
import type { MetadataObject, MetadataValue, RawMetadata } from "./typed-metadata.ts";

const TEXT_PREFIX = "ISTIO_META_";
const JSON_PREFIX = "ISTIO_METAJSON_";

export interface MetadataWords {
  readonly proxyMetadata: Readonly<Record<string, string>>;
  /** ISTIO_META_ and ISTIO_METAJSON_ variables under their full names. */
  readonly metadataEnv: readonly (readonly [name: string, value: string])[];
  /** `DNS_PROXY_ADDR`; undefined or empty for none. */
  readonly dnsProxyAddress: string | undefined;
}

/** Collects what proxyMetadata and the variables say; later sources overwrite earlier keys. */
export function readRawMetadata(options: MetadataWords, warnings: string[]): RawMetadata {
  const raw = new Map<string, { value: MetadataValue; from: string }>();
  for (const [name, value] of Object.entries(options.proxyMetadata)) {
    if (name.startsWith(TEXT_PREFIX)) {
      raw.set(name.slice(TEXT_PREFIX.length), { value, from: `proxyMetadata ${name}` });
    }
  }
  for (const [name, value] of options.metadataEnv) {
    if (name.startsWith(TEXT_PREFIX)) raw.set(name.slice(TEXT_PREFIX.length), { value, from: name });
  }
  for (const [name, text] of options.metadataEnv) {
    if (!name.startsWith(JSON_PREFIX)) continue;
    const object = parseMembers(text);
    if (typeof object === "string") {
      const suffix = name.slice(JSON_PREFIX.length);
      warnings.push(hideSecretsInText(`Env variable ${suffix} [${text}] failed json unmarshal: ${object}`));
      continue;
    }
    for (const [key, value] of Object.entries(object)) raw.set(key, { value, from: name });
  }
  if (options.dnsProxyAddress) {
    raw.set("DNS_PROXY_ADDR", { value: options.dnsProxyAddress, from: "DNS_PROXY_ADDR" });
  }
  return raw;
}

/** The members of a JSON object; `null` has none; anything else is told as text. */
function parseMembers(text: string): MetadataObject | string {
  try {
    const value = JSON.parse(text) as MetadataValue;
    if (value === null) return {};
    if (typeof value === "object" && !Array.isArray(value)) return value as MetadataObject;
    return `found ${Array.isArray(value) ? "a list" : `a ${typeof value}`}, wanted an object`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
