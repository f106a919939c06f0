import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseSync } from "oxc-parser";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeFileAtomically } from "../../src/base/index.ts";
import { FIELDS_WITHOUT_EFFECT } from "../../src/config/field-help.ts";
import { ALL_FLAGS } from "../../src/config/flags.ts";
import { CATALOGUE, loadConfig } from "../../src/config/index.ts";
import type { Setting } from "../../src/config/setting.ts";
import { PROXY_CONFIG } from "../../src/istio/mesh/index.ts";

// Everything that can be set has its effect, or is a warning that says what follows.

/** Who acts on the fields that the agent only passes on, or leaves to others. */
const FIELDS_OF_OTHERS: Readonly<Partial<Record<keyof typeof PROXY_CONFIG, "control plane" | "injector">>> = {
  gatewayTopology: "control plane",
  interceptionMode: "injector",
  meshId: "injector",
  proxyHeaders: "control plane",
  connectionSettings: "control plane",
  image: "injector",
  holdApplicationUntilProxyStarts: "injector",
};

const SETTINGS = Object.entries(CATALOGUE) as unknown as readonly (readonly [string, Setting<unknown>])[];
const IDENTITY = { POD_NAMESPACE: "default", SERVICE_ACCOUNT: "default" };
/** Read for something else than what they are for. */
const READ_ALL_THE_SAME = ["stsPort"];

describe("has its effect exactly what code reads", () => {
  const read = propertiesRead();

  test.each(SETTINGS)("setting %s", (name, { withoutEffect }) => {
    if (READ_ALL_THE_SAME.includes(name)) expect(withoutEffect).toBeDefined();
    // a new reader takes `withoutEffect` off the row in src/config/catalogue.ts
    else expect(read.has(name)).toBe(withoutEffect === undefined);
  });

  test.each(ALL_FLAGS.map((flag) => [flag.name, flag] as const))("flag --%s", (name, { setting, withoutEffect }) => {
    if (READ_ALL_THE_SAME.includes(name)) expect(withoutEffect).toBeDefined();
    else if (setting !== undefined) expect(CATALOGUE[setting]).not.toHaveProperty("withoutEffect");
    else expect(read.has(name)).toBe(withoutEffect === undefined);
  });

  test.each(Object.keys(PROXY_CONFIG))("field %s", (name) => {
    const isOthers = name in FIELDS_OF_OTHERS;
    const isWithout = name in FIELDS_WITHOUT_EFFECT;
    expect(isOthers && isWithout).toBe(false);
    if (!isOthers && name !== "sds") expect(read.has(name)).toBe(!isWithout); // "sds" is the name of a socket, too
  });
});

describe("a warning says what follows", () => {
  let cwd: string;
  beforeAll(async () => {
    cwd = await mkdtemp(join(tmpdir(), "pb-effect-"));
  });
  afterAll(() => rm(cwd, { recursive: true, force: true }));

  const warningsOf = async (args: readonly string[], env: Readonly<Record<string, string>>) => {
    const { warnings } = await loadConfig({ args, env: { ...IDENTITY, ...env }, cwd });
    return warnings.filter(({ message }) => message.startsWith("has no effect: "));
  };

  const marked = SETTINGS.filter(([, row]) => row.withoutEffect !== undefined);
  test.each(marked)("where setting %s is changed", async (_name, row) => {
    const message = `has no effect: ${row.withoutEffect}`;
    expect(await warningsOf([], { [row.env]: changed(row) })).toMatchObject([{ name: row.env, message }]);
    expect(await warningsOf([], { [row.env]: row.parser.print(row.default) })).toEqual([]);
  });

  test.each(ALL_FLAGS.filter((flag) => flag.withoutEffect).map((flag) => [flag.name, flag] as const))(
    "where flag --%s is given",
    async (name, { withoutEffect }) => {
      const message = `has no effect: ${withoutEffect}`;
      expect(await warningsOf([`--${name}=1`], {})).toMatchObject([{ name: `--${name}`, message }]);
    },
  );

  test.each<[string, unknown]>([
    ["discoveryRefreshDelay", "1s"],
    ["zipkinAddress", "zipkin:9411"],
    ["availabilityZone", "a"],
    ["statNameLength", 100],
    ["sds", { enabled: true }],
    ["caCertificatesPem", ["-----BEGIN CERTIFICATE-----"]],
  ])("where field %s is set", async (name, value) => {
    const warnings = await warningsOf([], { PROXY_CONFIG: JSON.stringify({ [name]: value }) });
    const message = `has no effect: ${FIELDS_WITHOUT_EFFECT[name as keyof typeof FIELDS_WITHOUT_EFFECT]}`;
    expect(warnings).toMatchObject([{ name, message, origin: { source: "PROXY_CONFIG" } }]);
  });

  test("where a readiness probe cannot be used", async () => {
    const warnings = await warningsOf([], { PROXY_CONFIG: "readinessProbe: {periodSeconds: 5}" });
    const message = expect.stringMatching(
      /: it names no method, wanted one of .*; the workload's health is not checked/,
    );
    expect(warnings).toMatchObject([{ name: "readinessProbe", message, origin: { source: "PROXY_CONFIG" } }]);
    expect(await warningsOf([], { PROXY_CONFIG: "readinessProbe: {exec: {command: [ok]}}" })).toEqual([]);
  });

  test("not for the variables that say what `pilotboat iptables` redirects", async () => {
    const env = { ISTIO_SERVICE_CIDR: "*", ISTIO_INBOUND_PORTS: "*", ISTIO_LOCAL_EXCLUDE_PORTS: "22" };
    expect(await warningsOf([], env)).toEqual([]);
  });

  test("where an annotation is for an injector, unless in a pod", async () => {
    const annotations = [
      'sidecar.istio.io/logLevel="debug"',
      'traffic.sidecar.istio.io/includeInboundPorts="*"',
      'readiness.status.sidecar.istio.io/periodSeconds="1"',
      'sidecar.istio.io/statsInclusionPrefixes="a"',
      'traffic.sidecar.istio.io/excludeInterfaces="eth1"',
      'example.com/mine="x"',
    ];
    await writeFileAtomically(join(cwd, "etc/istio/pod/annotations"), annotations.join("\n"));
    expect((await warningsOf([], {})).map(({ name }) => name)).toEqual([
      "sidecar.istio.io/logLevel",
      "traffic.sidecar.istio.io/includeInboundPorts",
      "readiness.status.sidecar.istio.io/periodSeconds",
    ]);
    expect(await warningsOf([], { KUBERNETES_SERVICE_HOST: "10.0.0.1" })).toEqual([]);
    await rm(join(cwd, "etc"), { recursive: true });
  });
});

function changed({ type, default: fallback }: Setting<unknown>): string {
  if (type === "bool") return String(!fallback);
  if (type === "int") return String(Number(fallback) + 1);
  return type === "duration" ? "77s" : "x";
}

/** Every property that some code reads: `a.name`, `a["name"]`, `const { name } = a`. */
function propertiesRead(): ReadonlySet<string> {
  const names = new Set<string>();
  const tables =
    /^(config\/(catalogue|flags|field-help|config-entries|without-effect|validate(-mesh)?)|istio\/mesh\/.*)\.ts$/;
  for (const file of readdirSync("src", { recursive: true, encoding: "utf8" })) {
    if (!file.endsWith(".ts") || file.startsWith("proto/gen") || tables.test(file)) continue;
    collect(parseSync(file, readFileSync(join("src", file), "utf8")).program, names);
  }
  return names;
}

function collect(node: unknown, names: Set<string>): void {
  if (Array.isArray(node)) for (const one of node) collect(one, names);
  if (typeof node !== "object" || node === null || Array.isArray(node)) return;
  const { type, property, properties } = node as Record<string, unknown>;
  if (type === "MemberExpression") note(property, names);
  if (type === "ObjectPattern") for (const { key } of properties as { key?: unknown }[]) note(key, names);
  for (const value of Object.values(node)) collect(value, names);
}

function note(key: unknown, names: Set<string>): void {
  const { name, value } = (key ?? {}) as { name?: string; value?: unknown };
  if (name !== undefined) names.add(name);
  else if (typeof value === "string") names.add(value);
}
