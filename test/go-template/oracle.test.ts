import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { createTemplate, templateLineOf } from "../../src/go-template/engine/index.ts";
import { INJECTOR_FUNCTIONS } from "../../src/inject/template/injector-functions.ts";
import { oracleData } from "./oracle-data.ts";

interface Case {
  readonly template: string;
  readonly output?: string;
  readonly error?: string;
}

const CASES: readonly Case[] = JSON.parse(
  readFileSync(new URL("../fixtures/go-template/cases.json", import.meta.url), "utf8"),
);

/** Where ours is another, and why. */
const DIFFERENT: readonly (readonly [template: RegExp, reason: string])[] = [
  [/^\{\{ 3i \}\}$/, "there are no complex numbers"],
  [/genCA/, "functions that make keys are left out"],
  [/%-?\+?6?d.* \.(?:ptr|thing) /, "Go prints the address of a pointer as a number"],
];

/** Where Go's words are those of its runtime or its parser's inside. */
const OTHER_WORDS: readonly RegExp[] = [
  /call of reflect|runtime error|depth \(|in literal null|interface conversion|undefined variable: \$x$/,
  /unexpected "[/{]" in command|unexpected <(?:if|with)> in input|unexpected <\.> in|bad number syntax: "3-"|integer overflow|invalid syntax/,
  /in type (?:interface \{\}|\*main\.Inner)$|can't give argument to non-function 1$/,
];

describe("a template is rendered as Go renders it", () => {
  const groups = new Map<string, Case[]>();
  for (const one of CASES) {
    const group = /^\{\{-? ?(\w+) /.exec(one.template)?.[1] ?? "other";
    groups.set(group, [...(groups.get(group) ?? []), one]);
  }
  test.each([...groups])("%s", (_, cases) => {
    for (const { template, output, error } of cases) {
      if (DIFFERENT.some(([pattern]) => pattern.test(template))) continue;
      const ours = render(template);
      if (error === undefined) expect.soft(ours, template).toEqual({ output });
      else expect.soft(ours.error, template).toBeDefined();
      if (error !== undefined && hasWords(error)) expect.soft(error, template).toContain(ours.error);
    }
  });
});

function hasWords(error: string): boolean {
  return !OTHER_WORDS.some((pattern) => pattern.test(error));
}

function render(template: string): { output?: string; error?: string } {
  try {
    return { output: createTemplate(template, { functions: INJECTOR_FUNCTIONS })(oracleData()) };
  } catch (error) {
    expect(templateLineOf(error), template).toBeGreaterThan(0);
    return { error: (error as Error).message };
  }
}
