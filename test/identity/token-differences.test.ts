import { expect, test } from "vitest";
import { readClaims } from "../../src/identity/tokens/jwt.ts";
import { explainRefusedToken } from "../../src/identity/tokens/token-differences.ts";

const GOOD = { aud: ["istio-ca"], iss: "https://k8s", sub: "system:serviceaccount:shop:web", nbf: 1_000 };
const ASKED = { namespace: "shop", serviceAccount: "web", clusterId: "" };
const KNOWN = 'the token (of "shop/web", from issuer "https://k8s") must be valid to the API server of';

test.each<[string, Readonly<Record<string, unknown>>, Partial<typeof ASKED>, string]>([
  ["nothing", {}, {}, `${KNOWN} istiod's own cluster`],
  [
    "the cluster",
    {},
    { clusterId: "c2" },
    `${KNOWN} cluster "c2" (ISTIO_META_CLUSTER_ID), and istiod must know that cluster`,
  ],
  [
    "an audience",
    { aud: "vault" },
    {},
    'the token is for audience "vault", and istiod wants "istio-ca" unless its TOKEN_AUDIENCES says otherwise',
  ],
  ["audiences", { aud: ["a", "b"] }, {}, 'the token is for audience "a", "b", and istiod wants'],
  ["no audience", { aud: undefined }, {}, "the token is for no audience, and istiod wants"],
  ["one of several audiences", { aud: ["a", "istio-ca"] }, {}, KNOWN],
  [
    "the account",
    {},
    { serviceAccount: "db" },
    'the token is of the service account "shop/web", but SERVICE_ACCOUNT is "db"',
  ],
  ["the namespace", {}, { namespace: "n" }, 'the token is of the service account "shop/web", but POD_NAMESPACE is "n"'],
  ["both", {}, { namespace: "n", serviceAccount: "db" }, 'but POD_NAMESPACE is "n" and SERVICE_ACCOUNT is "db"'],
  ["what is not said", {}, { namespace: "", serviceAccount: "" }, KNOWN],
  [
    "the kind of subject",
    { sub: "joe" },
    {},
    'the token is of subject "joe", which is no service account of Kubernetes',
  ],
  ["the clock", { nbf: 2_000 }, {}, "the token holds only from 1970-01-01T00:33:20Z on: compare this machine's clock"],
  ["a clock that cannot be", { nbf: 1e308 }, {}, "the token holds only from +275760-09-13T00:00:00Z on"],
  ["two things", { aud: "a", nbf: 2_000 }, {}, "says otherwise, and it holds only from"],
])("a refused token is explained by %s", (_name, claims, asked, text) => {
  expect(explainRefusedToken(readClaims(jwt({ ...GOOD, ...claims })), { ...ASKED, ...asked }, 1_500_000)).toContain(
    text,
  );
});

test("claims of other types are missing, and long ones are cut", () => {
  const read = readClaims(jwt({ aud: [1, "a"], iss: 7, sub: "x".repeat(1_000), nbf: "soon" }));
  expect(read).toEqual({ audiences: ["a"], issuer: "", subject: "x".repeat(200), notBeforeMs: undefined });
  expect(readClaims("no token")).toEqual({ audiences: [], issuer: "", subject: "", notBeforeMs: undefined });
});

function jwt(claims: unknown): string {
  return `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.c2ln`;
}
