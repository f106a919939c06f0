import { expect, test } from "vitest";
import { formatReference, parseReference } from "../../src/oci/index.ts";

const HEX = "0".repeat(63);
const DIGEST = `sha256:${HEX}a`;

test.each([
  ["istio/proxyv2:1.31.0", "docker.io", "istio/proxyv2", "1.31.0", undefined],
  ["alpine", "docker.io", "library/alpine", "latest", undefined],
  ["docker.io/alpine:3", "docker.io", "library/alpine", "3", undefined],
  ["registry.example.com/alpine", "registry.example.com", "alpine", "latest", undefined],
  ["localhost/a/b:c", "localhost", "a/b", "c", undefined],
  ["127.0.0.1:5000/a:b", "127.0.0.1:5000", "a", "b", undefined],
  ["[::1]:5000/a/b", "[::1]:5000", "a/b", "latest", undefined],
  ["Registry.example:5/x__y/z-w.v", "Registry.example:5", "x__y/z-w.v", "latest", undefined],
  [`a/b@${DIGEST}`, "docker.io", "a/b", undefined, DIGEST],
  [`h:1/a:t@${DIGEST}`, "h:1", "a", "t", DIGEST],
])("%s is read as Docker reads it", (text, registry, repository, tag, digest) => {
  const reference = parseReference(text);
  expect(reference).toEqual({ registry, repository, tag, digest });
  expect(parseReference(formatReference(reference))).toEqual(reference);
});

test.each([
  ["", "is no repository"],
  ["Alpine", "in lower case"],
  ["a/../b", "is no repository"],
  ["a//b", "is no repository"],
  ["a:", "tag"],
  ["a:b:c", "tag"],
  [`a:${"t".repeat(129)}`, "tag"],
  ["https://docker.io/a", "no scheme"],
  ["oci://docker.io/a", "no scheme"],
  [`a@sha256:${HEX}`, "64 hexadecimal digits"],
  [`a@sha256:${HEX}A`, "lower case"],
  ["a@md5:d41d8cd98f00b204e9800998ecf8427e", "wanted sha256:"],
  [`a@${DIGEST}@${DIGEST}`, "wanted sha256:"],
  ["exa mple.com/a", "is no name of a registry"],
  ["user:pw@h.example/a", "wanted sha256:"],
  [`h.x/${"a".repeat(256)}`, "is no repository"],
  ["h.example/a?b=c", "is no repository"],
  ["h.example:99999x/a", "is no name of a registry"],
])("%s is refused with the reason", (text, reason) => {
  expect(() => parseReference(text)).toThrow(
    expect.objectContaining({ code: "USAGE", message: expect.stringContaining(reason) }),
  );
});
