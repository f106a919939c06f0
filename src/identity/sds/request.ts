import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { StatusSchema } from "../../proto/gen/google/rpc/status_pb.ts";
import type { Request } from "./subscription.ts";

/** What counts of a DiscoveryRequest. Missing fields are empty, as in proto3. */
export interface SecretRequest extends Request {
  readonly nodeId: string;
}

/** Source: envoy/service/discovery/v3/discovery.proto. */
const FIELD = { node: 2, resourceNames: 3, responseNonce: 5, errorDetail: 6 };
/** Source: envoy/config/core/v3/base.proto. */
const NODE_ID = 1;

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
  const { code, message } = fromBinary(StatusSchema, bytes);
  return `${code}: ${message}`;
}

/** Calls `take` for each length-delimited field; fields it does not take (false), and all others, are skipped. */
function readFields(bytes: Uint8Array, take: (field: number, reader: BinaryReader) => boolean): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (wireType !== WireType.LengthDelimited || !take(field, reader)) reader.skip(wireType, field);
  }
}
