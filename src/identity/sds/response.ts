import { randomUUID } from "node:crypto";
import { encodeFields } from "../../proto/wire.ts";
import type { SecretItem } from "../secrets/secret-item.ts";

const TYPES = "type.googleapis.com/envoy.extensions";
const SECRET_TYPE = `${TYPES}.transport_sockets.tls.v3.Secret`;
const PROVIDER_TYPES = {
  cryptomb: `${TYPES}.private_key_providers.cryptomb.v3alpha.CryptoMbPrivateKeyMethodConfig`,
  qat: `${TYPES}.private_key_providers.qat.v3alpha.QatPrivateKeyMethodConfig`,
};

/** Field numbers. Source: envoyproxy/data-plane-api, google/protobuf; both providers' messages have the same. */
const RESPONSE = { versionInfo: 1, resources: 2, typeUrl: 4, nonce: 5 };
const ANY = { typeUrl: 1, value: 2 };
const SECRET = { name: 1, tlsCertificate: 2, validationContext: 4 };
const TLS_CERTIFICATE = { certificateChain: 1, privateKey: 2, privateKeyProvider: 6 };
const VALIDATION_CONTEXT = { trustedCa: 1, crl: 7 };
const DATA_SOURCE = { inlineBytes: 2 };
const PRIVATE_KEY_PROVIDER = { providerName: 1, typedConfig: 3, fallback: 4 };
const PROVIDER_CONFIG = { privateKey: 1, pollDelay: 2 };
const DURATION = { seconds: 1, nanos: 2 };

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
    const any = encodeAny(SECRET_TYPE, encodeSecret(item, provider));
    const bytes = encodeFields({ [RESPONSE.resources]: any });
    encoded.set(item, bytes);
    return bytes;
  };
  return (items) => {
    const nonce = randomUUID();
    const versionInfo = `${new Date().toISOString().slice(0, 19)}Z/${++version}`;
    const head = { [RESPONSE.versionInfo]: versionInfo, [RESPONSE.typeUrl]: SECRET_TYPE, [RESPONSE.nonce]: nonce };
    return { nonce, bytes: Buffer.concat([encodeFields(head), ...items.map(encode)]) };
  };
}

function encodeSecret(item: SecretItem, provider: KeyProvider | undefined): Uint8Array {
  const type =
    item.kind === "roots"
      ? { [SECRET.validationContext]: encodeRoots(item.roots, item.crl) }
      : { [SECRET.tlsCertificate]: encodeCertificate(item.certChain, item.key.reveal(), provider) };
  return encodeFields({ [SECRET.name]: item.name, ...type });
}

function encodeRoots(roots: Uint8Array, crl: Uint8Array | undefined): Uint8Array {
  return encodeFields({
    [VALIDATION_CONTEXT.trustedCa]: inline(roots),
    [VALIDATION_CONTEXT.crl]: crl === undefined ? undefined : inline(crl),
  });
}

function encodeCertificate(chain: Uint8Array, key: Uint8Array, provider: KeyProvider | undefined): Uint8Array {
  return encodeFields({
    [TLS_CERTIFICATE.certificateChain]: inline(chain),
    ...(provider === undefined
      ? { [TLS_CERTIFICATE.privateKey]: inline(key) }
      : { [TLS_CERTIFICATE.privateKeyProvider]: encodeProvider(provider, key) }),
  });
}

function encodeProvider({ kind, pollDelayMs, fallback }: KeyProvider, key: Uint8Array): Uint8Array {
  const pollDelay = encodeFields({
    [DURATION.seconds]: Math.floor(pollDelayMs / 1_000),
    [DURATION.nanos]: Math.round((pollDelayMs % 1_000) * 1_000_000),
  });
  const config = encodeFields({ [PROVIDER_CONFIG.privateKey]: inline(key), [PROVIDER_CONFIG.pollDelay]: pollDelay });
  return encodeFields({
    [PRIVATE_KEY_PROVIDER.providerName]: kind,
    [PRIVATE_KEY_PROVIDER.typedConfig]: encodeAny(PROVIDER_TYPES[kind], config),
    [PRIVATE_KEY_PROVIDER.fallback]: fallback,
  });
}

function encodeAny(typeUrl: string, value: Uint8Array): Uint8Array {
  return encodeFields({ [ANY.typeUrl]: typeUrl, [ANY.value]: value });
}

function inline(bytes: Uint8Array): Uint8Array {
  return encodeFields({ [DATA_SOURCE.inlineBytes]: bytes });
}
