import { readTextFile } from "../../base/index.ts";
import type { Locality } from "../locality.ts";
import type { Platform } from "../node-types.ts";
import { askMetadata, asObject, asText, objectIn } from "./metadata-server.ts";

export interface GcpWords {
  /** `GCP_METADATA`: PROJECT_ID|PROJECT_NUMBER|CLUSTER_NAME|CLUSTER_ZONE. */
  readonly metadata: string;
  readonly quotaProject: string;
  readonly zone: string;
  readonly hasKubernetes: boolean;
  readonly resolvConf: string;
  /** `https://host` of the Compute Engine API. */
  readonly computeApi: string;
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

export async function isGce(base: string, limit: AbortSignal): Promise<boolean> {
  const answer = await askMetadata(base, { headers: FLAVOR, timeoutMs: TIMEOUT_MS, limit });
  return answer?.headers["metadata-flavor"] === "Google";
}

/** Source: istio/istio pkg/bootstrap/platform/gcp.go. */
export async function gcpPlatform(base: string, words: GcpWords, limit: AbortSignal): Promise<Platform> {
  const metadata = words.metadata === "" ? await fromServer(base, limit) : fromVariable(words);
  const { gcp_project: project, gcp_location: location, gcp_gke_cluster_name: cluster } = metadata;
  if (project !== undefined && location !== undefined && cluster !== undefined) {
    const path = `projects/${project}/locations/${location}/clusters/${cluster}`;
    metadata.gcp_gke_cluster_url = `https://container.googleapis.com/v1/${path}`;
  }
  const isKubernetes = words.hasKubernetes || cluster !== undefined;
  const [zone, labels] = await Promise.all([
    zoneOf(base, words, limit),
    isKubernetes ? {} : labelsOf(base, words.computeApi, metadata, limit),
  ]);
  return { metadata, locality: localityOfZone(zone), isKubernetes, labels };
}

const SCOPE = "https://www.googleapis.com/auth/compute.readonly";

/** Labels of the instance, for which its own service account is asked; none on any failure. */
async function labelsOf(
  base: string,
  computeApi: string,
  { gcp_project: project, gcp_location: zone, gcp_gce_instance: instance }: Readonly<Record<string, string>>,
  limit: AbortSignal,
): Promise<Record<string, string>> {
  if (project === undefined || zone === undefined || instance === undefined) return {};
  const token = await askMetadata(
    `${base}/computeMetadata/v1/instance/service-accounts/default/token?scopes=${SCOPE}`,
    {
      headers: FLAVOR,
      timeoutMs: TIMEOUT_MS,
      limit,
    },
  );
  const accessToken = asText(objectIn(token).access_token);
  if (accessToken === "") return {};
  const url = `${computeApi}/compute/v1/projects/${project}/zones/${zone}/instances/${instance}`;
  const headers = { Authorization: `Bearer ${accessToken}` };
  const { labels } = objectIn(await askMetadata(url, { headers, timeoutMs: TIMEOUT_MS, limit }));
  return Object.fromEntries(Object.entries(asObject(labels)).map(([name, value]) => [name, asText(value)]));
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

async function fromServer(base: string, limit: AbortSignal): Promise<Record<string, string>> {
  const entries = await Promise.all(
    Object.entries(PATHS).map(async ([key, path]) => [key, await ask(base, path, limit)] as const),
  );
  const found = Object.fromEntries(entries.filter(([, value]) => value !== "")) as Record<string, string>;
  if (found.gcp_location === undefined) {
    const zone = (await ask(base, "instance/zone", limit)).split("/").at(-1) ?? "";
    if (zone !== "") found.gcp_location = zone;
  }
  return found;
}

async function ask(base: string, path: string, limit: AbortSignal): Promise<string> {
  const url = `${base}/computeMetadata/v1/${path}`;
  const answer = await askMetadata(url, { headers: FLAVOR, timeoutMs: TIMEOUT_MS, limit });
  return answer?.body.trim() ?? "";
}

const SEARCH_LINE = /^search.* ([^-]+-[^-]+-[^-]+)\.c\.[^.]+\.internal/m;

async function zoneOf(base: string, words: GcpWords, limit: AbortSignal): Promise<string> {
  if (words.metadata !== "" && words.zone !== "") return words.zone;
  const resolvConf = await readTextFile(words.resolvConf).catch(() => ""); // then the server is asked
  return SEARCH_LINE.exec(resolvConf)?.[1] ?? (await ask(base, "instance/zone", limit)).split("/").at(-1) ?? "";
}
