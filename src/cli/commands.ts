import type { Command, CommandName } from "./contract/index.ts";

/** Every command. A file is loaded only for its command, and for lists of all. */
export const COMMANDS: Readonly<Record<CommandName, () => Promise<{ readonly command: Command }>>> = {
  up: () => import("./up.ts"),
  proxy: () => import("./proxy.ts"),
  run: () => import("./run.ts"),
  envoy: () => import("./envoy.ts"),
  credentials: () => import("./credentials.ts"),
  connect: () => import("./connect.ts"),
  clone: () => import("./clone.ts"),
  gateway: () => import("./gateway.ts"),
  inject: () => import("./inject.ts"),
  "use-local-istiod": () => import("./use-local-istiod.ts"),
  reload: () => import("./reload.ts"),
  "control-plane": () => import("./control-plane.ts"),
  status: () => import("./status.ts"),
  ps: () => import("./ps.ts"),
  "proxy-config": () => import("./proxy-config.ts"),
  xds: () => import("./xds.ts"),
  doctor: () => import("./doctor.ts"),
  config: () => import("./config.ts"),
  bootstrap: () => import("./bootstrap.ts"),
  request: () => import("./request.ts"),
  wait: () => import("./wait.ts"),
  iptables: () => import("./iptables.ts"),
  version: () => import("./version.ts"),
  completion: () => import("./completion.ts"),
};

/** Names that istioctl and pilot-agent have for a command. */
export const ALIASES: ReadonlyMap<string, string> = new Map([
  ["pc", "proxy-config"],
  ["istio-iptables", "iptables"],
]);

/** Their descriptions. */
export function allCommands(): Promise<readonly Command[]> {
  return Promise.all(Object.values(COMMANDS).map(async (load) => (await load()).command));
}
