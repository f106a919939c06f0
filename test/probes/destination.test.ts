import { expect, test } from "vitest";
import { destinationOf } from "../../src/probes/destination.ts";

const [four, six] = ["127.0.0.6", "::6"];

test.runIf(process.platform === "linux").each([
  ["the pod's address", "10.0.0.1", ["10.0.0.1"], false, ["10.0.0.1", "10.0.0.1", four]],
  ["IPv6", "fd00::1", ["fd00::1"], false, ["fd00::1", "fd00::1", six]],
  ["both, IPv4 first", "10.0.0.1", ["10.0.0.1", "fd00::1"], false, ["10.0.0.1", "10.0.0.1", four]],
  ["both, IPv6 first", "fd00::1", ["fd00::1", "10.0.0.1"], false, ["fd00::1", "fd00::1", six]],
  ["a link-local address beside IPv4", "fe80::1", ["10.0.0.1"], false, ["fe80::1", "fe80::1", four]],
  ["a link-local address", "FE80::1", ["fe80::1"], false, ["FE80::1", "FE80::1", four]],
  ["no address", "", [], false, ["localhost", "127.0.0.1", four]],
  ["no address, IPv6 only", "", ["fd00::1"], false, ["localhost", "::1", six]],
  ["localhost", "10.0.0.1", ["10.0.0.1"], true, ["localhost", "127.0.0.1", four]],
  ["localhost, IPv6 only", "fd00::1", ["fd00::1"], true, ["localhost", "::1", six]],
  ["brackets, which are none of an address", "[::1]", ["fd00::1"], false, ["[::1]", "[::1]", six]],
] as const)(
  "%s: where the application is, and where probes come from",
  (_what, instanceIp, addresses, isLocalhost, wanted) => {
    const { host, address, source } = destinationOf({ instanceIp, addresses, isLocalhost });
    expect([host, address, source]).toEqual(wanted);
  },
);
