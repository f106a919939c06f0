import { fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { loadServedFiles } from "../../src/control-plane/reflection/served-files.ts";

test("reflection sends the file that was asked for each time, and what it imports once", () => {
  const files = loadServedFiles();
  const sent = new Set<string>();
  const ask = (symbol: string) => {
    const file = files.declaring(symbol);
    if (file === undefined) throw new Error(`nothing declares ${symbol}`);
    return files.withImports(file, sent).map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name);
  };
  const base = "envoy/config/core/v3/base.proto";
  const first = ask("envoy.config.core.v3.Node");
  expect([first[0], new Set(first).size]).toEqual([base, first.length]);
  expect(first.length).toBeGreaterThan(1);
  expect(ask("envoy.config.core.v3.Node")).toEqual([base]);
  const imported = first[1] ?? "";
  expect(files.named(imported)?.proto.name).toBe(imported);
  const again = files.named(imported);
  expect(again && files.withImports(again, sent)).toHaveLength(1);
});
