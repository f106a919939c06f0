import { inspect } from "node:util";
import { expect, test } from "vitest";
import { Secret } from "../../src/base/index.ts";

const secret = new Secret("s3cr3t");

test.each([
  ["a template", () => `${secret}`],
  ["JSON", () => JSON.stringify({ secret })],
  ["inspect", () => inspect({ deep: [secret] }, { depth: 9, showHidden: true })],
  ["concatenation", () => `x${String(secret)}`],
  ["an error's text", () => String(new Error(`failed with ${secret}`))],
  ["its keys", () => inspect(Object.getOwnPropertyDescriptors(secret))],
])("%s does not show it", (_where, print) => {
  expect(print()).not.toContain("s3cr3t");
  expect(print()).not.toContain(Buffer.from("s3cr3t").toString("hex"));
});

test("reveal gives it out", () => {
  expect(secret.revealText()).toBe("s3cr3t");
  expect(secret.equals(new Secret(Buffer.from("s3cr3t")))).toBe(true);
});
