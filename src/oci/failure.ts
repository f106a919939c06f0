import { AgentError, describeError } from "../base/index.ts";
import { formatReference, type ImageReference } from "./reference.ts";

/** A registry's answer that is not the one that was wanted. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly status: number;
  /** How long the registry asks to wait; undefined when it does not say. */
  readonly waitMs: number | undefined;

  constructor(status: number, message: string, waitMs?: number) {
    super(message);
    this.status = status;
    this.waitMs = waitMs;
  }
}

/** What trying again does not mend, though no answer says so. */
export class FinalFailure extends Error {
  override readonly name = "FinalFailure";
}

const TEMPORARY: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);
/** Codes of OpenSSL and Node for a certificate that is not trusted. */
const CERTIFICATE = /CERT|VERIFY|ALTNAME|ISSUER/;

/** Whether the same request may succeed a moment later. */
export function isTemporary(error: unknown): boolean {
  if (error instanceof AgentError || error instanceof FinalFailure) return false;
  if (error instanceof Refusal) return TEMPORARY.has(error.status);
  return !isAboutCertificate(error);
}

function isAboutCertificate(error: unknown): boolean {
  return error instanceof Error && "code" in error && CERTIFICATE.test(String(error.code));
}

/**
 * A failure for people, with what was wanted of which image: REGISTRY_REFUSED, REGISTRY_UNREACHABLE, IMAGE_NOT_FOUND. An
 * AgentError stays as it is. Throws the reason of `stop` when that is why.
 */
export function explain(error: unknown, what: string, reference: ImageReference, stop: AbortSignal): unknown {
  if (stop.aborted) return stop.reason;
  if (error instanceof AgentError) return error;
  const text = `Cannot get ${what} of the image "${formatReference(reference)}"`;
  const hint = hintFor(error, reference.registry);
  const words = { cause: error, ...(hint === undefined ? {} : { hint }) };
  if (!(error instanceof Refusal)) return new AgentError("REGISTRY_UNREACHABLE", text, words);
  if (error.status === 404) return new AgentError("IMAGE_NOT_FOUND", text, words);
  return new AgentError(error.status < 500 ? "REGISTRY_REFUSED" : "REGISTRY_UNREACHABLE", text, words);
}

function hintFor(error: unknown, registry: string): string | undefined {
  if (isAboutCertificate(error)) return "Name the root of its certificate with --ca-file, or in NODE_EXTRA_CA_CERTS";
  if (!(error instanceof Refusal)) return undefined;
  switch (error.status) {
    case 401:
    case 403:
      return `Check the name; if the image is private, run "docker login ${registry}" first`;
    case 404:
      return "Check registry, repository and tag";
    case 429:
      return `Wait, or run "docker login ${registry}": registries allow more to a known user`;
    default:
      return undefined;
  }
}

/** The first line of a failure, for a note. */
export function shortly(error: unknown): string {
  return describeError(error).split("\n", 1)[0] ?? "";
}
