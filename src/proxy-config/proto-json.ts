import { HIDDEN } from "../base/index.ts";

/** Below these a message has names of its user's, not fields. Source: the maps and structs of Envoy's API. */
const OPAQUE = new Set(["filter_metadata", "metadata", "map", "static_layer", "json_format", "typed_filter_metadata"]);
/** A field of Envoy's API; names of filters and types have dots. */
const FIELD = /^[a-z][a-z0-9]*(_[a-z0-9]+)+$/;

/** The same message with its fields in lowerCamelCase, as istioctl prints it and protobuf's JSON has it; Envoy's own has snake_case. */
export function protoJson(message: unknown): unknown {
  if (Array.isArray(message)) return message.map(protoJson);
  if (typeof message !== "object" || message === null) return message;
  return Object.fromEntries(
    Object.entries(message).map(([name, value]) => [
      FIELD.test(name) ? name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()) : name,
      name === "metadata" ? metadataJson(value) : OPAQUE.has(name) ? value : protoJson(value),
    ]),
  );
}

/** Of a resource, whose structs are below fields, or of a node, which is a struct itself. */
function metadataJson(value: unknown): unknown {
  const isOfResource =
    typeof value === "object" && value !== null && ("filter_metadata" in value || "typed_filter_metadata" in value);
  if (!isOfResource) return value;
  return protoJson(value);
}

/** What of a secret only its owner may know. Source: envoy api/envoy/extensions/transport_sockets/tls/v3/{common,secret}.proto. */
const PRIVATE = new Set([
  "private_key",
  "private_key_provider",
  "password",
  "pkcs12",
  "session_ticket_keys",
  "generic_secret",
]);

/** Protobuf's JSON has both spellings of a field: `private_key`, and `privateKey` as istioctl prints it. */
function isPrivate(field: string): boolean {
  return PRIVATE.has(field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
}

/** The dump of secrets without what is private in it, also where Envoy would have left it in. */
export function withoutPrivate(message: unknown): unknown {
  if (Array.isArray(message)) return message.map(withoutPrivate);
  if (typeof message !== "object" || message === null) return message;
  return Object.fromEntries(
    Object.entries(message).map(([name, value]) => [name, isPrivate(name) ? HIDDEN : withoutPrivate(value)]),
  );
}
