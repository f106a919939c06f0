import { create } from "@bufbuild/protobuf";
import { type ServerUnaryCall, type sendUnaryData, status } from "@grpc/grpc-js";
import { AgentError, describeError, type Logger } from "../base/index.ts";
import {
  type IstioCertificateRequest,
  type IstioCertificateResponse,
  IstioCertificateResponseSchema,
} from "../proto/gen/istio/v1/auth/ca_pb.ts";
import { authenticate } from "./authenticate.ts";
import type { Authority } from "./authority.ts";
import type { TokenIssuer } from "./tokens.ts";

export interface CertificateServiceOptions {
  readonly authority: () => Authority;
  readonly tokens: TokenIssuer;
  readonly trustDomain: string;
  /** For requests that name no lifetime. */
  readonly defaultTtlSeconds: number;
  readonly log: Logger;
}

/** Source: istio/istio pilot/pkg/features (MAX_WORKLOAD_CERT_TTL). */
const MOST_TTL_SECONDS = 90 * 86_400;

/** `CreateCertificate` with the codes and texts of istiod. Source: istio/istio security/pkg/server/ca/server.go. */
export function createCertificateHandler(options: CertificateServiceOptions) {
  return (
    call: ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>,
    done: sendUnaryData<IstioCertificateResponse>,
  ): void => {
    createCertificate(call, options).then(
      (chain) => done(null, create(IstioCertificateResponseSchema, { certChain: [...chain] })),
      (error: unknown) => {
        const details = describeError(error);
        options.log.warn("Refused a certificate", { reason: details });
        done({ code: codeOf(error), details });
      },
    );
  };
}

async function createCertificate(
  call: ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>,
  options: CertificateServiceOptions,
): Promise<readonly string[]> {
  const caller = await authenticate(call.metadata, options.tokens, options.trustDomain);
  if (!caller.ok) throw new AgentError("UNAUTHENTICATED", `request authenticate failure: ${caller.reason}`);
  const asked = Number(call.request.validityDuration);
  if (asked > MOST_TTL_SECONDS) {
    throw new AgentError(
      "CSR_INVALID",
      `CSR signing error (requested TTL ${asked}s is greater than the max allowed TTL ${MOST_TTL_SECONDS}s)`,
    );
  }
  const ttlSeconds = asked > 0 ? asked : options.defaultTtlSeconds;
  const chain = await options.authority().sign(call.request.csr, [caller.identity], ttlSeconds);
  options.log.info("Issued a certificate", { identity: caller.identity, ttlSeconds });
  return chain;
}

function codeOf(error: unknown): number {
  if (!(error instanceof AgentError)) return status.INTERNAL;
  if (error.code === "UNAUTHENTICATED") return status.UNAUTHENTICATED;
  return error.code === "CSR_INVALID" ? status.INVALID_ARGUMENT : status.INTERNAL;
}
