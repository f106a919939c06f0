/** Something that Envoy waits for before it starts a listener, a cluster, or its workers. */
export interface Awaited {
  /** The resource that waits: `listener "0.0.0.0_443"`, or Envoy's own name of it. */
  readonly who: string;
  /** For what: `secret "kubernetes://cert"`, or Envoy's own name of it. */
  readonly what: string;
}

/** Envoy's answer to this says what it waits for. Source: envoy source/server/admin/init_dump_handler.cc. */
export const INIT_DUMP_PATH = "/init_dump";

/** What an answer to `/init_dump` names. Throws on a body that is none. */
export function readInitDump(body: string): readonly Awaited[] {
  const { unready_targets_dumps: managers = [] } = JSON.parse(body) as InitDump;
  return managers.flatMap(({ name = "", target_names: targets = [] }) =>
    targets.map((target) => ({ who: nameOfManager(name), what: nameOfTarget(target) })),
  );
}

/** Source: envoy/admin/v3/init_dump.proto. */
interface InitDump {
  readonly unready_targets_dumps?: readonly { readonly name?: string; readonly target_names?: readonly string[] }[];
}

/** Envoy's own: `init manager Listener-local-init-manager 0.0.0.0_443 3579144235951002860`. */
function nameOfManager(name: string): string {
  const plain = name.replace(/^init manager /, "");
  const [, listener] = /^Listener-local-init-manager (.*) \d+$/.exec(plain) ?? [];
  return listener === undefined ? plain : `listener "${listener}"`;
}

/** Envoy's own: `shared target SdsApi kubernetes://cert`. */
function nameOfTarget(name: string): string {
  const plain = name.replace(/^(shared )?target /, "");
  const [, secret] = /^SdsApi (.*)$/.exec(plain) ?? [];
  return secret === undefined ? plain : `secret "${secret}"`;
}

/** Remembers since when each thing is awaited. */
export class Warming {
  #sinceMs: ReadonlyMap<string, number> = new Map();

  /** In one line, with the seconds so far, and since when the first is awaited; undefined when nothing is. */
  describe(
    awaited: readonly Awaited[],
    nowMs: number,
  ): { readonly text: string; readonly sinceMs: number } | undefined {
    const keys = awaited.map(({ who, what }) => `${who} waits for ${what}`);
    this.#sinceMs = new Map(keys.map((key) => [key, this.#sinceMs.get(key) ?? nowMs]));
    if (keys.length === 0) return undefined;
    const lines = [...this.#sinceMs].map(([key, ms]) => `${key} (${Math.round((nowMs - ms) / 1_000)}s)`);
    const shown = lines.slice(0, MOST_SHOWN).join(", ");
    const more = lines.length > MOST_SHOWN ? ` and ${lines.length - MOST_SHOWN} more` : "";
    const hint = keys.some((key) => key.includes(OF_KUBERNETES)) ? `; ${NOT_SENT}` : "";
    return { text: `${shown}${more}${hint}`, sinceMs: Math.min(...this.#sinceMs.values()) };
  }
}

const MOST_SHOWN = 5;
const OF_KUBERNETES = 'secret "kubernetes';
/** istiod tells its reason to its log alone. Source: istio/istio pilot/pkg/xds/sds.go (filterAuthorizedResources). */
const NOT_SENT =
  "istiod does not send a secret that is not there, is no TLS secret, or that the gateway's service account may not read (its log says which)";
