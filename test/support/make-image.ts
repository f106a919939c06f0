import { createHash } from "node:crypto";
import { request } from "node:http";
import { gzipSync } from "node:zlib";
import { type Header, pack } from "tar-stream";

const MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
const INDEX = "application/vnd.docker.distribution.manifest.list.v2+json";
const CONFIG = "application/vnd.docker.container.image.v1+json";
const LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip";

export type Entry = Partial<Header> & { readonly name: string; readonly content?: string | Buffer };

export interface Layer {
  /** As it is stored. */
  readonly bytes: Buffer;
  /** Of the tar. */
  readonly diffId: string;
  readonly mediaType: string;
}

export const sha256Digest = (bytes: Buffer | string): string =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** A tar of these entries. */
export async function makeTar(entries: readonly Entry[]): Promise<Buffer> {
  const tar = pack();
  for (const { content = "", ...header } of entries) tar.entry({ mode: 0o755, mtime: new Date(0), ...header }, content);
  tar.finalize();
  const pieces: Uint8Array[] = [];
  for await (const piece of tar) pieces.push(piece as Uint8Array);
  return Buffer.concat(pieces);
}

/** A layer of these entries, packed with gzip, or as `pack` has it. */
export async function makeLayer(
  entries: readonly Entry[],
  { mediaType = LAYER, pack: packed = (tar: Buffer): Buffer => gzipSync(tar, { level: 1 }) } = {},
): Promise<Layer> {
  const tar = await makeTar(entries);
  return { bytes: packed(tar), diffId: sha256Digest(tar), mediaType };
}

export interface Image {
  readonly layers: readonly Layer[];
  /** Default linux/amd64. */
  readonly platform?: { readonly os: string; readonly architecture: string };
  /** Laid over the configuration's fields. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Laid over the manifest's fields. */
  readonly manifest?: Readonly<Record<string, unknown>>;
}

export interface Pushed {
  readonly digest: string;
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly platform: { readonly os: string; readonly architecture: string };
  /** Of the configuration and the layers. */
  readonly blobs: readonly string[];
}

/** Pushes to a registry without TLS. `reference` is a tag, or undefined for an image that only an index names. */
export async function pushImage(
  address: string,
  repository: string,
  reference: string | undefined,
  image: Image,
): Promise<Pushed> {
  const { layers, platform = { os: "linux", architecture: "amd64" } } = image;
  const config = Buffer.from(
    JSON.stringify({
      ...platform,
      rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
      ...image.config,
    }),
  );
  for (const bytes of [config, ...layers.map((layer) => layer.bytes)]) await pushBlob(address, repository, bytes);
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: descriptor(config, CONFIG),
    layers: layers.map(({ bytes, mediaType }) => descriptor(bytes, mediaType)),
    ...image.manifest,
  };
  const bytes = Buffer.from(JSON.stringify(manifest));
  const digest = await pushManifest(
    address,
    repository,
    reference ?? sha256Digest(bytes),
    bytes,
    String(manifest.mediaType),
  );
  const blobs = [config, ...layers.map((layer) => layer.bytes)].map(sha256Digest);
  return { digest, bytes, mediaType: MANIFEST, platform, blobs };
}

/** Pushes an index of images that are there. Resolves with its digest. */
export function pushIndex(
  address: string,
  repository: string,
  tag: string,
  images: readonly Pushed[],
): Promise<string> {
  const manifests = images.map(({ bytes, mediaType, platform }) => ({ ...descriptor(bytes, mediaType), platform }));
  const index = { schemaVersion: 2, mediaType: INDEX, manifests };
  return pushManifest(address, repository, tag, Buffer.from(JSON.stringify(index)), INDEX);
}

function descriptor(bytes: Buffer, mediaType: string) {
  return { mediaType, digest: sha256Digest(bytes), size: bytes.length };
}

export async function pushManifest(
  address: string,
  repository: string,
  reference: string,
  bytes: Buffer,
  mediaType: string,
): Promise<string> {
  const url = `http://${address}/v2/${repository}/manifests/${reference}`;
  await send("PUT", url, { bytes, type: mediaType });
  return sha256Digest(bytes);
}

export async function pushBlob(address: string, repository: string, bytes: Buffer): Promise<void> {
  const { location } = await send("POST", `http://${address}/v2/${repository}/blobs/uploads/`, {});
  const url = new URL(location ?? "", `http://${address}`);
  url.searchParams.set("digest", sha256Digest(bytes));
  await send("PUT", url.href, { bytes, type: "application/octet-stream" });
}

function send(method: string, url: string, { bytes = Buffer.alloc(0), type }: { bytes?: Buffer; type?: string }) {
  return new Promise<{ readonly location: string | undefined }>((resolve, reject) => {
    const headers = { "content-length": bytes.length, ...(type === undefined ? {} : { "content-type": type }) };
    const call = request(url, { method, headers, agent: false }, async (response) => {
      let text = "";
      for await (const piece of response) text += piece;
      if ((response.statusCode ?? 500) < 300) resolve({ location: response.headers.location });
      else reject(new Error(`${method} ${url} answered ${response.statusCode}: ${text}`));
    });
    call.once("error", reject).end(bytes);
  });
}
