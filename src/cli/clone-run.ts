import { finishOutput, type Host, lossyOutput } from "../host/index.ts";
import { enterClone, parseWorkloadName, planClone, readClone } from "../local/cluster/index.ts";
import { runApplication } from "../local/index.ts";
import { CLONE_FLAGS } from "./clone-flags.ts";
import { describeClone, printClone } from "./clone-table.ts";
import { checkNamespace, confirmCluster, openNamedCluster } from "./cluster-words.ts";
import type { Input } from "./contract/index.ts";
import { proxyFlags, readyTimeoutMs, runNews } from "./run-words.ts";

type Words = Input<typeof CLONE_FLAGS>;

/** Resolves with the exit code of the application, or 0. */
export async function clone({ flags, given, words, usage }: Words, host: Host): Promise<number> {
  const [name = "", ...command] = words;
  const workload = parseWorkloadName(name);
  if (workload === undefined) throw usage(`Cannot read "${name}", wanted NAME, pod/NAME, deploy/NAME or svc/NAME`);
  for (const flag of ["run-folder", "domain"])
    if (given.has(flag)) throw usage(`--${flag} cannot be used: it is the clone's own`);
  if (flags.namespace !== undefined) checkNamespace("--namespace", flags.namespace);
  const timeoutMs = readyTimeoutMs(flags["ready-timeout"], usage);
  const { stop } = host.signals;
  const cluster = await openNamedCluster(flags, host);
  const { namespace = cluster.namespace, "istio-namespace": istioNamespace, revision } = flags;
  const facts = await readClone({ cluster, namespace, workload, istioNamespace, revision }, stop);
  const plan = planClone(facts, { mayRegister: flags.register });
  const told = describeClone(plan, cluster.context, revision);
  printClone(told, flags.output === "json", { ...host, stdout: flags["dry-run"] ? host.stdout : host.stderr });
  if (flags["dry-run"]) return 0;
  await confirmCluster(cluster, `clone pod "${plan.pod.name}" of namespace "${namespace}"`, flags, host);
  const stderr = lossyOutput(host.stderr);
  const [file, ...rest] = command;
  const own = { ...host, stderr };
  try {
    return await runApplication(
      {
        command: file === undefined ? undefined : [file, ...rest],
        flags: proxyFlags(given, CLONE_FLAGS),
        readyTimeoutMs: timeoutMs,
        isVerbose: flags.verbose,
        local: undefined,
        ...runNews(own),
        workload: (log) =>
          enterClone({ cluster, plan, istioNamespace, revision: revision ?? plan.presents.revision, host: own, log }),
      },
      own,
    );
  } finally {
    await finishOutput(stderr);
  }
}
