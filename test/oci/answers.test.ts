import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { describeError, Secret } from "../../src/base/index.ts";
import { openRegistry, parseReference, type RegistryOptions, readBlob, resolveImage } from "../../src/oci/index.ts";
import { sha256Digest } from "../support/make-image.ts";
import { createTestCa } from "../support/test-ca.ts";

// What a real registry does not do on demand. Real ones are in registry.test.ts and test/e2e/istio-envoy.test.ts.

const never = new AbortController().signal;
const AMD64 = { os: "linux", architecture: "amd64" };
const BLOB = Buffer.from("x".repeat(100_000));
const DESCRIPTOR = {
  mediaType: "application/octet-stream",
  digest: sha256Digest(BLOB),
  size: BLOB.length,
  annotations: {},
};
const QUICK = { backoff: { initialMs: 1, factor: 1, maxMs: 1, jitter: 0 }, attempts: 3 };

interface Fake extends AsyncDisposable {
  readonly address: string;
  readonly seen: IncomingMessage[];
}

async function serve(
  listener: RequestListener,
  tls?: { readonly certPem: string; readonly keyPem: string },
): Promise<Fake> {
  const seen: IncomingMessage[] = [];
  const record = (request: IncomingMessage, response: ServerResponse): void => {
    seen.push(request);
    listener(request, response as ServerResponse & { req: IncomingMessage });
  };
  const server =
    tls === undefined ? createServer(record) : createTlsServer({ cert: tls.certPem, key: tls.keyPem }, record);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const refer = ({ address }: Fake, rest = "a/b:1") => parseReference(`${address}/${rest}`);
const open = (options: RegistryOptions = {}) => openRegistry({ patience: QUICK, ...options });
const blobOf = (fake: Fake, options: RegistryOptions = {}) => readBlob(open(options), refer(fake), DESCRIPTOR, never);
const failure = (work: Promise<unknown>): Promise<string> => work.then(() => "it did not fail", describeError);
const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => "none",
    (error: { code?: string }) => error.code,
  );

/** Answers with these in turn, the last one again and again. */
const inTurn = (...listeners: readonly RequestListener[]): RequestListener => {
  let at = 0;
  return (request, response) => listeners[Math.min(at++, listeners.length - 1)]?.(request, response);
};
const whole: RequestListener = (_, response) => void response.end(BLOB);
const status =
  (code: number, headers: Record<string, string> = {}, body = ""): RequestListener =>
  (_, response) =>
    void response.writeHead(code, headers).end(body);

describe("what is tried again", () => {
  test("408, 429 and 5xx, with the registry's own wait, and each is told", async () => {
    const notes: string[] = [];
    const said = JSON.stringify({ errors: [{ code: "TOOMANYREQUESTS", message: "slow down" }] });
    await using fake = await serve(inTurn(status(429, { "retry-after": "0" }, said), status(503), whole));
    expect((await blobOf(fake, { onNote: (line) => notes.push(line) })).equals(BLOB)).toBe(true);
    expect(notes[0]).toMatch(
      /^Trying again in 0\.0 s to get the blob sha256:\w+: "127.0.0.1:\d+" answered 429 \(TOOMANYREQUESTS: slow down\), and asks to wait 0 s$/,
    );
    expect(notes).toHaveLength(2);
  });

  test("a date to wait for, and one that nobody waits for", async () => {
    const inAMoment = new Date(Date.now() - 5_000).toUTCString();
    await using fake = await serve(inTurn(status(503, { "retry-after": inAMoment }), whole));
    expect((await blobOf(fake)).equals(BLOB)).toBe(true);
    await using later = await serve(status(429, { "retry-after": "3600" }));
    const work = blobOf(later);
    expect(await failure(work)).toContain("answered 429, and asks to wait 3600 s");
    expect(await codeOf(work)).toBe("REGISTRY_REFUSED");
    expect(later.seen).toHaveLength(1);
  });

  test("not for ever: the last failure is the cause", async () => {
    await using fake = await serve(status(502));
    const work = blobOf(fake);
    expect(await failure(work)).toMatch(
      /^Cannot get the blob sha256:\w+ of the image "127.*a\/b:1": "127.*" answered 502$/,
    );
    expect(await codeOf(work)).toBe("REGISTRY_UNREACHABLE");
    expect(fake.seen).toHaveLength(3);
  });

  test("a lost connection goes on where it was, also with a registry that does not know ranges", async () => {
    const cut: RequestListener = (_, response) => {
      response.writeHead(200, { "content-length": BLOB.length });
      response.write(BLOB.subarray(0, 40_000), () => response.destroy());
    };
    const rest: RequestListener = (request, response) => {
      const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1]);
      response.writeHead(206, { "content-range": `bytes ${from}-${BLOB.length - 1}/${BLOB.length}` });
      response.end(BLOB.subarray(from));
    };
    await using fake = await serve(inTurn(cut, rest));
    expect((await blobOf(fake)).equals(BLOB)).toBe(true);
    await using simple = await serve(inTurn(cut, whole));
    expect((await blobOf(simple)).equals(BLOB)).toBe(true);
    expect(simple.seen[1]?.headers.range).toBe("bytes=40000-");
  });

  test("an answer that ends early, and a silent one", async () => {
    const short: RequestListener = (_, response) => void response.end(BLOB.subarray(0, 10));
    const silent: RequestListener = (_, response) => void response.write(BLOB.subarray(0, 10));
    const mute: RequestListener = () => undefined;
    await using fake = await serve(inTurn(short, silent, mute, whole));
    const notes: string[] = [];
    const options = { silenceMs: 200, onNote: (line: string) => notes.push(line), patience: { ...QUICK, attempts: 5 } };
    expect((await blobOf(fake, options)).equals(BLOB)).toBe(true);
    expect(notes.map((line) => line.replace(/.*\w{64}: /, ""))).toEqual([
      "it ended after 10 of 100000 bytes",
      expect.stringMatching(/^"127.*" sent nothing for 200ms$/),
      expect.stringMatching(/^"127.*" sent nothing for 200ms$/),
    ]);
  });

  test("the stop ends every wait with its reason", async () => {
    for (const listener of [
      () => undefined,
      status(503, { "retry-after": "50" }),
      ((_, response) => void response.write("x")) as RequestListener,
    ]) {
      await using fake = await serve(listener);
      const stop = new AbortController();
      const work = failure(readBlob(openRegistry({}), refer(fake), DESCRIPTOR, stop.signal));
      await expect.poll(() => fake.seen.length).toBeGreaterThan(0);
      stop.abort(new Error("enough"));
      expect(await work).toBe("enough");
    }
  });
});

describe("hostile: what is refused at once", () => {
  test.each<[string, RequestListener, string, string]>([
    [
      "more bytes than the manifest says",
      (_, response) => void response.end(Buffer.alloc(BLOB.length + 1)),
      "IMAGE_DIGEST_MISMATCH",
      "longer than the 100000 bytes",
    ],
    [
      "other bytes",
      (_, response) => void response.end(Buffer.alloc(BLOB.length)),
      "IMAGE_DIGEST_MISMATCH",
      "its digest is sha256:",
    ],
    ["another range", status(206, { "content-range": "bytes 5-9/10" }, "x"), "REGISTRY_UNREACHABLE", "it sent others"],
    [
      "a redirect to http elsewhere",
      status(307, { location: "http://registry.example/x" }),
      "REGISTRY_UNREACHABLE",
      'redirects to "http://registry.example", which is not encrypted',
    ],
    ["a redirect to a file", status(307, { location: "file:///etc/passwd" }), "REGISTRY_UNREACHABLE", "not encrypted"],
    ["redirects without end", status(307, { location: "/again" }), "REGISTRY_UNREACHABLE", "stopped after 5 redirects"],
    [
      "403",
      status(403, {}, '{"errors":[{"code":"DENIED","message":"no\\u001b[2J"}]}'),
      "REGISTRY_REFUSED",
      "answered 403 (DENIED: no\\u001b[2J)",
    ],
    ["404", status(404), "IMAGE_NOT_FOUND", "answered 404"],
    ["401 without a challenge", status(401), "REGISTRY_REFUSED", "it wants to know who asks (nothing)"],
    [
      "401 with Basic and nobody",
      status(401, { "www-authenticate": 'Basic realm="x"' }),
      "REGISTRY_REFUSED",
      "it wants to know who asks (basic)",
    ],
    [
      "a token service in the clear",
      status(401, { "www-authenticate": 'Bearer realm="http://tokens.example/"' }),
      "REGISTRY_UNREACHABLE",
      'its token service "http://tokens.example" is not encrypted',
    ],
    [
      "a token service that is no URL",
      status(401, { "www-authenticate": "Bearer service=x" }),
      "REGISTRY_UNREACHABLE",
      "which is no URL",
    ],
  ])("%s", async (_, listener, code, text) => {
    await using fake = await serve(listener);
    const work = blobOf(fake);
    expect(await failure(work)).toContain(text);
    expect(await codeOf(work)).toBe(code);
    expect(fake.seen.length).toBeLessThanOrEqual(6); // of redirects; nothing is tried again
  });

  test.each(["{}", '{"token":""}', '{"token":"a\\nb"}', '{"token":7}', "[]", "no JSON"])(
    "a token service that answers %s",
    async (body) => {
      await using tokens = await serve(status(200, {}, body));
      await using fake = await serve(status(401, { "www-authenticate": `Bearer realm="http://${tokens.address}/t"` }));
      expect(await failure(blobOf(fake))).toContain(
        `the token service "http://${tokens.address}" answered without a token`,
      );
    },
  );

  test("a manifest that does not fit the digest in the reference, or in the header", async () => {
    const manifest = JSON.stringify({ schemaVersion: 2, manifests: [] });
    await using fake = await serve(status(200, {}, manifest));
    const pinned = resolveImage(open(), refer(fake, `a/b@${DESCRIPTOR.digest}`), AMD64, never);
    expect(await codeOf(pinned)).toBe("IMAGE_DIGEST_MISMATCH");
    await using lying = await serve(status(200, { "docker-content-digest": DESCRIPTOR.digest }, manifest));
    expect(await codeOf(resolveImage(open(), refer(lying), AMD64, never))).toBe("IMAGE_DIGEST_MISMATCH");
  });

  test("a manifest without end", async () => {
    await using fake = await serve((_, response) => void response.end(Buffer.alloc(5 * 2 ** 20, 32)));
    expect(await failure(resolveImage(open(), refer(fake), AMD64, never))).toContain("longer than 4 MiB");
  });

  const config = { mediaType: "c", digest: DESCRIPTOR.digest, size: 1 };
  const index = (platform: unknown) => ({ schemaVersion: 2, manifests: [{ ...config, platform }] });
  test.each<[string, unknown, string]>([
    ["no JSON", "x", "is not a JSON object"],
    ["another version", { schemaVersion: 1, fsLayers: [] }, "has the version 1, wanted 2"],
    [
      "both an index and a manifest",
      { schemaVersion: 2, manifests: [], config, layers: [] },
      "is neither that of an image nor an index",
    ],
    ["neither", { schemaVersion: 2 }, "is neither that of an image nor an index"],
    ["a layer without a digest", { schemaVersion: 2, config, layers: [{ size: 1 }] }, "no valid descriptor"],
    [
      "a layer of a negative size",
      { schemaVersion: 2, config, layers: [{ ...config, size: -1 }] },
      "no valid descriptor",
    ],
    [
      "a path for a digest",
      { schemaVersion: 2, config: { ...config, digest: "sha256:../../x" }, layers: [] },
      "no valid descriptor",
    ],
    ["too many layers", { schemaVersion: 2, config, layers: Array(128).fill(config) }, "it has 128 layers"],
    [
      "an index for others",
      index({ os: "linux", architecture: "s390x" }),
      "it is not there for linux/amd64, but for linux/s390x",
    ],
    ["an index of nothing", index(undefined), "but for nothing"],
  ])("a manifest that is %s", async (_, manifest, text) => {
    await using fake = await serve(status(200, {}, typeof manifest === "string" ? manifest : JSON.stringify(manifest)));
    const work = resolveImage(open(), refer(fake), AMD64, never);
    expect(await failure(work)).toContain(text);
    expect(await codeOf(work)).toBe("IMAGE_UNUSABLE");
  });
});

describe("hostile: who gets what is secret", () => {
  const login = { kind: "password", user: "me", password: new Secret("pw") } as const;
  const findCredentials = () => Promise.resolve(login);
  const basic = `Basic ${Buffer.from("me:pw").toString("base64")}`;

  test("a redirect to another origin takes no authorization along, and one within the origin does", async () => {
    await using storage = await serve(whole);
    await using fake = await serve((request, response) => {
      if (request.headers.authorization === undefined)
        return status(401, { "www-authenticate": "Basic" })(request, response as never);
      if (request.url?.startsWith("/v2/")) return status(307, { location: "/elsewhere" })(request, response as never);
      status(307, { location: `http://user:pass@${storage.address}/blob` })(request, response as never);
    });
    expect((await blobOf(fake, { findCredentials })).equals(BLOB)).toBe(true);
    expect(fake.seen.map(({ url, headers }) => [url?.slice(0, 4), headers.authorization])).toEqual([
      ["/v2/", undefined],
      ["/v2/", basic],
      ["/els", basic],
    ]);
    expect(storage.seen.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });

  test("a password goes to the token service alone, the token to the registry alone, and a refused one is fetched anew", async () => {
    let tokens = 0;
    await using service = await serve((_, response) => void response.end(JSON.stringify({ token: `t${++tokens}` })));
    await using fake = await serve((request, response) => {
      const isGood = request.headers.authorization === `Bearer t${tokens}` && tokens > 0;
      if (isGood) return void response.end(BLOB);
      status(401, { "www-authenticate": `Bearer realm="http://${service.address}/t?x=1",service="s"` })(
        request,
        response as never,
      );
    });
    const registry = open({ findCredentials });
    const read = () => readBlob(registry, refer(fake), DESCRIPTOR, never);
    expect((await read()).equals(BLOB)).toBe(true);
    expect((await read()).equals(BLOB)).toBe(true);
    tokens = 7; // the old one has expired
    expect((await read()).equals(BLOB)).toBe(true);
    expect(fake.seen.map(({ headers }) => headers.authorization)).toEqual([
      undefined,
      "Bearer t1",
      "Bearer t1",
      "Bearer t1",
      "Bearer t8",
    ]);
    expect(service.seen.map(({ url, headers }) => [url, headers.authorization])).toEqual([
      ["/t?x=1&scope=repository%3Aa%2Fb%3Apull&service=s", basic],
      ["/t?x=1&scope=repository%3Aa%2Fb%3Apull&service=s", basic],
    ]);
  });

  test("an identity token is exchanged", async () => {
    let form = "";
    await using service = await serve(async (request, response) => {
      for await (const piece of request) form += piece;
      response.end('{"access_token":"fresh"}');
    });
    await using fake = await serve((request, response) =>
      request.headers.authorization === "Bearer fresh"
        ? void response.end(BLOB)
        : status(401, { "www-authenticate": `Bearer realm="http://${service.address}/t",service="s"` })(
            request,
            response as never,
          ),
    );
    const identity = { kind: "identity", token: new Secret("refresh me") } as const;
    expect((await blobOf(fake, { findCredentials: () => Promise.resolve(identity) })).equals(BLOB)).toBe(true);
    expect(Object.fromEntries(new URLSearchParams(form))).toEqual({
      ...{ grant_type: "refresh_token", service: "s", client_id: "pilotboat" },
      ...{ refresh_token: "refresh me", scope: "repository:a/b:pull" },
    });
  });

  test("a registry elsewhere is never spoken to in the clear, and a certificate of nobody's is refused with the remedy", async () => {
    const ca = await createTestCa();
    await using fake = await serve(whole, await ca.issue({ ips: ["127.0.0.1"] }));
    expect(await codeOf(blobOf(fake))).toBe("REGISTRY_UNREACHABLE");
    const error = await blobOf(fake).catch((one: unknown) => one);
    expect(error).toMatchObject({ hint: expect.stringContaining("--ca-file") });
    expect(fake.seen).toHaveLength(0);
    expect((await blobOf(fake, { roots: ca.certPem })).equals(BLOB)).toBe(true);
    await using plain = await serve(whole);
    expect(await codeOf(blobOf(plain, { mayBePlain: () => false }))).toBe("REGISTRY_UNREACHABLE");
    expect(plain.seen).toHaveLength(0);
  });
});
