import { AgentError, describeError, readTextFile } from "../../base/index.ts";
import { readEgressProxy } from "../../config/index.ts";
import type { TakeFromImage } from "../../envoy/binary/index.ts";

export interface ImageTakerOptions {
  /** PEM file with roots that registries may have their certificates from, beside the built-in ones. */
  readonly caFile?: string | undefined;
}

/** Of a proxy without one, as every HTTP client has it. */
const HTTP_PORT = "80";

/**
 * Takes a file out of an image of a registry: as who `docker login` has made us, by the proxy of HTTPS_PROXY. The client is
 * loaded when it is needed. Rejects with FILE_UNREADABLE and as the room `oci` does.
 */
export function imageTaker({ caFile }: ImageTakerOptions = {}): TakeFromImage {
  return async ({ reference, platform, env, onNote, stop, ...rest }) => {
    const oci = await import("../../oci/index.ts");
    const warnings: Parameters<typeof readEgressProxy>[1] = [];
    const registry = oci.openRegistry({
      proxy: readEgressProxy(env, warnings, HTTP_PORT),
      roots: caFile === undefined ? undefined : await readRoots(caFile),
      findCredentials: oci.dockerCredentials({ env, onNote }),
      onNote,
    });
    for (const { name, message } of warnings) onNote(`Warning: ${name} ${message}`);
    const image = await oci.resolveImage(registry, oci.parseReference(reference), platform, stop);
    await oci.takeFile(registry, { ...rest, image, platform, stop });
    return { digest: image.digest };
  };
}

async function readRoots(file: string): Promise<string> {
  const text = await readTextFile(file).catch((cause: unknown) => {
    throw new AgentError("FILE_UNREADABLE", `Cannot read the roots in "${file}" (--ca-file): ${describeError(cause)}`);
  });
  if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
  throw new AgentError(
    "FILE_UNREADABLE",
    `Cannot read the roots in "${file}" (--ca-file): there is no certificate in PEM form`,
  );
}
