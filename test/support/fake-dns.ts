import { createSocket } from "node:dgram";
import { isIP } from "node:net";

/** Addresses by name in lower case; `silent` is never answered, `broken` gets SERVFAIL, what is missing NXDOMAIN. */
export type Zone = Readonly<Record<string, readonly string[] | "silent" | "silent for IPv6" | "broken">>;

export interface FakeDns extends AsyncDisposable {
  readonly port: number;
  /** `A name` or `AAAA name`, in order. */
  readonly asked: readonly string[];
}

/** A name server on the loopback, over UDP. Format: RFC 1035 section 4. */
export async function startFakeDns(zone: Zone, port = 0): Promise<FakeDns> {
  const asked: string[] = [];
  const socket = createSocket("udp4");
  socket.on("message", (query, from) => {
    const { name, type, end } = readQuestion(query);
    asked.push(`${type === 1 ? "A" : "AAAA"} ${name}`);
    const found = zone[name];
    if (found === "silent" || (found === "silent for IPv6" && type === 28)) return;
    const addresses = found === "silent for IPv6" ? ["127.0.0.1"] : found === "broken" ? [] : (found ?? []);
    const records = addresses.filter((one) => isIP(one) === (type === 28 ? 6 : 4)).map(record);
    const code = found === undefined ? 3 : found === "broken" ? 2 : 0;
    const head = Buffer.from(query.subarray(0, 12));
    head.writeUInt16BE(0x8180 | code, 2);
    head.writeUInt16BE(records.length, 6);
    head.writeUInt32BE(0, 8); // no authority, nothing additional
    socket.send(Buffer.concat([head, query.subarray(12, end), ...records]), from.port, from.address);
  });
  await new Promise<void>((done) => socket.bind(port, "127.0.0.1", done));
  return {
    port: socket.address().port,
    asked,
    [Symbol.asyncDispose]: () => new Promise((done) => socket.close(done)),
  };
}

function readQuestion(query: Buffer): { readonly name: string; readonly type: number; readonly end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join(".").toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 };
}

function record(address: string): Buffer {
  const isV6 = isIP(address) === 6;
  const data = isV6 ? v6Bytes(address) : Buffer.from(address.split(".").map(Number));
  const head = Buffer.from([0xc0, 12, 0, isV6 ? 28 : 1, 0, 1, 0, 0, 0, 60, 0, data.length]);
  return Buffer.concat([head, data]);
}

function v6Bytes(address: string): Buffer {
  const [left = "", right = ""] = address.split("::");
  const groups = (text: string): string[] => (text === "" ? [] : text.split(":"));
  const zeros = Array<string>(8 - groups(left).length - groups(right).length).fill("0");
  const all = [...groups(left), ...zeros, ...groups(right)].map((group) => Number.parseInt(group, 16));
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}
