// Names on the wire and as text: RFC 1035 sections 3.1 and 5.1.

/** RFC 1035 section 2.3.4, with the root. */
const LONGEST_NAME = 255;

/** A name without compression, which a question has no use for; undefined when it is none. */
export function readName(packet: Buffer, start: number): { readonly name: string; readonly end: number } | undefined {
  let isPlain = true;
  for (let at = start; at < packet.length && at - start < LONGEST_NAME; ) {
    const length = packet[at] ?? 0;
    if (length === 0) return { name: isPlain ? plainName(start, at) : escapedName(packet, start, at), end: at + 1 };
    const end = at + 1 + length;
    if (length > 63 || end > packet.length || end - start > LONGEST_NAME) return undefined;
    for (let one = at + 1; one < end; one++) {
      const byte = PLAIN[packet[one] ?? 0] ?? 0;
      isPlain &&= byte !== 0;
      scratch[one - start - 1] = byte;
    }
    scratch[end - start - 1] = DOT;
    at = end;
  }
  return undefined;
}

/** The name that is read, in lower case, where nothing in it is escaped. */
const scratch = Buffer.alloc(LONGEST_NAME + 1);

/** Names of hosts, all of them in practice. */
function plainName(start: number, end: number): string {
  return start === end ? "." : scratch.toString("latin1", 0, end - start);
}

const DOT = 0x2e;

function escapedName(packet: Buffer, start: number, end: number): string {
  let name = "";
  for (let at = start; at < end; at += (packet[at] ?? 0) + 1) {
    for (let one = at + 1; one <= at + (packet[at] ?? 0); one++) name += CHARACTERS[packet[one] ?? 0] ?? "";
    name += ".";
  }
  return name;
}

/** What stands for each byte in a name. */
const CHARACTERS = Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte);
  if (byte <= 0x20 || byte >= 0x7f) return `\\${String(byte).padStart(3, "0")}`;
  return /[.\\"();@$]/.test(character) ? `\\${character}` : character.toLowerCase();
});

/** The same as a byte for those that stand for themselves; 0 for the others. */
const PLAIN = Uint8Array.from(CHARACTERS, (text) => (text.length === 1 ? text.charCodeAt(0) : 0));

/** Of a name as `Query.name` has it. What is no name becomes the root: tables are checked when they are built. */
export function encodeName(name: string): Buffer {
  const labels = splitLabels(name).map((label) =>
    label.replace(/\\(\d{3})|\\(.)/g, (_all, code: string | undefined, character: string) =>
      code === undefined ? character : String.fromCharCode(Number(code)),
    ),
  );
  if (!isEncodable(labels)) return Buffer.from([0]);
  return Buffer.concat([
    ...labels.map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label, "latin1")])),
    Buffer.from([0]),
  ]);
}

/** Whether a name fits into a message: labels of 1 to 63 bytes, 255 in all. */
export function isName(name: string): boolean {
  return isEncodable(splitLabels(name));
}

function isEncodable(labels: readonly string[]): boolean {
  const total = labels.reduce((sum, label) => sum + label.length + 1, 1);
  return total <= LONGEST_NAME && labels.every((label) => label.length > 0 && label.length <= 63);
}

/** The labels of an absolute name, escapes and all. */
export function splitLabels(name: string): string[] {
  if (!name.includes("\\")) return name === "." ? [] : name.replace(/\.$/, "").split(".");
  return name.replace(/\.$/, "").match(/(?:\\.|[^.\\])+|(?<=\.)(?=\.)|^(?=\.)/gs) ?? [];
}

/** Whether these bytes of a packet have no capital letter. */
export function isLowerCase(packet: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const byte = packet[at] ?? 0;
    if (byte >= 0x41 && byte <= 0x5a) return false; // a length of a label is at most 63
  }
  return true;
}
