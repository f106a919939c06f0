import { expect, test } from "vitest";
import { FieldSplitter } from "../../src/last-good/split-fields.ts";
import { message } from "../support/wire-messages.ts";

type Piece = readonly [field: number, value: string | undefined];

function split(bytes: Uint8Array, chunkBytes: number, mostBytes = 1_000): Piece[] {
  const pieces: Piece[] = [];
  const splitter = new FieldSplitter(mostBytes, (field, value) =>
    pieces.push([field, value === undefined ? undefined : Buffer.from(value).toString()]),
  );
  for (let at = 0; at < bytes.length; at += chunkBytes) splitter.write(bytes.subarray(at, at + chunkBytes));
  splitter.end();
  return pieces;
}

const FIXED = Buffer.from([0x3d, 1, 2, 3, 4, 0x41, 1, 2, 3, 4, 5, 6, 7, 8]); // fields 7 and 8, of 4 and 8 bytes
const MESSAGE = Buffer.concat([
  message([1, "version"], [2, "x".repeat(300)], [3, 2 ** 40], [4, ""]),
  FIXED,
  message([2_000, "last"]),
]);

test("a message is split in the same fields, wherever it was cut", () => {
  const whole = split(MESSAGE, MESSAGE.length);
  expect(whole).toEqual([
    [1, "version"],
    [2, "x".repeat(300)],
    [4, ""],
    [2_000, "last"],
  ]);
  for (let chunkBytes = 1; chunkBytes < 50; chunkBytes++) expect(split(MESSAGE, chunkBytes)).toEqual(whole);
});

test("a field above the limit is passed over", () => {
  expect(split(MESSAGE, 10, 299)).toEqual([
    [1, "version"],
    [2, undefined],
    [4, ""],
    [2_000, "last"],
  ]);
});

test.each([
  ["cut in a value", MESSAGE.subarray(0, 20), "ends in the middle"],
  ["cut in a tag", MESSAGE.subarray(0, MESSAGE.length - 6), "ends in the middle"],
  ["a group", Buffer.from([0x0b]), "wire type 3"],
  ["field 0", Buffer.from([0x02, 0x00]), "no number"],
  ["an endless number", Buffer.alloc(11, 0xff), "ten bytes"],
  ["an impossible length", Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f]), "bytes"],
])("%s is refused", (_, bytes, why) => {
  expect(() => split(bytes, 3)).toThrow(why);
});
