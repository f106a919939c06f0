import { expect, test } from "vitest";
import type { AgentReport } from "../../src/agent/index.ts";
import { describeReport } from "../../src/cli/describe-report.ts";
import { plain } from "../../src/cli/terminal/text.ts";

const REFUSED = 'UNAVAILABLE: control plane "istiod:15012": connection refused; nobody listens there';
const CA = 'UNAVAILABLE: CA "istiod:15012": connection refused';

interface Said {
  readonly causes?: readonly string[];
  readonly state: string;
  readonly troubles: readonly string[];
}

/** The rows of a report that give reasons, without their names. */
function reasons({ causes = [], state, troubles }: Said): string[] {
  const report = {
    readiness: {
      ready: false,
      since: new Date(0).toISOString(),
      causes: causes.map((text) => ({ kind: "connect", text })),
    },
    controlPlane: { address: "istiod:15012", state },
    identity: { troubles: troubles.map((text) => ({ text })), token: {} },
    ...{ version: "1", pid: 1, node: "n", envoy: { kind: "disabled" }, leftOut: [], timeline: {} },
  };
  return plain(describeReport(report as unknown as AgentReport, 0))
    .split("\n")
    .flatMap((line) => /^(?:because|control plane|trouble) +(.*)$/.exec(line)?.[1] ?? []);
}

test("a reason is said once: each row below it says only what is new", () => {
  const attempts = (count: number): string => `(${count} failed attempts, the last 1s ago)`;
  const [first, later] = [`${REFUSED} ${attempts(2)}`, `${REFUSED} ${attempts(3)}`];
  expect(reasons({ causes: [first], state: later, troubles: [] })).toEqual([
    `connect: ${first}`,
    "istiod:15012: no, the reason is above",
  ]);
  expect(
    reasons({ causes: [`${CA} ${attempts(2)}`], state: "responding", troubles: [`${CA} ${attempts(3)}`] }),
  ).toEqual([`connect: ${CA} ${attempts(2)}`, "istiod:15012: responding"]);
  expect(reasons({ state: later, troubles: [`${CA}; nobody listens there`] })).toEqual([
    `istiod:15012: ${later}`,
    `${CA}; the reason is above`,
  ]);
  expect(reasons({ causes: [first], state: later, troubles: [`${CA}; nobody listens there`, "another"] })).toEqual([
    `connect: ${first}`,
    "istiod:15012: no, the reason is above",
    `${CA}; the reason is above`,
    "another",
  ]);
  expect(reasons({ causes: ["responding"], state: "responding", troubles: [] })).toContain("istiod:15012: responding");
});
