import { expect, test } from "vitest";
import { failureOf } from "../../src/xds-client/failure.ts";

const SERVER = { address: "istiod:15010", tls: "plaintext", headers: [], proxy: undefined } as const;

test("a compression that this client does not know is no refusal, and says nothing of ADS", () => {
  const details = 'a message is compressed with "br"; known: gzip, deflate';
  expect(failureOf({ code: 13, details }, SERVER, true)).toMatchObject({
    code: "REQUEST_FAILED",
    message: `Cannot read what the control plane at "istiod:15010" sent: ${details}`,
    hint: expect.stringContaining("use gzip there"),
  });
});

const TLS_HINT = "Does it speak TLS? Then leave --plaintext out";
const PROXY_HINT = "HTTPS_PROXY names this proxy; what NO_PROXY lists is reached without it";

test.each([
  ["the server closed the connection before HTTP/2 was set up", false, TLS_HINT],
  ["read ECONNRESET", false, TLS_HINT],
  ["connect ECONNREFUSED 127.0.0.1:1", false, "Is the control plane running?"],
  ['proxy "p:1": connect ECONNREFUSED 127.0.0.1:1', false, PROXY_HINT],
  ['proxy "p:1": lookup p: no such host', false, PROXY_HINT],
  ['no connection within 2s: proxy "p:1" does not answer CONNECT a:1', false, PROXY_HINT],
  ['proxy "p:1" answered "HTTP/1.1 502 Bad Gateway" to CONNECT a:1', false, PROXY_HINT],
  ["the server ended the connection with GOAWAY 11", true, undefined],
  ["Received RST_STREAM with code 7", true, undefined],
  ["Received HTTP status code 503: upstream connect error: ECONNREFUSED", true, undefined],
])("the hint of a plaintext control plane: %s", (details, wasConnected, hint) => {
  expect(failureOf({ code: 14, details }, SERVER, wasConnected).hint).toBe(hint);
});

test("what a server says of TLS over HTTP/2 is its refusal, not a connection that failed", () => {
  const { message, hint } = failureOf({ code: 9, details: "the TLS context is missing" }, SERVER, true);
  expect([message, hint]).toEqual([expect.stringContaining("refused: FAILED_PRECONDITION"), undefined]);
});
