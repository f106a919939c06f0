import type { Platform } from "../node-types.ts";
import { askMetadata, asObject, asText, objectIn } from "./metadata-server.ts";

const TIMEOUT_MS = 5_000;
const OLDEST_VERSION = "2019-08-15";

/** Source: istio/istio pkg/bootstrap/platform/azure.go; Azure docs "Instance Metadata Service". */
export async function azurePlatform(base: string, limit: AbortSignal): Promise<Platform> {
  const version = await newestVersion(base, limit);
  const compute = asObject((await ask(base, `?api-version=${version}`, limit)).compute);
  const location = asText(compute.location);
  const own = { azure_name: asText(compute.name), azure_location: location, azure_vmId: asText(compute.vmId) };
  return {
    metadata: { ...Object.fromEntries(Object.entries(own).filter(([, value]) => value !== "")), ...tagsOf(compute) },
    locality: { region: location, zone: asText(compute.zone), subZone: "" },
    isKubernetes: true,
    labels: {},
  };
}

/** The server names its versions when it is asked without one. */
async function newestVersion(base: string, limit: AbortSignal): Promise<string> {
  const versions = listOf((await ask(base, "", limit))["newest-versions"]).map(asText);
  return [OLDEST_VERSION, ...versions].reduce((newest, one) => (one > newest ? one : newest));
}

async function ask(base: string, query: string, limit: AbortSignal): Promise<Readonly<Record<string, unknown>>> {
  const headers = { Metadata: "True" };
  const url = `${base}/metadata/instance${query}`;
  return objectIn(await askMetadata(url, { headers, timeoutMs: TIMEOUT_MS, limit, isAnyStatusFine: true }));
}

/** `tagsList` where the version has it, else `k:v;k2:v2`. */
function tagsOf({ tags, tagsList }: Readonly<Record<string, unknown>>): Record<string, string> {
  const list = Array.isArray(tagsList) ? listedTags(tagsList) : joinedTags(asText(tags));
  return Object.fromEntries(list.map(([name, value]) => [`azure_${name}`, value]));
}

function listedTags(list: readonly unknown[]): (readonly [name: string, value: string])[] {
  return list.map(asObject).flatMap(({ name, value }) => (asText(name) === "" ? [] : [[asText(name), asText(value)]]));
}

function joinedTags(tags: string): (readonly [name: string, value: string])[] {
  return tags
    .split(";")
    .filter((tag) => tag !== "")
    .map((tag) => {
      const at = tag.indexOf(":");
      return at < 0 ? ([tag, ""] as const) : ([tag.slice(0, at), tag.slice(at + 1)] as const);
    });
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
