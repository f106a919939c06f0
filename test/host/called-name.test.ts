import { expect, test } from "vitest";
import { asCalled } from "../../src/cli/contract/index.ts";
import { calledName } from "../../src/host/index.ts";

const NODE = "/usr/bin/node";
const INSIDE = "/$bunfs/root/pilotboat";

test.each([
  ["pilot-agent", ["bun", INSIDE, "proxy"], "pilot-agent"],
  ["/usr/local/bin/pilot-agent", ["bun", INSIDE], "pilot-agent"],
  ["./x/../pilotboat-1.2", ["bun", INSIDE], "pilotboat-1.2"],
  ["C/pilotboat.exe", ["bun", INSIDE], "pilotboat"],
  ["", ["bun", INSIDE], undefined],
  ["-sh; rm", ["bun", INSIDE], undefined],
  ["\u001b[2J", ["bun", INSIDE], undefined],
  ["node", [NODE, "/usr/bin/pilot-agent"], "pilot-agent"],
  ["node", [NODE, "/lib/node_modules/.bin/pilotboat"], "pilotboat"],
  ["node", [NODE, "/lib/node_modules/pilotboat/dist/main.js"], undefined],
  ["/usr/bin/node22", [NODE, "/lib/node_modules/pilotboat/dist/main"], undefined],
  ["pilot-agent", [NODE, "/lib/node_modules/pilotboat/dist/main.js"], "pilot-agent"],
  ["nodejs", [NODE], undefined],
])("started as %j with %j the program is called %j", (argv0, argv, expected) => {
  expect(calledName({ argv0, argv })).toBe(expected);
});

test.each([
  ["pilot-agent", 'Run "pilotboat envoy fetch"', 'Run "pilot-agent envoy fetch"'],
  ["pilot-agent", "pilotboat iptables -p 1", "pilot-agent istio-iptables -p 1"],
  ["pb", "pilotboat iptables -p 1", "pb iptables -p 1"],
  ["istio-iptables", "pilotboat iptables -p 1; pilotboat wait", "istio-iptables -p 1; pilotboat wait"],
  ["pilot-agent", "pilotboat and Envoy write; pilotboat with this version", undefined],
  ["pilot-agent", "/opt/pilotboat proxy; ./pilotboat wait; my-pilotboat up; pilotboat up-to-date", undefined],
  ["pilotboat", "pilotboat wait", undefined],
])("for %s %j is %j", (program, text, expected = text) => {
  expect(asCalled({ lines: [text], none: undefined }, program)).toEqual({ lines: [expected], none: undefined });
});
