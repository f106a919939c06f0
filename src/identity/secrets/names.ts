import { resolve } from "node:path";
import type { FileSource } from "./read-files.ts";

/** Names that Envoy asks for. Source: istio/istio pkg/security/security.go (SdsCertificateConfigFromResourceName). */
export const WORKLOAD = "default";
export const ROOTS = "ROOTCA";

export type SecretName =
  | { readonly kind: "workload" }
  | { readonly kind: "roots" }
  | { readonly kind: "file"; readonly source: FileSource }
  | { readonly kind: "unknown" };

export interface Places {
  /** Relative paths start here. */
  readonly cwd: string;
  /** The operating system's roots; undefined when it has none in a known place. */
  readonly osBundle: string | undefined;
}

/** Reads a resource name; anything malformed is `unknown`, never the workload's own certificate. */
export function parseSecretName(name: string, places: Places): SecretName {
  if (name === WORKLOAD) return { kind: "workload" };
  if (name === ROOTS) return { kind: "roots" };
  const source = fileSource(name, places);
  return source === undefined ? { kind: "unknown" } : { kind: "file", source };
}

function fileSource(name: string, { cwd, osBundle }: Places): FileSource | undefined {
  const [certChain, key, ...more] = (withoutPrefix(name, "file-cert:") ?? "").split("~");
  if (certChain && key && more.length === 0) {
    return { kind: "certificate", certChain: resolve(cwd, certChain), key: resolve(cwd, key) };
  }
  const path = name === "file-root:system" ? osBundle : withoutPrefix(name, "file-root:");
  return path && !path.includes("~") ? { kind: "roots", path: resolve(cwd, path) } : undefined;
}

function withoutPrefix(text: string, prefix: string): string | undefined {
  return text.startsWith(prefix) ? text.slice(prefix.length) : undefined;
}
