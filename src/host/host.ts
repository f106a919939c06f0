/** What a command gets from the process around it. Only `src/main.ts` and tests build one. */
export interface Host {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute; relative paths of a configuration start here. */
  readonly cwd: string;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
  /** The name by which the program was called, which help, hints and completion show; default: pilotboat. */
  readonly program?: string;
  /** Standard input, for a question. Until it is called an application that is started gets all of it. Absent where nobody can be asked. */
  readonly openStdin?: () => NodeJS.ReadableStream;
  readonly signals: StopSignals;
  /**
   * Gives these signals to `listener`; default: every one that can be meant for an application, the stop signals
   * included. What the others (SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH) would do by default is off from then on. Absent where
   * there is no process.
   */
  readonly onSignal?: (listener: (signal: NodeJS.Signals) => void, names?: readonly NodeJS.Signals[]) => void;
}

/** The three stages of being asked to leave. The reason of each is an Error whose message names the signal. */
export interface StopSignals {
  /** First SIGTERM, SIGINT or SIGHUP: finish politely. */
  readonly stop: AbortSignal;
  /** Second: cut every wait short. */
  readonly hurry: AbortSignal;
  /** Third: leave now, whatever is still open. */
  readonly force: AbortSignal;
  /** Something broke that nobody caught; the reason is what was thrown. `stop` follows. Absent where others catch it. */
  readonly failed?: AbortSignal;
}
