// A stand-in for Envoy, as far as the agent sees it during a start: it asks for configuration and secrets, and its admin says
// when they are there. envoy.mjs -c BOOTSTRAP ...
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect } from "node:http2";
import { dirname, join } from "node:path";

const CONFIGURED = `cluster_manager.cds.update_success: 1
listener_manager.lds.update_success: 1
listener_manager.workers_started: 1
server.state: 0
`;
const TYPES = "type.googleapis.com/envoy";

const file = process.argv[process.argv.indexOf("-c") + 1];
const { admin, node } = JSON.parse(readFileSync(file, "utf8"));
const id = field(1, node.id);
let isConfigured = false;
const { address, port_value: port } = admin.address.socket_address;
createServer((_, response) => response.end(isConfigured ? CONFIGURED : "")).listen(port, address);

const configuration = ask(
  join(dirname(file), "XDS"),
  "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
);
const secrets = ask(
  "var/run/secrets/workload-spiffe-uds/socket",
  "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets",
);
await configuration(field(1, id), field(2, `${TYPES}.config.cluster.v3.Cluster`));
await configuration(field(2, `${TYPES}.config.listener.v3.Listener`));
const secret = field(4, `${TYPES}.extensions.transport_sockets.tls.v3.Secret`);
await secrets(field(2, id), field(3, "default"), secret);
await secrets(field(3, "ROOTCA"), secret);
isConfigured = true;

/** Opens a stream of gRPC; each call sends a message of these fields, and resolves with the next bytes that come. */
function ask(path, method) {
  const session = connect("http://localhost", { path });
  const stream = session.request({
    ":method": "POST",
    ":path": method,
    "content-type": "application/grpc",
    te: "trailers",
  });
  return (...fields) =>
    new Promise((resolve, reject) => {
      stream.once("data", resolve).once("error", reject);
      const message = Buffer.concat(fields);
      const prefix = Buffer.alloc(5);
      prefix.writeUInt32BE(message.length, 1);
      stream.write(Buffer.concat([prefix, message]));
    });
}

/** A field of protobuf with a length: text, or a message. */
function field(number, content) {
  const bytes = Buffer.from(content);
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...varint(bytes.length)]), bytes]);
}

function varint(value) {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >> 7)];
}
