// Builds the descriptors of Envoy's v3 messages into one git-ignored module, for whoever turns resources in JSON form into
// protobuf and back. The .proto files come from a dev dependency; what they lack is added here. Two sets, because
// all messages take a tenth of a second to load and most meshes are made of a few.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { create, fromBinary, isFieldSet, toBinary } from "@bufbuild/protobuf";
import { FieldOptionsSchema, FileDescriptorSetSchema, MessageOptionsSchema } from "@bufbuild/protobuf/wkt";

const DEPS = "node_modules/@grpc/grpc-js-xds/deps";
const OUTPUT = "src/proto/envoy-descriptors.gen.ts";

/** What the small set is made of, with everything that they refer to. */
const USUAL_TYPES = [
  "envoy.config.cluster.v3.Cluster",
  "envoy.config.core.v3.TypedExtensionConfig",
  "envoy.config.endpoint.v3.ClusterLoadAssignment",
  "envoy.config.listener.v3.Listener",
  "envoy.config.route.v3.RouteConfiguration",
  "envoy.extensions.access_loggers.file.v3.FileAccessLog",
  "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
  "envoy.extensions.filters.http.router.v3.Router",
  "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
  "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
  "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
  "envoy.extensions.transport_sockets.tls.v3.Secret",
  "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
  "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
  "udpa.type.v1.TypedStruct",
  "xds.type.v3.TypedStruct",
];

/** Its service is kept, for reflection. */
const ADS_FILE = "envoy/service/discovery/v3/ads.proto";

const inputs = [readFileSync("scripts/build-descriptors.mjs"), readFileSync(`${DEPS}/../package.json`)];
const stamp = `// inputs ${createHash("sha256").update(Buffer.concat(inputs)).digest("hex")}`;
// Names and numbers of opentelemetry-proto's common messages, which Envoy's access logger configuration uses.
const OPEN_TELEMETRY_COMMON = `syntax = "proto3";
package opentelemetry.proto.common.v1;
message AnyValue {
  oneof value {
    string string_value = 1;
    bool bool_value = 2;
    int64 int_value = 3;
    double double_value = 4;
    ArrayValue array_value = 5;
    KeyValueList kvlist_value = 6;
    bytes bytes_value = 7;
  }
}
message ArrayValue { repeated AnyValue values = 1; }
message KeyValueList { repeated KeyValue values = 1; }
message KeyValue { string key = 1; AnyValue value = 2; }
`;
// Names and numbers of what Envoy's Wasm plugins have got since the dependency was made.
const WASM_FAILURE_POLICY = `
import "envoy/config/core/v3/backoff.proto";
import "google/protobuf/wrappers.proto";
enum FailurePolicy {
  UNSPECIFIED = 0;
  FAIL_RELOAD = 1;
  FAIL_CLOSED = 2;
  FAIL_OPEN = 3;
}
message ReloadConfig { config.core.v3.BackoffStrategy backoff = 1; }
`;
const WASM_PLUGIN_FIELDS = `
  FailurePolicy failure_policy = 7;
  ReloadConfig reload_config = 8;
  google.protobuf.BoolValue allow_on_headers_stop_iteration = 9;
`;

if (!existsSync(OUTPUT) || !readFileSync(OUTPUT, "utf8").startsWith(stamp)) build();

function build() {
  const folder = mkdtempSync(join(tmpdir(), "envoy-descriptors-"));
  try {
    for (const root of ["envoy-api", "googleapis", "protoc-gen-validate", "xds"]) {
      cpSync(`${DEPS}/${root}`, folder, { recursive: true, filter: isWanted });
    }
    mend(folder);
    writeFileSync(join(folder, "buf.yaml"), "version: v2\n");
    const build = (from, flags, to) => {
      const buf = join(process.cwd(), "node_modules/.bin/buf");
      execFileSync(buf, ["build", ...from, "--exclude-source-info", ...flags, "-o", to], { cwd: folder });
    };
    const wanted = ["envoy", "udpa", "xds"].flatMap((root) => ["--path", root]);
    build([], wanted, "all.binpb");
    build(
      ["all.binpb", "--as-file-descriptor-set"],
      USUAL_TYPES.flatMap((type) => ["--type", type]),
      "usual.binpb",
    );
    writeFileSync(
      OUTPUT,
      `${stamp}
/** FileDescriptorSets without options, and of the services only ADS, gzip, base64: the messages that most meshes are made of. */
export const USUAL_DESCRIPTORS = "${packed(join(folder, "usual.binpb"))}";

/** All of them, the usual ones included. */
export const ENVOY_DESCRIPTORS = "${packed(join(folder, "all.binpb"))}";
`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Version 2 of the API is gone from Envoy; three services need files that the dependency does not carry. */
function isWanted(path) {
  return !/\/v2(alpha)?\d*(\/|$)|\/service\/(trace|metrics)(\/|$)|\/config\/trace\/v3\/opencensus\.proto$/.test(path);
}

function mend(folder) {
  edit(join(folder, "validate/validate.proto"), (text) =>
    /message StringRules \{[^}]*ignore_empty/s.test(text)
      ? text
      : text.replace(/message StringRules \{/, "message StringRules {\n    optional bool ignore_empty = 26;\n"),
  );
  edit(join(folder, "envoy/config/trace/v3/trace.proto"), (text) =>
    text.replace(/import [a-z ]*"envoy\/config\/trace\/v3\/opencensus\.proto";\r?\n/, ""),
  );
  edit(join(folder, "envoy/extensions/wasm/v3/wasm.proto"), (text) =>
    text.includes("enum FailurePolicy")
      ? text
      : text.replace(/message PluginConfig \{/, (start) => start + WASM_PLUGIN_FIELDS) + WASM_FAILURE_POLICY,
  );
  const common = join(folder, "opentelemetry/proto/common/v1/common.proto");
  mkdirSync(dirname(common), { recursive: true });
  writeFileSync(common, OPEN_TELEMETRY_COMMON);
}

function edit(file, change) {
  writeFileSync(file, change(readFileSync(file, "utf8")));
}

function packed(file) {
  const set = fromBinary(FileDescriptorSetSchema, readFileSync(file));
  set.file = set.file.filter(({ name }) => !isAnnotation(name));
  for (const one of set.file) {
    const service = one.name === ADS_FILE ? one.service.map(withoutOptions) : [];
    Object.assign(one, { options: undefined, service, extension: [], publicDependency: [], weakDependency: [] });
    one.dependency = one.dependency.filter((name) => !isAnnotation(name));
    one.messageType.forEach(stripMessage);
    one.enumType.forEach(stripEnum);
  }
  return gzipSync(toBinary(FileDescriptorSetSchema, set), { level: 9 }).toString("base64");
}

function withoutOptions(service) {
  for (const method of service.method) method.options = undefined;
  return Object.assign(service, { options: undefined });
}

/** Files that declare nothing but options, which are half of the bytes: rules for validation, notes for generators. */
function isAnnotation(name) {
  return /^(validate|(udpa|xds|envoy)\/annotations|google\/api\/(annotations|http)\.proto|google\/protobuf\/descriptor)/.test(
    name,
  );
}

/** Two options say how a message is written and stay. */
function stripMessage(message) {
  message.options = message.options?.mapEntry ? create(MessageOptionsSchema, { mapEntry: true }) : undefined;
  message.extension = [];
  for (const field of message.field) {
    const { options } = field;
    const hasPacked = options !== undefined && isFieldSet(options, FieldOptionsSchema.field.packed);
    field.options = hasPacked ? create(FieldOptionsSchema, { packed: options.packed }) : undefined;
  }
  for (const oneof of message.oneofDecl) oneof.options = undefined;
  message.enumType.forEach(stripEnum);
  message.nestedType.forEach(stripMessage);
}

function stripEnum(type) {
  type.options = undefined;
  for (const value of type.value) value.options = undefined;
}
