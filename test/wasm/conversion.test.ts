import { describe, expect, test } from "vitest";
import { createMetrics, silentLogger } from "../../src/base/index.ts";
import type { FieldValue } from "../../src/proto/wire.ts";
import { WasmConversion } from "../../src/wasm/index.ts";
import { DELTA, SOTW, type Variant } from "../../src/xds/variant.ts";
import { startFakeIstiod } from "../support/fake-istiod.ts";
import { any, message } from "../support/wire-messages.ts";
import { CDS, startRig } from "../xds/relay-rig.ts";

// Rows W31 to W38 of the reference's behaviour. Where modules come from is another matter: here there is one place.

const HTTP = "envoy.extensions.filters.http.wasm.v3.Wasm";
const NETWORK = "envoy.extensions.filters.network.wasm.v3.Wasm";
const EXTENSION = "envoy.config.core.v3.TypedExtensionConfig";
const ECDS = `type.googleapis.com/${EXTENSION}`;
const URL = "http://test?module=test.wasm";
const V8 = "envoy.wasm.runtime.v8";

const remote = (url: string) => message([1, message([1, url], [2, "_"])], [2, "nil"]);
const localFile = (path: string) => message([1, message([1, path])]);
const wasm = (code: Buffer, policy: readonly Field[] = [], environment: readonly Buffer[] = []) => {
  const vm = message([2, V8], [3, code], ...environment.map((one) => [7, one] as const), [1_000, "later"]);
  return message([1, Buffer.concat([message([1, "root"], ...policy, [3, vm]), message([1_000, "later"])])]);
};
type Field = readonly [number, FieldValue];
const extension = (name: string, config: Buffer) => any(EXTENSION, message([1, name], [2, config], [1_000, "later"]));
const remoteWasm = (url: string = URL, policy: readonly Field[] = []) =>
  any(HTTP, wasm(message([2, remote(url)]), policy));

type Json = string | number | boolean | { readonly [name: string]: Json };
const value = (json: Json): Buffer => {
  if (typeof json === "string") return message([3, json]);
  if (typeof json === "boolean") return message([4, json]);
  if (typeof json === "object") return message([5, struct(json)]);
  const double = Buffer.alloc(9, 0x11);
  double.writeDoubleLE(json, 1);
  return double;
};
const struct = (json: { readonly [name: string]: Json }): Buffer =>
  message(...Object.entries(json).map(([name, one]) => [1, message([1, name], [2, value(one)])] as const));
const typedStruct = (json: { readonly [name: string]: Json }, type = HTTP) =>
  any("udpa.type.v1.TypedStruct", message([1, `type.googleapis.com/${type}`], [2, struct(json)]));

function response(variant: Variant, resources: readonly Buffer[]): Buffer {
  const { anyInResource, ...fields } = variant.response;
  const entry = (one: Buffer, at: number) =>
    anyInResource === undefined ? one : message([1, `v${at}`], [anyInResource, one], [3, `r${at}`]);
  return message(
    [fields.versionInfo, "7"],
    ...resources.map((one, at) => [fields.resources, entry(one, at)] as const),
    [fields.nonce, "n"],
  );
}

/** Of an Envoy with these Wasm runtimes. */
const firstRequestOf = ({ request }: Variant, runtimes: readonly string[]): Buffer =>
  message([
    request.node,
    message(...runtimes.map((name) => [9, message([1, name], [2, "envoy.wasm.runtime"])] as const)),
  ]);

/** The place where modules come from has each but those whose URL says "bad". */
function conversion(runtimes: readonly string[] = []) {
  const metrics = createMetrics("");
  const wishes: unknown[] = [];
  const get = async (wish: { readonly url: string }): Promise<string> => {
    wishes.push(wish);
    if (wish.url.includes("bad")) throw new Error("there is none");
    return "/cache/module.wasm";
  };
  const made = new WasmConversion({ modules: { get }, log: silentLogger, metrics });
  const convert = async (resources: readonly Buffer[], variant: Variant = DELTA): Promise<Buffer> => {
    const hook = made.forStream(variant, firstRequestOf(variant, runtimes));
    return hook.rewrite(response(variant, resources), undefined, new AbortController().signal);
  };
  return { made, convert, wishes, metrics };
}

const rbac = (kind: "http" | "network", effect: "allow" | "deny") =>
  any(
    `envoy.extensions.filters.${kind}.rbac.v3.RBAC`,
    message(...(effect === "deny" ? [[1, new Uint8Array()] as const] : []), [
      kind === "http" ? 6 : 3,
      `wasm-default-${effect}`,
    ]),
  );

describe("a remote module", () => {
  test.each([HTTP, NETWORK])("becomes a local one, and all other bytes stay: %s", async (type) => {
    for (const variant of [DELTA, SOTW]) {
      const { convert } = conversion();
      const given = [extension("a", any(type, wasm(message([2, remote(URL)])))), extension("b", rbac("http", "allow"))];
      const wanted = [extension("a", any(type, wasm(localFile("/cache/module.wasm")))), given[1] as Buffer];
      expect(await convert(given, variant)).toEqual(response(variant, wanted));
    }
  });

  test("in a TypedStruct becomes a typed message, whatever the spelling of its fields", async () => {
    const { convert, wishes } = conversion();
    const code = { remote: { http_uri: { uri: URL, timeout: "30s" } } };
    const config = { name: "p", failurePolicy: "FAIL_OPEN", vmConfig: { runtime: V8, code } };
    const plugin = message([1, "p"], [3, message([2, V8], [3, localFile("/cache/module.wasm")])], [7, 3]);
    const wanted = response(DELTA, [extension("a", any(HTTP, message([1, plugin])))]);
    expect(await convert([extension("a", typedStruct({ config }))])).toEqual(wanted);
    expect(wishes).toMatchObject([{ url: URL, timeoutMs: 30_000 }]);
  });

  test.each([
    ["0.5s", 500],
    ["90s", 90_000],
    ["36000000s", 2 ** 31 - 1],
  ])("may take %s in all", async (timeout, timeoutMs) => {
    const { convert, wishes } = conversion();
    const vm_config = { code: { remote: { http_uri: { uri: URL, timeout } } } };
    await convert([extension("a", typedStruct({ config: { vm_config } }))]);
    expect(wishes).toMatchObject([{ timeoutMs }]);
  });

  test("takes the agent's variables with it, and leaves Envoy the others", async () => {
    const pair = (key: string, text: string): Field => [2, message([1, key], [2, text])];
    const own: Field[] = [
      pair("ISTIO_META_WASM_IMAGE_PULL_SECRET", "{}"),
      pair("ISTIO_META_WASM_IMAGE_PULL_POLICY", "Always"),
      pair("ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION", "9"),
      pair("ISTIO_META_ANYTHING", "x"),
    ];
    const { convert, wishes } = conversion();
    const rows: [Buffer, Buffer[]][] = [
      [message(...own), []],
      [message(...own, pair("MINE", "1")), [message(pair("MINE", "1"))]],
      [message([1, "PATH"], ...own), [message([1, "PATH"])]],
    ];
    for (const [environment, left] of rows) {
      const given = extension("a", any(HTTP, wasm(message([2, remote(URL)]), [], [environment])));
      const wanted = extension("a", any(HTTP, wasm(localFile("/cache/module.wasm"), [], left)));
      expect(await convert([given])).toEqual(response(DELTA, [wanted]));
    }
    expect(wishes[0]).toEqual({
      ...{ url: URL, checksum: "", resource: "a", timeoutMs: 5_000 },
      pull: { secret: "{}", policy: "always", version: "9" },
    });
  });

  test.each<[string, Field[], "allow" | "deny"]>([
    ["FAIL_OPEN", [[7, 3]], "allow"],
    ["FAIL_CLOSED", [[7, 2]], "deny"],
    ["FAIL_RELOAD", [[7, 1]], "deny"],
    ["none", [], "deny"],
    ["the old fail_open", [[5, true]], "allow"],
    ["FAIL_CLOSED over the old fail_open", [[5, true], [7, 2]], "deny"], // biome-ignore format: one row, one line
  ])("that cannot be had is replaced as policy %s says, beside one that can", async (_name, policy, effect) => {
    for (const [type, kind] of [
      [HTTP, "http"],
      [NETWORK, "network"],
    ] as const) {
      const { convert, made } = conversion();
      const bad = any(type, wasm(message([2, remote("http://bad")]), policy));
      const converted = await convert([extension("a", bad), extension("b", remoteWasm())]);
      const local = any(HTTP, wasm(localFile("/cache/module.wasm")));
      expect(converted).toEqual(response(DELTA, [extension("a", rbac(kind, effect)), extension("b", local)]));
      expect(made.modules).toMatchObject(
        [
          { name: "b", state: "loaded", file: "/cache/module.wasm" },
          { name: "a", state: "substituted", error: "cannot fetch Wasm module http://bad: there is none" },
        ].reverse(),
      );
    }
  });

  test("without a URL, with an empty pull secret, or that this Envoy cannot run is one that cannot be had", async () => {
    const noUrl = any(HTTP, wasm(message([2, message([2, "nil"])])));
    const secret = message([2, message([1, "ISTIO_META_WASM_IMAGE_PULL_SECRET"])]);
    const noSecret = any(HTTP, wasm(message([2, remote(URL)]), [], [secret]));
    const rows: [Buffer, string[], RegExp][] = [
      [noUrl, [], /has no URL/],
      [
        remoteWasm(),
        ["envoy.wasm.runtime.null"],
        /this Envoy was built without the Wasm runtime "envoy\.wasm\.runtime\.v8"/,
      ],
      [noSecret, ["envoy.wasm.runtime.null", V8], /^cannot fetch Wasm module root: missing image pulling secret$/],
    ];
    for (const [config, runtimes, error] of rows) {
      const { convert, made, wishes } = conversion(runtimes);
      expect(await convert([extension("a", config)])).toEqual(response(DELTA, [extension("a", rbac("http", "deny"))]));
      expect(made.modules[0]?.error).toMatch(error);
      expect(wishes).toEqual([]);
    }
  });

  test("is forgotten when Envoy no longer asks for it", async () => {
    const { convert, made } = conversion();
    await convert([extension("a", remoteWasm()), extension("b", remoteWasm())]);
    made.forStream(DELTA, Buffer.alloc(0)).noteRequest(ECDS, message([DELTA.request.unsubscribe as number, "a"]));
    expect(made.modules.map(({ name }) => name)).toEqual(["b"]);
    made.forStream(SOTW, Buffer.alloc(0)).noteRequest(ECDS, message([SOTW.request.names, "c"]));
    expect(made.modules).toEqual([]);
  });
});

test("everything else is passed on as the same object", async () => {
  const others = [
    extension("local", any(HTTP, wasm(localFile("/a.wasm")))),
    extension("local struct", typedStruct({ config: { vm_config: { code: { local: { filename: "/a" } } } } })),
    extension("other struct", typedStruct({ any: { thing: "x" } }, "stats.PluginConfig")),
    extension("struct", any("google.protobuf.Struct", struct({ a: 1 }))),
    extension("rbac", rbac("http", "allow")),
  ];
  const { convert, metrics } = conversion();
  for (const variant of [DELTA, SOTW]) expect(await convert(others, variant)).toEqual(response(variant, others));
  expect(metrics.render()).toMatch(/wasm_config_conversion_count\{result="no_remote_load"\} 10$/m);
  expect(metrics.render()).toMatch(/wasm_config_conversion_duration_count 2$/m);
});

test.each<[string, Buffer, RegExp]>([
  ["no extension configuration", any("google.protobuf.Empty"), /it is a "google\.protobuf\.Empty"/],
  ["no configuration in it", any(EXTENSION, message([1, "a"])), /"a" has no typed configuration/],
  ["a Struct with an unknown field", extension("a", typedStruct({ wrong: "value" })), /wrong/],
  ["an empty Wasm filter", extension("a", any(HTTP)), /neither a remote nor a local module/],
  ["a Wasm filter with empty code", extension("a", any(HTTP, wasm(Buffer.alloc(0)))), /neither/],
  ["bytes of something else", extension("a", any(HTTP, message([1, "vm"], [2, V8]))), /./],
  ["bytes that are not protobuf", any(EXTENSION, Buffer.from([0x12, 0xff])), /./],
])("%s refuses the response", async (_, resource, why) => {
  const { convert, metrics } = conversion();
  await expect(convert([resource, extension("b", remoteWasm())])).rejects.toThrow(why);
  await expect(convert([resource, resource])).rejects.toThrow(/^2 errors occurred:\n\t\* .*\n\t\* /);
  expect(metrics.render()).toMatch(/wasm_config_conversion_count\{result="unmarshal_failure"\} 3$/m);
});

test("a slow download holds up its own type and no other; the end of the stream gives it up", async () => {
  await using istiod = await startFakeIstiod();
  let given: AbortSignal | undefined;
  let finish = (_: string): void => undefined;
  const get = (_: unknown, stop: AbortSignal): Promise<string> => {
    given = stop;
    return new Promise((resolve) => {
      finish = resolve;
    });
  };
  const made = new WasmConversion({ modules: { get }, log: silentLogger, metrics: createMetrics("") });
  await using rig = await startRig(istiod.port, { hooks: [made] });
  const envoy = rig.connect().open("sotw");
  envoy.request({ typeUrl: ECDS, node: "sidecar~1.1.1.1~a.b~b.svc", names: ["a"] });
  await expect.poll(() => istiod.streams[0]?.requests.length).toBe(1);
  const [stream] = istiod.streams;
  const send = (nonce: string): void => {
    const value = message([1, "a"], [2, remoteWasm(`http://${nonce}`)]);
    stream?.send({ typeUrl: ECDS, nonce, resources: [{ typeUrl: ECDS, value }] });
  };
  send("1");
  send("2");
  stream?.send({ typeUrl: CDS, nonce: "3" });
  const nonces = (): string[] => envoy.responses.map(({ nonce }) => nonce);
  await expect.poll(nonces).toEqual(["3"]);
  expect(made.modules).toMatchObject([{ name: "a", state: "fetching", url: "http://1" }]);
  finish("/1.wasm");
  await expect.poll(nonces).toEqual(["3", "1"]);
  await expect.poll(() => made.modules[0]?.url).toBe("http://2");
  envoy.cancel();
  await expect.poll(() => given?.aborted).toBe(true);
});
