import type { Host } from "../host/index.ts";
import { curlLines, findGateway, planClone, readFacts } from "../local/cluster/index.ts";
import type { ListenerAddress } from "../local/index.ts";
import { checkNamespace, openNamedCluster } from "./cluster-words.ts";
import type { Input } from "./contract/index.ts";
import { GATEWAY_FLAGS } from "./gateway-flags.ts";
import { runPlan } from "./run-plan.ts";
import { ownWords } from "./run-words.ts";

/** Resolves with the exit code of the application, or 0. */
export async function gateway(
  { flags, given, words, usage }: Input<typeof GATEWAY_FLAGS>,
  host: Host,
): Promise<number> {
  const [name = "", ...command] = words;
  if (flags.namespace !== undefined) checkNamespace("--namespace", flags.namespace);
  const own = ownWords({ flags, given, usage }, GATEWAY_FLAGS, command);
  const { stop } = host.signals;
  const cluster = await openNamedCluster(flags, host);
  const { namespace = cluster.namespace, "service-account": serviceAccount } = flags;
  const source = { cluster, istioNamespace: flags["istio-namespace"], revision: flags.revision };
  const found = await findGateway({ ...source, namespace, name, serviceAccount }, stop);
  const plan = planClone(await readFacts(found.pod, source, stop), { mayRegister: false, role: "router" });
  const tries = (at: (port: number) => ListenerAddress): readonly string[] => [
    ...new Set(found.listeners.flatMap((one) => curlLines(one, at(found.podPortOf(one.port))))),
  ];
  const what = `gateway "${name}" (${found.kind}; ${found.from})`;
  const action = `be gateway "${name}" of namespace "${namespace}"`;
  return runPlan({ ...own, cluster, plan, what, action, flags, tries, notes: found.notes }, host);
}
