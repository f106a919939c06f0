import { Agent, request } from "node:https";
import { beforeAll, expect, test } from "vitest";
import { startSidecar } from "../../src/index.ts";
import { describeLoad, startLoad } from "../support/load.ts";
import { realEnvoy } from "../support/real-envoy.ts";

beforeAll(() => realEnvoy());

// A longer run: ROTATION_SECONDS=60 npx vitest run test/e2e/rotation.test.ts
const SECONDS = Number(process.env.ROTATION_SECONDS ?? 8);

test(`certificates that live for seconds are replaced for ${SECONDS} s without one failed request`, {
  timeout: SECONDS * 1_000 + 60_000,
}, async () => {
  // Rotation begins with three quarters of the life left; between two there are at least a tenth of it.
  await using sidecar = await startSidecar({
    env: { SECRET_TTL: "8s", SECRET_GRACE_PERIOD_RATIO: "0.75", ECC_SIGNATURE_ALGORITHM: "ECDSA" },
  });
  const serials = new Set<string>();
  await using load = startLoad({ port: Number(new URL(sidecar.url).port) });
  const endMs = Date.now() + SECONDS * 1_000;
  while (Date.now() < endMs) serials.add(await presentedSerial(sidecar.inboundPort));
  serials.delete(""); // a connection that was not shown one
  const tally = await load.finish();
  console.log(`${serials.size} certificates seen; ${describeLoad(tally)}`);
  expect(tally.failures).toEqual([]);
  for (const count of Object.values(tally.answered)) expect(count).toBeGreaterThan(100);
  expect(serials.size).toBeGreaterThan(1);
});

/** Serial number of the certificate that a new connection is shown; the request itself is refused without ours. */
function presentedSerial(port: number): Promise<string> {
  return new Promise((done) => {
    const agent = new Agent({ keepAlive: false });
    const call = request({ host: "127.0.0.1", port, agent, rejectUnauthorized: false });
    call.once("socket", (socket) => {
      socket.once("secureConnect", () => {
        const { serialNumber = "" } = (socket as import("node:tls").TLSSocket).getPeerCertificate();
        call.destroy();
        done(serialNumber);
      });
    });
    call.once("error", () => done(""));
    call.end();
  });
}
