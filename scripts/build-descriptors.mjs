// Builds the descriptors of all Envoy v3 messages into one git-ignored module, for the control plane, which turns
// resources in JSON form into protobuf. The .proto files come from a dev dependency; what they lack is added here.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";

const DEPS = "node_modules/@grpc/grpc-js-xds/deps";
const OUTPUT = "src/control-plane/envoy-descriptors.gen.ts";

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

if (!existsSync(OUTPUT) || !readFileSync(OUTPUT, "utf8").startsWith(stamp)) build();

function build() {
  const folder = mkdtempSync(join(tmpdir(), "envoy-descriptors-"));
  try {
    for (const root of ["envoy-api", "googleapis", "protoc-gen-validate", "xds"]) {
      cpSync(`${DEPS}/${root}`, folder, { recursive: true, filter: isWanted });
    }
    mend(folder);
    writeFileSync(join(folder, "buf.yaml"), "version: v2\n");
    const image = join(folder, "image.binpb");
    const buf = join(process.cwd(), "node_modules/.bin/buf");
    const wanted = ["envoy", "udpa", "xds"].flatMap((root) => ["--path", root]);
    const flags = ["--as-file-descriptor-set", "--exclude-source-info", ...wanted, "-o", image];
    execFileSync(buf, ["build", ...flags], { cwd: folder });
    const text = gzipSync(readFileSync(image), { level: 9 }).toString("base64");
    writeFileSync(
      OUTPUT,
      `${stamp}\n/** A FileDescriptorSet, gzip, base64. */\nexport const ENVOY_DESCRIPTORS = "${text}";\n`,
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
  const common = join(folder, "opentelemetry/proto/common/v1/common.proto");
  mkdirSync(dirname(common), { recursive: true });
  writeFileSync(common, OPEN_TELEMETRY_COMMON);
}

function edit(file, change) {
  writeFileSync(file, change(readFileSync(file, "utf8")));
}
