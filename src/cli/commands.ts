import type { CommandModule } from "./command.ts";

export interface CommandEntry {
  readonly name: string;
  readonly group: "run" | "cluster" | "control plane" | "look" | "container";
  readonly summary: string;
  /** Loads the command's code; nothing else of the program is loaded for it. */
  readonly load: () => Promise<CommandModule>;
}

/** Every command, in the order of the help page. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "up",
    group: "run",
    summary: "Embedded control plane, agent, Envoy and an example service, without a cluster",
    load: () => import("./up.ts"),
  },
  {
    name: "proxy",
    group: "run",
    summary: "The sidecar or gateway agent: drop-in for pilot-agent proxy",
    load: () => import("./proxy.ts"),
  },
  {
    name: "run",
    group: "run",
    summary: "An application beside its sidecar: wait for ready, pass signals, return its exit code",
    load: () => import("./run.ts"),
  },
  {
    name: "envoy",
    group: "run",
    summary: "Find, fetch or run Envoy's executable",
    load: () => import("./envoy.ts"),
  },
  {
    name: "credentials",
    group: "cluster",
    summary: "A token and the mesh's root from a cluster, where a sidecar reads them",
    load: () => import("./credentials.ts"),
  },
  {
    name: "connect",
    group: "cluster",
    summary: "A port on this machine behind which the cluster's istiod answers",
    load: () => import("./connect.ts"),
  },
  {
    name: "control-plane",
    group: "control plane",
    summary: "A development istiod: certificate authority and ADS from a folder of YAML",
    load: () => import("./control-plane.ts"),
  },
  {
    name: "reload",
    group: "run",
    summary: "Replace the Envoy of a running agent without losing a request",
    load: () => import("./reload.ts"),
  },
  {
    name: "status",
    group: "look",
    summary: "Certificate, control plane and Envoy of a running agent",
    load: () => import("./status.ts"),
  },
  {
    name: "config",
    group: "look",
    summary: "The effective configuration, and who set what",
    load: () => import("./config.ts"),
  },
  {
    name: "bootstrap",
    group: "look",
    summary: "Envoy's bootstrap: print it, have Envoy check it, compare two",
    load: () => import("./bootstrap.ts"),
  },
  {
    name: "request",
    group: "container",
    summary: "Ask this machine's Envoy or agent, as pilot-agent request does",
    load: () => import("./request.ts"),
  },
  {
    name: "wait",
    group: "container",
    summary: "Wait until the proxy is ready",
    load: () => import("./wait.ts"),
  },
  {
    name: "version",
    group: "container",
    summary: "Version of pilotboat",
    load: () => import("./version.ts"),
  },
];
