import type { Cluster } from "../../kubernetes/index.ts";
import { type Check, type Finding, failed, ok, warning } from "./check.ts";
import { RIGHTS, type Right, type RightsPlaces } from "./rights-table.ts";

/** Those without which a sidecar on this machine gets nowhere; the others are for single commands. */
const NECESSARY = ["credentials", "connect"];

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
      return denied.length === 0 ? ok(`${asked.length} of ${asked.length} given`) : judge(command, denied, where);
    },
  }));
}

type AskedRight = Right & { readonly verb: string };

/** What a command can do without is never a failure. */
function judge(command: string, denied: readonly AskedRight[], places: RightsPlaces): Finding {
  const needed = denied.filter(({ without }) => without === undefined);
  const optional = denied.filter(({ without }) => without !== undefined);
  const found = [
    ...(needed.length === 0 ? [] : [`you may not ${needed.map((one) => describe(one, places)).join(", ")}`]),
    ...(optional.length === 0
      ? []
      : [`it works without ${optional.map((one) => `${describe(one, places)}: ${one.without}`).join("; without ")}`]),
  ].join("; ");
  const rules = denied.map((one) => ruleOf(one, places)).join("; ");
  const fix = `It takes the Role "pilotboat-${command}" of docs/cluster.md, or: ${rules}`;
  return needed.length > 0 && NECESSARY.includes(command) ? failed(found, fix) : warning(found, fix);
}

/** Source: Kubernetes API, authorization.k8s.io/v1 SelfSubjectAccessReview. */
async function mayDo(cluster: Cluster, right: AskedRight, places: RightsPlaces, signal: AbortSignal): Promise<boolean> {
  const [resource = "", subresource] = right.resource.split("/");
  const namespace = namespaceOf(right, places);
  const name = right.name?.(places);
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

function describe({ verb, resource, name, where }: AskedRight, places: RightsPlaces): string {
  const namespace = namespaceOf({ where }, places);
  const one = name === undefined ? "" : ` "${name(places)}"`;
  return `"${verb}" "${resource}"${one}${namespace === undefined ? "" : ` in namespace "${namespace}"`}`;
}

function ruleOf({ group, resource, verb, name }: AskedRight, places: RightsPlaces): string {
  const names = name === undefined ? "" : `, resourceNames: ["${name(places)}"]`;
  return `apiGroups: ["${group}"], resources: ["${resource}"]${names}, verbs: ["${verb}"]`;
}
