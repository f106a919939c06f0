import { latency, plural, rate } from "../markup/words.ts";
import { perSecond, quantile, type Step, total } from "../model/history.ts";
import type { Cluster, Listener } from "../model/read-topology.ts";
import type { ClusterTraffic } from "../model/read-traffic.ts";

/** One cluster in words. */
export interface Figures {
  /** Per second, over the last ten seconds. */
  readonly rate: string;
  /** Over all the time that is shown, as all below. */
  readonly errors: string | undefined;
  /** What to say where there are no errors. */
  readonly calm: string;
  readonly half: string;
  readonly most: string;
}

const RECENT_STEPS = 5;

/** `steps` is undefined where no history is kept. */
export function figuresOf(steps: readonly Step[] | undefined, traffic: ClusterTraffic | undefined): Figures {
  if (steps === undefined) return { rate: "–", errors: undefined, calm: "not kept", half: "–", most: "not kept" };
  const recent = steps.slice(-RECENT_STEPS);
  const isHttp = (traffic?.requests ?? 0) > 0 || (traffic?.connections ?? 0) === 0;
  const errors = total(steps, "errors");
  const share = (errors / Math.max(1, total(steps, "requests"))) * 100;
  const [half, most] = [quantile(steps, 0.5), quantile(steps, 0.95)];
  const isKept = traffic?.latencies !== undefined || (traffic?.requests ?? 0) === 0;
  return {
    rate: isHttp
      ? `${rate(perSecond(recent, "requests"))} requests/s`
      : `${rate(perSecond(recent, "connections"))} connections/s`,
    errors: errors === 0 ? undefined : `${plural(errors, "error")}, ${rate(share)} %`,
    calm: steps.length === 0 ? "not known yet" : "no errors",
    half: half === undefined ? "–" : `p50 ${latency(half)}`,
    most: most === undefined ? (isKept ? "none yet" : "not measured") : `p95 ${latency(most)}`,
  };
}

/** Why a cluster gives no answers, or an earlier configuration's; undefined when all is well. */
export function troubleOf(
  { state, refusal, discovery }: Cluster,
  traffic: ClusterTraffic | undefined,
): string | undefined {
  if (refusal !== undefined) return "refused";
  if (state === "warming") return "warming";
  const isEmpty = traffic !== undefined && traffic.endpoints.length === 0;
  return isEmpty && !WITHOUT_ENDPOINTS.includes(discovery) ? "no endpoints" : undefined;
}

/** They take the endpoint from each connection; one that is not known may do so. */
const WITHOUT_ENDPOINTS = ["", "ORIGINAL_DST", "envoy.clusters.dynamic_forward_proxy"];

export function troubleOfListener({ state, refusal }: Listener): string | undefined {
  if (refusal !== undefined) return "refused";
  return state === "active" ? undefined : state;
}

export interface Health {
  readonly first: string;
  readonly rest: string;
  readonly isWell: boolean;
}

/** The endpoints of a cluster in two lines. */
export function healthOf(traffic: ClusterTraffic | undefined): Health {
  const endpoints = traffic?.endpoints ?? [];
  const [first] = endpoints;
  const sick = endpoints.filter(({ trouble }) => trouble !== undefined);
  if (first === undefined) return { first: "none", rest: "", isWell: true };
  if (endpoints.length === 1)
    return { first: first.address, rest: first.trouble ?? "healthy", isWell: sick.length === 0 };
  const health = sick.length === 0 ? "all healthy" : `${sick.length} not healthy`;
  return { first: first.address, rest: `and ${endpoints.length - 1} more, ${health}`, isWell: sick.length === 0 };
}
