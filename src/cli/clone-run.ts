import type { Host } from "../host/index.ts";
import { parseWorkloadName, planClone, readClone } from "../local/cluster/index.ts";
import { CLONE_FLAGS } from "./clone-flags.ts";
import { checkNamespace, openNamedCluster } from "./cluster-words.ts";
import type { Input } from "./contract/index.ts";
import { runPlan } from "./run-plan.ts";
import { ownWords } from "./run-words.ts";

/** Resolves with the exit code of the application, or 0. */
export async function clone({ flags, given, words, usage }: Input<typeof CLONE_FLAGS>, host: Host): Promise<number> {
  const [name = "", ...command] = words;
  const workload = parseWorkloadName(name);
  if (workload === undefined) throw usage(`Cannot read "${name}", wanted NAME, pod/NAME, deploy/NAME or svc/NAME`);
  if (flags.namespace !== undefined) checkNamespace("--namespace", flags.namespace);
  const own = ownWords({ flags, given, usage }, CLONE_FLAGS, command);
  const cluster = await openNamedCluster(flags, host);
  const { namespace = cluster.namespace, "istio-namespace": istioNamespace, revision } = flags;
  const facts = await readClone({ cluster, namespace, workload, istioNamespace, revision }, host.signals.stop);
  const plan = planClone(facts, { mayRegister: flags.register, registerFlag: "--register" });
  const what = `the clone of pod "${plan.pod.name}"`;
  const action = `clone pod "${plan.pod.name}" of namespace "${namespace}"`;
  return runPlan({ ...own, cluster, plan, what, action, flags }, host);
}
