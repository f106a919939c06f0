import { join } from "node:path";
import { istiodObjects, type MeshFields } from "./istiod-objects.ts";
import type { KubeApi, KubeObject } from "./kube-api.ts";
import { type Program, type ProgramPlace, startProgram, waitFor } from "./run-program.ts";

export interface IstiodOptions {
  /** Switches of istiod. Default: none, so that Istio's own defaults hold. */
  readonly env?: Readonly<Record<string, string>>;
  /** Fields of MeshConfig in place of those of `istiod-objects.ts`. */
  readonly mesh?: MeshFields;
  /** What it finds when it starts. */
  readonly objects?: readonly KubeObject[];
}

/** The istiod of one cluster. Only a cluster of the test's own may be left without it. */
export interface Istiod {
  /**
   * Where the kubelet mounts the Secret `cacerts`. istiod reads it when it starts, and watches it from then on for a new
   * intermediate of the same roots; new roots need a restart.
   */
  readonly cacertsFolder: string;
  /** As a kubelet that has no patience: SIGKILL. Resolves when it is gone. */
  kill(): Promise<void>;
  /** Starts it again on the same ports. Resolves when it is ready. */
  start(): Promise<void>;
}

interface IstiodPorts {
  readonly plain: number;
  readonly xds: number;
  readonly debug: number;
  readonly webhook: number;
  readonly metrics: number;
  readonly ctrlz: number;
}

/** With Istio's defaults, but for what `options` says. Resolves when it is ready. */
export async function startIstiod(
  place: ProgramPlace,
  ports: IstiodPorts,
  api: KubeApi,
  options: IstiodOptions,
): Promise<Istiod> {
  for (const object of [...istiodObjects(ports, options.mesh), ...(options.objects ?? [])]) await api.apply(object);
  let running: Program | undefined;
  const start = async (): Promise<void> => {
    running = run(place, ports, options);
    await waitFor(running, async () => {
      const answer = await fetch(`http://127.0.0.1:${ports.debug}/ready`);
      if (!answer.ok) throw new Error(`istiod is not ready: ${answer.status}`);
    });
  };
  await start();
  await api.until("/api/v1/namespaces/default/configmaps/istio-ca-root-cert", () => true);
  return {
    cacertsFolder: join(place.folder, "istiod", "etc", "cacerts"),
    start,
    async kill() {
      await running?.kill();
    },
  };
}

function run(place: ProgramPlace, ports: IstiodPorts, { env = {} }: IstiodOptions): Program {
  const { folder } = place;
  const at = (port: number): string => `127.0.0.1:${port}`;
  return startProgram(
    place,
    "istiod",
    [
      ...["discovery", "--kubeconfig", join(folder, "kubeconfig"), "--shutdownDuration", "1s"],
      ...["--grpcAddr", at(ports.plain), "--secureGRPCAddr", at(ports.xds), "--httpAddr", at(ports.debug)],
      ...["--httpsAddr", at(ports.webhook), "--monitoringAddr", at(ports.metrics), "--ctrlz_port", String(ports.ctrlz)],
    ],
    {
      HOME: join(folder, "istiod"),
      POD_NAME: "istiod-0",
      POD_NAMESPACE: "istio-system",
      PILOT_CERT_PROVIDER: "istiod",
      CLUSTER_ID: "Kubernetes",
      REVISION: "default",
      ISTIOD_CUSTOM_HOST: "localhost",
      ...env,
    },
  );
}
