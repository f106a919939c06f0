import { isDeepStrictEqual } from "node:util";
import { AgentError, type Logger, systemClock } from "../../../base/index.ts";
import { startOf } from "../../../host/index.ts";
import type { Cluster, KubeObject } from "../../../kubernetes/index.ts";
import { isConflict, unlessConflict, unlessMissing } from "./expected-refusals.ts";
import { forget, readSaved, type SavedService } from "./saved-service.ts";
import {
  ANNOTATION,
  claimOf,
  endpointsOf,
  isControlled,
  releasePatch,
  type ServicePlace,
  selectorOf,
  serviceOf,
  sliceOf,
  slicesOf,
  withoutServerFields,
} from "./service-objects.ts";

export interface RestoreOptions {
  readonly cluster: Cluster;
  readonly place: ServicePlace;
  /** Where what was there is saved. */
  readonly file: string;
  readonly log: Logger;
}

/** What was found to be done: `nothing` when nothing is saved, `selector kept` when somebody has set another one meanwhile. */
export type Restored = "restored" | "selector kept" | "nothing" | "service gone";

const CONFLICTS = 5;
const LOOK_MS = 200;
const CONTROLLERS_LIMIT_MS = 10_000;

/**
 * Puts a Service back as it was saved; may be repeated, whatever it was interrupted at. A selector that somebody has set
 * meanwhile stays. Slices and Endpoints that a controller wrote are written again by that; others are created. What is saved
 * is forgotten at the end, and only then. Rejects with LOCAL_ISTIOD_IN_USE while the process that holds it runs, and when the
 * Service leads to another machine; with KUBE_CONFLICT when somebody has led it elsewhere by hand; or with what the cluster
 * rejects with.
 */
export async function restoreService(options: RestoreOptions, signal: AbortSignal): Promise<Restored> {
  const { cluster, place, file } = options;
  const saved = await readSaved(file);
  if (saved === undefined || saved === "empty") {
    await refuseForeign(options, signal);
    await forget(file);
    return "nothing";
  }
  await refuseLiving(saved, place);
  const service = await release(options, saved, signal);
  if (service !== undefined) await recreate(options, saved, signal);
  await cluster.delete(sliceOf(place, saved.slice), signal);
  if (service !== undefined) await awaitControllers(options, saved, signal);
  await forget(file);
  if (service === undefined) return "service gone";
  return isDeepStrictEqual(selectorOf(service), selectorOf(saved.service)) ? "restored" : "selector kept";
}

async function refuseLiving({ owner: { pid, start } }: SavedService, { namespace, name }: ServicePlace): Promise<void> {
  if (pid === process.pid || start === undefined || (await startOf(pid)) !== start) return;
  const text = `Cannot put Service "${name}" in namespace "${namespace}" back: process ${pid} of this machine holds it`;
  throw new AgentError("LOCAL_ISTIOD_IN_USE", text, { hint: `Stop that one: it puts it back itself (kill ${pid})` });
}

/** Nothing is saved here, and so nobody but the annotation knows what was there. */
async function refuseForeign({ cluster, place }: RestoreOptions, signal: AbortSignal): Promise<void> {
  const claim = claimOf(await cluster.get(serviceOf(place), signal));
  if (claim === undefined) return;
  const { namespace, name } = place;
  const text = `Cannot put Service "${name}" in namespace "${namespace}" back: "${claim.host}" has it since ${claim.since}, and what it was is saved there`;
  const patch = { metadata: { annotations: { [ANNOTATION]: null } }, spec: { selector: claim.selector ?? null } };
  throw new AgentError("LOCAL_ISTIOD_IN_USE", text, {
    hint: `Run it there. If that machine is gone: kubectl -n ${namespace} patch service ${name} --type merge -p '${JSON.stringify(patch)}', then delete the EndpointSlice with endpointslice.kubernetes.io/managed-by=pilotboat`,
  });
}

/** The Service as it is in the end, led to no machine; undefined when it is gone, or another one has its name. */
async function release(
  options: RestoreOptions,
  saved: SavedService,
  signal: AbortSignal,
): Promise<KubeObject | undefined> {
  const { cluster, place } = options;
  for (let attempt = 1; ; attempt++) {
    const service = await cluster.get(serviceOf(place), signal).catch(unlessMissing);
    if (service === undefined || service.metadata?.uid !== saved.service.metadata?.uid) return undefined;
    if (!(await isLeft(options, saved, service, signal))) return service;
    try {
      return await cluster.patch(serviceOf(place), releasePatch(service, saved.service), signal);
    } catch (error) {
      if (!isConflict(error) || attempt >= CONFLICTS) throw error;
    }
  }
}

/** Whether the Service still is as the run has left it, be it without the annotation; else it was put back. Rejects when it leads elsewhere. */
async function isLeft(
  { cluster, place, file }: RestoreOptions,
  saved: SavedService,
  service: KubeObject,
  signal: AbortSignal,
): Promise<boolean> {
  const claim = claimOf(service);
  if (claim?.id === saved.id) return true;
  const { namespace, name } = place;
  const text = `Cannot put Service "${name}" in namespace "${namespace}" back`;
  if (claim !== undefined) {
    throw new AgentError("LOCAL_ISTIOD_IN_USE", `${text}: "${claim.host}" has it since ${claim.since}`, {
      hint: `Stop that one, then repeat this: what it was stays saved in "${file}"`,
    });
  }
  if (selectorOf(service) !== undefined || selectorOf(saved.service) === undefined) return false;
  const { what, labelSelector } = slicesOf(place);
  const known = [saved.slice, ...saved.slices.map(({ metadata }) => metadata?.name)];
  const other = (await cluster.list(what, { labelSelector }, signal))
    .filter((slice) => !isControlled(slice))
    .find(({ metadata }) => !known.includes(metadata?.name ?? ""));
  if (other === undefined) return true;
  throw new AgentError("KUBE_CONFLICT", `${text}: EndpointSlice "${other.metadata?.name}" leads it elsewhere`, {
    hint: `Remove that one, or set a selector, then repeat this: what it was stays saved in "${file}"`,
  });
}

/** What no controller writes. */
async function recreate({ cluster, place }: RestoreOptions, saved: SavedService, signal: AbortSignal): Promise<void> {
  const { endpoints, slices, service } = saved;
  if (endpoints !== undefined && selectorOf(service) === undefined) {
    const what = { resource: "endpoints", namespace: place.namespace };
    if ((await cluster.get(endpointsOf(place), signal).catch(unlessMissing)) === undefined)
      await cluster.create(what, withoutServerFields(endpoints), signal).catch(unlessConflict);
  }
  for (const slice of slices.filter((one) => !isControlled(one))) {
    const name = slice.metadata?.name ?? "";
    if ((await cluster.get(sliceOf(place, name), signal).catch(unlessMissing)) === undefined)
      await cluster.create(slicesOf(place).what, withoutServerFields(slice), signal).catch(unlessConflict);
  }
}

/** Until the Service leads somewhere again, if it did. A controller that takes longer does it later. */
async function awaitControllers(
  { cluster, place, log }: RestoreOptions,
  { slices }: SavedService,
  signal: AbortSignal,
): Promise<void> {
  const untilMs = systemClock.now() + CONTROLLERS_LIMIT_MS;
  const { what, labelSelector } = slicesOf(place);
  for (;;) {
    if (slices.length === 0 || (await cluster.list(what, { labelSelector }, signal)).length > 0) return;
    if (systemClock.now() >= untilMs) {
      const fields = { service: `${place.namespace}/${place.name}` };
      return log.warn("The Service is as before, and no controller has written its EndpointSlices yet", fields);
    }
    await systemClock.sleep(LOOK_MS, signal);
  }
}
