import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { AgentError, describeError, type Logger, pause, systemClock, utcTime } from "../../../base/index.ts";
import { startOf } from "../../../host/index.ts";
import type { Cluster, KubeObject } from "../../../kubernetes/index.ts";
import { isConflict, isInUse, isMissing, unlessMissing } from "./expected-refusals.ts";
import { leadNowhereElse, removeOthers } from "./remove-others.ts";
import { type Restored, restoreService } from "./restore-service.ts";
import { forget, reserve, type SavedService, SavedState, savedFile } from "./saved-service.ts";
import {
  ANNOTATION,
  type Claim,
  claimOf,
  claimPatch,
  endpointsOf,
  portsOf,
  type ServicePlace,
  type ServicePort,
  selectorOf,
  serviceOf,
  sliceOf,
  slicesOf,
  sliceTo,
} from "./service-objects.ts";

export interface LocalIstiodOptions {
  readonly cluster: Cluster;
  readonly service: ServicePlace;
  /** Of this machine, as pods reach it. */
  readonly address: string;
  /** Ports of the local istiod by the names of the Service's ports. Default: the Service's target ports. */
  readonly ports: ReadonlyMap<string, number>;
  /** Where what was there is saved. */
  readonly stateFolder: string;
  /** For messages: the command that puts it back. */
  readonly restoreCommand: string;
  readonly log: Logger;
}

/** A Service that leads to this machine. */
export interface LocalIstiod {
  /** By the names of the Service's ports. */
  readonly ports: Readonly<Record<string, number>>;
  /** File of what was there. */
  readonly saved: string;
  /** Looks after it until `stop`; rejects with KUBE_CONFLICT when somebody has put the Service back, or led it elsewhere. */
  hold(stop: AbortSignal): Promise<void>;
  /** As before. Rejects as `restoreService` does; what was there then stays saved. */
  restore(): Promise<Restored>;
}

const CONFLICTS = 5;
const LOOK_MS = 5_000;
/** Of putting it back, when nobody waits for it any more. */
const UNDO_LIMIT_MS = 60_000;

/**
 * Makes the Service lead to this machine: what is there is saved first, then the selector goes, one EndpointSlice to
 * `address` comes, and the others and the Endpoints go; those that come later are saved before they go, too. The controllers of Kubernetes leave all of them as they are once there
 * is no selector, and would mirror the Endpoints into new slices. When a step fails, what was done is undone. Rejects with
 * LOCAL_ISTIOD_IN_USE when it leads to a machine already, FILE_UNWRITABLE, or what the cluster rejects with.
 */
export async function leadServiceHere(options: LocalIstiodOptions, signal: AbortSignal): Promise<LocalIstiod> {
  const { cluster, service: place, stateFolder } = options;
  const file = savedFile(stateFolder, cluster.server, place);
  if (!(await reserve(file))) throw inUse(options, `this machine has saved what it was in "${file}"`);
  const { state, ports } = await saveFirst(options, file, signal).catch(async (error: unknown) => {
    await forget(file);
    throw error;
  });
  const { slice } = state.saved;
  const restore = () => restoreService({ cluster, place, file, log: options.log }, AbortSignal.timeout(UNDO_LIMIT_MS));
  try {
    const claimed = await claim(options, state, signal);
    const body = sliceTo(options.address, ports, { service: claimed, name: slice });
    await cluster.create(slicesOf(place).what, body, signal).catch(async (error: unknown) => {
      const isThere = isConflict(error) && (await cluster.get(sliceOf(place, slice), signal).catch(unlessMissing));
      if (!isThere) throw error; // else it is the repetition of one whose answer was lost
    });
    await leadNowhereElse(options, state, signal);
  } catch (error) {
    if (isInUse(error))
      await forget(file); // somebody was faster, and nothing is changed
    else await undo(restore, options, error);
    throw error;
  }
  return {
    ports: Object.fromEntries(ports.map(({ service, port }) => [service.name ?? String(service.port), port])),
    saved: file,
    hold: (stop) => hold(options, state, stop),
    restore,
  };
}

async function saveFirst(options: LocalIstiodOptions, file: string, signal: AbortSignal) {
  const found = await look(options, signal);
  const ports = portsFor(options, found.service);
  const state = new SavedState(file, await describe(options, found));
  await state.write();
  return { state, ports };
}

interface Found {
  readonly service: KubeObject;
  readonly slices: readonly KubeObject[];
  readonly endpoints: KubeObject | undefined;
}

async function look({ cluster, service: place, ...options }: LocalIstiodOptions, signal: AbortSignal): Promise<Found> {
  const service = await cluster.get(serviceOf(place), signal);
  const claim = claimOf(service);
  if (claim !== undefined)
    throw inUse({ cluster, service: place, ...options }, `"${claim.host}" has it since ${claim.since}`);
  const { what, labelSelector } = slicesOf(place);
  const slices = await cluster.list(what, { labelSelector }, signal);
  const endpoints = await cluster.get(endpointsOf(place), signal).catch(unlessMissing);
  return { service, slices, endpoints };
}

async function describe({ cluster }: LocalIstiodOptions, found: Found): Promise<SavedService> {
  const id = randomBytes(8).toString("hex");
  const { context, server } = cluster;
  const owner = { pid: process.pid, start: await startOf(process.pid) };
  const slice = `${found.service.metadata?.name}-local-${id.slice(0, 8)}`;
  return { id, context, server, owner, savedAt: utcTime(systemClock.now()), slice, ...found };
}

/** Takes the selector away. Somebody else's change in between is no reason to give up, unless it is another claim. */
async function claim(options: LocalIstiodOptions, state: SavedState, signal: AbortSignal): Promise<KubeObject> {
  const { cluster, service: place } = options;
  const { saved } = state;
  const claim: Claim = { id: saved.id, host: hostname(), since: saved.savedAt, selector: selectorOf(saved.service) };
  let service = saved.service;
  for (let attempt = 1; ; attempt++) {
    try {
      return await cluster.patch(serviceOf(place), claimPatch(service, claim), signal);
    } catch (error) {
      if (!isConflict(error) || attempt >= CONFLICTS) throw error;
    }
    service = await cluster.get(serviceOf(place), signal);
    const other = claimOf(service);
    if (other?.id === saved.id) return service; // the answer was lost
    if (other !== undefined) throw inUse(options, `"${other.host}" has it since ${other.since}`);
    await state.change({ service });
  }
}

async function hold(options: LocalIstiodOptions, state: SavedState, stop: AbortSignal): Promise<void> {
  const { cluster, service: place, log } = options;
  let isTold = false;
  for (;;) {
    await pause(LOOK_MS, stop);
    if (stop.aborted) return;
    try {
      const service = await cluster.get(serviceOf(place), stop);
      if (claimOf(service)?.id !== state.saved.id || selectorOf(service) !== undefined) throw lost(options, service);
      await removeOthers(options, state, stop);
      if (isTold) log.info("The API server answers again");
      isTold = false;
    } catch (error) {
      if (stop.aborted) return;
      if (isConflict(error) || isMissing(error)) throw error;
      if (!isTold) log.warn("Cannot look after the Service", { error: describeError(error) });
      isTold = true;
    }
  }
}

/** What is thrown is `error`, unless undoing fails as well: then it says both, and what is left to do. */
async function undo(
  restore: () => Promise<unknown>,
  { restoreCommand }: LocalIstiodOptions,
  error: unknown,
): Promise<void> {
  await restore().catch((second: unknown) => {
    const code = error instanceof AgentError ? error.code : "INTERNAL";
    const text = `${describeError(error)}; and what was there is not put back: ${describeError(second)}`;
    throw new AgentError(code, text, { hint: `Put it back: ${restoreCommand}`, cause: error });
  });
}

function portsFor({ ports }: LocalIstiodOptions, service: KubeObject) {
  const all = portsOf(service);
  const unknown = [...ports.keys()].filter((name) => !all.some((port) => port.name === name));
  if (unknown.length > 0) {
    const names = all.map(({ name }) => name).join(", ");
    throw new AgentError(
      "USAGE",
      `Cannot use --port ${unknown[0]}=…: Service "${service.metadata?.name}" has the ports ${names}`,
    );
  }
  return all.map((one) => ({ service: one, port: ports.get(one.name ?? "") ?? targetOf(one) }));
}

function targetOf({ port, targetPort }: ServicePort): number {
  return typeof targetPort === "number" ? targetPort : port;
}

function inUse(
  { cluster, service, restoreCommand }: Pick<LocalIstiodOptions, "cluster" | "service" | "restoreCommand">,
  why: string,
): AgentError {
  const text = `Cannot lead Service "${service.name}" in namespace "${service.namespace}" of context "${cluster.context}" here: it leads to a machine already: ${why}`;
  return new AgentError("LOCAL_ISTIOD_IN_USE", text, { hint: `Stop that one, or put it back: ${restoreCommand}` });
}

function lost({ service: { name, namespace } }: LocalIstiodOptions, service: KubeObject): AgentError {
  return new AgentError(
    "KUBE_CONFLICT",
    `Service "${name}" in namespace "${namespace}" does not lead here any more: ${whyLost(service)}`,
  );
}

function whyLost(service: KubeObject): string {
  if (selectorOf(service) !== undefined) return "somebody has put it back";
  const other = claimOf(service);
  return other === undefined ? `somebody has removed its annotation ${ANNOTATION}` : `it leads to "${other.host}" now`;
}
