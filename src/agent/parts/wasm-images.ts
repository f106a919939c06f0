import type { Logger, TransportOptions } from "../../base/index.ts";
import type { ImageSource, WasmImage } from "../../wasm/index.ts";

export interface ImageSourceOptions {
  readonly reach: TransportOptions;
  /** For what `docker login` has left. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether a registry (`host` or `host:port`) may get a password without TLS. */
  readonly isInsecure: (registry: string) => boolean;
  readonly log: Logger;
}

/** Of modules, which are built for no platform; Istio's agent asks for this one everywhere. */
const PLATFORM = { os: "linux", architecture: "amd64" };
/** A filter waits for it. Source: go-containerregistry pkg/v1/remote, retries. */
const PATIENCE = { attempts: 3, backoff: { initialMs: 1_000, factor: 3, maxMs: 3_000, jitter: 0.1 } };

/** Modules out of registries, by the room `oci`, which is loaded when the first image is asked for. */
export function imageSource({ reach, env, isInsecure, log }: ImageSourceOptions): ImageSource {
  const onNote = (line: string): void => log.info(line);
  return {
    async resolve(text, secret, stop): Promise<WasmImage> {
      const [oci, { isPrivate, refuseRealm }] = await Promise.all([
        import("../../oci/index.ts"),
        import("../../wasm/index.ts"),
      ]);
      const reference = oci.parseReference(text);
      const given = secret === undefined ? undefined : oci.parseDockerConfig(secret, "the image pull secret");
      const findCredentials =
        given === undefined
          ? oci.dockerCredentials({ env, onNote })
          : (host: string) => Promise.resolve(given.find(host));
      const hasLogin = (await findCredentials(reference.registry, stop)) !== undefined;
      const registry = oci.openRegistry({
        ...reach,
        ...{ refuseRealm, onNote, patience: PATIENCE },
        findCredentials,
        // a password is not for everybody on the way
        mayBePlain: (host) => !hasLogin || isPrivate(host) || isInsecure(host),
      });
      const image = await oci.resolveImage(registry, reference, PLATFORM, stop, { isAnyPlatformFine: true });
      const { manifest, manifestDigest, digest } = image;
      return {
        digests: [...new Set([manifestDigest, digest])],
        mediaType: manifest.mediaType,
        layers: manifest.layers,
        save: (layer, file, over) =>
          oci.saveBlob(registry, reference, { blob: { ...layer, annotations: {} }, file }, over),
      };
    },
  };
}
