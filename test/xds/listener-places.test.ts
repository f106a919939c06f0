import { describe, expect, test } from "vitest";
import { silentLogger } from "../../src/base/index.ts";
import { bytesOf, readFields, textOf, typeOf } from "../../src/proto/wire.ts";
import { ListenerPlaces, type WantedListener } from "../../src/xds/listener-places.ts";
import { DELTA, SOTW, type Variant } from "../../src/xds/variant.ts";
import { any, message } from "../support/wire-messages.ts";

const LISTENER = "envoy.config.listener.v3.Listener";
const ROUTES = "envoy.config.route.v3.RouteConfiguration";

interface Options {
  readonly direction?: number;
  readonly also?: string;
  readonly bindToPort?: Buffer;
}

function listener(name: string, address: string, port: number, options: Options = {}): Buffer {
  const at = (host: string): Buffer => message([1, message([2, host], [3, port])]);
  const { direction = 2, also, bindToPort } = options;
  return any(
    LISTENER,
    Buffer.concat([
      message([1, name], [2, at(address)], [16, direction]),
      ...(also === undefined ? [] : [message([33, message([1, at(also)])])]),
      ...(bindToPort === undefined ? [] : [message([26, bindToPort])]),
    ]),
  );
}

describe.each([SOTW, DELTA])("$name", (variant) => {
  test("listeners are moved with all their addresses, left out, or stay byte for byte", async () => {
    const asked: WantedListener[] = [];
    const places = new ListenerPlaces(async (wanted) => {
      asked.push(wanted);
      if (wanted.isInbound) return undefined;
      return { port: wanted.port === 80 ? 8080 : wanted.port };
    }, silentLogger);
    const hook = places.forStream(variant);
    const all = [
      listener("a", "127.0.0.1", 80, { also: "::1" }),
      listener("b", "127.0.0.1", 9000),
      listener("c", "10.0.0.1", 8000, { direction: 1 }),
      listener("virtual", "0.0.0.0", 80, { bindToPort: message() }),
    ];
    const facts = { typeUrl: `type.googleapis.com/${LISTENER}` } as never;
    const rewrite = () => hook.rewrite(response(variant, all), facts, new AbortController().signal);
    expect(portsOf(variant, await rewrite())).toEqual({ a: [8080, 8080], b: [9000], virtual: [80] });
    expect(asked.map(({ name }) => name)).toEqual(["a", "b", "c"]);
    expect(portsOf(variant, await rewrite())).toEqual({ a: [8080, 8080], b: [9000], virtual: [80] });
    expect(asked).toHaveLength(3);
    const stays = response(variant, all.slice(1, 2));
    expect(await hook.rewrite(stays, facts, new AbortController().signal)).toBe(stays);
  });

  test("addresses that stand for all of the machine's become those of the loopback, others stay", async () => {
    const places = new ListenerPlaces(async ({ port }) => ({ port, isLoopback: true }), silentLogger);
    const all = [
      listener("both", "0.0.0.0", 80, { also: "::" }),
      listener("six", "::", 81, { also: "0.0.0.0" }),
      listener("named", "10.0.0.1", 82),
    ];
    const facts = { typeUrl: `type.googleapis.com/${LISTENER}` } as never;
    const rewrite = (sent: Buffer) => places.forStream(variant).rewrite(sent, facts, new AbortController().signal);
    const found = await rewrite(response(variant, all));
    expect(addressesOf(variant, found)).toEqual({
      both: ["127.0.0.1", "::1"],
      six: ["::1", "127.0.0.1"],
      named: ["10.0.0.1"],
    });
    expect(portsOf(variant, found)).toEqual({ both: [80, 80], six: [81, 81], named: [82] });
  });

  test("the routes of the HTTP proxy tell ports apart, others stay", async () => {
    const hook = new ListenerPlaces(async () => undefined, silentLogger).forStream(variant);
    const facts = { typeUrl: `type.googleapis.com/${ROUTES}` } as never;
    const other = response(variant, [any(ROUTES, message([1, "80"], [14, 1]))]);
    expect(await hook.rewrite(other, facts, new AbortController().signal)).toBe(other);
    const proxy = response(variant, [any(ROUTES, message([1, "http_proxy"], [14, 1]))]);
    const next = await hook.rewrite(proxy, facts, new AbortController().signal);
    const [resource = Buffer.alloc(0)] = resourcesOf(variant, next);
    expect(numbersOf(bytesOf(resource, 2), 14).at(-1)).toBe(0);
  });
});

test("bytes that are no protobuf are passed on", async () => {
  const hook = new ListenerPlaces(async () => undefined, silentLogger).forStream(SOTW);
  const broken = Buffer.from([0x12, 0xff]);
  const facts = { typeUrl: `type.googleapis.com/${LISTENER}` } as never;
  expect(await hook.rewrite(broken, facts, new AbortController().signal)).toBe(broken);
});

function response({ response: fields }: Variant, resources: readonly Buffer[]): Buffer {
  const entries = resources.map((one) =>
    fields.anyInResource === undefined ? one : message([fields.anyInResource, one]),
  );
  return Buffer.concat(entries.map((entry) => message([fields.resources, entry])));
}

function resourcesOf({ response: fields }: Variant, bytes: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = [];
  readFields(bytes, (field, reader) => {
    if (field !== fields.resources) return false;
    const entry = reader.bytes();
    found.push(fields.anyInResource === undefined ? entry : bytesOf(entry, fields.anyInResource));
    return true;
  });
  return found;
}

/** Every port of every listener, by its name. */
function portsOf(variant: Variant, bytes: Uint8Array): Record<string, number[]> {
  return Object.fromEntries(
    resourcesOf(variant, bytes).map((resource) => {
      expect(typeOf(resource)).toBe(LISTENER);
      const value = bytesOf(resource, 2);
      const also = bytesOf(bytesOf(bytesOf(value, 33), 1), 1);
      const ports = [bytesOf(bytesOf(value, 2), 1), also].flatMap((socket) => numbersOf(socket, 3).slice(-1));
      return [Buffer.from(bytesOf(value, 1)).toString(), ports];
    }),
  );
}

/** Every address of every listener, by its name; of a field that is there twice the last one counts. */
function addressesOf(variant: Variant, bytes: Uint8Array): Record<string, string[]> {
  return Object.fromEntries(
    resourcesOf(variant, bytes).map((resource) => {
      const value = bytesOf(resource, 2);
      const also = bytesOf(bytesOf(bytesOf(value, 33), 1), 1);
      const all = [bytesOf(bytesOf(value, 2), 1), also].filter((socket) => socket.length > 0);
      return [Buffer.from(bytesOf(value, 1)).toString(), all.map((socket) => textOf(socket, 2))];
    }),
  );
}

function numbersOf(bytes: Uint8Array, wanted: number): number[] {
  const found: number[] = [];
  readFields(
    bytes,
    () => false,
    (field, reader) => {
      if (field !== wanted) return false;
      found.push(reader.uint32());
      return true;
    },
  );
  return found;
}
