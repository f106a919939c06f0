import { create } from "@bufbuild/protobuf";
import { AgentError, describeError, formatGoDuration, type Logger } from "../../base/index.ts";
import { Code, StatusError } from "../../grpc/index.ts";
import {
  type IstioCertificateRequest,
  type IstioCertificateResponse,
  IstioCertificateResponseSchema,
} from "../../proto/gen/istio/v1/auth/ca_pb.ts";
import { authenticate, type Caller } from "../callers/authenticate.ts";
import type { TokenIssuer } from "../callers/tokens.ts";
import type { Authority } from "./authority.ts";

export interface CertificateServiceOptions {
  /** The one that signs now. */
  readonly authority: () => Authority;
  readonly tokens: TokenIssuer;
  readonly trustDomain: string;
  /** For requests that name no lifetime. */
  readonly defaultTtlSeconds: number;
  /** When it answers a number, that is the lifetime, whatever is asked for. */
  readonly forcedTtlSeconds: () => number | undefined;
  readonly log: Logger;
}

/** Rejects with a StatusError. */
export type CertificateHandler = (
  request: IstioCertificateRequest,
  caller: Caller,
) => Promise<IstioCertificateResponse>;

/** Source: istio/istio pilot/pkg/features (MAX_WORKLOAD_CERT_TTL). */
const MOST_TTL_SECONDS = 90 * 86_400;

/** `CreateCertificate` with the codes and texts of istiod. Source: istio/istio security/pkg/server/ca/server.go. */
export function createCertificateHandler(options: CertificateServiceOptions): CertificateHandler {
  return async (request, caller) => {
    try {
      const certChain = await createCertificate(request, caller, options);
      return create(IstioCertificateResponseSchema, { certChain: [...certChain] });
    } catch (error) {
      const details = describeError(error);
      options.log.warn("Refused a certificate", { reason: details });
      throw new StatusError(codeOf(error), details, error);
    }
  };
}

async function createCertificate(
  { csr, validityDuration, metadata }: IstioCertificateRequest,
  from: Caller,
  options: CertificateServiceOptions,
): Promise<readonly string[]> {
  const caller = await authenticate(from, options.tokens, options.trustDomain);
  if (!caller.ok) throw new AgentError("UNAUTHENTICATED", `request authenticate failure: ${caller.reason}`);
  const impersonated = metadata?.ImpersonatedIdentity ?? "";
  if (impersonated !== "") {
    throw new AgentError(
      "UNAUTHENTICATED",
      "request impersonation authentication failure: nobody may impersonate here",
    );
  }
  const ttlSeconds = options.forcedTtlSeconds() ?? allowedTtl(Number(validityDuration), options.defaultTtlSeconds);
  const chain = options.authority().sign(csr, caller.identities, ttlSeconds);
  options.log.info("Issued a certificate", { identity: caller.identities.join(), ttlSeconds });
  return chain;
}

function allowedTtl(askedSeconds: number, defaultSeconds: number): number {
  if (askedSeconds <= 0) return defaultSeconds;
  if (askedSeconds <= MOST_TTL_SECONDS) return askedSeconds;
  const [asked, most] = [askedSeconds, MOST_TTL_SECONDS].map((seconds) =>
    formatGoDuration(BigInt(seconds) * SECOND_NS),
  );
  throw new AgentError(
    "CSR_INVALID",
    `CSR signing error (requested TTL ${asked} is greater than the max allowed TTL ${most})`,
  );
}

const SECOND_NS = 1_000_000_000n;

function codeOf(error: unknown): number {
  if (!(error instanceof AgentError)) return Code.INTERNAL;
  if (error.code === "UNAUTHENTICATED") return Code.UNAUTHENTICATED;
  return error.code === "CSR_INVALID" ? Code.INVALID_ARGUMENT : Code.INTERNAL;
}
