import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { loadConfig } from "../../src/config/index.ts";

let cwd: string;
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), "pb-override-"));
});
afterEach(() => rm(cwd, { recursive: true, force: true }));

const WORDS = { POD_NAMESPACE: "a", SERVICE_ACCOUNT: "b", ISTIO_BOOTSTRAP_OVERRIDE: "override.yaml" };

async function load(text: string, env: Readonly<Record<string, string>> = {}) {
  await writeFile(join(cwd, "override.yaml"), text);
  const { config, warnings } = await loadConfig({ args: [], env: { ...WORDS, ...env }, cwd });
  return { overlay: config.envoyOverlay, warnings };
}

const TWO_ADDRESSES = 'ip: "[$(HOST_IP)]:8126"\nip2: "$(HOST_IP):8126"\n';

test.each<[string, string, Readonly<Record<string, string>>, string]>([
  ["keys are sorted, the text is compact", "b: 1\na: {d: x, c: yes}\n", {}, '{"a":{"c":true,"d":"x"},"b":1}'],
  ["characters are escaped as Go does it", "html: '<&>'", {}, String.raw`{"html":"\u003c\u0026\u003e"}`],
  ["JSON is taken as well", '{ "key": "value" }', {}, '{"key":"value"}'],
  [
    "64-bit numbers stay exact",
    "size: [18446744073709551615, -9223372036854775808]",
    {},
    '{"size":[18446744073709551615,-9223372036854775808]}',
  ],
  [
    "an IPv4 host",
    TWO_ADDRESSES,
    { HOST_IP: "169.254.169.254" },
    '{"ip":"[169.254.169.254]:8126","ip2":"169.254.169.254:8126"}',
  ],
  [
    "an IPv6 host has brackets once",
    TWO_ADDRESSES,
    { HOST_IP: "dead::beef" },
    '{"ip":"[dead::beef]:8126","ip2":"[dead::beef]:8126"}',
  ],
  ["an unset host is nothing", TWO_ADDRESSES, {}, '{"ip":"[]:8126","ip2":":8126"}'],
])("%s", async (_name, text, env, expected) => {
  expect(await load(text, env)).toEqual({ overlay: expected, warnings: [] });
});

test("a broken file is a warning, and there is no overlay", async () => {
  const { overlay, warnings } = await load("a: [");
  expect(overlay).toBe("");
  expect(warnings.map(({ name }) => name)).toEqual(["ISTIO_BOOTSTRAP_OVERRIDE"]);
  expect(warnings[0]?.message).toMatch(/^Failed to read bootstrap override: /);
});

test("a missing file is a warning as well", async () => {
  const { config, warnings } = await loadConfig({ args: [], env: WORDS, cwd });
  expect([config.envoyOverlay, warnings.length]).toEqual(["", 1]);
});
