import { generateKeyPair, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import { AgentError, Secret } from "../../base/index.ts";
import { refusedKey } from "../../istio/index.ts";
import { isLeftToChild, rsaKeyOfChild } from "./key-process.ts";

/** What keys to make and how they are written: `traditional` is PKCS#1 or SEC1, otherwise PKCS#8. */
export interface KeySpec {
  readonly kind: { readonly rsaBits: number } | { readonly curve: "P-256" | "P-384" };
  readonly encoding: "traditional" | "pkcs8";
}

/** The words of the environment that choose a key. */
export interface KeySettings {
  /** `WORKLOAD_RSA_KEY_SIZE`. */
  readonly rsaKeySize: number;
  /** `ECC_SIGNATURE_ALGORITHM`: empty or `ECDSA`. */
  readonly eccAlgorithm: string;
  /** `ECC_CURVE`: `P384`; anything else is P-256. */
  readonly eccCurve: string;
  /** `PKCS8_KEY`. */
  readonly isPkcs8: boolean;
}

/** A private key, in memory and as the PEM text that is handed to Envoy. */
export interface PrivateKey {
  readonly key: KeyObject;
  readonly pem: Secret;
}

/** Hands out private keys; each is given once. Disposing it ends the making of one. */
export interface KeySource extends AsyncDisposable {
  /** Rejects with the signal's reason as soon as it aborts. */
  next(signal?: AbortSignal): Promise<PrivateKey>;
}

/** Chooses the key, or throws CONFIG_INVALID naming the variable. Source: istio/istio security/pkg/pki/util/generate_csr.go. */
export function keySpec(settings: KeySettings): KeySpec {
  const encoding = settings.isPkcs8 ? "pkcs8" : "traditional";
  if (settings.eccAlgorithm === "ECDSA") {
    return { kind: { curve: settings.eccCurve === "P384" ? "P-384" : "P-256" }, encoding };
  }
  const refused = refusedKey(settings);
  if (refused !== undefined) throw new AgentError("CONFIG_INVALID", `${refused.name}: ${refused.message}`);
  return { kind: { rsaBits: settings.rsaKeySize }, encoding };
}

/**
 * Starts generating the first key at once, on another thread, so that it is ready before anyone asks. Later keys are
 * made when asked for: they are hours apart, and a key at rest in memory is one that can leak.
 */
export function startKeyGeneration(spec: KeySpec): KeySource {
  const closing = new AbortController();
  const atWork = new Set<Promise<unknown>>();
  const make = (): Promise<PrivateKey> => {
    const making = generate(spec, closing.signal);
    atWork.add(making);
    void making.catch(() => undefined).then(() => atWork.delete(making)); // a failure is reported to whoever calls next()
    return making;
  };
  let first: Promise<PrivateKey> | undefined = make();
  return {
    next(signal) {
      const prepared = first ?? make();
      first = undefined;
      return signal === undefined ? prepared : untilAborted(prepared, signal);
    },
    async [Symbol.asyncDispose]() {
      closing.abort(new Error("the agent is stopping"));
      if ("rsaBits" in spec.kind && isLeftToChild(spec.kind.rsaBits)) await Promise.allSettled(atWork); // the child is gone then
    },
  };
}

function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

const makeKeyPair = promisify(generateKeyPair);

async function generate({ kind, encoding }: KeySpec, stop: AbortSignal): Promise<PrivateKey> {
  if ("curve" in kind) {
    const { privateKey } = await makeKeyPair("ec", { namedCurve: kind.curve });
    return { key: privateKey, pem: pemOf(privateKey, encoding === "pkcs8" ? "pkcs8" : "sec1") };
  }
  const privateKey = await makeRsaKey(kind.rsaBits, stop);
  return { key: privateKey, pem: pemOf(privateKey, encoding === "pkcs8" ? "pkcs8" : "pkcs1") };
}

async function makeRsaKey(bits: number, stop: AbortSignal): Promise<KeyObject> {
  if (isLeftToChild(bits)) return rsaKeyOfChild(bits, stop);
  return (await makeKeyPair("rsa", { modulusLength: bits, publicExponent: 65_537 })).privateKey;
}

function pemOf(key: KeyObject, type: "pkcs1" | "sec1" | "pkcs8"): Secret {
  return new Secret(key.export({ type, format: "pem" }));
}
