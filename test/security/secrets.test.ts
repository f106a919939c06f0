import { createHash, randomBytes, randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { hideSecrets, hideSecretsInText } from "../../src/istio/index.ts";
import { run, runtimes } from "../support/pilotboat.ts";
import { createTestCa } from "../support/test-ca.ts";

const KEY = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";
/** Put together here, so that no scanner takes them for real ones. */
const TOKENS = {
  GITHUB: ["ghp", "16C7e42F292c6912E7710c838347Ae178B4a"].join("_"),
  GITLAB: ["glpat", "x7Rk2mZq9TfVb3LcYw8N"].join("-"),
  SLACK: ["xoxb", "123456789012", "abcdefghijkl"].join("-"),
  STRIPE: ["sk", "live", "4eC39HqLyjWDarjtT1zdp7dc"].join("_"),
  AWS: ["AKIA", "IOSFODNN7EXAMPLE"].join(""),
  JWT: "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
  URL: `https://${KEY}@sentry.example.com/1`,
  PASSWORD: "postgres://app:tr0ub4dor@db.example.com/shop",
  BASE64: "q83Zt0Vw7/K2mDx9NGbP4sRfi1CYeXa6pLu5KE+yTn8=",
  BASE32: "k7m4jb2sw9y3dp6ehpk3px5pj8bsw1y3dp0ehz",
};
const SECRET_PARTS = Object.entries(TOKENS).map(([name, value]) =>
  name === "URL" ? KEY : name === "PASSWORD" ? "tr0ub4dor" : value,
);

test.each(Object.entries(TOKENS))("hostile 13: a secret of the form of %s is hidden under any name", (name, value) => {
  const secret = name === "URL" ? KEY : name === "PASSWORD" ? "tr0ub4dor" : value;
  for (const shown of [
    JSON.stringify(hideSecrets({ node: { metadata: { COLOR: value } }, plain: [value] }).document),
    hideSecretsInText(`cannot use "${value}" here`),
    hideSecretsInText(`COLOR=${value}`),
    hideSecretsInText(JSON.stringify({ color: value })),
  ]) {
    expect(shown).not.toContain(secret);
    expect(shown).toContain("[hidden]");
  }
});

test("hostile 13: nearly every random word is hidden, in base64, base64url and base62", () => {
  const words = Array.from({ length: 1_000 }, (_, at) => {
    const bytes = randomBytes(24 + (at % 24));
    const [plain, url] = [bytes.toString("base64"), bytes.toString("base64url")];
    return [plain, url, url.replace(/[-_]/g, "x")][at % 3] as string;
  });
  const left = words.filter((word) => hideSecretsInText(`COLOR=${word}`).includes(word));
  expect(left.length).toBeLessThan(50);
});

const hash = (text: string, form: "hex" | "base64"): string => createHash("sha256").update(text).digest(form);

test.each([
  ["a digest", `sha256:${hash("a", "hex")}`],
  ["a digest in base64", `sha256-${hash("a", "base64")}`],
  ["a key's fingerprint", `SHA256:${hash("a", "base64").replace("=", "")}`],
  ["an image", `gcr.io/istio-testing/proxyv2@sha256:${hash("b", "hex")}`],
  ["a tagged image", "docker.io/istio/proxyv2:1.28.0-alpha.0a1b2c3d4e5f-distroless"],
  ["a UID", randomUUID()],
  ["UIDs side by side", `${randomUUID()}/${randomUUID()}`],
  ["a serial number", "3A:9F:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD"],
  ["a pod", "reviews-v1-6545db77b9-5g7nw.very-long-namespace-name-2"],
  ["a node", "gke-prod-cluster-1-default-pool-7f6c8d9e-x2k4"],
  ["a trust domain", "spiffe://prod-cluster1.svc.id.goog/ns/bookinfo/sa/bookinfo-productpage"],
  ["a node id", "sidecar~10.244.0.17~productpage-v1-7f44c4d57c-abcde.default~default.svc.cluster.local"],
  ["a type", "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"],
  ["a long name of a class", "EnvoyExtensionsFiltersHttpRouterV3RouterConfigOverride"],
  ["a cluster", "outbound_.9080_._.reviews-canary-v2.default.svc.cluster.local"],
  ["Envoy's version", "c1b2c3d4e5f60718293a4b5c6d7e8f9001122334/1.38.3/Clean/RELEASE/BoringSSL"],
  ["a path", "/var/lib/kubelet/pods/Volumes1/kubernetes.io~projected/kube-api-access-x2k4z/Data_2"],
  ["a role", "arn:aws:iam::123456789012:role/eksctl-Prod-Cluster-NodeInstanceRole-1ABCDEFGHIJKL"],
  ["a resource of Google", "//container.googleapis.com/projects/My-Project-123/locations/us-east1/clusters/Prod1"],
  ["a variable", "ISTIO_META_DNS_CAPTURE_AND_AUTO_ALLOCATE_V2"],
  ["a time", "2026-08-01T10:00:00.000123Z"],
  ["an address", "http://[2001:db8::1]:15000/stats?filter=cluster.outbound&format=prometheus"],
  ["a mail address behind a URL", "see https://example.com/doc or ask ops@example.com"],
  ["a sentence", "cannot read the token: permission denied, see https://istio.io/latest/docs/ops/"],
])("hostile 13: %s is shown", (_what, value) => {
  expect(hideSecretsInText(value)).toBe(value);
  expect(hideSecrets({ node: { metadata: { COLOR: value } }, plain: value }).document).toEqual({
    node: { metadata: { COLOR: value } },
    plain: value,
  });
});

test("hostile 13: certificates and their pins are shown, private keys are not", async () => {
  const { certPem, keyPem } = await (await createTestCa()).issue({ dns: ["a"] });
  const document = {
    caCertificatesPem: [certPem],
    trusted_ca: { inline_string: certPem, inline_bytes: Buffer.from(certPem.slice(0, 300)).toString("base64") },
    verify_certificate_spki: [hash("pin", "base64")],
  };
  expect(hideSecrets(document).document).toEqual(document);
  expect(hideSecretsInText(`${certPem}\n${keyPem}`)).toBe(`${certPem}\n[hidden]\n`.trimEnd() + tail(keyPem));
});

const tail = (pem: string): string => pem.slice(pem.trimEnd().length);

describe.each(runtimes())("$name", (runtime) => {
  test("hostile 13: config shows no secret of a variable, a header, metadata or an address", async () => {
    const folder = await mkdtemp(join(tmpdir(), "pb-secrets-"));
    const metadata = Object.entries(TOKENS).map(([name, value]) => [`ISTIO_META_COLOR_${name}`, value]);
    const env = {
      ...Object.fromEntries(metadata),
      ...Object.fromEntries(Object.entries(TOKENS).map(([name, value]) => [`XDS_HEADER_x_color_${name}`, value])),
      XDS_HEADER_x_api: "short-1",
      CA_HEADER_x_pat: "short-2",
      ISTIO_META_PAT: "short-3",
      PROXY_CONFIG: JSON.stringify({
        proxyMetadata: { PAT: "short-4", DSN: TOKENS.URL, COLOR: TOKENS.GITHUB },
        unknownField: TOKENS.GITHUB,
      }),
    };
    try {
      for (const words of [
        ["config"],
        ["config", "-o", "json"],
        ["config", "node"],
        ["config", "node", "-o", "json"],
      ]) {
        const { stdout, stderr } = await run(runtime, words, { cwd: folder, env });
        expect(stdout, stderr).not.toBe("");
        const shown = stdout + stderr;
        for (const secret of [...SECRET_PARTS, "short-1", "short-2", "short-3", "short-4"]) {
          expect(shown, words.join(" ")).not.toContain(secret);
        }
      }
      const broken = { PROXY_CONFIG: JSON.stringify({ tracing: { zipkin: { address: TOKENS.URL } } }) };
      const refused = await run(runtime, ["config"], { cwd: folder, env: broken });
      expect(refused.code).toBe(2);
      expect(refused.stderr).toContain("[hidden]");
      expect(refused.stderr).not.toContain(KEY);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

test("hostile 13: nothing of the project's own bootstraps is hidden", async () => {
  for (const name of ["sidecar", "gateway"]) {
    const text = await readFile(`test/bootstrap/golden/${name}.json`, "utf8").catch(() => "{}");
    expect(hideSecrets(JSON.parse(text)).document).toEqual(JSON.parse(text));
    expect(hideSecretsInText(text)).toBe(text);
  }
});
