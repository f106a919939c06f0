import { basename } from "node:path";

/** What a process knows of how it was started, as Node and Bun give it. */
export interface StartWords {
  /** The first word of the command line, as the caller wrote it. */
  readonly argv0: string;
  /** `process.argv`: the runtime, the script, then the arguments. */
  readonly argv: readonly string[];
}

/** A name that can stand in a command line and in a shell's script as it is. */
const NAME = /^[A-Za-z0-9][\w.+-]{0,63}$/;
/** Programs that run a script, under the names of their packages, and the script of our package. */
const NOT_OURS = /^(node(js)?|bun|main|dist)[\d.-]*$/;

/**
 * The name by which the program was called: a link's, a copy's, or what `exec -a` gave it. With Node it is the script's
 * (a link keeps its name), else the first word of the command line; a compiled executable's script is one inside it.
 * Undefined where the caller gave none.
 */
export function calledName({ argv0, argv: [, script = ""] }: StartWords): string | undefined {
  const names = [...(script.startsWith("/$bunfs/") ? [] : [script]), argv0];
  return names.map((word) => basename(word).replace(/\.(exe|[cm]?js)$/i, "")).find(isName);
}

function isName(name: string): boolean {
  return NAME.test(name) && !NOT_OURS.test(name);
}
