/** What a peer may put into a text so that a reader sees something else; each entry is one attack. */
export const ATTACKS: readonly string[] = [
  "\r\n2026-01-01T00:00:00.000000Z\terror\tFORGED a line", // a log line of its own
  "\n  hint: FORGED\nError: FORGED",
  "\rFORGED over the line",
  "\tFORGED\tcolumn",
  "\u001b[2J\u001b[1;1H\u001b[8mgone", // clears, moves, conceals
  "\u001b]0;title\u0007\u001b]52;c;ZWNobyBoaQ==\u0007\u001b]8;;http://evil\u001b\\link", // title, clipboard, link
  "\u001bP$q\u001b\\\u001b[6n\u001b[c", // asks the terminal, which types the answer
  "\u009b31m\u009d0;x\u009c\u0085next\u0090", // the same with C1 controls
  "\u0000\u0008\u0008\u000b\u000c\u000e\u007f",
  "\u202eesrever\u202c\u2066inner\u2069\u200e\u200f\u061c", // bidirectional overrides
  "\u200b\u200d\ufeff\u00ad\u2060zero width",
  "\u2028line\u2029paragraph",
  "\u{e0001}\u{e0041}\u{e007f}tags",
  "\ud800half\udc00",
  Buffer.from([0x61, 0xff, 0xfe, 0xc3, 0x28, 0x9b, 0xe2, 0x80, 0x62]).toString(), // what invalid UTF-8 becomes
];

/** All of them, in a text that gRPC and HTTP can carry. */
export const EVERYTHING = Buffer.from(ATTACKS.join("|")).toString();

/** A text of attacks and harmless words, another one for each seed. */
export function attackText(seed: number): string {
  const random = randomFrom(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const pieces = Array.from({ length: 1 + Math.floor(random() * 6) }, () =>
    pick([
      () => pick(ATTACKS),
      () => String.fromCharCode(Math.floor(random() * 0xa0)),
      () => String.fromCodePoint(0x2000 + Math.floor(random() * 0x70)),
      () => String.fromCharCode(Math.floor(random() * 0x1_0000)),
      () => "harmless \\n text",
    ])(),
  );
  return pieces.join("");
}

function randomFrom(seed: number): () => number {
  let state = seed * 2_654_435_761 + 1;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
}

/** The first code point that no screen should get, besides line ends and tabs; written without the product's own table. */
export function unsafeIn(text: string): string | undefined {
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (code === 0x0a || code === 0x09) continue;
    if (UNSAFE.some(([from, to]) => code >= from && code <= to))
      return `U+${code.toString(16)} in ${JSON.stringify(text)}`;
  }
  return undefined;
}

const UNSAFE: readonly (readonly [from: number, to: number])[] = [
  [0x00, 0x1f],
  [0x7f, 0x9f],
  [0xad, 0xad],
  [0x61c, 0x61c],
  [0x180e, 0x180e],
  [0x200b, 0x200f],
  [0x2028, 0x202e],
  [0x2060, 0x2064],
  [0x2066, 0x206f],
  [0xd800, 0xdfff],
  [0xfeff, 0xfeff],
  [0xfff9, 0xfffb],
  [0xe0001, 0xe0001],
  [0xe0020, 0xe007f],
];
