import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { readOwnRunFile, readRunFile } from "../../../src/agent/run-folder/read-run-file.ts";
import { isAbandoned } from "../../../src/agent/run-folder/run-file.ts";
import {
  AgentError,
  encodeCertificates,
  parseCertificates,
  parseChain,
  parsePrivateKey,
} from "../../../src/base/index.ts";
import { findInHosts, parseResolvConf, searchNames } from "../../../src/base/resolv-conf.ts";
import { exchange } from "../../../src/cli/http-exchange.ts";
import { loopbackHosts } from "../../../src/cli/loopback.ts";
import { readYaml } from "../../../src/config/yaml.ts";
import { createRoot } from "../../../src/control-plane/ca/authority.ts";
import { readAuthority, readIssuer } from "../../../src/control-plane/ca/certificate.ts";
import { readRequest as readCertificateRequest } from "../../../src/control-plane/ca/read-request.ts";
import { parseResources } from "../../../src/control-plane/sources/resources.ts";
import { createAdminClient } from "../../../src/envoy/admin-client.ts";
import { extractZipEntry } from "../../../src/envoy/binary/zip.ts";
import { countConnections, countRequests } from "../../../src/envoy/supervisor/connections.ts";
import { createCsr } from "../../../src/identity/ca/csr.ts";
import { readRequest as readSecretRequest } from "../../../src/identity/sds/request.ts";
import { readJwtTimes } from "../../../src/identity/tokens/jwt.ts";
import { describeTokenTrouble, tokenState } from "../../../src/identity/tokens/token-state.ts";
import { askMetadata, objectIn } from "../../../src/node/platform/metadata-server.ts";
import { loadEnvoyTypes } from "../../../src/proto/envoy-types.ts";
import { missingConfig, missingLiveness } from "../../../src/status/envoy-stats.ts";
import { httpGet } from "../../../src/status/http-get.ts";
import { encodeRequest, firstResource, peekRequest, peekResponse } from "../../../src/xds/peek.ts";
import { peekPeer, peerOf } from "../../../src/xds/peer.ts";
import { DELTA, SOTW } from "../../../src/xds/variant.ts";
import { makeZip } from "../../support/make-zip.ts";
import type { Corpus } from "./mutate.ts";

/** A parser of foreign bytes. `attack` fails when the parser does what it must not. */
export interface Target extends Corpus, AsyncDisposable {
  attack(input: Buffer): unknown;
}

type Parts = Corpus & { attack(input: Buffer): unknown; dispose?(): void };

/** By name; each begins with good inputs. */
export const TARGETS: Readonly<Record<string, () => Parts | Promise<Parts>>> = {
  pem,
  der,
  protobuf,
  jwt,
  yaml,
  resources,
  http,
  zip,
  "agent.json": agentJson,
  "resolv.conf": resolvConf,
  admin,
};

export async function makeTarget(name: string): Promise<Target> {
  const make = TARGETS[name];
  if (make === undefined) throw new Error(`there is no target "${name}"`);
  const parts = await make();
  return { ...parts, [Symbol.asyncDispose]: async () => parts.dispose?.() };
}

/** A failure that the parser's contract names: an Error with a reason. A bug, and a stack that ran out, are none. */
function refuses(parse: () => unknown): void {
  try {
    parse();
  } catch (error) {
    throwUnlessRefusal(error);
  }
}

function throwUnlessRefusal(error: unknown): void {
  const isBug = error instanceof TypeError || error instanceof ReferenceError;
  const isStack = error instanceof RangeError && /call stack/i.test(error.message);
  if (!(error instanceof Error) || error.message === "" || isBug || isStack) throw error;
}

/** The same, with the one code that the parser may refuse with. */
function refusesWith(code: AgentError["code"], parse: () => unknown): void {
  try {
    parse();
  } catch (error) {
    if (!(error instanceof AgentError) || error.code !== code) throw error;
  }
}

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

function material() {
  const root = createRoot("cluster.local");
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const keys = [
    root.key.reveal().toString("latin1"),
    privateKey.export({ type: "sec1", format: "pem" }) as string,
    generateKeyPairSync("rsa", { modulusLength: 2_048 }).privateKey.export({ type: "pkcs1", format: "pem" }) as string,
  ];
  return { certificate: root.certificate, keys, csr: createCsr(privateKey, "spiffe://td/ns/n/sa/s") };
}

function pem(): Parts {
  const { certificate, keys } = material();
  const dashes = ["-----", "-----BEGIN ", "-----END ", "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n"];
  return {
    seeds: [bytes(certificate + certificate), ...keys.map(bytes), bytes(`# root\n${certificate}${keys[1]}`)],
    words: [
      ...dashes,
      "-a",
      "- ",
      "=",
      "\n",
      "\r",
      ":",
      "Proc-Type: 4,ENCRYPTED\n",
      "PRIVATE KEY-----\n",
      "MII",
      "\0",
      "AAAA",
    ],
    attack(input) {
      for (const parse of [parseCertificates, parseChain]) {
        const certificates = parse(input, () => undefined);
        const again = parse(encodeCertificates(certificates, input), () => undefined);
        if (again.length !== certificates.length) throw new Error("what was encoded is not what was parsed");
      }
      const key = parsePrivateKey(input);
      if (typeof key !== "string" && typeof parsePrivateKey(key.pem) === "string") throw new Error("the key got lost");
    },
  };
}

/** Certificates and requests with good base64 and anything in it. */
function der(): Parts {
  const { certificate, csr } = material();
  const armour = (label: string, input: Buffer): string =>
    `-----BEGIN ${label}-----\n${input.toString("base64")}\n-----END ${label}-----\n`;
  const bodyOf = (text: string): Buffer => Buffer.from(text.replace(/-----[^-]+-----|\s/g, ""), "base64");
  return {
    seeds: [bodyOf(certificate), bodyOf(csr)],
    words: [
      "30",
      "3080",
      "3084ffffffff",
      "30847fffffff",
      "a0",
      "0201ff",
      "0200",
      "0603550403",
      "30820100",
      "3000",
      "170d",
      "180f",
    ].map((hex) => Buffer.from(hex, "hex")),
    attack(input) {
      refusesWith("CSR_INVALID", () => readCertificateRequest(armour("CERTIFICATE REQUEST", input)));
      for (const { validTo, raw } of parseCertificates(armour("CERTIFICATE", input))) {
        if (validTo === "") throw new Error("a certificate without an end");
        refuses(() => readAuthority(raw));
      }
      refuses(() => readIssuer(armour("CERTIFICATE", input)));
    },
  };
}

function protobuf(): Parts {
  const typeUrl = "type.googleapis.com/envoy.config.listener.v3.Listener";
  const drafts = [SOTW, DELTA].map((variant) =>
    Buffer.from(encodeRequest(variant, { typeUrl, nonce: "n1", versionInfo: "v1", rejection: "no" })),
  );
  const node = Buffer.from("0a0a0a02696412020a007a00", "hex");
  const response = Buffer.concat([bytes("\x0a\x021a\x12\x08\x0a\x03url\x12\x01x"), bytes("\x22\x03url\x2a\x02n1")]);
  return {
    seeds: [...drafts, Buffer.concat([node, drafts[0] ?? node]), response],
    words: [
      "0b",
      "0c",
      "13",
      "14",
      "ffffffffffffffffff01",
      "ffffffff0f",
      "0affffffff07",
      "0a80808080",
      "1200",
      "2200",
      "08",
      "0d",
      "09",
    ].map((hex) => Buffer.from(hex, "hex")),
    attack(input) {
      for (const variant of [SOTW, DELTA]) {
        refuses(() => peekRequest(variant, input));
        refuses(() => peekResponse(variant, input));
        refuses(() => firstResource(variant, input));
        refuses(() => peerOf(peekPeer(variant, input)));
      }
      refuses(() => readSecretRequest(input));
    },
  };
}

function jwt(): Parts {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const tokenOf = (claims: unknown): Buffer => bytes(`${part({ alg: "RS256" })}.${part(claims)}.c2ln`);
  const claims = [{ exp: 2e9, iat: 1e9 }, { exp: "soon" }, { exp: -1 }, [], null, { exp: 1e308, iat: -1e308 }];
  return {
    seeds: [...claims.map(tokenOf), bytes("opaque")],
    words: [
      ".",
      "..",
      "=",
      "e30",
      "bnVsbA",
      "eyJleHAiOjFlOTk5fQ",
      part({ exp: 1e300 }),
      "_",
      "-",
      "\n",
      "WzFd",
      "W1tb",
      "\ufffd",
    ],
    attack(input) {
      const times = readJwtTimes(input.toString("utf8"));
      const state = tokenState({ kind: "read", times }, Date.now());
      JSON.stringify([state, describeTokenTrouble(state)]);
      if (times !== undefined && Number.isNaN(times.expiresAtSeconds)) throw new Error("an expiry that is none");
    },
  };
}

const YAML_WORDS =
  "a: |b:|- |? |: |{|}|[|]|,|'|\"|&x |*x|!!str |!!binary |!<x> |<<: |%YAML 1.1\n|@|`|>-|\\||#|\n|\n  |\n\t|---\n|...\n|yes|0x|1e9|.inf|\ufeff|\r|\x07|\\u0000|\\U0010ffff".split(
    "|",
  );

function yaml(): Parts {
  const mesh =
    "defaultConfig:\n  drainDuration: 45s\n  tracing: &t {zipkin: {address: a:1}}\n  x: *t\n# c\nlist: [1, 'a', \"b\"]\n";
  return {
    seeds: [mesh, '{"a": {"b": [1, null, "c"]}}', "a: |\n  text\nb: >-\n  folded\n", "- a\n- b: c\n  d: e\n"].map(
      bytes,
    ),
    words: [...YAML_WORDS, "|"],
    attack(input) {
      const reading = readYaml(input.toString("utf8"), "fuzz");
      if (!reading.ok) {
        if (reading.message === "" || reading.origin.line === 0) throw new Error("refused without a reason or a place");
        return;
      }
      JSON.stringify(reading.document.tree);
      reading.document.locate(["defaultConfig", "tracing", 0]);
    },
  };
}

/** What the development control plane serves. */
function resources(): Parts {
  const types = loadEnvoyTypes();
  return {
    seeds: [
      readFileSync("examples/quickstart/xds/mesh.yaml"),
      bytes('clusters:\n- name: a\n  type: STATIC\nnames: {"a.b": {ips: [10.0.0.1]}}\n'),
    ],
    words: [
      ...YAML_WORDS,
      "|",
      "${A}",
      "${",
      "clusters:\n",
      "'@type': x\n",
      "typed_config: ",
      "match: {id: x}\n",
      "name: a\n",
    ],
    attack: (input) =>
      refusesWith("RESOURCES_INVALID", () =>
        parseResources({ file: "fuzz", text: input.toString("utf8") }, { A: "1" }, types),
      ),
  };
}

const HTTP_LIMIT_MS = 2_000;

/** Each input is an answer, as bytes on the connection; every client must settle. */
async function http(): Promise<Parts> {
  const zipped = gzipSync("a 1\n".repeat(50));
  const head = "HTTP/1.1 200 OK\r\n";
  let answer: Buffer = Buffer.alloc(0);
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    socket.on("error", () => undefined).once("data", () => socket.end(answer));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}/`;
  const stop = new AbortController().signal;
  const clients: readonly (() => Promise<unknown>)[] = [
    () => httpGet({ host: "127.0.0.1", port, path: "/", timeoutMs: HTTP_LIMIT_MS }),
    () => createAdminClient("127.0.0.1", port).get("/stats", HTTP_LIMIT_MS),
    () => exchange({ method: "GET", url: new URL(url), timeoutMs: HTTP_LIMIT_MS, signal: stop }),
    async () => objectIn(await askMetadata(url, { timeoutMs: HTTP_LIMIT_MS, limit: stop })),
  ];
  return {
    seeds: [
      bytes(`${head}Content-Length: 3\r\n\r\nabc`),
      bytes(`${head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`),
      Buffer.concat([bytes(`${head}Content-Encoding: gzip\r\nContent-Length: ${zipped.length}\r\n\r\n`), zipped]),
      bytes("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
      bytes("HTTP/1.1 302 Found\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n"),
      bytes("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\n\r\n"),
    ],
    words: [
      "\r\n",
      "\r\n\r\n",
      "Content-Length: 99\r\n",
      "Transfer-Encoding: chunked\r\n",
      "HTTP/1.1 ",
      "101",
      "204",
      "304",
      "0\r\n",
      "ffffffffffffffff\r\n",
      "Location: x://y\r\n",
      "Location: //\r\n",
      "Connection: upgrade\r\nUpgrade: h2c\r\n",
      "HTTP/1.1 103 Early\r\n\r\n",
      "a: b\r\n",
    ],
    async attack(input) {
      answer = input;
      await Promise.all(clients.map(settles));
    },
    dispose: () => {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

async function settles(call: () => Promise<unknown>): Promise<void> {
  let limit: NodeJS.Timeout | undefined;
  const hang = new Promise<never>((_, fail) => {
    limit = setTimeout(() => fail(new Error(`it never settles: ${call}`)), 5 * HTTP_LIMIT_MS);
  });
  const refused = call().catch((error: unknown) => {
    if (!(error instanceof Error)) throw error;
  });
  await Promise.race([refused, hang]).finally(() => clearTimeout(limit));
}

function zip(): Parts {
  const folder = mkdtempSync(join(tmpdir(), "pb-fuzz-zip-"));
  const archive = join(folder, "archive");
  const target = join(folder, "target");
  const [big, small] = [Buffer.alloc(3_000, "envoy "), bytes("a")];
  const stop = new AbortController().signal;
  const mostBytes = 2 ** 20;
  return {
    seeds: [
      makeZip([
        { name: "a", content: small },
        { name: "big", content: big },
      ]),
      makeZip([{ name: "big", content: big, method: "stored" }], ""),
      makeZip([{ name: "big", content: Buffer.alloc(0) }]),
    ],
    words: ["504b0102", "504b0304", "504b0506", "ffffffff", "ffff", "0000", "0800", "626967", "2e2e2f"].map((hex) =>
      Buffer.from(hex, "hex"),
    ),
    async attack(input) {
      writeFileSync(archive, input);
      await extractZipEntry({ archive, name: "big", target, mostBytes, stop }).catch(throwUnlessRefusal);
      if (existsBeyond(target, mostBytes)) throw new Error("more was unpacked than may be");
      rmSync(target, { force: true });
    },
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function existsBeyond(path: string, mostBytes: number): boolean {
  try {
    return readFileSync(path).length > mostBytes;
  } catch {
    return false; // nothing was unpacked
  }
}

function agentJson(): Parts {
  const folder = mkdtempSync(join(tmpdir(), "pb-fuzz-run-"));
  mkdirSync(join(folder, "proxy"), { mode: 0o700 });
  const path = join(folder, "proxy", "agent.json");
  writeFileSync(path, "", { mode: 0o600 });
  const mark = { pid: 4_194_300, uid: 0, start: "1", binary: "/e", configFile: "c", run: "r", baseId: 1 };
  const good = { pid: 4_194_301, start: "12345", statusPort: 15020, statusAddress: "[::]:15020", envoys: [mark] };
  return {
    seeds: [good, { pid: 1 }, { ...good, envoys: [null, {}, [], mark] }].map((value) => bytes(JSON.stringify(value))),
    words: [
      "[",
      "{",
      '{"a":',
      "null",
      "1e999",
      "-1",
      "9007199254740993",
      '"',
      "\\u0000",
      '"__proto__":{"pid":1},',
      '"pid":',
      '"envoys":',
      "[[",
      "\xff",
    ],
    async attack(input) {
      writeFileSync(path, input);
      const found = await readOwnRunFile(path).catch(throwUnlessRefusal);
      if (found !== undefined) loopbackHosts(found.statusAddress);
      const seen = await readRunFile(path).catch(throwUnlessRefusal);
      for (const { pid } of [...(seen === undefined ? [] : [seen, ...seen.envoys])]) {
        if (!Number.isSafeInteger(pid) || pid < 1) throw new Error(`a process that cannot be: ${pid}`);
      }
      await isAbandoned(path);
    },
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function resolvConf(): Parts {
  return {
    seeds: [
      "nameserver 10.0.0.1\nsearch a.svc b.svc\noptions ndots:5 timeout:1\n",
      "127.0.0.1 localhost\n::1 ip6 # c\n",
    ].map(bytes),
    words: ["nameserver ", "search ", "options ", "ndots:99999999999 ", ".", ";", "#", "\n", " ", "\t", "\0"],
    attack(input) {
      const text = input.toString("utf8");
      const conf = parseResolvConf(text, "host.a.b");
      for (const name of ["a", "a.b.", "a.b.c.d.e.f", text.slice(0, 300)]) {
        if (searchNames(name, conf).some((one) => one.length > 253)) throw new Error("a name that nobody may ask for");
      }
      if (conf.ndots > 15 || conf.timeoutMs > 60_000 || conf.attempts > 10) throw new Error("beyond the limits");
      findInHosts(text, "localhost.");
    },
  };
}

/** Envoy's statistics. */
function admin(): Parts {
  const stats =
    "cluster_manager.cds.update_success: 1\nlistener_manager.lds.update_success: 1\nserver.state: 0\nlistener_manager.workers_started: 1\nlistener.0.0.0.0_15021.downstream_cx_active: 2\nhttp.inbound_0.downstream_rq_active: 3\n";
  return {
    seeds: [bytes(stats)],
    words: [
      ": ",
      ":",
      "\n",
      "http.",
      "downstream_rq_active: 1",
      "listener.[__]_1.downstream_cx_active: 1",
      "9".repeat(400),
      "-1",
      "_",
      ".",
      "[",
      "admin",
    ],
    attack(input) {
      const text = input.toString("utf8");
      const { active } = countConnections(text, [15_021]);
      if (Number.isNaN(active) || Number.isNaN(countRequests(text))) throw new Error("a count that is none");
      refuses(() => missingConfig(text));
      refuses(() => missingLiveness(text));
    },
  };
}
