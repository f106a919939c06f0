import { resolve } from "node:path";
import { expect, test } from "vitest";
import { AgentError, startControlPlane, startSidecar } from "../src/index.ts";
import { checkControlPlaneOptions, checkSidecarOptions } from "../src/library-options.ts";

const failureOf = (work: () => unknown): Promise<AgentError> =>
  Promise.resolve()
    .then(work)
    .then(
      () => new AgentError("INTERNAL", "it did not fail"),
      (error: unknown) => error as AgentError,
    );

test.each([
  [{ namespce: "shop" }, 'there is no "namespce", did you mean "namespace"?'],
  [{ service_account: "web" }, 'there is no "service_account", did you mean "serviceAccount"?'],
  [{ Port: 8080 }, 'there is no "Port", did you mean "port"?'],
  [{ apport: 8080 }, 'there is no "apport", did you mean "appPort"?'],
  [{ resource: "./mesh" }, 'there is no "resource", did you mean "resources"?'],
  [{ onlog: console.log }, 'there is no "onlog", did you mean "onLog"?'],
  [{ colour: "red" }, 'there is no "colour"'],
  [{ toString: "x", constructor: 1 }, 'there is no "toString"; there is no "constructor"'],
  [{ host: { env: {} }, log: {}, onStep: console.log }, 'there is no "host"; there is no "log"'],
  [{ port: "8080" }, '"port" is no number from 0 to 65535'],
  [{ port: 70_000 }, '"port" is no number from 0 to 65535'],
  [{ appPort: 0 }, '"appPort" is no number from 1 to 65535'],
  [{ env: { A: 1 } }, '"env" is no object of strings'],
  [{ values: ["A=1"] }, '"values" is no object of strings'],
  [{ signal: new AbortController() }, '"signal" is no AbortSignal'],
  [{ nmespace: "a", port: -1 }, 'there is no "nmespace", did you mean "namespace"?; "port" is no number'],
  [{ namespace: "" }, '"namespace" is no name of lower-case letters'],
  [{ serviceAccount: "a/b" }, '"serviceAccount" is no name of lower-case letters'],
  ["shop", "wanted an object"],
  [null, "wanted an object"],
])("reality 34: startSidecar(%j) is refused by name", async (options, message) => {
  const error = await failureOf(() => startSidecar(options as object));
  expect(error).toMatchObject({ code: "USAGE", message: expect.stringContaining(message) });
});

test("reality 34: a misspelt field of proxyConfig is told in the log", async () => {
  const lines: string[] = [];
  const envoy = resolve("test/fixtures/fake-envoy");
  await using _sidecar = await startSidecar({
    ...{ envoy, proxyConfig: { concurency: 1 } },
    onLog: (line) => void lines.push(line),
  });
  const told = lines.filter((line) => /\twarn\tPROXY_CONFIG/.test(line));
  expect(told).toEqual([expect.stringContaining('concurency: unknown field, ignored. Did you mean "concurrency"?')]);
});

test.each([
  [{}, '"resources" is missing'],
  [{ resources: "x", trustdomain: "y" }, 'there is no "trustdomain", did you mean "trustDomain"?'],
  [{ dir: "x" }, 'there is no "dir"; "resources" is missing'],
  [{ resources: "x", defaultTtlMs: "1h" }, '"defaultTtlMs" is no milliseconds above 0'],
])("reality 34: startControlPlane(%j) is refused by name", async (options, message) => {
  const error = await failureOf(() => startControlPlane(options as { resources: string }));
  expect(error).toMatchObject({ code: "USAGE", message: expect.stringContaining(message) });
  expect(error.hint).toContain("trustDomain");
});

test("what is left undefined is not given, and everything that is known is taken", () => {
  const { signal } = new AbortController();
  const texts = { resources: "a", namespace: "b", serviceAccount: "c", envoy: "d" };
  checkSidecarOptions({});
  checkSidecarOptions({ port: undefined, signal: undefined, values: undefined });
  checkSidecarOptions({ ...texts, values: { A: "1" }, port: 0, appPort: 3000, proxyConfig: {}, env: {}, signal });
  checkControlPlaneOptions({
    resources: "a",
    host: "::1",
    port: 0,
    caFolder: "c",
    defaultTtlMs: 1,
    onLog: () => undefined,
  });
});
