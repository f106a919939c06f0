import type { Platform } from "../node-types.ts";
import { askMetadata } from "./metadata-server.ts";

const TIMEOUT_MS = 5_000;
const OLDEST_VERSION = "2019-08-15";

interface Compute {
  readonly name?: string;
  readonly location?: string;
  readonly zone?: string;
  readonly vmId?: string;
  readonly tags?: string;
  readonly tagsList?: readonly { readonly name: string; readonly value: string }[];
}

/** Source: istio/istio pkg/bootstrap/platform/azure.go; Azure docs "Instance Metadata Service". */
export async function azurePlatform(base: string): Promise<Platform> {
  const version = await newestVersion(base);
  const { compute = {} } = (await ask<{ compute?: Compute }>(base, `?api-version=${version}`)) ?? {};
  const { name = "", location = "", zone = "", vmId = "" } = compute;
  const own = { azure_name: name, azure_location: location, azure_vmId: vmId };
  return {
    metadata: { ...Object.fromEntries(Object.entries(own).filter(([, value]) => value !== "")), ...tagsOf(compute) },
    locality: { region: location, zone, subZone: "" },
    isKubernetes: true,
    labels: {},
  };
}

/** The server names its versions when it is asked without one. */
async function newestVersion(base: string): Promise<string> {
  const answer = await ask<{ "newest-versions"?: readonly string[] }>(base, "");
  return [OLDEST_VERSION, ...(answer?.["newest-versions"] ?? [])].reduce((newest, one) =>
    one > newest ? one : newest,
  );
}

async function ask<T>(base: string, query: string): Promise<T | undefined> {
  const answer = await askMetadata(`${base}/metadata/instance${query}`, {
    headers: { Metadata: "True" },
    timeoutMs: TIMEOUT_MS,
    isAnyStatusFine: true,
  });
  try {
    return answer === undefined ? undefined : (JSON.parse(answer.body) as T);
  } catch {
    return undefined; // not this service
  }
}

/** `tagsList` where the version has it, else `k:v;k2:v2`. */
function tagsOf({ tags = "", tagsList }: Compute): Record<string, string> {
  const list =
    tagsList?.map(({ name, value }) => [name, value] as const) ??
    tags
      .split(";")
      .filter((tag) => tag !== "")
      .map((tag) => {
        const at = tag.indexOf(":");
        return at < 0 ? ([tag, ""] as const) : ([tag.slice(0, at), tag.slice(at + 1)] as const);
      });
  return Object.fromEntries(list.map(([name, value]) => [`azure_${name}`, value]));
}
