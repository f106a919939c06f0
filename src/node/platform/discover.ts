import { readFile } from "node:fs/promises";
import { type Platform, UNKNOWN_PLATFORM } from "../node-types.ts";
import { awsPlatform, isAws } from "./aws.ts";
import { azurePlatform } from "./azure.ts";
import { gcpPlatform, isGce } from "./gcp.ts";

/** The words that choose and describe a cloud, and the places to ask; the latter are changed by tests only. */
export interface PlatformWords {
  /** `CLOUD_PLATFORM`: aws, azure, gcp, none; anything else detects it. */
  readonly cloud: string;
  readonly gcpMetadata: string;
  readonly gcpQuotaProject: string;
  readonly gcpZone: string;
  /** `GCE_METADATA_HOST`; undefined when it is not set. */
  readonly gceMetadataHost: string | undefined;
  readonly hasKubernetes: boolean;
  readonly isIpv6: boolean;
  readonly places?: Partial<Places>;
}

export interface Places {
  readonly metadata: string;
  readonly awsIpv6: string;
  readonly dmi: string;
  readonly resolvConf: string;
}

const PLACES: Places = {
  metadata: "http://169.254.169.254",
  awsIpv6: "http://[fd00:ec2::254]",
  dmi: "/sys/class/dmi/id",
  resolvConf: "/etc/resolv.conf",
};

type Cloud = "aws" | "azure" | "gcp";

/**
 * The cloud that this machine runs in. Where nothing is said, the machine's own vendor strings (DMI) decide whom to
 * ask: on a laptop a metadata server that drops packets would delay every start by seconds, and no cloud's machine lacks
 * its vendor. Source of the rest: istio/istio pkg/bootstrap/platform/discovery.go, which asks all three.
 */
export async function discoverPlatform(words: PlatformWords): Promise<Platform> {
  const places = { ...PLACES, ...words.places };
  const gceBase = words.gceMetadataHost === undefined ? places.metadata : `http://${words.gceMetadataHost}`;
  const awsBase = words.isIpv6 ? places.awsIpv6 : places.metadata;
  const cloud = chosen(words.cloud) ?? (await detect(words, places, gceBase, awsBase));
  if (cloud === "aws") return awsPlatform(awsBase);
  if (cloud === "azure") return azurePlatform(places.metadata);
  if (cloud !== "gcp") return UNKNOWN_PLATFORM;
  return gcpPlatform(gceBase, {
    metadata: words.gcpMetadata,
    quotaProject: words.gcpQuotaProject,
    zone: words.gcpZone,
    hasKubernetes: words.hasKubernetes,
    resolvConf: places.resolvConf,
  });
}

function chosen(word: string): Cloud | "none" | undefined {
  const lower = word.toLowerCase();
  return lower === "aws" || lower === "azure" || lower === "gcp" || lower === "none" ? lower : undefined;
}

async function detect(
  words: PlatformWords,
  places: Places,
  gceBase: string,
  awsBase: string,
): Promise<Cloud | undefined> {
  if (words.gcpMetadata !== "" || words.gceMetadataHost !== undefined) return "gcp";
  const vendor = await readFile(`${places.dmi}/sys_vendor`, "utf8").catch(() => ""); // no such file: no cloud's machine
  if (vendor.includes("Microsoft Corporation")) return "azure";
  if (vendor.includes("Google")) return (await isGce(gceBase)) ? "gcp" : undefined;
  if (vendor.includes("Amazon")) return (await isAws(awsBase)) ? "aws" : undefined;
  return undefined;
}
