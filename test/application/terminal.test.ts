import { expect, test } from "vitest";
import { parseTerminal } from "../../src/application/terminal.ts";

const stat = (name: string, group: number, terminal: number, foreground: number): string =>
  `42 (${name}) S 1 ${group} 40 ${terminal} ${foreground} 4194304 1 0 0`;

test("a process without a terminal, in its foreground, and behind it", () => {
  expect(parseTerminal(stat("node", 40, 0, -1))).toBe("none");
  expect(parseTerminal(stat("node", 40, 34816, 40))).toBe("foreground");
  expect(parseTerminal(stat("node", 40, 34816, 41))).toBe("background");
});

test("the name of a process may hold anything", () => {
  expect(parseTerminal(stat("a) S 1 2 3 0", 40, 34816, 40))).toBe("foreground");
});
