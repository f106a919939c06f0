import { expect, test } from "vitest";
import { trailersOf } from "../../src/grpc-stream/status.ts";
import { classifyEnd } from "../../src/xds/status.ts";
import { isForwardable } from "../../src/xds/types.ts";

test.each([
  [0, "", "graceful"],
  [1, "anything", "expected"],
  [4, "", "expected"],
  [14, "transport is closing", "expected"],
  [14, "error reading from server: EOF", "expected"],
  [14, "Connection dropped", "expected"],
  [14, "connect ECONNREFUSED", "unexpected"],
  [13, "stream terminated by RST_STREAM with error code: NO_ERROR", "expected"],
  [13, "received prior goaway: code: NO_ERROR", "expected"],
  [13, "transport is closing", "unexpected"],
  [8, "too many", "unexpected"],
  [16, "no token", "unexpected"],
])("status %i %s is %s", (code, details, endClass) => {
  expect(classifyEnd({ code, details })).toBe(endClass);
});

test.each([
  ["type.googleapis.com/envoy.config.bootstrap.v3.Bootstrap", true],
  ["type.googleapis.com/istio.workload.Workload", true],
  ["type.googleapis.com/istio.workload.Address", false],
  ["type.googleapis.com/istio.security.Authorization", false],
  ["type.googleapis.com/Envoy.x", false],
  ["envoy.config.cluster.v3.Cluster", false],
])("%s may reach Envoy: %s", (typeUrl, may) => {
  expect(isForwardable(typeUrl)).toBe(may);
});

test("a status message keeps its blanks on the wire, and nothing that a header may not carry", () => {
  const message = (details: string) => trailersOf({ code: 14, details })["grpc-message"];
  expect(message('connect refused: 100% "x"')).toBe('connect refused: 100%25 "x"');
  expect(message("ends with a blank ")).toBe("ends with a blank");
  expect(message("größer 😀\n .")).toBe("gr%C3%B6%C3%9Fer %F0%9F%98%80%0A .");
});
