import { basename, join, normalize, resolve } from "node:path";
import { type Owner, removeFile, renameFile, writeFileAtomically } from "../base/index.ts";
import type { JsonObject, ProxyConfig } from "../istio/mesh/index.ts";
import { lightstepTokenFile } from "./render-bootstrap.ts";

/** The file that Envoy is started with; disposing it removes what the agent wrote. */
export interface BootstrapFile extends AsyncDisposable {
  /** The path in Envoy's arguments: relative to its working directory unless `configPath` is absolute. */
  readonly path: string;
  /** Its name once it is what is served: another one only for an Envoy that is to take over. */
  readonly lastingPath: string;
  /** Gives it that name. Rejects with a system error. */
  settle(): Promise<void>;
}

/** A file of the user's own: used as it is, never renamed, never removed. */
export function foreignFile(path: string): BootstrapFile {
  const nothing = async (): Promise<void> => undefined;
  return { path, lastingPath: path, settle: nothing, [Symbol.asyncDispose]: nothing };
}

export interface BootstrapPlace {
  readonly proxy: ProxyConfig;
  /** Relative paths start here. */
  readonly cwd: string;
  /** The user that Envoy runs as, where that is another one. */
  readonly owner?: Owner | undefined;
}

/**
 * Writes the bootstrap into `configPath`, mode 0600, and the Lightstep token beside it. `isNext` is for an Envoy that is
 * to take over. Rejects with FILE_UNWRITABLE.
 */
export async function writeBootstrap(
  { proxy, cwd, owner }: BootstrapPlace,
  content: JsonObject | string,
  { extension = "json", isNext = false }: { extension?: "json" | "yaml"; isNext?: boolean } = {},
): Promise<BootstrapFile> {
  const named = (name: string): string => normalize(join(proxy.configPath, `${name}.${extension}`));
  const lastingPath = named("envoy-rev");
  const path = isNext ? named("envoy-rev.next") : lastingPath;
  let current = path;
  const token = proxy.tracing?.lightstep?.accessToken;
  if (token !== undefined) {
    await writeFileAtomically(resolve(cwd, lightstepTokenFile(proxy.configPath)), token, { owner });
  }
  const text = typeof content === "string" ? content : JSON.stringify(content);
  await writeFileAtomically(resolve(cwd, path), text, { owner });
  return {
    path,
    lastingPath,
    async settle() {
      if (path !== lastingPath) await renameFile(resolve(cwd, path), basename(lastingPath));
      current = lastingPath;
    },
    [Symbol.asyncDispose]: () => removeFile(resolve(cwd, current)),
  };
}
