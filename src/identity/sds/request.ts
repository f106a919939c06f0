import { readFields } from "../../proto/wire.ts";
import type { Request } from "./subscription.ts";

/** What counts of a DiscoveryRequest. Missing fields are empty, as in proto3. */
export interface SecretRequest extends Request {
  readonly nodeId: string;
}

/** Source: envoy/service/discovery/v3/discovery.proto. */
const FIELD = { node: 2, resourceNames: 3, responseNonce: 5, errorDetail: 6 };
/** Source: envoy/config/core/v3/base.proto. */
const NODE_ID = 1;
/** Source: google/rpc/status.proto. */
const STATUS = { code: 1, message: 2 };

/**
 * Reads a request. The node's metadata, kilobytes on each stream, is skipped: decoding it would take about as long as
 * all the rest of an answer. Throws on bytes that are not protobuf.
 */
export function readRequest(bytes: Uint8Array): SecretRequest {
  const names: string[] = [];
  let [nodeId, responseNonce, rejection]: [string, string, string | undefined] = ["", "", undefined];
  readFields(bytes, (field, reader) => {
    if (field === FIELD.node) nodeId = readNodeId(reader.bytes());
    else if (field === FIELD.resourceNames) names.push(reader.string());
    else if (field === FIELD.responseNonce) responseNonce = reader.string();
    else if (field === FIELD.errorDetail) rejection = readStatus(reader.bytes());
    else return false;
    return true;
  });
  return { nodeId, names, responseNonce, rejection };
}

function readNodeId(bytes: Uint8Array): string {
  let id = "";
  readFields(bytes, (field, reader) => {
    if (field !== NODE_ID) return false;
    id = reader.string();
    return true;
  });
  return id;
}

function readStatus(bytes: Uint8Array): string {
  let [code, message] = [0, ""];
  readFields(
    bytes,
    (field, reader) => {
      if (field !== STATUS.message) return false;
      message = reader.string();
      return true;
    },
    (field, reader) => {
      if (field !== STATUS.code) return false;
      code = reader.int32();
      return true;
    },
  );
  return `${code}: ${message}`;
}
