import { expect, test } from "vitest";
import { silentLogger } from "../../src/base/index.ts";
import { fetchPermits, isPrivate, refuseRealm } from "../../src/wasm/index.ts";

test.each([
  [
    [],
    [
      "169.254.169.254",
      "fe80::1",
      "ff02::1",
      "100.100.100.200",
      "fd00:ec2::230",
      "::ffff:169.254.169.254",
      "64:ff9b::a9fe:a9fe",
    ],
    true,
  ],
  [[], ["10.0.0.1", "127.0.0.1", "::1", "8.8.8.8", "100.100.100.199", "fd12:3456::1"], false],
  [["10.0.0.0/8", " ", "10/8", "fd12::/16"], ["10.1.2.3", "fd12:3456::1"], true],
  [["10.0.0.0/8"], ["192.168.1.1"], false],
])("with %j blocked, of %j: %s", (blocked, addresses, isBlocked) => {
  const permits = fetchPermits(blocked, silentLogger);
  for (const address of addresses) expect([address, permits(address) !== undefined]).toEqual([address, isBlocked]);
});

test.each([
  ...[
    "http://169.254.169.254/",
    "https://metadata.google.internal/x",
    "https://metadata.google.internal./",
    "http://localhost:8080/",
  ],
  ...[
    "https://127.0.0.5/",
    "file:///etc/passwd",
    "gopher://x.example/",
    "dict://x.example/",
    "http://10.0.0.1/",
    "http://192.168.1.1/",
    "http://0.0.0.0/",
    "http://[::]/",
  ],
  ...[
    "https://172.16.0.1/",
    "http://[::1]/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::254]/",
    "https://[fc00::1]/",
    "no url",
    "",
  ],
])("the token service %j is refused", (realm) => {
  expect(refuseRealm(realm)).toMatch(/^rejected unsafe bearer realm: /);
});

test.each(["https://auth.example.com/token", "http://auth.example.com/token", "https://8.8.8.8/"])(
  "%s is not",
  (realm) => {
    expect(refuseRealm(realm)).toBeUndefined();
  },
);

test.each([
  ["localhost:5000", true],
  ["127.0.0.1:5000", true],
  ["[::1]:5000", true],
  ["10.1.1.1", true],
  ["registry.example.com", false],
  ["8.8.8.8:5000", false],
])("%s is private: %s", (registry, wanted) => expect(isPrivate(registry)).toBe(wanted));
