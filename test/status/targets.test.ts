import { expect, test } from "vitest";
import { parseScrapeTargets } from "../../src/status/targets/index.ts";

const parse = (value: unknown) => parseScrapeTargets(typeof value === "string" ? value : JSON.stringify(value), 15_020);

test.each([
  ["", []],
  ["{}", [{ port: 80, path: "/metrics" }]],
  [{ scrape: "true" }, [{ port: 80, path: "/metrics" }]],
  [{ scrape: "false", port: "abc" }, []],
  [{ scrape: "False", port: "8080", path: "m?x=1" }, [{ port: 8_080, path: "/m?x=1" }]],
  [{ port: "8080", path: "/other", targets: [{ port: "9100" }] }, [{ port: 9_100, path: "/metrics" }]],
  [
    {
      targets: [
        { port: "8080", path: "/metrics" },
        { port: "09100", path: "/custom" },
      ],
    },
    [
      { port: 8_080, path: "/metrics" },
      { port: 9_100, path: "/custom" },
    ],
  ],
  [{ targets: [], port: "8080", more: 1 }, [{ port: 8_080, path: "/metrics" }]],
])("%j", (value, targets) => {
  expect(parse(value)).toEqual(targets);
});

test("status 77: ports beside those of the proxy are no port of the proxy", () => {
  const targets = ["15002", "15007", "15091", "15099"].map((port) => ({ port }));
  expect(parse({ targets }).map(({ port }) => port)).toEqual([15_002, 15_007, 15_091, 15_099]);
});

test.each([
  ["nonsense", "failed to decode"],
  ["[]", "failed to decode"],
  [{ port: 8_080 }, "failed to decode: port: found 8080, wanted a string"],
  [{ targets: {} }, "failed to decode: targets"],
  [{ targets: ["8080"] }, "failed to decode"],
  [{ port: "15020" }, "recursive loop"],
  [{ targets: [{ port: "015020" }] }, "recursive loop"],
  [{ targets: [{ port: "15000" }] }, "Envoy admin"],
  [{ targets: [{ port: "015000" }] }, "Envoy admin"],
  [{ targets: [{ port: "15006" }] }, "inbound traffic capture"],
  [{ targets: [{ port: "15090" }] }, "already merged"],
  [{ targets: [{ port: "abc" }] }, 'invalid target port "abc"'],
  [{ targets: [{ port: "0" }] }, "invalid target port"],
  [{ targets: [{ port: "65536" }] }, "invalid target port"],
  [{ targets: [{}] }, 'invalid target port ""'],
  [{ targets: [{ port: "8080" }, { port: "15021" }] }, "Envoy health"],
])("%j is refused", (value, reason) => {
  expect(() => parse(value)).toThrow(reason);
  expect(() => parse(value)).toThrow("ISTIO_PROMETHEUS_ANNOTATIONS");
});
