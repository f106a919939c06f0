import type { Host } from "../../host/index.ts";
import { coloured, plain, type Text } from "./text.ts";

/** One of the two outputs, as something that people look at. */
export interface Terminal {
  /** Columns; undefined where the width is unknown, and lines may have any length. */
  readonly width: number | undefined;
  print(text: Text): void;
}

export function stdoutOf({ stdout, env }: Pick<Host, "stdout" | "env">): Terminal {
  return createTerminal(stdout, env);
}

export function stderrOf({ stderr, env }: Pick<Host, "stderr" | "env">): Terminal {
  return createTerminal(stderr, env);
}

/**
 * Puts a text in the place of the whole screen. As bytes, because text is escaped; ECMA-48: cursor to the first position,
 * erase to the end of the screen.
 */
export function redraw(terminal: Terminal, text: Text, output: NodeJS.WritableStream): void {
  output.write(Buffer.from("\u001b[H\u001b[J"));
  terminal.print(text);
}

type Output = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number | undefined };

function createTerminal(output: Output, env: Host["env"]): Terminal {
  const isColoured = wantsColour(env, output.isTTY === true);
  return {
    get width() {
      return columnsOf(env) ?? (output.isTTY === true && output.columns ? output.columns : undefined);
    },
    print: (text) => void output.write(isColoured ? coloured(text) : plain(text)),
  };
}

/**
 * Whether an output gets colours: a terminal does. Exceptions, the first that applies: `FORCE_COLOR` (`0` and `false`: none; else
 * always), `NO_COLOR` that is not empty, `TERM` that is `dumb` or not set. Sources: no-color.org; Node's `tty.WriteStream.getColorDepth`.
 */
export function wantsColour({ FORCE_COLOR, NO_COLOR, TERM }: Host["env"], isTerminal: boolean): boolean {
  if (FORCE_COLOR !== undefined) return FORCE_COLOR !== "0" && FORCE_COLOR !== "false";
  return isTerminal && !NO_COLOR && TERM !== undefined && TERM !== "dumb"; // as git decides it
}

/** Narrower than this nothing can be laid out. */
const LEAST_COLUMNS = 20;

function columnsOf({ COLUMNS = "" }: Host["env"]): number | undefined {
  return /^[1-9]\d{0,4}$/.test(COLUMNS) ? Math.max(LEAST_COLUMNS, Number(COLUMNS)) : undefined;
}
