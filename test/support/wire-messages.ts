import { encodeFields, type FieldValue } from "../../src/proto/wire.ts";
import type { Variant } from "../../src/xds/variant.ts";

/** A message out of its fields in the order that they are given, so that a field can be repeated. */
export function message(...fields: readonly (readonly [number: number, value: FieldValue])[]): Buffer {
  return Buffer.concat(fields.map(([number, value]) => encodeFields({ [number]: value })));
}

/** The first request of an Envoy with extensions of these configurations. */
export function firstRequest(variant: Variant, typeUrl: string, extensionTypes: readonly string[]): Buffer {
  const extension = (type: string) =>
    message([1, `name of ${type}`], [2, "envoy.filters.http"], [6, "another.Type"], [6, type]);
  const node = message(
    [1, "sidecar~1.1.1.1~a.b~b.svc"],
    [6, "envoy"],
    ...extensionTypes.map((type) => [9, extension(type)] as const),
  );
  return message([variant.request.node, node], [variant.request.typeUrl, typeUrl]);
}

/** A `google.protobuf.Any`. */
export function any(type: string, value: Uint8Array = new Uint8Array()): Buffer {
  return message([1, `type.googleapis.com/${type}`], [2, value]);
}

/** A `TypedStruct` of one text field, as istiod writes configurations whose messages it does not import. */
export function typedStruct(type: string, wrapper = "xds.type.v3.TypedStruct"): Buffer {
  const struct = message([1, message([1, "protocol"], [2, message([3, "istio-peer-exchange"])])]);
  return any(wrapper, message([1, `type.googleapis.com/${type}`], [2, struct]));
}
