import type { Platform } from "../node-types.ts";
import { askMetadata } from "./metadata-server.ts";

const TIMEOUT_MS = 100;

/** Source: istio/istio pkg/bootstrap/platform/aws.go; AWS docs "Instance metadata service". */
export async function awsPlatform(base: string, limit: AbortSignal): Promise<Platform> {
  const headers = await tokenHeaders(base, limit);
  const ask = async (path: string): Promise<string> =>
    (await askMetadata(`${base}/latest/meta-data/${path}`, { headers, timeoutMs: TIMEOUT_MS, limit }))?.body ?? "";
  const [region, zone, instanceId] = await Promise.all([
    ask("placement/region"),
    ask("placement/availability-zone"),
    ask("instance-id"),
  ]);
  const all = { aws_region: region, aws_availability_zone: zone, aws_instance_id: instanceId };
  return {
    metadata: Object.fromEntries(Object.entries(all).filter(([, value]) => value !== "")),
    locality: { region, zone, subZone: "" },
    isKubernetes: true,
    labels: {},
  };
}

export async function isAws(base: string, limit: AbortSignal): Promise<boolean> {
  const headers = await tokenHeaders(base, limit);
  const answer = await askMetadata(`${base}/latest/meta-data/iam/info`, { headers, timeoutMs: TIMEOUT_MS, limit });
  return answer?.body.includes("arn:aws:iam") === true;
}

/** A session token when the second version of the service is there, else nothing. */
async function tokenHeaders(base: string, limit: AbortSignal): Promise<Record<string, string>> {
  const answer = await askMetadata(`${base}/latest/api/token`, {
    method: "PUT",
    headers: { "X-aws-ec2-metadata-token-ttl-seconds": "60" },
    timeoutMs: TIMEOUT_MS,
    limit,
  });
  return answer === undefined || answer.body === "" ? {} : { "X-aws-ec2-metadata-token": answer.body };
}
