import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect as connectH2 } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { CLUSTER_TYPE } from "../../src/control-plane/ads/resource-types.ts";
import { connect, EC_KEY, makeCsr, node, signBy, streamTo } from "../control-plane/rig.ts";
import { answerOf, CALL } from "../grpc-stream/h2.ts";
import { run, runtimes, start } from "../support/pilotboat.ts";

test.each(runtimes())(
  "grpc-js gets a certificate of the control plane on $name, which then says who calls; nobody else gets an answer",
  async (runtime) => {
    const folder = await mkdtemp(join(tmpdir(), "pb-peers-"));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    await writeFile(join(folder, "mesh.yaml"), "clusters: [{ name: web, type: STATIC }]");
    const env = { XDG_STATE_HOME: join(folder, "state") };
    await using plane = start(runtime, ["control-plane", "--dir", folder, "--port", "0"], { env });
    const port = Number((await plane.waitFor(/control plane +\S+:(\d+)/))[1]);
    const words = ["-n", "shop", "--service-account", "web", "--write-credentials", join(folder, "me")];
    expect((await run(runtime, ["control-plane", "token", ...words], { env })).code).toBe(0);
    const root = await readFile(join(folder, "me/var/run/secrets/istio/root-cert.pem"), "utf8");
    const token = await readFile(join(folder, "me/var/run/secrets/tokens/istio-token"), "utf8");
    const open = (own?: { certificate: string; key: string }): ReturnType<typeof connect> => {
      const client = connect(port, root, own);
      onTestFinished(() => client.close());
      return client;
    };
    const keyFile = join(folder, "key.pem");
    const [certificate = ""] = await signBy(open(), makeCsr(EC_KEY, { keyFile }), token);
    const own = { certificate, key: await readFile(keyFile, "utf8") };
    const clusters = { node: node({}, "shop"), typeUrl: CLUSTER_TYPE };

    const stream = streamTo(open(own));
    stream.send(clusters);
    expect((await stream.next()).resources).toMatchObject([{ name: "web" }]);
    const stranger = streamTo(open());
    stranger.send(clusters);
    const unknown = "authentication failure: the caller has neither a client certificate of this mesh nor a token";
    expect(await stranger.failed).toMatchObject({ code: 16, details: unknown });
    const other = streamTo(open(own));
    other.send({ ...clusters, node: node({}, "bank") });
    expect(await other.failed).toMatchObject({ code: 7, details: expect.stringContaining("authorization failed") });

    const session = connectH2(`https://localhost:${port}`, { ca: root });
    session.on("error", () => undefined);
    const path = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
    const empty = session.request({ ...CALL, ":path": path, authorization: `Bearer ${token}` });
    empty.end();
    const { headers, trailers } = await answerOf(empty);
    session.destroy();
    expect({ ...headers, ...trailers }).toMatchObject({ "grpc-status": "12" });
  },
);
