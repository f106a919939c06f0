import { expect, test } from "vitest";
import { failureOf } from "../../src/xds-client/failure.ts";

const SERVER = { address: "istiod:15010", tls: "plaintext", headers: [], proxy: undefined } as const;

test("a compression that this client does not know is no refusal, and says nothing of ADS", () => {
  const details = 'a message is compressed with "br"; known: gzip, deflate';
  expect(failureOf({ code: 13, details }, SERVER)).toMatchObject({
    code: "REQUEST_FAILED",
    message: `Cannot read what the control plane at "istiod:15010" sent: ${details}`,
    hint: expect.stringContaining("use gzip there"),
  });
});
