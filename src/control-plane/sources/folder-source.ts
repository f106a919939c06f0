import { watchPaths } from "../../base/index.ts";
import type { EnvoyTypes } from "../../proto/envoy-types.ts";
import { readResources, type Values } from "./resources.ts";
import type { ResourceSource } from "./source.ts";

/** The YAML files below a folder, which is watched. */
export function folderSource(folder: string, values: Values, types: EnvoyTypes): ResourceSource {
  return {
    name: folder,
    read: () => readResources(folder, values, types),
    watch: (onChange) => watchPaths({ paths: [folder], onChange: () => onChange() }),
  };
}
