interface Row {
  /** What the agent does. */
  readonly agent: string;
  /** What requests meet meanwhile. */
  readonly traffic: string;
  /** How the agent ends: its exit code, or the signal that it dies of. */
  readonly exit: number | NodeJS.Signals | "none";
}

const NEVER_BEGAN = "none yet";
const GOES_ON = "goes on";
const ENDS_WITH_ENVOY = "refused from then on";

/**
 * Every fault that docs/reliability.md tells of; each has one test in this folder. Where the agent lives on, `exit` is
 * its end after the SIGTERM that follows.
 */
export const FAULTS = {
  "Envoy is missing": { agent: "ends with the path and a hint", traffic: NEVER_BEGAN, exit: 1 },
  "Envoy is not executable": { agent: "ends with the path and a hint", traffic: NEVER_BEGAN, exit: 1 },
  "Envoy is built for another machine": { agent: "ends, naming both machines", traffic: NEVER_BEGAN, exit: 1 },
  "Envoy is a file of something else": { agent: "ends with the path and a hint", traffic: NEVER_BEGAN, exit: 1 },
  "Envoy exits with 0 at once": { agent: "ends with it", traffic: NEVER_BEGAN, exit: 0 },
  "Envoy exits with 3 at once": { agent: "ends with Envoy's code", traffic: NEVER_BEGAN, exit: 3 },
  "Envoy refuses its configuration": { agent: "ends with Envoy's own message", traffic: NEVER_BEGAN, exit: 1 },
  "Envoy's admin port is taken": { agent: "ends, naming the port and who sets it", traffic: NEVER_BEGAN, exit: 1 },
  "Envoy is killed": {
    agent: "ends, naming memory only where that may be the reason",
    traffic: ENDS_WITH_ENVOY,
    exit: 137,
  },
  "Envoy crashes": { agent: "ends with 128 and the signal", traffic: ENDS_WITH_ENVOY, exit: 139 },
  "Envoy is ended by somebody else": { agent: "ends with it", traffic: ENDS_WITH_ENVOY, exit: 0 },
  "Envoy crashes three times, with restarts on": {
    agent: "is not ready, and starts it again: at once, then after longer and longer waits",
    traffic: "refused until Envoy is back",
    exit: 0,
  },
  "Envoy crashes at every start, with restarts on": {
    agent: "waits longer each time; a signal ends the waiting",
    traffic: NEVER_BEGAN,
    exit: 0,
  },
  "Envoy is killed while the control plane is away, with restarts on and the last-good configuration kept": {
    agent: "starts it again with the configuration that it had; ready, marked as stale until the control plane is back",
    traffic: "refused until Envoy is back",
    exit: 0,
  },
  "Envoy ignores SIGTERM": { agent: "kills it after 2 s", traffic: "none", exit: 0 },
  "Envoy freezes for a while": { agent: "goes on, its status port answers", traffic: "waits, then goes on", exit: 0 },
  "Envoy is frozen when the agent gets a stop signal": {
    agent: "answers 503; the second signal cuts the drain, SIGKILL follows after 2 s",
    traffic: "waits, then broken off",
    exit: 0,
  },
  "Envoy is slow to get ready": { agent: "is not ready, and says why", traffic: "none until ready", exit: 0 },
  "Envoy never gets ready": { agent: "is not ready, and says why", traffic: "none", exit: 0 },
  "Envoy closes its stdout and stderr": { agent: "goes on", traffic: GOES_ON, exit: 0 },
  "the agent is killed": { agent: "is gone; the kernel ends Envoy", traffic: ENDS_WITH_ENVOY, exit: "SIGKILL" },
  "the agent gets a stop signal at any step of its start": {
    agent: "ends, and Envoy with it",
    traffic: NEVER_BEGAN,
    exit: 0,
  },
  "the agent gets a stop signal at any millisecond of its start": {
    agent: "ends, and Envoy with it; before it listens for signals it dies of SIGTERM, nothing being started",
    traffic: NEVER_BEGAN,
    exit: 0,
  },
  "the agent gets a stop signal while it serves": {
    agent: "drains; not ready from then on",
    traffic: GOES_ON,
    exit: 0,
  },
  "the agent gets a stop signal a second time": {
    agent: "cuts the drain short",
    traffic: "goes on until then",
    exit: 0,
  },
  "the agent gets a stop signal a third time": { agent: "kills Envoy", traffic: "goes on until then", exit: 0 },
  "the agent gets SIGHUP": { agent: "drains and ends", traffic: "goes on until then", exit: 0 },
  "the agent is frozen for a while": { agent: "goes on afterwards", traffic: GOES_ON, exit: 0 },
  "another agent is started in the same folder": {
    agent: "the second ends, naming the first",
    traffic: GOES_ON,
    exit: 1,
  },
  "the status port is taken": { agent: "ends, naming the port", traffic: NEVER_BEGAN, exit: 1 },
  "the files of the run folder are removed while it runs": {
    agent: "goes on, but could not start Envoy again",
    traffic: GOES_ON,
    exit: 0,
  },
  "the run folder itself is moved away while it runs": {
    agent: "goes on, but could not start Envoy again",
    traffic: GOES_ON,
    exit: 0,
  },
  "Envoy writes 100 MB to stderr": { agent: "passes it on in bounded memory", traffic: GOES_ON, exit: 0 },
  "nobody reads what Envoy and the agent write": {
    agent: "goes on; what was not read for a second is lost",
    traffic: "goes on; waits at most that second",
    exit: 0,
  },
  "the reader of the output goes away": { agent: "goes on, its lines are lost", traffic: GOES_ON, exit: 0 },
  "the log fills the disk": { agent: "goes on, its lines are lost", traffic: GOES_ON, exit: 0 },
  "the disk is full at the start": { agent: "ends, naming the file", traffic: NEVER_BEGAN, exit: 1 },
  "the terminal is closed": { agent: "drains and ends", traffic: "goes on until then", exit: 0 },
  "the agent is started and stopped again and again in one process": {
    agent: "leaves no process, file, socket, timer or listener",
    traffic: GOES_ON,
    exit: "none",
  },
} as const satisfies Readonly<Record<string, Row>>;

export type FaultName = keyof typeof FAULTS;
