import { readFile } from "node:fs/promises";
import type { Locality } from "../locality.ts";
import type { Platform } from "../node-types.ts";
import { askMetadata } from "./metadata-server.ts";

export interface GcpWords {
  /** `GCP_METADATA`: PROJECT_ID|PROJECT_NUMBER|CLUSTER_NAME|CLUSTER_ZONE. */
  readonly metadata: string;
  readonly quotaProject: string;
  readonly zone: string;
  readonly hasKubernetes: boolean;
  readonly resolvConf: string;
}

const TIMEOUT_MS = 5_000;
const FLAVOR = { "Metadata-Flavor": "Google" };
const PATHS = {
  gcp_project: "project/project-id",
  gcp_project_number: "project/numeric-project-id",
  gcp_location: "instance/attributes/cluster-location",
  gcp_gke_cluster_name: "instance/attributes/cluster-name",
  gcp_gce_instance: "instance/name",
  gcp_gce_instance_id: "instance/id",
  gcp_gce_instance_template: "instance/attributes/instance-template",
  gcp_gce_instance_created_by: "instance/attributes/created-by",
} as const;

export async function isGce(base: string): Promise<boolean> {
  const answer = await askMetadata(base, { headers: FLAVOR, timeoutMs: TIMEOUT_MS });
  return answer?.headers["metadata-flavor"] === "Google";
}

/** Source: istio/istio pkg/bootstrap/platform/gcp.go. Labels of an instance outside Kubernetes are not read. */
export async function gcpPlatform(base: string, words: GcpWords): Promise<Platform> {
  const metadata = words.metadata === "" ? await fromServer(base) : fromVariable(words);
  const { gcp_project: project, gcp_location: location, gcp_gke_cluster_name: cluster } = metadata;
  if (project !== undefined && location !== undefined && cluster !== undefined) {
    const path = `projects/${project}/locations/${location}/clusters/${cluster}`;
    metadata.gcp_gke_cluster_url = `https://container.googleapis.com/v1/${path}`;
  }
  return {
    metadata,
    locality: localityOfZone(await zoneOf(base, words)),
    isKubernetes: words.hasKubernetes || cluster !== undefined,
    labels: {},
  };
}

/** `us-central1-f` lies in `us-central1`; a text of another form is no zone. */
export function localityOfZone(zone: string): Locality {
  const [, region] = /^([^-]+-[^-]+)-[^-]+$/.exec(zone) ?? [];
  return region === undefined ? { region: "", zone: "", subZone: "" } : { region, zone, subZone: "" };
}

function fromVariable({ metadata, quotaProject, zone }: GcpWords): Record<string, string> {
  const parts = metadata.split("|");
  const [project = "", number = "", cluster = "", location = ""] = parts;
  const four = {
    gcp_project: project,
    gcp_project_number: number,
    gcp_gke_cluster_name: cluster,
    gcp_location: location,
  };
  const rest = { gcp_quota_project: quotaProject, gcp_zone: zone };
  const all = parts.length === 4 ? { ...four, ...rest } : rest;
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ""));
}

async function fromServer(base: string): Promise<Record<string, string>> {
  const entries = await Promise.all(
    Object.entries(PATHS).map(async ([key, path]) => [key, await ask(base, path)] as const),
  );
  const found = Object.fromEntries(entries.filter(([, value]) => value !== "")) as Record<string, string>;
  if (found.gcp_location === undefined) {
    const zone = (await ask(base, "instance/zone")).split("/").at(-1) ?? "";
    if (zone !== "") found.gcp_location = zone;
  }
  return found;
}

async function ask(base: string, path: string): Promise<string> {
  const answer = await askMetadata(`${base}/computeMetadata/v1/${path}`, { headers: FLAVOR, timeoutMs: TIMEOUT_MS });
  return answer?.body.trim() ?? "";
}

const SEARCH_LINE = /^search.* ([^-]+-[^-]+-[^-]+)\.c\.[^.]+\.internal/m;

async function zoneOf(base: string, words: GcpWords): Promise<string> {
  if (words.metadata !== "" && words.zone !== "") return words.zone;
  const resolvConf = await readFile(words.resolvConf, "utf8").catch(() => ""); // then the server is asked
  return SEARCH_LINE.exec(resolvConf)?.[1] ?? (await ask(base, "instance/zone")).split("/").at(-1) ?? "";
}
