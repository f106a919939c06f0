import { isIP } from "node:net";
import { parseGoBool } from "../base/index.ts";
import { canonicalQuantity } from "./pod/quantity.ts";

/**
 * Throws for annotations that the injector refuses, all of them at once. What stands in `proxy.istio.io/config` is checked
 * where it is read. Source: istio/istio pkg/kube/inject/validate.go.
 */
export function checkAnnotations(annotations: Readonly<Record<string, string>>): void {
  const problems = Object.entries(annotations).flatMap(([name, value]) => {
    const wanted = Object.hasOwn(CHECKS, name) ? CHECKS[name]?.(value) : undefined;
    return wanted === undefined ? [] : [`annotation ${name} is "${value}", wanted ${wanted}`];
  });
  if (problems.length > 0) throw new Error(problems.join("; "));
}

/** Undefined for a value that is good, else what is wanted. */
type Check = (value: string) => string | undefined;

const wants =
  (what: string, is: (value: string) => boolean): Check =>
  (value) =>
    is(value) ? undefined : what;

const isPort = (text: string): boolean => /^\d{1,5}$/.test(text.trim()) && Number(text) <= 65_535;
const isPorts = (text: string): boolean => text.trim() === "" || text.split(",").every(isPort);
const isRanges = (text: string): boolean => text === "" || text.split(",").every(isRange);

function isRange(text: string): boolean {
  const [address = "", bits = ""] = text.split("/");
  const most = { 4: 32, 6: 128 }[isIP(address)];
  return most !== undefined && /^\d+$/.test(bits) && Number(bits) <= most;
}

const ports = wants("ports such as 80,443", isPorts);
const portsOrAll = wants("* or ports such as 80,443", (text) => text === "*" || isPorts(text));
const number = wants("a number", (text) => /^\d{1,10}$/.test(text) && Number(text) < 2 ** 32);
const ranges = "address ranges such as 10.0.0.0/8,172.16.0.0/12";
const interfaces = wants("names of network interfaces such as net1,net2", (text) => {
  return text === "" || text.split(",").every((name) => /^[\w.@-]{1,15}$/.test(name.trim()));
});
const quantity = wants("a quantity such as 100m or 128Mi", (text) => {
  try {
    return canonicalQuantity(text, "") !== "";
  } catch {
    return false; // whoever asks names the annotation
  }
});

const CHECKS: Readonly<Record<string, Check>> = {
  "sidecar.istio.io/interceptionMode": wants("REDIRECT, TPROXY or NONE", (text) =>
    /^(REDIRECT|TPROXY|NONE)$/.test(text),
  ),
  "status.sidecar.istio.io/port": wants("a port", isPort),
  "readiness.status.sidecar.istio.io/initialDelaySeconds": number,
  "readiness.status.sidecar.istio.io/periodSeconds": number,
  "readiness.status.sidecar.istio.io/failureThreshold": number,
  "traffic.sidecar.istio.io/includeOutboundIPRanges": wants(`* or ${ranges}`, (text) => text === "*" || isRanges(text)),
  "traffic.sidecar.istio.io/excludeOutboundIPRanges": wants(ranges, isRanges),
  "traffic.sidecar.istio.io/includeInboundPorts": portsOrAll,
  "traffic.sidecar.istio.io/excludeInboundPorts": ports,
  "traffic.sidecar.istio.io/excludeOutboundPorts": ports,
  "traffic.sidecar.istio.io/excludeInterfaces": interfaces,
  "traffic.sidecar.istio.io/kubevirtInterfaces": interfaces,
  "istio.io/reroute-virtual-interfaces": interfaces,
  "prometheus.istio.io/merge-metrics": wants("true or false", (text) => parseGoBool(text) !== undefined),
  "sidecar.istio.io/proxyCPU": quantity,
  "sidecar.istio.io/proxyMemory": quantity,
  "sidecar.istio.io/proxyCPULimit": quantity,
  "sidecar.istio.io/proxyMemoryLimit": quantity,
};
