import { readTextFile } from "../../base/index.ts";
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
  /** Whether the proxy has an IPv6 address. */
  readonly isIpv6: boolean;
  /** Limit of all questions together. Default 5 s. */
  readonly limitMs?: number;
  readonly places?: Partial<Places>;
}

export interface Places {
  readonly metadata: string;
  readonly awsIpv6: string;
  readonly dmi: string;
  readonly resolvConf: string;
  readonly computeApi: string;
}

const PLACES: Places = {
  metadata: "http://169.254.169.254",
  awsIpv6: "http://[fd00:ec2::254]",
  dmi: "/sys/class/dmi/id",
  resolvConf: "/etc/resolv.conf",
  computeApi: "https://compute.googleapis.com",
};

type Cloud = "aws" | "azure" | "gcp";

/** A start waits no longer than this for all questions together, as in the reference for the detection alone. */
const LIMIT_MS = 5_000;

/**
 * The cloud that this machine runs in. Where nothing is said, the machine's own vendor strings (DMI) decide whom to ask:
 * the reference asks all three, and on a laptop a metadata server that drops packets would delay every start by seconds.
 * Where the strings are hidden, as in some sandboxed containers, a pod asks all the same; elsewhere `CLOUD_PLATFORM`
 * says it. Source of the rest: istio/istio pkg/bootstrap/platform/discovery.go.
 */
export async function discoverPlatform(words: PlatformWords): Promise<Platform> {
  const places = { ...PLACES, ...words.places };
  const gceBase = words.gceMetadataHost === undefined ? places.metadata : `http://${words.gceMetadataHost}`;
  const awsBase = words.isIpv6 ? places.awsIpv6 : places.metadata;
  const limit = AbortSignal.timeout(words.limitMs ?? LIMIT_MS);
  const cloud = chosen(words.cloud) ?? (await detect(words, { places, gceBase, awsBase, limit }));
  if (cloud === "aws") return awsPlatform(awsBase, limit);
  if (cloud === "azure") return azurePlatform(places.metadata, limit);
  if (cloud !== "gcp") return UNKNOWN_PLATFORM;
  const gcpWords = {
    metadata: words.gcpMetadata,
    quotaProject: words.gcpQuotaProject,
    zone: words.gcpZone,
    hasKubernetes: words.hasKubernetes,
    resolvConf: places.resolvConf,
    computeApi: places.computeApi,
  };
  return gcpPlatform(gceBase, gcpWords, limit);
}

function chosen(word: string): Cloud | "none" | undefined {
  const lower = word.toLowerCase();
  return lower === "aws" || lower === "azure" || lower === "gcp" || lower === "none" ? lower : undefined;
}

interface Whom {
  readonly places: Places;
  readonly gceBase: string;
  readonly awsBase: string;
  readonly limit: AbortSignal;
}

async function detect(words: PlatformWords, { places, gceBase, awsBase, limit }: Whom): Promise<Cloud | undefined> {
  if (words.gcpMetadata !== "" || words.gceMetadataHost !== undefined) return "gcp";
  const [vendor, bios] = await Promise.all([
    readWord(`${places.dmi}/sys_vendor`),
    readWord(`${places.dmi}/bios_version`),
  ]);
  if (vendor?.includes("Microsoft Corporation")) return "azure";
  const isHidden = vendor === undefined && words.hasKubernetes;
  const mayBeGcp = isHidden || vendor?.includes("Google") === true;
  // older EC2 machines are Xen's by vendor, and Amazon's by BIOS
  const mayBeAws = isHidden || vendor?.includes("Amazon") === true || bios?.includes("amazon") === true;
  const [gcp, aws] = await Promise.all([mayBeGcp && isGce(gceBase, limit), mayBeAws && isAws(awsBase, limit)]);
  return gcp ? "gcp" : aws ? "aws" : undefined;
}

/** Undefined where no such file. */
function readWord(path: string): Promise<string | undefined> {
  return readTextFile(path).catch(() => undefined);
}
