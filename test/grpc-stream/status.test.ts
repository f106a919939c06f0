import { Metadata, Server, ServerCredentials } from "@grpc/grpc-js";
import { expect, onTestFinished, test } from "vitest";
import { statusOfHttp, statusOfReset, statusOfTrailers, trailersOf } from "../../src/grpc-stream/status.ts";
import { callUnary } from "../../src/grpc-stream/unary.ts";

test.each([
  ["plain words", 'connect refused: "x" (50 %)'],
  ["letters of all kinds, and bytes that no header may have", "Zürich ☃ \u0000\u007f\u{1f600}"],
  ["what looks encoded", "100%25 %zz %"],
])("%s come back as they were", (_, details) => {
  const trailers = trailersOf({ code: 14, details });
  expect(trailers["grpc-message"]).toMatch(/^[ -~]*$/);
  expect(statusOfTrailers(trailers)).toEqual({ code: 14, details });
});

test("several lines and blanks at the edges make a valid header", () => {
  const { "grpc-message": message } = trailersOf({ code: 2, details: "first\n  second\n" });
  expect(message).toMatch(/^\S.*\S$/);
  expect(trailersOf({ code: 0, details: "" })).toEqual({ "grpc-status": "0" });
});

test("trailers that are none of gRPC, or broken ones", () => {
  expect(statusOfTrailers({})).toBe(undefined);
  expect(statusOfTrailers({ "grpc-status": "x" })).toEqual({ code: 2, details: "" });
  expect(statusOfTrailers({ "grpc-status": "5", "grpc-message": "%E0%A4%A" })).toEqual({
    code: 5,
    details: "%E0%A4%A",
  });
});

// grpc/grpc doc/http-grpc-status-mapping.md
test.each([
  [400, 13],
  [401, 16],
  [403, 7],
  [404, 12],
  [429, 14],
  [502, 14],
  [503, 14],
  [504, 14],
  [500, 2],
  [302, 2],
])("HTTP %d is the code %d", (http, code) => {
  expect(statusOfHttp(http)).toEqual({ code, details: `Received HTTP status code ${http}` });
});

// grpc/grpc doc/PROTOCOL-HTTP2.md, "Errors"
test.each([
  [0, 13],
  [1, 13],
  [2, 13],
  [3, 13],
  [4, 13],
  [5, 13],
  [6, 13],
  [7, 14],
  [8, 1],
  [9, 13],
  [10, 13],
  [11, 8],
  [12, 7],
])("RST_STREAM with %d is the code %d", (reset, code) => {
  expect(statusOfReset(reset).code).toBe(code);
});

test("grpc-js writes a status that is read as it was meant", async () => {
  const server = new Server();
  const same = (bytes: Buffer): Buffer => bytes;
  const details = "Zürich: 50 % of\tit ☃";
  server.addService(
    {
      ask: {
        path: "/a.B/Ask",
        requestStream: false,
        responseStream: false,
        requestSerialize: same,
        requestDeserialize: same,
        responseSerialize: same,
        responseDeserialize: same,
      },
    },
    { ask: (_: unknown, done: (error: object) => void) => done({ code: 9, details, metadata: new Metadata() }) },
  );
  const port = await new Promise<number>((resolve) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (_, bound) => resolve(bound)),
  );
  onTestFinished(() => server.forceShutdown());
  const address = `127.0.0.1:${port}`;
  const options = { address, authority: address, tls: "plaintext", headers: [], mostMessageBytes: 1_024 } as const;
  const call = { ...options, method: "/a.B/Ask", request: Buffer.from("x"), deadlineMs: 10_000 };
  expect(await callUnary(call, new AbortController().signal)).toEqual({ code: 9, details });
});
