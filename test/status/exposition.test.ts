import { expect, test } from "vitest";
import { wholeLines } from "../../src/status/exposition.ts";
import { Chance } from "../support/chance.ts";

/** What comes out of a body in these pieces, and why it broke off. */
async function through(pieces: readonly string[], failure?: Error) {
  async function* body(): AsyncGenerator<Uint8Array> {
    for (const piece of pieces) yield Buffer.from(piece);
    if (failure !== undefined) throw failure;
  }
  const out: Uint8Array[] = [];
  const broken: unknown[] = [];
  for await (const lines of wholeLines(body(), (error) => broken.push(error))) out.push(lines);
  return { text: Buffer.concat(out).toString(), broken };
}

/** The same, said simply: of a body that is there as a whole. */
function expected(body: string, isBroken: boolean): string {
  const whole = isBroken ? body.slice(0, body.lastIndexOf("\n") + 1) : body;
  const [, kept = whole] = /^(.*\n|)# EOF[ \t\r\n]*$/s.exec(whole) ?? [];
  return kept === "" || kept.endsWith("\n") ? kept : `${kept}\n`;
}

const WORDS = ["# EOF", "# EOF\n", "\n", "\r\n", " ", "a 1", "a 1\n", "# HELP a # EOF", "# EOFx\n", "#", " EOF", "ä{"];

test("however a body is cut into pieces, the same lines come out, without its end mark", async () => {
  const chance = new Chance(15);
  for (let round = 0; round < 2_000; round++) {
    const body = chance.some(8, () => chance.one(WORDS)).join("");
    const pieces: string[] = [];
    for (let at = 0; at < body.length; at += pieces.at(-1)?.length ?? 0)
      pieces.push(body.slice(at, at + 1 + chance.below(12)));
    const failure = chance.below(2) === 0 ? new Error("broken") : undefined;
    const { text, broken } = await through(pieces, failure);
    const said = JSON.stringify(pieces);
    expect([said, text]).toEqual([said, expected(body, failure !== undefined)]);
    expect(broken).toEqual(failure === undefined ? [] : [failure]);
  }
});

test("a line of more than 1 MiB is none: what came before it stays", async () => {
  const { text, broken } = await through(["a 1\n", ...Array.from({ length: 20 }, () => "x".repeat(65_536))]);
  expect(text).toBe("a 1\n");
  expect(String(broken)).toContain("longer than 1 MiB");
});
