import { expect, test } from "vitest";
import { readFields, textOf } from "../../src/proto/wire.ts";
import { peekResponse } from "../../src/xds/peek.ts";
import { ResponseScanner } from "../../src/xds/response-scanner.ts";
import { DELTA, SOTW, type Variant } from "../../src/xds/variant.ts";
import { Chance } from "../support/chance.ts";
import { any, message } from "../support/wire-messages.ts";

const CLUSTER = "envoy.config.cluster.v3.Cluster";
const CLUSTER_URL = `type.googleapis.com/${CLUSTER}`;

/** What the scanner makes of pieces; an Error where they are no whole message. */
function scan(variant: Variant, pieces: readonly Buffer[]) {
  const scanner = new ResponseScanner(variant);
  try {
    for (const piece of pieces) scanner.push(piece);
  } catch (error) {
    return error as Error;
  }
  return scanner.isWhole ? { facts: scanner.facts, contents: scanner.contents } : new Error("not whole");
}

/** The same of the whole message, by a reader of protobuf that is not ours. */
function peek(variant: Variant, whole: Buffer) {
  try {
    return { facts: peekResponse(variant, whole), contents: contentsOf(variant, whole) };
  } catch (error) {
    return error as Error;
  }
}

function contentsOf({ response }: Variant, whole: Buffer) {
  const { nameInResource } = response;
  const [names, removed]: [string[], string[]] = [[], []];
  let count = 0;
  readFields(whole, (field, reader) => {
    if (field === response.removed) removed.push(reader.string());
    else if (field !== response.resources) return false;
    else {
      count++;
      const bytes = reader.bytes();
      if (nameInResource !== undefined) names.push(textOf(bytes, nameInResource));
    }
    return true;
  });
  return { names, removed, count: nameInResource === undefined ? count : undefined };
}

function cut(bytes: Buffer, chance: Chance): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 1 + chance.below(chance.one([1, 8, 500]));
    pieces.push(bytes.subarray(at, end));
    at = end;
  }
  return pieces;
}

const varint = (...bytes: number[]): Buffer => Buffer.from(bytes);
const TEN_BYTES = varint(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01);
const tag = (field: number, wireType: number): Buffer => {
  const number = field * 8 + wireType;
  return number < 128 ? varint(number) : varint((number % 128) + 128, Math.floor(number / 128));
};

/** Fields that no version of Envoy knows, one of each wire type, a group in a group and numbers of ten bytes among them. */
function unknownField(chance: Chance): Buffer {
  return chance.one([
    Buffer.concat([tag(19, 0), TEN_BYTES]),
    Buffer.concat([tag(19, 1), Buffer.alloc(8, 7)]),
    Buffer.concat([tag(200, 5), Buffer.alloc(4, 7)]),
    message([21, Buffer.alloc(chance.below(300), 7)]),
    Buffer.concat([tag(22, 3), tag(23, 3), message([4, "not the type"], [5, "not the nonce"]), tag(23, 4), tag(22, 4)]),
    Buffer.concat([varint(0x82, 0x81, 0x80, 0x00), varint(0x80, 0x00)]), // field 16 in four bytes, its length 0 in two
  ]);
}

function resource(variant: Variant, chance: Chance): Buffer {
  const packed = any(CLUSTER, Buffer.alloc(chance.below(2_000), 1));
  if (variant === SOTW) return chance.one([packed, Buffer.alloc(0)]);
  const fields = [
    message([1, "v1"]),
    message([2, packed]),
    message([3, `outbound|${chance.below(65_536)}||ü.svc`]),
    message([4, "alias"]),
    unknownField(chance),
  ];
  return Buffer.concat([...chance.some(7, () => chance.one(fields)), ...chance.one([[], fields])]);
}

function response(variant: Variant, chance: Chance): Buffer {
  const fields = [
    message([1, `version ${chance.below(1_000)}`]),
    message([4, CLUSTER_URL]),
    message([5, "a nonce".repeat(chance.below(40))]),
    ...chance.some(5, () => message([2, resource(variant, chance)])),
    ...chance.some(3, () => message([6, `gone ${chance.below(1_000)}`])),
    ...chance.some(3, () => unknownField(chance)),
  ];
  return Buffer.concat(chance.below(2) === 0 ? fields : [...fields.slice(3), ...fields.slice(0, 3)]);
}

const VARIANTS = [
  { name: "sotw", variant: SOTW },
  { name: "delta", variant: DELTA },
];

test.each(VARIANTS)("$name: pieces cut anywhere say what the whole message says", ({ variant }) => {
  const chance = new Chance(18);
  for (let round = 0; round < 300; round++) {
    const whole = response(variant, chance);
    expect(scan(variant, cut(whole, chance))).toEqual(peek(variant, whole));
  }
});

test.each(VARIANTS)("$name: a message cut once, at every byte", ({ variant }) => {
  const whole = response(variant, new Chance(3));
  const wanted = peek(variant, whole);
  for (let at = 0; at <= whole.length; at++)
    expect(scan(variant, [whole.subarray(0, at), whole.subarray(at)])).toEqual(wanted);
});

test.each(VARIANTS)("$name: broken bytes are refused where the other reader refuses them", ({ variant }) => {
  const chance = new Chance(7);
  let refused = 0;
  for (let round = 0; round < 1_000; round++) {
    const whole = Buffer.from(response(variant, chance));
    const broken = chance.below(3) === 0 ? whole.subarray(0, chance.below(whole.length + 1)) : whole;
    for (let count = chance.below(3); count > 0 && broken.length > 0; count--)
      broken[chance.below(Math.min(broken.length, 400))] = chance.below(256);
    const [found, wanted] = [scan(variant, cut(broken, chance)), peek(variant, broken)];
    if (found instanceof Error) refused++;
    // the scanner is stricter with numbers that are no 32 or 64 bits
    if (found instanceof Error && /impossible number|ten bytes|not whole/.test(found.message)) continue;
    expect(found instanceof Error, `round ${round}: ${found}, ${wanted}`).toBe(wanted instanceof Error);
    if (!(found instanceof Error)) expect(found, `round ${round}`).toEqual(wanted);
  }
  expect(refused).toBeGreaterThan(100);
});

test("an end within a field, a resource or a group is no whole message", () => {
  const whole = Buffer.concat([message([2, message([3, "name"], [2, any(CLUSTER)])]), tag(22, 3), tag(22, 4)]);
  expect(scan(DELTA, [whole])).toMatchObject({ contents: { names: ["name"] } });
  const edges = [0, whole.length - 4, whole.length];
  for (let at = 0; at <= whole.length; at++)
    expect(scan(DELTA, [whole.subarray(0, at)]) instanceof Error, `${at}`).toBe(!edges.includes(at));
});

test.each([
  [
    "a field that is longer than its resource",
    message([2, Buffer.from([0x1a, 40, 65])], [5, "n".repeat(60)]),
    /longer/,
  ],
  ["a number of eleven bytes", Buffer.concat([tag(19, 0), Buffer.alloc(10, 0xff), varint(1)]), /ten bytes/],
  ["the field 0", varint(0x02, 0x00), /impossible number/],
  ["a wire type that does not exist", varint(0x0f), /wire type 7/],
  ["the end of a group that was not begun", tag(22, 4), /wire type 4/],
  ["a group that ends as another", Buffer.concat([tag(22, 3), tag(23, 4)]), /wire type 4/],
])("%s is refused", (_, bytes, reason) => {
  expect(scan(DELTA, [bytes])).toMatchObject({ message: expect.stringMatching(reason) });
});

test("an enormous name is skipped, what stands behind it is read", () => {
  const whole = message([2, message([3, "x".repeat(200_000)])], [5, "nonce"]);
  expect(scan(DELTA, cut(whole, new Chance(1)))).toMatchObject({
    facts: { nonce: "nonce" },
    contents: { names: [""] },
  });
});
