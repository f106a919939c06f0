import { expect, test } from "vitest";
import { peekExtensions } from "../../src/xds/peer.ts";
import { DELTA, SOTW } from "../../src/xds/variant.ts";
import { message } from "../support/wire-messages.ts";

test.each([DELTA, SOTW])("$name: an Envoy's extensions by type, or by name where they list none", (variant) => {
  const extensions = [
    message([1, "envoy.router"], [2, "envoy.filters.http"], [6, "a.v3.Router"], [6, "type.googleapis.com/a.v2.Router"]),
    message([2, "envoy.filters.http"], [6, "stats.PluginConfig"], [1, "istio.stats"]),
    message([1, "old.filter"], [2, "envoy.filters.http"]),
  ];
  const node = message([1, "id"], ...extensions.map((one) => [9, one] as const), [2, "cluster"]);
  const { types, names } = peekExtensions(
    variant,
    message([variant.request.node, node], [variant.request.typeUrl, "t"]),
  );
  expect([...types]).toEqual(["a.v3.Router", "a.v2.Router", "stats.PluginConfig"]);
  expect([...names]).toEqual(["old.filter"]);
  const cut = message([variant.request.node, node.subarray(0, -1)]);
  expect(() => peekExtensions(variant, cut)).toThrow();
});
