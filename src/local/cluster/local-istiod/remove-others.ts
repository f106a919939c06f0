import { AgentError, systemClock } from "../../../base/index.ts";
import type { Cluster, KubeObject } from "../../../kubernetes/index.ts";
import { unlessMissing } from "./expected-refusals.ts";
import type { SavedState } from "./saved-service.ts";
import { endpointsOf, isControlled, type ServicePlace, sliceOf, slicesOf } from "./service-objects.ts";

interface Place {
  readonly cluster: Cluster;
  readonly service: ServicePlace;
}

const SETTLE_MS = 300;
const SETTLE_LIMIT_MS = 15_000;

/**
 * Removes every way to another place, until none comes back: the controllers may not have noticed yet. Rejects with
 * KUBE_CONFLICT when somebody goes on writing them, or as `removeOthers` does.
 */
export async function leadNowhereElse(place: Place, state: SavedState, signal: AbortSignal): Promise<void> {
  const untilMs = systemClock.now() + SETTLE_LIMIT_MS;
  for (let clean = 0; clean < 2; ) {
    const { removed, leadsHere } = await removeOthers(place, state, signal);
    clean = removed === 0 && leadsHere ? clean + 1 : 0;
    if (systemClock.now() > untilMs) {
      const { namespace, name } = place.service;
      const text = `Cannot lead Service "${name}" in namespace "${namespace}" here: EndpointSlice "${state.saved.slice}" is not its only one`;
      throw new AgentError("KUBE_CONFLICT", text, {
        hint: "Who writes them? See their label endpointslice.kubernetes.io/managed-by",
      });
    }
    await systemClock.sleep(SETTLE_MS, signal);
  }
}

/**
 * Removes the Endpoints and every slice but ours, once. What no controller would write again is saved before. Rejects with
 * FILE_UNWRITABLE, or with what the cluster rejects with; nothing is removed then that is not saved.
 */
export async function removeOthers({ cluster, service: place }: Place, state: SavedState, signal: AbortSignal) {
  const { what, labelSelector } = slicesOf(place);
  const endpoints = await cluster.get(endpointsOf(place), signal).catch(unlessMissing); // first: slices may be their mirror
  if (endpoints !== undefined) {
    if (isNewer(endpoints, [state.saved.endpoints])) await state.change({ endpoints });
    await cluster.delete(endpointsOf(place), signal);
  }
  const slices = await cluster.list(what, { labelSelector }, signal);
  const others = slices.filter(({ metadata }) => metadata?.name !== state.saved.slice);
  const byHand = others.filter((one) => !isControlled(one) && isNewer(one, state.saved.slices));
  if (byHand.length > 0) {
    const older = state.saved.slices.filter((one) => !byHand.some((other) => hasSameName(one, other)));
    await state.change({ slices: [...older, ...byHand] });
  }
  for (const { metadata } of others) await cluster.delete(sliceOf(place, metadata?.name ?? ""), signal);
  return { removed: others.length + (endpoints === undefined ? 0 : 1), leadsHere: others.length < slices.length };
}

/** Whether it is none of `saved` as it was then. */
function isNewer(found: KubeObject, saved: readonly (KubeObject | undefined)[]): boolean {
  return !saved.some(
    (one) =>
      one?.metadata?.uid === found.metadata?.uid && one?.metadata?.resourceVersion === found.metadata?.resourceVersion,
  );
}

function hasSameName(one: KubeObject, other: KubeObject): boolean {
  return one.metadata?.name === other.metadata?.name;
}
