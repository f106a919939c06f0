import { allSettled, type Lifetime, type Timeline } from "../base/index.ts";
import type { AgentConfig } from "../config/index.ts";
import {
  decideSdsSocket,
  type IdentityPlan,
  keySpec,
  planIdentity,
  startKeyGeneration,
} from "../identity/prepare/index.ts";
import type { NodeDescription } from "../node/index.ts";
import type { AgentContext } from "./agent-context.ts";
import { bindSockets } from "./bind-sockets.ts";
import { describePorts, tryEnvoyPorts } from "./ports/index.ts";
import * as options from "./room-options.ts";
import { type ClaimedFolder, claimRunFolder } from "./run-folder/index.ts";
import type { Sockets } from "./serve-identity.ts";
import {
  type EnvoyPlan,
  findBinary,
  findNode,
  lookAround,
  type MeetingPlace,
  makeMeetingPlace,
  outputSource,
  planEnvoy,
  prepareBootstrap,
} from "./start-envoy/index.ts";

/** Everything that is there before Envoy is spawned. */
export interface PreparedAgent {
  readonly node: NodeDescription;
  readonly identity: IdentityPlan;
  readonly keys: ReturnType<typeof startKeyGeneration>;
  readonly sockets: Sockets;
  /** Another program serves the workload's secrets. */
  readonly isFilesOnly: boolean;
  readonly runFolder: ClaimedFolder;
  /** Where the Envoys of a hot restart meet; undefined without. */
  readonly meetingPlace: MeetingPlace | undefined;
  /** Undefined with DISABLE_ENVOY. */
  readonly envoy: EnvoyPlan | undefined;
}

/**
 * Binds, looks around and writes, in the order of docs/architecture.md, "Start". Nothing in here loads a library. What
 * it makes belongs to `life`. Rejects with ADDRESS_IN_USE, RUN_FOLDER_IN_USE, ENVOY_NOT_FOUND, FILE_UNWRITABLE and what
 * the configuration of identity and bootstrap can be refused with.
 */
export async function prepareAgent(
  config: AgentConfig,
  context: AgentContext,
  { life, timeline, stop }: { readonly life: Lifetime; readonly timeline: Timeline; readonly stop: AbortSignal },
): Promise<PreparedAgent> {
  const { log } = context;
  log.info(`Ports: ${describePorts(config)}`);
  const keys = await life.own("keys", startKeyGeneration(keySpec(options.keySettings(config))));
  const lookingAround = lookAround(context);
  const [runFolder, sds] = await allSettled([
    life.own("run folder", claimRunFolder(config, log)),
    decideSdsSocket({ cwd: config.cwd, fileName: config.settings.workloadSocketFile }),
  ]);
  const meetingPlace = config.settings.isEnvoyDisabled ? undefined : await makeMeetingPlace(config, context);
  if (meetingPlace !== undefined) await life.own("folder for hot restart", meetingPlace);
  const output = config.settings.isEnvoyDisabled ? undefined : outputSource(config, context);
  if (output !== undefined) {
    output.prepare(); // the run folder is there now; what takes long about it runs beside the rest
    await life.own("output of Envoy", output);
  }
  const sockets = await bindSockets(config, sds, life);
  runFolder.noteStatus(sockets.status ?? { port: 0 });
  timeline.mark("sockets bound");
  const envoyIs = config.settings.isEnvoyDisabled ? Promise.resolve(undefined) : findBinary(config, context);
  const [node, identity, envoyBinary] = await Promise.all([
    findNode(config, { hasExternalSds: sds.isFilesOnly, envoy: envoyIs }, log, stop),
    planIdentity(options.identitySettings(config, sds.isFilesOnly)),
    envoyIs,
  ]);
  await tryEnvoyPorts(config, node.family.localhost);
  if (sds.isFilesOnly) log.info("Existing workload SDS socket found, serving file certificates only");
  for (const note of identity.notes) log.info(note);
  const file = await life.own("bootstrap file", prepareBootstrap(config, node, log, { envoyPath: envoyBinary?.path }));
  const surroundings = await lookingAround;
  const bootstrapFile = file.path;
  const envoy =
    envoyBinary &&
    output &&
    (await planEnvoy({ surroundings, output, config, context, node, bootstrapFile, envoyBinary }));
  timeline.mark("bootstrap written");
  return { node, identity, keys, sockets, isFilesOnly: sds.isFilesOnly, runFolder, meetingPlace, envoy };
}
