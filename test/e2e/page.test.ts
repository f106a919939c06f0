import { request } from "node:http";
import { networkInterfaces } from "node:os";
import { describe, expect, test } from "vitest";
import { runtimes } from "../support/pilotboat.ts";
import { createSandbox } from "../support/sandbox.ts";

interface Answer {
  readonly status: number | undefined;
  readonly headers: Record<string, unknown>;
  readonly text: string;
}

describe.each(runtimes())("the page at / of the status port on $name", (runtime) => {
  test("shows the agent and its Envoy to this machine alone, and follows them", async () => {
    await using sandbox = await createSandbox(runtime);
    await using _controlPlane = await sandbox.startControlPlane();
    await using agent = await sandbox.startProxy();
    const { status: port, outbound, inbound } = sandbox.ports;
    await expect
      .poll(() => ask(port, "/healthz/ready").then(({ status }) => status, String), { timeout: 20_000 })
      .toBe(200);

    const page = await ask(port, "/");
    expect(page.status).toBe(200);
    expect(page.headers["content-type"]).toBe("text/html; charset=utf-8");
    expect(page.headers["content-security-policy"]).toMatch(
      /^default-src 'none'; style-src 'sha256-[^']+'; script-src 'sha256-/,
    );
    for (const wanted of [
      ">Ready<",
      "spiffe://cluster.local/ns/default/sa/quickstart",
      " left</b>",
      '>CDS</td><td class="state">SYNCED<',
      "Opening status port",
      `127.0.0.1:${outbound}`,
      `127.0.0.1:${inbound}`,
      ">inbound-mtls<",
      ">xds-grpc<",
      "pid ",
    ]) {
      expect(page.text.replaceAll("<wbr>", "")).toContain(wanted);
    }
    expect(page.text).not.toMatch(/(src|href)="https?:\/\/(?!127\.0\.0\.1)/);

    const refused = [
      { Host: "evil.example" },
      { Origin: "http://evil.example" },
      { "Sec-Fetch-Site": "cross-site" },
      { Origin: "null" },
    ];
    for (const headers of refused) {
      for (const path of ["/", "/events"]) expect((await ask(port, path, { headers })).status, path).toBe(403);
    }
    expect((await ask(port, "/", { method: "POST" })).status).toBe(405);
    expect((await ask(port, "/", { method: "HEAD" })).text).toBe("");
    expect((await ask(port, "/other")).status).toBe(404);
    const elsewhere = otherAddress();
    if (elsewhere !== undefined) {
      expect((await ask(port, "/healthz/ready", { host: elsewhere })).status).toBe(200);
      expect((await ask(port, "/", { host: elsewhere, headers: { Host: "localhost" } })).status).toBe(403);
    }

    const stream = await openStream(port, { "Accept-Encoding": "gzip" });
    await expect.poll(stream.text).toContain('"ready":"<p class=\\"badge good\\">Ready');
    await Promise.all(Array.from({ length: 20 }, () => fetch(`http://127.0.0.1:${outbound}/hello`)));
    await expect.poll(stream.text, { timeout: 15_000 }).toMatch(/[1-9]\d* requests\/s/);
    agent.kill("SIGTERM");
    await expect.poll(stream.text, { timeout: 15_000 }).toMatch(/Not ready<.*server is terminated/);
    await stream.ended;
    expect((await agent.ended).code).toBe(0);
  });

  test("so many pages may be open, and one that is closed makes room", async () => {
    await using sandbox = await createSandbox(runtime);
    await using _controlPlane = await sandbox.startControlPlane();
    await using _agent = await sandbox.startProxy({ env: { DISABLE_ENVOY: "true" } });
    const { status: port } = sandbox.ports;
    await expect.poll(() => ask(port, "/").then(({ status }) => status, String), { timeout: 20_000 }).toBe(200);
    const open = await Promise.all(Array.from({ length: 4 }, () => openStream(port)));
    for (const stream of open) await expect.poll(stream.text).toContain("data: ");
    expect((await ask(port, "/events")).status).toBe(503);
    expect((await ask(port, "/")).status).toBe(200);
    for (const stream of open) stream.close();
    await expect
      .poll(
        async () => {
          const next = await openStream(port);
          next.close();
          return next.status;
        },
        { timeout: 15_000 },
      )
      .toBe(200);
  });
});

/** Another address of this machine than the loopback; none in a network namespace of one's own. */
function otherAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ family, internal }) => family === "IPv4" && !internal)?.address;
}

function ask(
  port: number,
  path: string,
  {
    host = "127.0.0.1",
    method = "GET",
    headers = {},
  }: { host?: string; method?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request({ host, port, path, method, headers, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
      });
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text }));
    });
    call.on("error", reject).end();
  });
}

interface Stream {
  readonly status: number | undefined;
  readonly ended: Promise<void>;
  text(): string;
  close(): void;
}

function openStream(port: number, headers: Record<string, string> = {}): Promise<Stream> {
  return new Promise((resolve, reject) => {
    const call = request({ host: "127.0.0.1", port, path: "/events", headers, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
      });
      response.on("error", () => undefined); // closed by us
      const ended = new Promise<void>((done) => response.once("close", done));
      resolve({ status: response.statusCode, ended, text: () => text, close: () => call.destroy() });
    });
    call.on("error", reject).end();
  });
}
