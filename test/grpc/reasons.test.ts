import { expect, test } from "vitest";
import { failureKind, isCertificateRefused, isUnreachable, isUntrusted, ToldReasons } from "../../src/grpc/index.ts";

test("a reason is news once, again after another one, and again after a success", () => {
  const told = new ToldReasons();
  const news = ["down", "down", "refused", "down"].map((reason) => told.isNews("xds", reason));
  expect(news).toEqual([true, false, true, true]);
  told.forget("xds");
  expect(told.isNews("xds", "down")).toBe(true);
});

test("what one part has told is no news of another, until that one is well", () => {
  const told = new ToldReasons();
  expect([told.isNews("xds", "down"), told.isNews("ca", "down"), told.isNews("ca", "down")]).toEqual([
    true,
    false,
    false,
  ]);
  expect(told.isNews("ca", "expired")).toBe(true);
});

test("reality 26: where one part is well again, the same reason is news of every other part", () => {
  const told = new ToldReasons();
  told.isNews("ca", "down"); // and is not tried again for a while
  told.isNews("ca of others", "expired");
  told.isNews("xds", "down");
  told.forget("xds");
  expect(told.isNews("xds", "down")).toBe(true);
  expect(told.isNews("xds", "expired")).toBe(false);
});

test.each([
  ["connect ECONNREFUSED 127.0.0.1:15012", true],
  ["getaddrinfo ENOTFOUND istiod.istio-system.svc", true],
  ["no connection within 8s: the address does not answer", true],
  ["read ECONNRESET", true],
  ["the server closed the connection before HTTP/2 was set up", true],
  ["self-signed certificate in certificate chain", false],
  ["authentication failure", false],
])("%s: no process answers there: %s", (reason, expected) => {
  expect(isUnreachable(reason)).toBe(expected);
});

test.each([
  ["unable to verify the first certificate", true],
  ["certificate has expired", true],
  ["certificate is not yet valid", true],
  ["Hostname/IP does not match certificate's altnames: IP: 127.0.0.1 is not in the cert's list", true],
  ["connect ECONNREFUSED 127.0.0.1:15012", false],
  ["authentication failure", false],
])("%s: the other end's certificate is refused: %s", (reason, expected) => {
  expect(isUntrusted(reason)).toBe(expected);
});

test.each([
  ["UNAVAILABLE: lookup istiod.istio-system.svc on 10.96.0.10:53: no such host", "dns"],
  ["UNAVAILABLE: lookup istiod on 10.96.0.10:53: server misbehaving", "dns"],
  ["UNAVAILABLE: no connection within 8s: lookup istiod: the name server does not answer", "dns"],
  ["UNAVAILABLE: getaddrinfo ENOTFOUND istiod", "dns"],
  ["UNAVAILABLE: getaddrinfo EAI_AGAIN istiod", "dns"],
  ["UNAVAILABLE: connect ECONNREFUSED 10.0.0.1:15012", "connect"],
  ["UNAVAILABLE: no connection within 8s: the address does not answer", "connect"],
  ["UNAVAILABLE: self-signed certificate in certificate chain", "tls"],
  ["UNAUTHENTICATED: authentication failure", "auth"],
  ["create certificate: rpc error: code = Unauthenticated desc = authentication failure", "auth"],
  ["create certificate: rpc error: code = PermissionDenied desc = no", "auth"],
  ["the token expired at 2026-01-01 and was not replaced", "auth"],
  ["UNAVAILABLE: the server is busy", undefined],
  ["UNAVAILABLE: cannot look up the policy of this host", undefined],
])("%s is of kind %s", (text, kind) => {
  expect(failureKind(text)).toBe(kind);
});

// each as a server on Go's crypto/tls made the runtime say it
test.each([
  [
    "no certificate, TLS 1.3, Node",
    "SSL routines:ssl3_read_bytes:tlsv13 alert certificate required:…:SSL alert number 116",
  ],
  ["no certificate, TLS 1.3, Bun", "error:1000045c:SSL routines:OPENSSL_internal:TLSV1_ALERT_CERTIFICATE_REQUIRED"],
  ["no certificate, TLS 1.2, Node", "SSL routines:ssl3_read_bytes:sslv3 alert handshake failure:…:SSL alert number 40"],
  ["no certificate, TLS 1.2, Bun", "error:10000410:SSL routines:OPENSSL_internal:SSLV3_ALERT_HANDSHAKE_FAILURE"],
  ["of another CA, Node", "SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca:…:SSL alert number 48"],
  ["of another CA, Bun", "error:10000418:SSL routines:OPENSSL_internal:TLSV1_ALERT_UNKNOWN_CA"],
  ["expired, Node", "SSL routines:ssl3_read_bytes:sslv3 alert certificate expired:…:SSL alert number 45"],
  ["expired, Bun", "error:10000415:SSL routines:OPENSSL_internal:SSLV3_ALERT_CERTIFICATE_EXPIRED"],
])("a TLS alert against our certificate is a refusal: %s", (_, reason) => {
  expect(isCertificateRefused(reason)).toBe(true);
});

test.each([
  "read ECONNRESET",
  "the server closed the connection before HTTP/2 was set up",
  "Client network socket disconnected before secure TLS connection was established",
  "SSL routines:ssl3_read_bytes:tlsv1 alert internal error:…:SSL alert number 80",
  "certificate has expired",
])("%s is no refusal of our certificate", (reason) => {
  expect(isCertificateRefused(reason)).toBe(false);
});
