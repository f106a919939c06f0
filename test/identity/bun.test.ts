import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const BUN = "node_modules/.bin/bun";
/** A child that spins ends before the test does. */
const LIMIT = { timeout: 50_000, killSignal: "SIGKILL" } as const;

// The executable is compiled by Bun: what is not seen to work there does not count as working.
test("the road of a secret is the same on Bun: early connections, own TLS rules, odd files (reality 5, 9), client certificate, watch", async () => {
  const { stdout } = await promisify(execFile)(BUN, ["run", "test/identity/other-runtime.ts"], LIMIT);
  const facts = JSON.parse(stdout) as Record<string, unknown>;
  expect(facts).toMatchObject({
    requests: 1,
    clientCertificate: "leaf",
    subjectAltName: "URI:spiffe://td/ns/ns/sa/sa",
    streams: 100,
    oddRoots: [],
    oddPairs: [],
    unknown: 2,
    pqc: "certificate",
    proxied: ["certificate", "ca.test:15012"],
    strangers: ["refused", "refused", "refused"],
  });
  expect(facts.turns).toBeGreaterThan(5); // keys are made on another thread
});
