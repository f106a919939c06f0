import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
// @ts-expect-error a plain script without types
import { ENVOY, FILES, FOLDERS, LINKS, PROXY_ID, RUN } from "../../scripts/image/contents.mjs";

// There is no Docker in most places where these tests run: what Dockerfile.proxy says is held against the list from which
// `npm run build:image` makes the same image.

interface Copied {
  readonly from: string;
  readonly to: string;
}

const text = readFileSync("Dockerfile.proxy", "utf8").replaceAll(/\\\n\s*/g, "");
/** The lines of each stage, by its name. */
const stages = new Map(
  text
    .split(/^FROM /m)
    .slice(1)
    .map((stage) => [/ AS (\S+)/.exec(stage)?.[1] ?? "", stage.split("\n")]),
);

test.each(["debug", "distroless"])("Dockerfile.proxy puts the same into %s as the layout has", (name) => {
  const lines = stages.get(name) ?? [];
  const copies = lines.flatMap((line) => {
    const [, from, file, to] = /^COPY --from=(build|envoy) (\S+) (\S+)$/.exec(line) ?? [];
    return from === undefined ? [] : [{ from: file?.replace(/^\/src\//, ""), to }];
  });
  expect(copies).toEqual([{ from: ENVOY, to: ENVOY }, ...FILES.map(({ from, to }: Copied) => ({ from, to }))]);
  expect(lines).toContain(`USER ${RUN.User}`);
  expect(lines).toContain(`WORKDIR ${RUN.WorkingDir}`);
  expect(lines).toContain(`ENTRYPOINT ${JSON.stringify(RUN.Entrypoint)}`);
  expect(lines).toContain("ARG STOCK_ENVOY=adapt");
  const { default: version } = JSON.parse(readFileSync("envoy.lock.json", "utf8"));
  expect(lines).toContain(`ARG ENVOY_VERSION=${version}`);
  const env = ["PILOTBOAT_STOCK_ENVOY=${STOCK_ENVOY}", "ISTIO_META_ISTIO_PROXY_SHA=envoy:${ENVOY_VERSION}"];
  expect(lines).toContain(`ENV ${env.join(" ")}`);
  expect(lines.filter((line) => line.startsWith("CMD"))).toEqual([]);
});

test("both variants have the links and the proxy's folders", () => {
  const packages = stages.get("packages")?.join("\n") ?? "";
  for (const folder of FOLDERS) expect(packages).toContain(`/out${folder.replace("/var/run/", "/run/")}`);
  expect(packages).toContain(`istio-proxy:x:${PROXY_ID}:${PROXY_ID}:`);
  for (const { at, to } of LINKS) {
    for (const stage of ["debug", "netfilter"]) expect(stages.get(stage)?.join("\n")).toContain(`ln -s ${to} ${at}`);
  }
});

test("the default is the last stage, which has no shell", () => {
  expect([...stages.keys()].at(-1)).toBe("distroless");
});
