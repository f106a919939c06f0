import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import {
  hideMetadataSecrets,
  hideSecrets,
  hideSecretsInText,
  hideSecretsInWord,
  isSecretName,
} from "../../src/istio/index.ts";

const SECRETS = ["hunter2-hunter2", "tok_4711_abcdef", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.c2ln", "c2VjcmV0LWtleQ=="];
const [password, token, jwt, bytes] = SECRETS as [string, string, string, string];
const PEM = `-----BEGIN EC PRIVATE KEY-----\n${bytes}\n-----END EC PRIVATE KEY-----`;

const DOCUMENT = {
  node: {
    id: "sidecar~10.0.0.1",
    metadata: {
      PROXY_CONFIG: { tracing: { lightstep: { accessToken: token } } },
      TLS_CLIENT_KEY: "/etc/certs/key.pem",
      SIGNING_KEY: password,
    },
  },
  dynamic_resources: {
    ads_config: {
      grpc_services: [
        {
          google_grpc: {
            target_uri: "istiod:15012",
            call_credentials: [{ access_token: token }, { google_refresh_token: token }],
            channel_credentials: { ssl_credentials: { private_key: { inline_string: PEM } } },
          },
          initial_metadata: [
            { key: "authorization", value: `Bearer ${jwt}` },
            { key: "x-api-key", raw_value: bytes },
            { key: "clusterid", value: "Kubernetes" },
          ],
        },
      ],
    },
  },
  static_resources: {
    secrets: [
      { name: "default", tls_certificate: { private_key: { filename: "/etc/key.pem" } } },
      { name: "generic", generic_secret: { secret: { inline_string: password } } },
      { name: "tickets", session_ticket_keys: { keys: [{ inline_bytes: bytes }, { filename: "/etc/ticket" }] } },
    ],
    clusters: [
      {
        name: "redis",
        typed_config: {
          auth_password: { inline_string: password },
          apiKey: token,
          url: `https://me:${password}@host/`,
        },
        transport_socket: {
          typed_config: {
            common_tls_context: {
              tls_certificate_sds_secret_configs: [{ name: "default", sds_config: { api_config_source: "x" } }],
              tls_certificates: [{ private_key: { inline_bytes: bytes }, password: { inline_string: password } }],
            },
          },
        },
      },
    ],
  },
};

test("no secret of a bootstrap is left, and everything else is", () => {
  const { document, hidden } = hideSecrets(DOCUMENT);
  const text = JSON.stringify(document);
  for (const secret of SECRETS) expect(text).not.toContain(secret);
  expect(document).toMatchObject({
    node: { id: "sidecar~10.0.0.1", metadata: { TLS_CLIENT_KEY: "/etc/certs/key.pem", SIGNING_KEY: "[hidden]" } },
    dynamic_resources: {
      ads_config: {
        grpc_services: [
          {
            google_grpc: { target_uri: "istiod:15012" },
            initial_metadata: [
              { key: "authorization", value: "[hidden]" },
              { key: "x-api-key", raw_value: "[hidden]" },
              { key: "clusterid", value: "Kubernetes" },
            ],
          },
        ],
      },
    },
    static_resources: {
      secrets: [
        { name: "default", tls_certificate: { private_key: { filename: "/etc/key.pem" } } },
        { name: "generic", generic_secret: { secret: { inline_string: "[hidden]" } } },
        { name: "tickets", session_ticket_keys: { keys: [{ inline_bytes: "[hidden]" }, { filename: "/etc/ticket" }] } },
      ],
      clusters: [
        {
          name: "redis",
          typed_config: { url: "https://me:[hidden]@host/" },
          transport_socket: {
            typed_config: {
              common_tls_context: {
                tls_certificate_sds_secret_configs: [{ name: "default", sds_config: { api_config_source: "x" } }],
              },
            },
          },
        },
      ],
    },
  });
  expect([...hidden].sort()).toEqual([PEM, token, `Bearer ${jwt}`, bytes, password].sort());
});

test("metadata may be named by anybody; names of files and flags stay", () => {
  const metadata = {
    PROXY_CONFIG: {
      proxyMetadata: { MY_PASSWORD: password, signingKey: password, A: "b" },
      tracing: { tlsSettings: { privateKey: "/etc/key.pem" } },
    },
    TLS_CLIENT_KEY: "/etc/certs/key",
    credential: "true",
    session: { "jwt-key": password, tokenFile: "/etc/token" },
    runtime_key: password,
  };
  expect(hideMetadataSecrets(metadata)).toEqual({
    PROXY_CONFIG: {
      proxyMetadata: { MY_PASSWORD: "[hidden]", signingKey: "[hidden]", A: "b" },
      tracing: { tlsSettings: { privateKey: "/etc/key.pem" } },
    },
    TLS_CLIENT_KEY: "/etc/certs/key",
    credential: "true",
    session: { "jwt-key": "[hidden]", tokenFile: "/etc/token" },
    runtime_key: "[hidden]",
  });
  expect(hideSecrets({ metadata }).document).toEqual({ metadata: hideMetadataSecrets(metadata) });
  expect(hideSecrets({ runtime_key: "overload.a" }).document).toEqual({ runtime_key: "overload.a" });
});

test.each([
  ["ISTIO_META_API_KEY", true],
  ["ISTIO_META_MY_TOKEN", true],
  ["ISTIO_META_TLS_CLIENT_KEY", false],
  ["TOKEN_PATH", false],
  ["monkey", false],
])("%s speaks of a secret: %s", (name, isSecret) => {
  expect(isSecretName(name)).toBe(isSecret);
});

test("our own bootstrap without secrets stays as it is", () => {
  const document: unknown = JSON.parse(readFileSync("test/bootstrap/golden/sidecar.json", "utf8"));
  const cleaned = hideSecrets(document);
  expect(cleaned.document).toEqual(document);
  expect(cleaned.hidden.size).toBe(0);
});

test.each([
  [`dump: ${PEM} end`, "dump: [hidden] end"],
  [`cut off: ${PEM.slice(0, 40)}`, "cut off: [hidden]"],
  [`jwt ${jwt}, rejected`, "jwt [hidden], rejected"],
  [`authorization: Bearer ${token}`, "authorization: Bearer [hidden]"],
  [`{"access_token": "${token}"}`, '{"access_token": "[hidden]"}'],
  [String.raw`near {\"access_token\":\"abc def\",\"a\":1}`, String.raw`near {\"access_token\":\"[hidden]\",\"a\":1}`],
  [`password: ${password}`, "password: [hidden]"],
  ["cannot read the token: permission denied", "cannot read the token: permission denied"],
  ["access_token_file: /etc/token", "access_token_file: /etc/token"],
  [`password=${password}&x=1`, "password=[hidden]&x=1"],
  [`POST https://me:${password}@host:80/x`, "POST https://me:[hidden]@host:80/x"],
  ["[critical] error initializing configuration", "[critical] error initializing configuration"],
  ["http://127.0.0.1:15000/ready a@b", "http://127.0.0.1:15000/ready a@b"],
])("of the line %j this is left: %j", (line, left) => {
  expect(hideSecretsInText(line)).toBe(left);
});

test("what was hidden in the bootstrap is hidden in Envoy's lines, too", () => {
  const { hidden } = hideSecrets(DOCUMENT);
  expect(hideSecretsInText(`bad value ${password} near line 3`, hidden)).toBe("bad value [hidden] near line 3");
});

test("a word of a command line that is a document loses its secrets, another one what looks like one", () => {
  const overlay = JSON.stringify({ node: { id: "n" }, tracing: { access_token: "hunter2" } });
  expect(hideSecretsInWord(overlay)).toBe('{"node":{"id":"n"},"tracing":{"access_token":"[hidden]"}}');
  expect(hideSecretsInWord("password: hunter2")).toBe("password: [hidden]");
  expect(hideSecretsInWord("etc/istio/proxy/envoy-rev.json")).toBe("etc/istio/proxy/envoy-rev.json");
  expect(hideSecretsInWord("15")).toBe("15");
});

test("Envoy's own fields that only speak of tokens, cookies and authorization stay", () => {
  const ordinary = {
    token_bucket: { max_tokens: 100, tokens_per_fill: 50, fill_interval: "1s" },
    descriptors: [{ tokenBucket: { maxTokens: 7, tokensPerFill: { value: 3 }, fillInterval: "60s" } }],
    hash_policy: [{ cookie: { name: "user", ttl: "3600s", path: "/" }, terminal: true }],
    authorization_endpoint: "https://idp.example/authorize",
    authorization_response: { allowed_upstream_headers: { patterns: [{ exact: "x-user" }] } },
    match: { headers: [{ name: ":authority", string_match: { exact: "shop.example" } }] },
  };
  expect(hideSecrets(ordinary).document).toEqual(ordinary);
});

test("a cookie that has a value does not", () => {
  const { document } = hideSecrets({ cookie: "session=s3cr3t", more: { cookie: { name: "session", data: "s3cr3t" } } });
  expect(JSON.stringify(document)).not.toContain("s3cr3t");
});

test.each([
  { string_match: { exact: "s3cr3t", ignore_case: true } },
  { stringMatch: { prefix: "s3cr3t" } },
  { string_match: { suffix: "s3cr3t" } },
  { string_match: { contains: "s3cr3t" } },
  { string_match: { safe_regex: { regex: "s3cr3t|other" } } },
  { exact_match: "s3cr3t" },
  { safe_regex_match: { regex: "s3cr3t" } },
])("the condition on a header with a secret name is hidden: %j", (condition) => {
  const text = (name: string) => JSON.stringify(hideSecrets({ headers: [{ name, ...condition }] }).document);
  expect(text("x-api-key")).not.toContain("s3cr3t");
  expect(text("x-api-key")).toContain("x-api-key");
  expect(text("x-version")).toContain("s3cr3t");
});

test("a long text of beginnings without an end takes no time that grows with its square", () => {
  const text = "-----BEGIN CERTIFICATE-----".repeat(40_000);
  const startMs = performance.now();
  expect(hideSecretsInText(text)).toBe(text);
  expect(performance.now() - startMs).toBeLessThan(5_000); // with the square a quarter of the text took 1.3 s
});
