import { createServer } from "node:net";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { PATHS } from "../../src/istio/index.ts";
import { freePorts } from "../support/ports.ts";
import { csr, never, startCaClient } from "./ca-rig.ts";

test("what the CA answers comes back unchanged", async () => {
  await using rig = await startCaClient();
  rig.ca.behaviour = { kind: "answer", chain: ["foo", "bar"] };
  expect(await rig.sign()).toEqual(["foo", "bar"]);
});

test.each([{ kind: "answer", chain: [] } as const, { kind: "leafOnly" } as const])(
  "an answer without a root is refused: $kind",
  async (behaviour) => {
    await using rig = await startCaClient();
    rig.ca.behaviour = behaviour;
    await expect(rig.sign()).rejects.toThrow("invalid empty CertChain");
    expect(rig.ca.requests).toHaveLength(1);
  },
);

test("extra headers and an unset signer are sent", async () => {
  await using rig = await startCaClient(
    {},
    {
      headers: [
        ["FOO", "foo"],
        ["BAZ", "=baz"],
      ],
      certSigner: "",
    },
  );
  await rig.sign();
  expect(rig.ca.requests[0]?.metadata.getMap()).toMatchObject({ foo: "foo", baz: "=baz", clusterid: "c" });
  expect(rig.ca.requests[0]?.message.metadata).toEqual({ CertSigner: "" });
});

test.each([
  ["", "x"],
  ["A B", "x"],
  ["A", "x\ny"],
  ["Connection", "close"],
  [":path", "/x"],
])("a header %j that cannot be sent is left out, naming its variable, and the CA is asked", async (name, value) => {
  const more = [
    ["Trace-bin", Buffer.from("bytes").toString("base64")],
    ["FOO", "foo"],
  ] as const;
  await using rig = await startCaClient({}, { headers: [[name, value], ...more] });
  await rig.sign();
  expect(rig.ca.requests[0]?.metadata.getMap()).toMatchObject({ foo: "foo", "trace-bin": Buffer.from("bytes") });
  expect(rig.world.lines.join("")).toContain(`not a valid header\tvariable=CA_HEADER_${name} `);
});

test.each([status.RESOURCE_EXHAUSTED, status.ABORTED, status.INTERNAL, status.UNAVAILABLE, status.DEADLINE_EXCEEDED])(
  "status %d is tried five times, with growing waits, and counts as passing",
  async (code) => {
    await using rig = await startCaClient();
    rig.ca.behaviour = { kind: "status", code, details: "later" };
    await expect(rig.sign()).rejects.toMatchObject({
      code: "CA_UNREACHABLE",
      message: expect.stringContaining("later"),
    });
    expect(rig.ca.requests).toHaveLength(5);
    const total = rig.waits.reduce((sum, wait) => sum + wait, 0);
    expect(total).toBeGreaterThanOrEqual(1_300);
    expect(total).toBeLessThanOrEqual(1_700);
    expect(rig.world.metrics.render()).toContain('istio_agent_num_outgoing_retries{request_type="csr"} 4');
    expect(rig.world.lines.join("")).toMatch(/ca request failed, starting attempt 2 in \d+ms/);
  },
);

test.each([
  [status.UNAUTHENTICATED, "Unauthenticated"],
  [status.PERMISSION_DENIED, "PermissionDenied"],
  [status.INVALID_ARGUMENT, "InvalidArgument"],
  [status.UNKNOWN, "Unknown"],
  [status.CANCELLED, "Canceled"],
  [status.NOT_FOUND, "NotFound"],
  [status.ALREADY_EXISTS, "AlreadyExists"],
  [status.FAILED_PRECONDITION, "FailedPrecondition"],
  [status.OUT_OF_RANGE, "OutOfRange"],
  [status.UNIMPLEMENTED, "Unimplemented"],
  [status.DATA_LOSS, "DataLoss"],
])("status %d is a refusal, not tried again", async (code, name) => {
  await using rig = await startCaClient();
  rig.ca.behaviour = { kind: "status", code, details: "test failure" };
  await expect(rig.sign()).rejects.toMatchObject({
    code: "CA_REFUSED",
    message: `create certificate: rpc error: code = ${name} desc = test failure`,
  });
  expect(rig.ca.requests).toHaveLength(1);
  expect(rig.world.metrics.render()).toContain('istio_agent_num_failed_outgoing_requests{request_type="csr"} 1');
});

test("a refusal carries what is wrong with our own token", async () => {
  await using rig = await startCaClient();
  await rig.world.write(PATHS.token, "");
  rig.ca.behaviour = { kind: "status", code: status.UNAUTHENTICATED, details: "request authenticate failure" };
  await expect(rig.sign()).rejects.toThrow(/request authenticate failure; the token in ".*istio-token" is empty/);
  expect(rig.ca.requests[0]?.metadata.get("authorization")).toEqual([]);
});

test("a token that is replaced between two attempts is used by the second", async () => {
  await using rig = await startCaClient();
  rig.ca.behaviour = { kind: "status", code: status.UNAVAILABLE, details: "x" };
  rig.onWait = () => rig.world.write(PATHS.token, "second");
  await expect(rig.sign()).rejects.toThrow();
  const sent = rig.ca.requests.map(({ metadata }) => metadata.get("authorization")[0]);
  expect(sent.slice(0, 2)).toEqual(["Bearer first", "Bearer second"]);
});

test("a CA that accepts and says nothing is given up at the deadline, and tried again", async () => {
  await using rig = await startCaClient({}, { attemptMs: 150 });
  rig.ca.behaviour = { kind: "silent" };
  rig.onWait = () => {
    rig.ca.behaviour = { kind: "sign" };
  };
  expect(await rig.sign()).toHaveLength(2);
  expect(rig.ca.requests).toHaveLength(2);
});

test("a listener that never completes the handshake is given up at the deadline", async () => {
  const silent = createServer(() => undefined);
  const port = await new Promise<number>((resolve) =>
    silent.listen(0, "127.0.0.1", () => resolve((silent.address() as { port: number }).port)),
  );
  await using rig = await startCaClient({}, { attemptMs: 100, endpoint: `localhost:${port}` });
  await expect(rig.sign()).rejects.toMatchObject({ code: "CA_UNREACHABLE" });
  silent.close();
});

test("a CA that breaks the connection after the request is tried again", async () => {
  await using rig = await startCaClient();
  rig.ca.behaviour = { kind: "break" };
  rig.onWait = () => {
    rig.ca.behaviour = { kind: "sign" };
  };
  expect(await rig.sign()).toHaveLength(2);
});

test("a refused connection names the address and the reason", async () => {
  const [port] = await freePorts(1);
  await using rig = await startCaClient({}, { endpoint: `localhost:${port}` });
  await expect(rig.sign()).rejects.toThrow(
    /code = Unavailable desc = .*ECONNREFUSED.*127\.0\.0\.1|code = Unavailable desc = .*ECONNREFUSED/,
  );
});

test("a name that does not resolve is said to be one", async () => {
  await using rig = await startCaClient({}, { endpoint: "no-such-host.invalid:15012" });
  await expect(rig.sign()).rejects.toThrow(/lookup .* on .*: (no such host|no answer|ECONNREFUSED|server misbehaving)/);
});

test("garbage for an answer is an error with its reason", async () => {
  await using rig = await startCaClient();
  rig.ca.behaviour = { kind: "garbage" };
  await expect(rig.sign()).rejects.toThrow(/create certificate: rpc error/);
});

test("a stop ends the attempt that is under way", async () => {
  await using rig = await startCaClient();
  rig.ca.behaviour = { kind: "silent" };
  const stop = new AbortController();
  const signing = rig.client.sign(await csr(), stop.signal);
  await expect.poll(() => rig.ca.requests.length).toBe(1);
  stop.abort(new Error("enough"));
  await expect(signing).rejects.toThrow("enough");
});

test("a refused token that is no JWT is named by its path", async () => {
  await using rig = await startCaClient();
  rig.ca.behaviour = { kind: "status", code: status.UNAUTHENTICATED, details: "no" };
  const tokenFile = join(rig.world.cwd, PATHS.token);
  const client = rig.clientWith({ tokenFile });
  const refusal = client.sign(await csr(), never);
  await expect(refusal).rejects.toThrow(`desc = no; the token in "${tokenFile}" is no JWT with an expiry`);
});
