import { join } from "node:path";
import { Lifetime, type Logger, writeFileAtomically } from "../../base/index.ts";
import type { Host } from "../../host/index.ts";
import { tryToEnter, type Way, wayInto, writeNameFiles } from "./enter-namespace.ts";
import { openNamespace } from "./open-namespace.ts";

/** What a run folder says of the namespace of its mesh. */
export interface NamespaceNote {
  /** A file of it. */
  readonly path: string;
  /** What the program gets, beside the environment of who starts it. */
  readonly variables: Readonly<Record<string, string>>;
}

/** The network namespace of a mesh's application. */
export interface MeshNamespace extends AsyncDisposable, Pick<NamespaceNote, "path"> {
  readonly enter: Way;
  /** Leaves a note in the run folder, by which others find the namespace. Rejects with FILE_UNWRITABLE. */
  announce(variables: NamespaceNote["variables"]): Promise<void>;
}

export interface MeshNamespaceOptions {
  readonly host: Host;
  /** The run folder. */
  readonly folder: string;
  /** Where Envoy will listen inside. */
  readonly outboundPort: number;
  readonly log: Logger;
}

/** Below the run folder: the note, and the files that programs inside see. */
export function filesFolder(runFolder: string): string {
  return join(runFolder, "netns");
}

/** By it `run --transparent` finds the namespace of another process. */
export const NOTE = "namespace.json";

/** Opens it, and tries whether programs can be started in it. Rejects as `openNamespace` does. */
export async function openMeshNamespace({ host, folder, ...options }: MeshNamespaceOptions): Promise<MeshNamespace> {
  const life = new Lifetime();
  try {
    const stop = host.signals.stop;
    const { path } = await life.own("network namespace", openNamespace({ ...options, env: host.env, stop }));
    const files = filesFolder(folder);
    await writeNameFiles(files);
    const enter = wayInto(path, files);
    await tryToEnter(enter.words, host);
    const announce = (variables: NamespaceNote["variables"]): Promise<void> =>
      writeFileAtomically(join(files, NOTE), `${JSON.stringify({ path, variables } satisfies NamespaceNote)}\n`);
    return { path, enter, announce, [Symbol.asyncDispose]: () => life[Symbol.asyncDispose]() };
  } catch (error) {
    await life[Symbol.asyncDispose]();
    throw error;
  }
}
