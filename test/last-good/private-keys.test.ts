import { expect, test } from "vitest";
import { holdsPrivateKey } from "../../src/last-good/private-keys.ts";
import { Turns } from "../../src/last-good/turns.ts";
import { any, message } from "../support/wire-messages.ts";

const TLS = "envoy.extensions.transport_sockets.tls.v3";
const inline = message([2, Buffer.from([1, 2, 3])]);
const inlineText = message([3, "key"]);
const file = message([1, "/etc/certs/key.pem"]);
const certificate = (field: number, source: Uint8Array) => message([1, message([3, "chain"])], [field, source]);
const common = (...certificates: Uint8Array[]) =>
  message([1, message([1, 3])], ...certificates.map((one) => [2, one] as const), [4, "h2"]);
/** As deep as in a listener: filter chain, transport socket. */
const listener = (typed: Uint8Array) =>
  message([1, "l"], [3, message([6, message([1, "tls"], [3, typed])])], [99, "more"]);
const context = (side: "Downstream" | "Upstream", tls: Uint8Array, ...more: (readonly [number, Uint8Array])[]) =>
  listener(any(`${TLS}.${side}TlsContext`, message([1, tls], ...more)));

test.each([
  ["a key in PEM form, in whatever text", message([1, "a"], [7, "-- -----BEGIN EC PRIVATE KEY-----\nAAAA"])],
  ["a key as bytes", context("Downstream", common(certificate(2, inline)))],
  [
    "a key as text, behind a certificate from a file",
    context("Upstream", common(certificate(2, file), certificate(2, inlineText))),
  ],
  ["a key store", context("Downstream", common(certificate(8, inline)))],
  ["session ticket keys", context("Downstream", common(), [4, message([1, inline])])],
  [
    "a key for QUIC",
    listener(
      any(
        "envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport",
        message([1, message([1, common(certificate(2, inline))])]),
      ),
    ),
  ],
  [
    "a second context that has one",
    message([3, context("Upstream", common())], [3, context("Upstream", common(certificate(2, inline)))]),
  ],
  [
    "a key behind STARTTLS",
    listener(
      any(
        "envoy.extensions.transport_sockets.starttls.v3.StartTlsConfig",
        message([2, message([1, common(certificate(2, inline))])]),
      ),
    ),
  ],
  [
    "ticket keys behind STARTTLS",
    listener(
      any(
        "envoy.extensions.transport_sockets.starttls.v3.StartTlsConfig",
        message([2, message([1, common()], [4, message([1, inline])])]),
      ),
    ),
  ],
  [
    "a key in a message whose value stands before its type",
    listener(
      message(
        [2, message([1, common(certificate(2, inline))])],
        [1, `type.googleapis.com/${TLS}.DownstreamTlsContext`],
      ),
    ),
  ],
  [
    "a key under the names of API version 2",
    listener(any("envoy.api.v2.auth.UpstreamTlsContext", message([1, common(certificate(2, inline))]))),
  ],
  ["a key store in a secret inside", listener(any(`${TLS}.Secret`, message([1, "s"], [2, certificate(8, inline)])))],
  [
    "a context in JSON",
    message([7, '{"common_tls_context":{"tls_certificates":[{"private_key":{"inline_bytes":"AQID"}}]}}']),
  ],
  ["a context that cannot be read", listener(any(`${TLS}.UpstreamTlsContext`, Buffer.from([0x0a, 0x7f, 1])))],
])("%s is a private key", async (_, resource) => {
  expect(await holdsPrivateKey(resource, new Turns())).toBe(true);
});

test.each([
  ["a key in a file", context("Downstream", common(certificate(2, file)))],
  ["a key by SDS", context("Downstream", message([6, message([1, "default"])]))],
  [
    "a trusted root",
    context("Upstream", message([3, message([1, message([3, "-----BEGIN CERTIFICATE-----\nAAAA"])])])),
  ],
  ["ticket keys in files", context("Downstream", common(), [4, message([1, file])])],
  ["the name of a context alone", message([1, "l"], [9, `${TLS}.UpstreamTlsContext`], [10, "text"])],
  ["a secret with a trusted root", listener(any(`${TLS}.Secret`, message([4, message([1, message([3, "root"])])])))],
  ["a root in base64", message([7, Buffer.from("-----BEGIN CERTIFICATE-----\nAAAA").toString("base64")])],
  ["a context without anything", listener(any(`${TLS}.UpstreamTlsContext`))],
])("%s is none", async (_, resource) => {
  expect(await holdsPrivateKey(resource, new Turns())).toBe(false);
});

test.each([0, 1, 2])("a key in PEM form in base64, %i bytes behind a group, is a private key", async (at) => {
  const text = `${"x".repeat(at)}-----BEGIN PRIVATE KEY-----\nAAAA`;
  expect(await holdsPrivateKey(message([7, Buffer.from(text).toString("base64")]), new Turns())).toBe(true);
});

test("a key is found wherever it lies in a resource that is searched in windows", async () => {
  const words = ["-----BEGIN PRIVATE KEY-----", context("Downstream", common(certificate(2, inline)))];
  const window = 128 * 1_024;
  for (const word of words)
    for (let at = window - 200; at < window + 100; at += 7) {
      const resource = Buffer.concat([Buffer.alloc(at), Buffer.from(word), Buffer.alloc(300_000)]);
      expect(await holdsPrivateKey(resource, new Turns())).toBe(true);
    }
  const far = Buffer.concat([
    Buffer.from('"inlineBytes":"AQID"'),
    Buffer.alloc(400_000),
    Buffer.from("tlsCertificates"),
  ]);
  expect(await holdsPrivateKey(far, new Turns())).toBe(true);
  expect(await holdsPrivateKey(far.subarray(0, -1), new Turns())).toBe(false);
});
