/** Shown beside the plain reason of a control plane that cannot be reached at all; undefined for any other reason. */
export function unreachableHint(reason: string): string | undefined {
  if (isProxyFailure(reason)) return "HTTPS_PROXY names this proxy; what NO_PROXY lists is reached without it";
  return isUnreachable(reason) ? "is the control plane running?" : undefined;
}

/** Whether the proxy on the way is at fault, or says what is, by the plain reason. */
export function isProxyFailure(reason: string): boolean {
  return /^(no connection within \S+: )?proxy "[^"]+"/.test(reason);
}

/**
 * Which reasons were told already. Who retries for ever meets the same failure for ever, and with the control plane away
 * several parts meet the same one: it is news once, and again after another reason or a success.
 */
export class ToldReasons {
  readonly #last = new Map<string, string>();

  /** Whether neither `who` nor anybody else told this reason last. */
  isNews(who: string, reason: string): boolean {
    const isTold = [...this.#last.values()].includes(reason);
    this.#last.set(who, reason);
    return !isTold;
  }

  /** What `who` does works again: what kept it from that no longer holds for anybody, and is news when it comes back. */
  forget(who: string): void {
    const gone = this.#last.get(who);
    for (const [other, reason] of this.#last) if (reason === gone) this.#last.delete(other);
  }
}

/** A gRPC status text without what Node leaves unsaid in it. */
export function plainReason(details: string): string {
  return details.replace(/( is not in the cert's list): $/, "$1").trim(); // Node lists IP addresses there, and there are none
}

/** Whether we refuse the other end's certificate, by the plain reason, in the words of OpenSSL and Node. */
export function isUntrusted(reason: string): boolean {
  return isOtherName(reason) || UNTRUSTED.test(reason);
}

const UNTRUSTED =
  /unable to (verify the first|get (local )?issuer) certificate|self[- ]signed certificate|certificate (signature failure|has expired|is not yet valid)/;

/** Whether the other end refuses our certificate, or that we have none, by the plain reason with its TLS alert. */
export function isCertificateRefused(reason: string): boolean {
  return REFUSED_BY_ALERT.test(reason);
}

/**
 * Alerts 40 to 49, 115 and 116, in the words of OpenSSL and Node, and of BoringSSL and Bun. Before TLS 1.3 a server says 40,
 * handshake failure, where we have no certificate. Source: RFC 8446, section 6; RFC 5246, section 7.4.6.
 */
const REFUSED_BY_ALERT =
  /\balert number (4\d|11[56])\b|alert[ _]handshake[ _]failure|alert[ _](bad|unsupported|no)[ _]certificate|alert[ _]certificate[ _]\w+|alert[ _](illegal[ _]parameter|unknown[ _]ca|access[ _]denied|unknown[ _]psk[ _]identity)/i;

/** Whether the other end's certificate is one that we trust, and for other names than the one that we dialed. */
export function isOtherName(reason: string): boolean {
  return reason.includes("does not match certificate's altnames");
}

/** Where a call failed: on the way to the other end, or at its door. */
export type FailureKind = "dns" | "connect" | "tls" | "auth";

/** By the plain reason, or by a text that quotes it with its gRPC code; undefined for what is none of these. */
export function failureKind(text: string): FailureKind | undefined {
  if (isLookupFailure(text)) return "dns";
  if (/\b(UNAUTHENTICATED|PERMISSION_DENIED|Unauthenticated|PermissionDenied)\b/.test(text)) return "auth";
  if (isUntrusted(text) || /\b(SSL|TLS|EPROTO|ERR_SSL_\w+|ERR_TLS_\w+)\b/.test(text)) return "tls";
  if (isUnreachable(text)) return "connect";
  return /\btoken\b/.test(text) ? "auth" : undefined;
}

/** Whether nobody answers at the address, or there is no address, by the plain reason: not a refusal, which somebody has to give. */
export function isUnreachable(reason: string): boolean {
  return isLookupFailure(reason) || UNREACHABLE.test(reason);
}

/** Where Node names the code of a connection that breaks before HTTP/2 is up, Bun says only that it was closed. */
const UNREACHABLE =
  /\b(ECONNREFUSED|ECONNRESET|EPIPE|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|EADDRNOTAVAIL)\b|\bno connection within\b|\bclosed the connection before HTTP\/2 was set up\b/;

/** In Node's words, and in ours, which are Go's. */
function isLookupFailure(reason: string): boolean {
  return /\b(ENOTFOUND|EAI_[A-Z]+)\b|\blookup \S+(:| on )|\bno such host\b/.test(reason);
}
