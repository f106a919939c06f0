import type { Cluster } from "../../kubernetes/index.ts";
import { type Check, failed, ok, warning } from "./check.ts";
import { RIGHTS, type Right } from "./rights-table.ts";

/** Those without which a sidecar on this machine gets nowhere; the others are for single commands. */
const NECESSARY = ["credentials", "connect"];

export interface RightsPlaces {
  readonly workloadNamespace: string;
  readonly serviceAccount: string;
  readonly istioNamespace: string;
}

/** One check for each command: what its user may not do. */
export function rightsChecks(cluster: () => Promise<Cluster>, places: () => Promise<RightsPlaces>): readonly Check[] {
  return [...new Set(RIGHTS.map(({ command }) => command))].map((command) => ({
    name: `rights: ${command}`,
    needs: ["API server"],
    async run(signal) {
      const asked = RIGHTS.filter((right) => right.command === command).flatMap((right) =>
        right.verbs.map((verb) => ({ ...right, verb })),
      );
      const [opened, where] = [await cluster(), await places()];
      const denied: AskedRight[] = [];
      for (const right of asked) if (!(await mayDo(opened, right, where, signal))) denied.push(right); // one by one: a server may limit us
      if (denied.length === 0) return ok(`${asked.length} of ${asked.length} given`);
      const list = denied.map(({ verb, resource, ...right }) => `"${verb}" "${resource}"${placeOf(right, where)}`);
      const found = `you may not ${list.join(", ")}`;
      const fix = `It takes the Role "pilotboat-${command}" of docs/cluster.md, or: ${denied.map(ruleOf).join("; ")}`;
      return NECESSARY.includes(command) ? failed(found, fix) : warning(found, fix);
    },
  }));
}

type AskedRight = Right & { readonly verb: string };

/** Source: Kubernetes API, authorization.k8s.io/v1 SelfSubjectAccessReview. */
async function mayDo(cluster: Cluster, right: AskedRight, places: RightsPlaces, signal: AbortSignal): Promise<boolean> {
  const [resource = "", subresource] = right.resource.split("/");
  const namespace = namespaceOf(right, places);
  const name = right.resource === "serviceaccounts/token" ? places.serviceAccount : right.name;
  const resourceAttributes = {
    ...{ group: right.group, resource, verb: right.verb },
    ...(subresource !== undefined && { subresource }),
    ...(namespace !== undefined && { namespace }),
    ...(name !== undefined && { name }),
  };
  const what = { apiVersion: "authorization.k8s.io/v1", resource: "selfsubjectaccessreviews" };
  const body = { apiVersion: what.apiVersion, kind: "SelfSubjectAccessReview", spec: { resourceAttributes } };
  const { status } = (await cluster.create(what, body, signal)) as { readonly status?: { readonly allowed?: boolean } };
  return status?.allowed === true;
}

function namespaceOf({ where }: Pick<Right, "where">, places: RightsPlaces): string | undefined {
  if (where === "cluster") return undefined;
  return where === "istio" ? places.istioNamespace : places.workloadNamespace;
}

function placeOf(right: Pick<Right, "where">, places: RightsPlaces): string {
  const namespace = namespaceOf(right, places);
  return namespace === undefined ? "" : ` in namespace "${namespace}"`;
}

function ruleOf({ group, resource, verb }: AskedRight): string {
  return `apiGroups: ["${group}"], resources: ["${resource}"], verbs: ["${verb}"]`;
}
