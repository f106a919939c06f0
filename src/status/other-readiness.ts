import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { describeError, readTextFile, systemCode } from "../base/index.ts";
import type { ReadinessCheck } from "./readiness-board.ts";

/**
 * Ready once the gRPC bootstrap at `path` has been read, and as long as the certificate files that it names exist;
 * relative ones start at `cwd`. Source: istio/istio pilot/cmd/pilot-agent/status/grpcready/probe.go.
 */
export function grpcBootstrapReadiness(path: string, cwd: string): ReadinessCheck {
  let files: readonly string[] | undefined;
  return {
    name: "grpc bootstrap",
    async check() {
      try {
        files ??= certificateFiles(JSON.parse(await readTextFile(path)));
      } catch (error) {
        return `failed loading ${path}: ${describeError(error)}`;
      }
      for (const file of files) {
        if (await isMissing(resolve(cwd, file))) return `${file} does not exist`;
      }
      return undefined;
    },
  };
}

/** The files of the first `file_watcher` certificate provider; none when there is no such provider. */
function certificateFiles(bootstrap: unknown): string[] {
  const providers = Object.values(objectAt(bootstrap, "certificate_providers"));
  const watcher = providers.find((provider) => objectAt(provider).plugin_name === "file_watcher");
  const config = objectAt(watcher, "config");
  return ["certificate_file", "private_key_file", "ca_certificate_file"]
    .map((key) => config[key])
    .filter((file): file is string => typeof file === "string" && file !== "");
}

function objectAt(value: unknown, key?: string): Record<string, unknown> {
  const object = typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  return key === undefined ? object : objectAt(object[key]);
}

/** Only a definite "not found" counts: what we may not look at may well be there. */
async function isMissing(file: string): Promise<boolean> {
  return stat(file).then(
    () => false,
    (error: unknown) => systemCode(error) === "ENOENT",
  );
}
