import { type Host, isTerminal } from "../../host/index.ts";
import { cut } from "./cut.ts";
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

/** Whether what was shown can be shown anew in its place: not in a pipe, and not where `TERM` is `dumb` or not set. */
export function canRedraw(output: NodeJS.WritableStream, { TERM }: Host["env"]): boolean {
  return isTerminal(output) && TERM !== undefined && TERM !== "" && TERM !== "dumb";
}

/**
 * Puts a text in the place of the whole screen, cut to what the screen has room for: it would scroll otherwise. As
 * bytes, because text is escaped; ECMA-48: cursor to the first position, erase to the end of the screen.
 */
export function redraw({ stdout, env }: Pick<Host, "stdout" | "env">, text: Text): void {
  const { rows, columns } = stdout as Output;
  const room = rows ? Math.max(1, rows - 1) : undefined; // the cursor is on the line after the last
  stdout.write(Buffer.from("\u001b[H\u001b[J"));
  stdoutOf({ stdout, env }).print(cut(text, { rows: room, columns: columns || undefined }));
}

type Output = NodeJS.WritableStream & {
  readonly isTTY?: boolean;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
};

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
