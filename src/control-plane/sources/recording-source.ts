import { fromBinary } from "@bufbuild/protobuf";
import { AgentError, describeError, readTextFile, watchPaths } from "../../base/index.ts";
import { type NameTable, NameTableSchema } from "../../proto/gen/istio/networking/nds/v1/nds_pb.ts";
import { type RecordedResource, readRecording } from "../../proto/recording.ts";
import { bytesOf, readFields } from "../../proto/wire.ts";
import { LISTENER_TYPE, NAME_TABLE_TYPE } from "../ads/resource-types.ts";
import { type ListenerPlace, type ResourceGroup, toResource } from "../ads/snapshot.ts";
import type { ResourceSource } from "./source.ts";

/** A recording of a large mesh has hundreds of megabytes at most. */
const MOST_BYTES = 512 * 2 ** 20;

/** What another control plane sent, as `pilotboat xds record` has written it, for every node alike. The file is watched. */
export function recordingSource(file: string): ResourceSource {
  return {
    name: file,
    read: async () => [groupOf(await readText(file), file)],
    watch: (onChange) => watchPaths({ paths: [file], onChange: () => onChange() }),
  };
}

async function readText(file: string): Promise<string> {
  return readTextFile(file, { mostBytes: MOST_BYTES }).catch((cause: unknown) => {
    throw new AgentError("FILE_UNREADABLE", `Cannot read "${file}": ${describeError(cause)}`, { cause });
  });
}

function groupOf(text: string, file: string): ResourceGroup {
  const state = readRecording(text, `"${file}"`);
  const listOf = (typeUrl: string): readonly RecordedResource[] => [...(state.get(typeUrl)?.values() ?? [])];
  const byType = [...state.keys()]
    .filter((typeUrl) => typeUrl !== NAME_TABLE_TYPE)
    .map((typeUrl) => {
      return [typeUrl, listOf(typeUrl).map((one) => toResource(one.name, one.typeUrl, one.value))] as const;
    });
  return {
    match: {},
    byType: new Map(byType),
    names: Object.assign({}, ...listOf(NAME_TABLE_TYPE).map(namesIn)),
    listeners: listOf(LISTENER_TYPE).flatMap(placeOf),
  };
}

function namesIn({ value }: RecordedResource): NameTable["table"] {
  return fromBinary(NameTableSchema, value).table;
}

/** `address.socket_address.port_value`. Source: envoy api/envoy/config/{listener/v3/listener,core/v3/address}.proto. */
function placeOf({ name, value }: RecordedResource): ListenerPlace[] {
  let port = 0;
  const socketAddress = bytesOf(bytesOf(value, 2), 1);
  readFields(
    socketAddress,
    () => false,
    (field, reader) => {
      if (field !== 3) return false;
      port = reader.uint32();
      return true;
    },
  );
  return port === 0 ? [] : [{ name, port }];
}
