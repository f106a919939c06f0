import {
  AgentError,
  type Answer,
  createTransport,
  Retries,
  type RetryOptions,
  readBody,
  retry,
  systemCode,
  type TransportOptions,
} from "../base/index.ts";
import { Access, type TokenServiceRules } from "./access.ts";
import type { FindCredentials } from "./credentials.ts";
import { digestOf, startDigest } from "./digest.ts";
import { explain, FinalFailure, shortly } from "./failure.ts";
import { get, refusalOf } from "./get.ts";
import { isLoopback } from "./loopback.ts";
import type { Descriptor } from "./manifest.ts";
import { MANIFEST_TYPES } from "./manifest.ts";
import { type PatienceOptions, patience } from "./patience.ts";
import { formatReference, type ImageReference } from "./reference.ts";

export interface RegistryOptions extends TransportOptions, Pick<TokenServiceRules, "refuseRealm"> {
  /** Default: every request is anonymous. */
  readonly findCredentials?: FindCredentials;
  /** Whether a registry without TLS may be used in the clear. Default: only one on this machine. */
  readonly mayBePlain?: (registry: string) => boolean;
  /** Called for each failure that is retried. */
  readonly onNote?: (line: string) => void;
  readonly patience?: PatienceOptions;
}

/** The bytes of a manifest or index, verified. */
export interface Document {
  readonly digest: string;
  readonly bytes: Buffer;
}

/** Takes the pieces of a blob, in order. */
export type BlobSink = (piece: Buffer) => Promise<void> | void;

/** Reads from container registries. Source: OCI distribution-spec 1.1, "Pull". */
export interface Registry {
  /**
   * The manifest or index that a reference names. Its digest is that of the reference if it has one, else that of the
   * bytes. Rejects with REGISTRY_UNREACHABLE, REGISTRY_REFUSED, IMAGE_NOT_FOUND, IMAGE_DIGEST_MISMATCH.
   */
  document(reference: ImageReference, stop: AbortSignal): Promise<Document>;
  /**
   * Hands a blob to `sink`. When the connection is lost, the rest is asked for. Length and digest are right when this
   * resolves; until then the pieces are unverified. Rejects as `document`, and with what `sink` rejects with.
   */
  streamBlob(reference: ImageReference, blob: Descriptor, sink: BlobSink, stop: AbortSignal): Promise<void>;
}

const MOST_DOCUMENT_BYTES = 4 * 2 ** 20; // what registries must take, distribution-spec "Pushing Manifests"

export function openRegistry(options: RegistryOptions): Registry {
  return new HttpRegistry(options);
}

class HttpRegistry implements Registry {
  readonly #options: RegistryOptions;
  readonly #transport;
  readonly #access: Access;
  /** By registry: how it was reached. */
  readonly #schemes = new Map<string, "https" | "http">();

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#transport = createTransport(options);
    const { findCredentials = () => Promise.resolve(undefined), mayBePlain = isLoopback, refuseRealm } = options;
    this.#access = new Access(this.#transport, findCredentials, { mayBePlain, refuseRealm });
  }

  async document(reference: ImageReference, stop: AbortSignal): Promise<Document> {
    const { digest, tag } = reference;
    const accept = { accept: MANIFEST_TYPES.join(", ") };
    const work = async (): Promise<Document> => {
      const answer = await this.#ask(reference, `manifests/${digest ?? tag}`, accept, stop);
      const bytes = await readBody(answer.body, MOST_DOCUMENT_BYTES);
      const said = answer.headers["docker-content-digest"];
      const wanted = digest ?? (typeof said === "string" && said.startsWith("sha256:") ? said : undefined);
      const found = digestOf(bytes, wanted);
      if (wanted !== undefined && found !== wanted) throw mismatch("the manifest", reference, found, wanted);
      return { digest: found, bytes };
    };
    try {
      return await retry(work, this.#retryOptions("the manifest", stop));
    } catch (error) {
      throw explain(error, "the manifest", reference, stop);
    }
  }

  async streamBlob(reference: ImageReference, blob: Descriptor, sink: BlobSink, stop: AbortSignal): Promise<void> {
    const what = `the blob ${blob.digest}`;
    const digesting = startDigest(blob.digest);
    const retries = new Retries(this.#retryOptions(what, stop));
    let at = 0;
    let sinkFailure: { readonly error: unknown } | undefined;
    const take = async (piece: Buffer): Promise<void> => {
      at += piece.length;
      if (at > blob.size) throw tooLong(what, reference, blob.size);
      digesting.update(piece);
      retries.progress();
      await Promise.resolve(sink(piece)).catch((error: unknown) => {
        sinkFailure = { error };
        throw error;
      });
    };
    while (at < blob.size) {
      try {
        for await (const piece of this.#piecesFrom(reference, blob, at, stop)) await take(piece);
        if (at < blob.size) throw new Error(`it ended after ${at} of ${blob.size} bytes`);
      } catch (error) {
        if (sinkFailure !== undefined) throw sinkFailure.error;
        await retries.afterFailure(error).catch((last: unknown) => {
          throw explain(last, what, reference, stop);
        });
      }
    }
    const found = digesting.finish();
    if (found !== blob.digest) throw mismatch(what, reference, found, blob.digest);
  }

  async *#piecesFrom(
    reference: ImageReference,
    blob: Descriptor,
    start: number,
    stop: AbortSignal,
  ): AsyncGenerator<Buffer, void, void> {
    const range = start === 0 ? {} : { range: `bytes=${start}-` };
    const answer = await this.#ask(reference, `blobs/${blob.digest}`, range, stop);
    let skip = answer.status === 206 ? 0 : start; // who does not know ranges begins at the beginning
    if (answer.status === 206 && !answer.headers["content-range"]?.startsWith(`bytes ${start}-`)) {
      answer.drop();
      throw new FinalFailure(`asked for the bytes from ${start} on, it sent others`);
    }
    for await (const piece of answer.body) {
      const rest = piece.subarray(Math.min(skip, piece.length));
      skip -= piece.length - rest.length;
      if (rest.length > 0) yield rest;
    }
  }

  /** Resolves with a 200 or 206. Asked who it is, it says so and tries once more. */
  async #ask(
    reference: ImageReference,
    path: string,
    headers: Readonly<Record<string, string>>,
    stop: AbortSignal,
  ): Promise<Answer> {
    const send = (authorization: string | undefined): Promise<Answer> =>
      this.#send(reference, path, { headers: { ...headers, "accept-encoding": "identity" }, authorization }, stop);
    let answer = await send(this.#access.headerFor(reference));
    if (answer.status === 401) {
      answer.drop();
      answer = await send(await this.#access.authorize(reference, answer.headers["www-authenticate"], stop));
    }
    if (answer.status === 200 || answer.status === 206) return answer;
    throw await refusalOf(answer, `"${reference.registry}"`);
  }

  async #send(
    { registry, repository }: ImageReference,
    path: string,
    words: Parameters<typeof get>[2],
    stop: AbortSignal,
  ) {
    const { mayBePlain = isLoopback } = this.#options;
    const over = (scheme: "https" | "http"): Promise<Answer> =>
      get(this.#transport, new URL(`${scheme}://${hostOf(registry)}/v2/${repository}/${path}`), words, stop);
    const known = this.#schemes.get(registry) ?? (mayBePlain(registry) ? undefined : "https");
    if (known !== undefined) return over(known);
    try {
      const answer = await over("https");
      this.#schemes.set(registry, "https");
      return answer;
    } catch (error) {
      if (!isNoTls(error)) throw error;
      const answer = await over("http");
      this.#schemes.set(registry, "http");
      return answer;
    }
  }

  #retryOptions(what: string, stop: AbortSignal): RetryOptions {
    const onRetry: RetryOptions["onRetry"] = ({ error, waitMs }) =>
      this.#options.onNote?.(`Trying again in ${(waitMs / 1_000).toFixed(1)} s to get ${what}: ${shortly(error)}`);
    return { ...patience(this.#options.patience), signal: stop, onRetry };
  }
}

/** Docker's registry answers under another name than the one it is called by. */
function hostOf(registry: string): string {
  return registry === "docker.io" || registry === "index.docker.io" ? "registry-1.docker.io" : registry;
}

/** What it is like to begin TLS with who speaks HTTP: OpenSSL's code in Node, BoringSSL's in Bun. */
function isNoTls(error: unknown): boolean {
  return /^(EPROTO|ERR_SSL_)/.test(systemCode(error) ?? "");
}

function mismatch(what: string, reference: ImageReference, found: string, wanted: string): AgentError {
  const text = `Cannot use ${what} of the image "${formatReference(reference)}": its digest is ${found}, wanted ${wanted}`;
  return new AgentError("IMAGE_DIGEST_MISMATCH", text, { hint: "Nothing of it was kept; find out who changed it" });
}

function tooLong(what: string, reference: ImageReference, size: number): AgentError {
  const text = `Cannot use ${what} of the image "${formatReference(reference)}": it is longer than the ${size} bytes that its manifest says`;
  return new AgentError("IMAGE_DIGEST_MISMATCH", text, { hint: "Nothing of it was kept; find out who changed it" });
}
