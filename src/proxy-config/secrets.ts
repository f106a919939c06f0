import { X509Certificate } from "node:crypto";
import { type Dump, listOf, type Message, messageOf, partOf, type Shown, textOf } from "./dump.ts";

const HEAD = ["RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE"];

/** Secrets that Envoy waits for, and those it has. `nowMs` decides what is valid. Source: istioctl's compare/sds/util.go. */
export function showSecrets(dump: Dump, nowMs: number): Shown {
  const part = partOf(dump, "SecretsConfigDump");
  const found = [
    ...listOf(part.dynamic_warming_secrets).flatMap((one) => secretsOf(messageOf(one), "WARMING")),
    ...listOf(part.dynamic_active_secrets).flatMap((one) => secretsOf(messageOf(one), "ACTIVE")),
  ].map((secret) => ({ ...secret, certificate: readCertificate(secret) }));
  const hasDomains = found.every(({ certificate }) => certificate.trustDomain !== "");
  const rows = found.map(({ name, state, certificate: { type, serial, notBeforeMs, notAfterMs, trustDomain } }) => {
    const isValid = nowMs > notBeforeMs && nowMs < notAfterMs;
    const row = [name, type, state, String(isValid), serial, timeText(notAfterMs), timeText(notBeforeMs)];
    return hasDomains ? [...row, trustDomain] : row;
  });
  const { "@type": _, ...messages } = part;
  return { table: { head: hasDomains ? [...HEAD, "TRUST DOMAIN"] : HEAD, rows, gap: 5 }, messages };
}

interface ShownSecret {
  readonly name: string;
  readonly state: string;
  readonly pem: string;
  /** Of a bundle that has one for each domain; else empty. */
  readonly trustDomain: string;
}

/** One; of a bundle for several trust domains one for each. */
function secretsOf({ name, secret }: Message, state: string): ShownSecret[] {
  const { tls_certificate: pair, validation_context: context } = messageOf(secret);
  const chain = bytesOf(messageOf(pair).certificate_chain);
  const root = bytesOf(messageOf(context).trusted_ca);
  const { trust_domains: domains } = messageOf(messageOf(messageOf(context).custom_validator_config).typed_config);
  const common = { name: textOf(name), state };
  if (chain !== "" || root !== "" || domains === undefined) return [{ ...common, pem: chain || root, trustDomain: "" }];
  return listOf(domains)
    .map(messageOf)
    .map((one) => ({ ...common, pem: bytesOf(one.trust_bundle), trustDomain: textOf(one.name) }));
}

function bytesOf(source: unknown): string {
  return Buffer.from(textOf(messageOf(source).inline_bytes), "base64").toString();
}

interface ShownCertificate {
  readonly type: string;
  readonly serial: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly trustDomain: string;
}

const NO_CERTIFICATE = { type: "", serial: "", notBeforeMs: Number.NaN, notAfterMs: Number.NaN };

/** The first of the text. */
function readCertificate({ pem, trustDomain }: ShownSecret): ShownCertificate {
  try {
    const found = new X509Certificate(pem);
    const [, ofName = ""] = /URI:spiffe:\/\/([^/,\s"]+)/.exec(found.subjectAltName ?? "") ?? [];
    return {
      type: found.ca ? "CA" : "Cert Chain",
      serial: found.serialNumber.toLowerCase().padStart(32, "0"),
      notBeforeMs: Date.parse(found.validFrom),
      notAfterMs: Date.parse(found.validTo),
      trustDomain: trustDomain || ofName,
    };
  } catch {
    return { ...NO_CERTIFICATE, trustDomain }; // istioctl shows such a one as well, without all that
  }
}

/** `2026-01-02T03:04:05Z`. */
function timeText(ms: number): string {
  return Number.isNaN(ms) ? "" : new Date(ms).toISOString().replace(".000", "");
}
