import { encodeName, isLowerCase, readName } from "./names.ts";

// DNS messages, as far as a server needs them that answers addresses and passes everything else on: RFC 1035 section 4,
// RFC 6891 (EDNS). Nothing here throws for what comes from the network.

export const TYPE = { A: 1, CNAME: 5, OPT: 41, AAAA: 28 } as const;
export const CODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NOTIMP: 4, REFUSED: 5 } as const;

/** A question that can be answered or passed on. */
export interface Query {
  /** The packet as it came. */
  readonly packet: Buffer;
  /** Absolute and in lower case; other bytes than printable ASCII, and dots inside a label, as in zone files (`\.`, `\007`). */
  readonly name: string;
  readonly type: number;
  /** Where the question ends in the packet. */
  readonly questionEnd: number;
  /** Largest answer by UDP: what EDNS says, at least 512. */
  readonly udpSize: number;
}

/** A packet without an answer (a response, or no header), or one that gets an error. */
export type Refusal = "ignore" | { readonly code: number };

/** Our own answer to a question for addresses. */
export interface OwnAnswer {
  /** The name that has the addresses, where that is another one: a CNAME leads to it. Absolute, as `Query.name`. */
  readonly alias: string | undefined;
  /** As bytes of a record. */
  readonly addresses: readonly Buffer[];
}

/** Seconds that a client may keep an answer of ours. Source: istio/istio pkg/dns/client (defaultTTLInSeconds). */
const TTL_S = 30;
const HEADER = 12;
const USUAL_UDP_SIZE = 512;
/** Type, class, TTL and length of a record. */
const FIXED = 10;
const LONGEST_ADDRESS = 16;

/** Reads the question of a packet. */
export function readQuery(packet: Buffer): Query | Refusal {
  if (packet.length < HEADER || (flagsOf(packet) & 0x8000) !== 0) return "ignore";
  const opcode = (flagsOf(packet) >> 11) & 0xf;
  if (opcode !== 0 && opcode !== 4) return { code: CODE.NOTIMP };
  const [questions, answers, authorities, additionals] = counts(packet);
  if (questions !== 1 || answers > 1 || authorities > 1 || additionals > 2) return { code: CODE.FORMERR };
  const found = readName(packet, HEADER);
  if (found === undefined || found.end + 4 > packet.length) return { code: CODE.FORMERR };
  const questionEnd = found.end + 4;
  const records = answers + authorities + additionals;
  const udpSize = records === 0 ? USUAL_UDP_SIZE : ednsSize(packet, questionEnd, records);
  if (udpSize === undefined) return { code: CODE.FORMERR };
  return { packet, name: found.name, type: packet.readUInt16BE(found.end), questionEnd, udpSize };
}

/** An answer without records: the header with this code, and the question where there is one to repeat. */
export function errorReply(packet: Buffer, code: number, questionEnd = HEADER): Buffer {
  const reply = Buffer.from(packet.subarray(0, questionEnd));
  setHeader(reply, { flags: replyFlags(packet, code), questions: questionEnd > HEADER ? 1 : 0, answers: 0 });
  return reply;
}

/** Our own answer, cut to `limit` bytes with TC set. Owners that repeat are compressed. Most answers have one address. */
export function encodeAnswer(query: Query, { alias, addresses }: OwnAnswer, limit: number): Buffer {
  const { packet, name, questionEnd } = query;
  // a question in other letters is no owner to point to: the name is then written once in lower case
  const owner = isLowerCase(packet, HEADER, questionEnd - 4) ? POINTER_TO_QUESTION : encodeName(name);
  const cname = alias === undefined || addresses.length === 0 ? undefined : encodeName(alias);
  const most =
    questionEnd + owner.length + FIXED + (cname?.length ?? 0) + addresses.length * (2 + FIXED + LONGEST_ADDRESS);
  const reply = Buffer.allocUnsafe(Math.min(limit, most));
  packet.copy(reply, 0, 0, questionEnd);
  let at = questionEnd;
  let next = owner;
  let written = 0;
  const write = (type: number, data: Buffer): boolean => {
    const valueAt = at + next.length + FIXED;
    if (valueAt + data.length > limit) return false;
    reply.set(next, at);
    reply.writeUInt16BE(type, valueAt - FIXED);
    reply.writeUInt16BE(1, valueAt - 8); // class IN
    reply.writeUInt32BE(TTL_S, valueAt - 6);
    reply.writeUInt16BE(data.length, valueAt - 2);
    reply.set(data, valueAt);
    // the address belongs to the name that the CNAME gives, or again to the first owner
    if (cname !== undefined && written === 0) next = pointer(valueAt);
    else if (next.length > 2) next = pointer(at);
    at = valueAt + data.length;
    written++;
    return true;
  };
  const hasRoom = cname === undefined || write(TYPE.CNAME, cname);
  if (hasRoom) for (const address of addresses) if (!write(query.type, address)) break;
  const wanted = addresses.length + (cname === undefined ? 0 : 1);
  const truncated = written < wanted ? 0x0200 : 0;
  const flags = replyFlags(packet, CODE.NOERROR) | 0x0400 | truncated; // AA
  setHeader(reply, { flags, questions: 1, answers: written });
  return at === reply.length ? reply : reply.subarray(0, at);
}

/** Whether a packet can be the reply to this query: a response with the same question. Its id is another matter. */
export function answers(query: Query, reply: Buffer): boolean {
  if (reply.length < HEADER || (flagsOf(reply) & 0x8000) === 0) return false;
  if (reply.readUInt16BE(4) === 0) return (flagsOf(reply) & 0xf) !== CODE.NOERROR; // some servers repeat no question with an error
  const found = readName(reply, HEADER);
  if (found === undefined || found.end + 4 > reply.length || found.name !== query.name) return false;
  return reply
    .subarray(found.end, found.end + 4)
    .equals(query.packet.subarray(query.questionEnd - 4, query.questionEnd));
}

/** Another server's reply, cut to `limit` bytes: whole records of the answer as far as they fit, EDNS, and TC. */
export function fitReply(reply: Buffer, limit: number): Buffer {
  if (reply.length <= limit) return reply;
  const name = reply.readUInt16BE(4) === 0 ? undefined : readName(reply, HEADER);
  const start = name === undefined ? HEADER : name.end + 4;
  const edns = ednsRecord(reply, start);
  let [end, kept] = [start, 0];
  for (const wanted = reply.readUInt16BE(6); kept < wanted; kept++) {
    const next = skipRecord(reply, end);
    if (next === undefined || next + edns.length > limit) break;
    end = next;
  }
  const cut = Buffer.concat([reply.subarray(0, end), edns]);
  const [questions, additionals] = [start > HEADER ? 1 : 0, edns.length > 0 ? 1 : 0];
  setHeader(cut, { flags: flagsOf(reply) | 0x0200, questions, answers: kept, additionals });
  return cut;
}

/** The bytes of the first OPT record; empty for none. */
function ednsRecord(packet: Buffer, start: number): Buffer {
  const [, answers, authorities, additionals] = counts(packet);
  for (const { at, name, end } of recordsOf(packet, start, answers + authorities + additionals))
    if (packet.readUInt16BE(name) === TYPE.OPT) return packet.subarray(at, end);
  return Buffer.alloc(0);
}

export function idOf(packet: Buffer): number {
  return packet.readUInt16BE(0);
}

/** The same packet with another id. */
export function withId(packet: Buffer, id: number): Buffer {
  const copy = Buffer.from(packet);
  copy.writeUInt16BE(id, 0);
  return copy;
}

function flagsOf(packet: Buffer): number {
  return packet.readUInt16BE(2);
}

/** Opcode, RD and CD are the query's; QR is set. */
function replyFlags(query: Buffer, code: number): number {
  return 0x8000 | (flagsOf(query) & 0x7910) | code;
}

function counts(packet: Buffer): [number, number, number, number] {
  return [packet.readUInt16BE(4), packet.readUInt16BE(6), packet.readUInt16BE(8), packet.readUInt16BE(10)];
}

interface Header {
  readonly flags: number;
  readonly questions: number;
  readonly answers: number;
  readonly additionals?: number;
}

function setHeader(packet: Buffer, { flags, questions, answers, additionals = 0 }: Header): void {
  packet.writeUInt16BE(flags, 2);
  packet.writeUInt16BE(questions, 4);
  packet.writeUInt16BE(answers, 6);
  packet.writeUInt32BE(additionals, 8); // no authorities
}

/** The UDP size of the OPT record among `count` records; undefined when they cannot be read. */
function ednsSize(packet: Buffer, start: number, count: number): number | undefined {
  let size = USUAL_UDP_SIZE;
  let found = 0;
  for (const { name } of recordsOf(packet, start, count)) {
    found++;
    if (packet.readUInt16BE(name) === TYPE.OPT) size = Math.max(USUAL_UDP_SIZE, packet.readUInt16BE(name + 2));
  }
  return found === count ? size : undefined;
}

/** Where a record begins, where its name ends, and where it ends. */
interface RecordPlace {
  readonly at: number;
  readonly name: number;
  readonly end: number;
}

/** The records from `start` on, up to the first that cannot be read. */
function* recordsOf(packet: Buffer, start: number, count: number): Generator<RecordPlace> {
  let at = start;
  for (let left = count; left > 0; left--) {
    const [name, end] = [skipName(packet, at), skipRecord(packet, at)];
    if (name === undefined || end === undefined) return;
    yield { at, name, end };
    at = end;
  }
}

/** Where the record that begins here ends; undefined when it is cut off. */
function skipRecord(packet: Buffer, at: number): number | undefined {
  const name = skipName(packet, at);
  if (name === undefined || name + 10 > packet.length) return undefined;
  const end = name + 10 + packet.readUInt16BE(name + 8);
  return end > packet.length ? undefined : end;
}

function skipName(packet: Buffer, start: number): number | undefined {
  for (let at = start; at < packet.length; ) {
    const length = packet[at] ?? 0;
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2 > packet.length ? undefined : at + 2;
    if (length > 63) return undefined;
    at += length + 1;
  }
  return undefined;
}

const POINTER_TO_QUESTION = pointer(HEADER);

function pointer(at: number): Buffer {
  return Buffer.from([0xc0 | (at >> 8), at & 0xff]);
}
