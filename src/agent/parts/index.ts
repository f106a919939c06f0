import type { AgentConfig } from "../../config/index.ts";
import type { NodeDescription } from "../../node/index.ts";
import type { Cause } from "../../status/index.ts";
import type { PlannedPort } from "../ports/index.ts";
import { findNode } from "../start-envoy/index.ts";
import { DnsPart, type DnsReport } from "./dns.ts";
import { EnvoyPart } from "./envoy.ts";
import { envoyPorts } from "./envoy-ports.ts";
import type { EnvoyReport } from "./envoy-report.ts";
import { HealthPart, type HealthReport } from "./health.ts";
import { IdentityPart, type IdentityReport } from "./identity.ts";
import { PagePart } from "./page.ts";
import type { Part, Surroundings } from "./part.ts";
import { ProbesPart } from "./probes.ts";
import { type ReportFrame, StatusPart, statusPorts } from "./status.ts";
import { WasmPart, type WasmReport } from "./wasm.ts";
import { XdsPart, type XdsReport } from "./xds.ts";

export { closeParts } from "./close-parts.ts";
export type { AgentContext, AgentEnd, Part, Surroundings } from "./part.ts";

/** What `pilotboat status` shows of a running agent. Without secrets: a certificate's facts, never its key. */
export type AgentReport = ReportFrame &
  EnvoyReport &
  XdsReport &
  WasmReport &
  IdentityReport &
  DnsReport &
  HealthReport;

/** The ports on which this agent and its Envoy will listen. */
export function plannedPorts(config: AgentConfig): readonly PlannedPort[] {
  return [...statusPorts(config), ...envoyPorts(config)].filter(({ port }) => port > 0);
}

/** The parts of an agent: all of them in their order, and those that somebody outside has to do with. */
export interface Parts {
  /** In the order in which they serve. */
  readonly list: readonly Part[];
  readonly status: StatusPart;
  readonly identity: IdentityPart;
  readonly envoy: EnvoyPart;
  /** The node. Call it once everything is bound. */
  node(): Promise<NodeDescription>;
}

/** Makes the parts of an agent and connects them. Nothing starts here. */
export function createParts(around: Surroundings): Parts {
  const { config, context, stop } = around;
  let found: Promise<NodeDescription> | undefined;
  const node = (): Promise<NodeDescription> => {
    const words = { hasExternalSds: identity.hasExternalSds, envoy: Promise.resolve(envoy.binary) };
    found ??= findNode(config, words, context.log, stop);
    return found;
  };
  const identity = new IdentityPart(around);
  const envoy: EnvoyPart = new EnvoyPart(around, {
    node,
    hasExternalSds: () => identity.hasExternalSds,
    whyNextIsUnconfigured: (...next) => xds.whyNextIsUnconfigured(...next),
    keepForNext: (...next) => xds.keepForNext(...next),
    whyUnconfigured: () => causesOf(xds, identity),
    refusal: () => xds.refusal(),
    parts: () => list,
  });
  const xds: XdsPart = new XdsPart(around, { identity, envoys: () => envoy.count(), parts: () => list });
  const status = new StatusPart(around, () => list);
  const list: readonly Part[] = [
    status,
    new DnsPart(around, () => causesOf(xds, identity)),
    envoy,
    identity,
    new WasmPart(around),
    xds,
    new HealthPart(around, { envoy, xds }),
    new ProbesPart(around, node),
    new PagePart(around, node),
  ];
  return { list, status, identity, envoy, node };
}

/** Why Envoy may lack certificates or configuration; empty when all is well. */
function causesOf(xds: XdsPart, identity: IdentityPart): readonly Cause[] {
  const reason = xds.failureReason();
  const trouble = xds.trouble();
  return [
    ...(trouble === undefined ? [] : [trouble]),
    ...identity.troubles().filter(({ text }) => reason === undefined || !text.includes(reason)),
  ];
}
