import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { openRegistry, parseReference, resolveImage, takeFile } from "../../src/oci/index.ts";
import { findDockerRegistry, startDockerRegistry } from "../support/docker-registry.ts";
import { makeLayer, pushImage, pushIndex } from "../support/make-image.ts";

const hasRegistry = (await findDockerRegistry()) !== undefined;
const never = new AbortController().signal;
const AMD64 = { os: "linux", architecture: "amd64" };

describe.runIf(hasRegistry)("a real registry", () => {
  test("one file comes out of the image for a platform", async () => {
    await using server = await startDockerRegistry();
    const base = await makeLayer([{ name: "etc/passwd", content: "root" }]);
    const images = [];
    for (const architecture of ["amd64", "arm64"]) {
      const top = await makeLayer([{ name: "usr/local/bin/envoy", content: `envoy for ${architecture}` }]);
      images.push(
        await pushImage(server.address, "istio/proxyv2", undefined, {
          layers: [base, top],
          platform: { os: "linux", architecture },
        }),
      );
    }
    const digest = await pushIndex(server.address, "istio/proxyv2", "1.31.0", images);
    const folder = await mkdtemp(join(tmpdir(), "pb-oci-"));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const registry = openRegistry({});
    const reference = parseReference(`${server.address}/istio/proxyv2:1.31.0`);
    const image = await resolveImage(registry, reference, AMD64, never);
    expect(image.digest).toBe(digest);
    const target = join(folder, "envoy");
    await takeFile(registry, { image, platform: AMD64, path: "/usr/local/bin/envoy", target, folder, stop: never });
    expect(await readFile(target, "utf8")).toBe("envoy for amd64");
  });
});
