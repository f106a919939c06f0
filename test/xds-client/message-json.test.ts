import { create, toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { loadEnvoyTypes } from "../../src/proto/envoy-types.ts";
import { anyJson } from "../../src/proto/message-json.ts";

const types = loadEnvoyTypes();
const prefix = "type.googleapis.com/";
const CLUSTER = "envoy.config.cluster.v3.Cluster";
const SECRET = "envoy.extensions.transport_sockets.tls.v3.Secret";
const show = (typeName: string, value: Uint8Array) =>
  anyJson({ typeUrl: `${prefix}${typeName}`, value }, { find: types.find, hidden: "(hidden)" });

test("every Any is expanded, in protobuf's JSON form", () => {
  const cluster = {
    "@type": `${prefix}${CLUSTER}`,
    name: "web",
    type: "EDS",
    connectTimeout: "1.500s",
    circuitBreakers: { thresholds: [{ maxConnections: 4294967295, trackRemaining: true }] },
    metadata: { filterMetadata: { istio: { services: [{ host: "web", port: 8080, none: null }] } } },
    typedExtensionProtocolOptions: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": `${prefix}envoy.extensions.upstreams.http.v3.HttpProtocolOptions`,
        explicitHttpConfig: { http2ProtocolOptions: { maxConcurrentStreams: 7 } },
      },
    },
    lbPolicy: "RING_HASH",
    ringHashLbConfig: { minimumRingSize: "18446744073709551615" },
  };
  const { "@type": _, ...fields } = cluster;
  expect(show(CLUSTER, types.encode(CLUSTER, fields))).toEqual(cluster);
});

test("what is not known, or not what it claims to be, stays as base64 inside of what is known", () => {
  const unknown = { "@type": `${prefix}acme.v1.Own`, value: "CgNhYmM=" };
  const any = toBinary(AnySchema, create(AnySchema, { typeUrl: unknown["@type"], value: Buffer.from("\n\x03abc") }));
  const filter = Buffer.concat([Buffer.from([0x0a, 3]), Buffer.from("own"), Buffer.from([0x22, any.length]), any]);
  const chain = Buffer.concat([Buffer.from([0x1a, filter.length]), filter]);
  const listener = Buffer.concat([Buffer.from([0x1a, chain.length]), chain]);
  expect(show("envoy.config.listener.v3.Listener", listener)).toMatchObject({
    filterChains: [{ filters: [{ name: "own", typedConfig: unknown }] }],
  });
  const broken = Buffer.from([0xff, 0xff]);
  expect(show(CLUSTER, broken)).toEqual({ "@type": `${prefix}${CLUSTER}`, value: "//8=" });
});

test("private keys, passwords and generic secrets are hidden wherever they stand; the names of files stay", () => {
  const inline = (text: string) => ({ inlineBytes: Buffer.from(text).toString("base64") });
  const secret = {
    name: "s",
    tlsCertificate: { certificateChain: inline("chain"), privateKey: inline("KEY"), password: { inlineString: "pw" } },
  };
  const shown = JSON.stringify(show(SECRET, types.encode(SECRET, secret)));
  expect(shown).toContain(inline("chain").inlineBytes);
  expect(shown).toContain('"privateKey":{"inlineBytes":"(hidden)"},"password":{"inlineString":"(hidden)"}');
  const byFile = { tlsCertificate: { privateKey: { filename: "/etc/key.pem" } } };
  expect(show(SECRET, types.encode(SECRET, byFile))).toMatchObject(byFile);
  const generic = { genericSecret: { secret: { inlineString: "word" } } };
  expect(JSON.stringify(show(SECRET, types.encode(SECRET, generic)))).not.toContain("word");
  const tls = {
    "@type": `${prefix}envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext`,
    commonTlsContext: { tlsCertificates: [{ privateKey: { inlineString: "KEY" } }] },
  };
  const cluster = types.encode(CLUSTER, { name: "c", transportSocket: { name: "tls", typedConfig: tls } });
  expect(JSON.stringify(show(CLUSTER, cluster))).not.toContain("KEY");
  const pem = Buffer.from("-----BEGIN PRIVATE KEY-----");
  expect(show("acme.v1.Own", pem)).toEqual({ "@type": `${prefix}acme.v1.Own`, value: "(hidden)" });
});
