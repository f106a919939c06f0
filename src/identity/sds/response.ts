import { randomUUID } from "node:crypto";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { AnySchema, anyPack, durationFromMs } from "@bufbuild/protobuf/wkt";
import { CryptoMbPrivateKeyMethodConfigSchema } from "../../proto/gen/envoy/extensions/private_key_providers/cryptomb/v3alpha/cryptomb_pb.ts";
import { QatPrivateKeyMethodConfigSchema } from "../../proto/gen/envoy/extensions/private_key_providers/qat/v3alpha/qat_pb.ts";
import { SecretSchema } from "../../proto/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts";
import { DiscoveryResponseSchema } from "../../proto/gen/envoy/service/discovery/v3/discovery_pb.ts";
import type { SecretItem } from "../secrets/secret-item.ts";

const SECRET_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/** Hardware or vector instructions that do the private key's work (ProxyConfig `privateKeyProvider`). */
export interface KeyProvider {
  readonly kind: "cryptomb" | "qat";
  readonly pollDelayMs: number;
  /** Whether Envoy may go on without it when the machine lacks it. */
  readonly fallback: boolean;
}

/** A DiscoveryResponse in its final form. */
export interface EncodedResponse {
  readonly nonce: string;
  readonly bytes: Buffer;
}

let version = 0; // of the process, as in Istio: no two responses have the same

/**
 * Returns how to pack secrets in Envoy's form. Many streams are sent the same secret: its bytes are made once, and
 * live no longer than it does. What differs between responses is put before them, because protobuf messages that
 * follow each other are one message.
 */
export function createResponder(provider: KeyProvider | undefined): (items: readonly SecretItem[]) => EncodedResponse {
  const encoded = new WeakMap<SecretItem, Uint8Array>();
  const encode = (item: SecretItem): Uint8Array => {
    const known = encoded.get(item);
    if (known !== undefined) return known;
    const value = toBinary(SecretSchema, create(SecretSchema, secretOf(item, provider)));
    const bytes = encodeFields({ resources: [create(AnySchema, { typeUrl: SECRET_TYPE, value })] });
    encoded.set(item, bytes);
    return bytes;
  };
  return (items) => {
    const nonce = randomUUID();
    const versionInfo = `${new Date().toISOString().slice(0, 19)}Z/${++version}`;
    const head = encodeFields({ versionInfo, typeUrl: SECRET_TYPE, nonce });
    return { nonce, bytes: Buffer.concat([head, ...items.map(encode)]) };
  };
}

function encodeFields(fields: MessageInitShape<typeof DiscoveryResponseSchema>): Uint8Array {
  return toBinary(DiscoveryResponseSchema, create(DiscoveryResponseSchema, fields));
}

function secretOf(item: SecretItem, provider: KeyProvider | undefined): MessageInitShape<typeof SecretSchema> {
  if (item.kind === "roots") {
    const crl =
      item.crlFile === undefined ? {} : { crl: { specifier: { case: "filename" as const, value: item.crlFile } } };
    return { name: item.name, type: { case: "validationContext", value: { trustedCa: inline(item.roots), ...crl } } };
  }
  const key =
    provider === undefined
      ? { privateKey: inline(item.key.reveal()) }
      : { privateKeyProvider: providerOf(provider, item.key.reveal()) };
  return {
    name: item.name,
    type: { case: "tlsCertificate", value: { certificateChain: inline(item.certChain), ...key } },
  };
}

function providerOf({ kind, pollDelayMs, fallback }: KeyProvider, key: Uint8Array) {
  const config = { privateKey: inline(key), pollDelay: durationFromMs(pollDelayMs) };
  const packed =
    kind === "cryptomb"
      ? anyPack(CryptoMbPrivateKeyMethodConfigSchema, create(CryptoMbPrivateKeyMethodConfigSchema, config))
      : anyPack(QatPrivateKeyMethodConfigSchema, create(QatPrivateKeyMethodConfigSchema, config));
  return { providerName: kind, fallback, configType: { case: "typedConfig" as const, value: packed } };
}

function inline(bytes: Uint8Array) {
  return { specifier: { case: "inlineBytes" as const, value: bytes } };
}
