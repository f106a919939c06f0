import { nearest } from "../../base/index.ts";
import type { Command } from "./define-command.ts";

/** Fewer letters than this begin too many names. */
const LEAST_PREFIX = 2;

/**
 * The words that the user probably meant by a command that does not exist: `status` for `stauts`,
 * `envoy fetch` for `fetch`, `up` for `start`.
 */
export function suggest(
  typed: string,
  commands: readonly Command[],
  others: readonly string[] = [],
): string | undefined {
  const answers = new Map<string, string>(); // the first one for a word counts
  const add = (word: string, answer: string): void => void (answers.has(word) || answers.set(word, answer));
  for (const { name } of commands) add(name, name);
  for (const word of others) add(word, word);
  for (const { name, similar = [] } of commands) for (const word of similar) add(word, name);
  for (const { name, commands: subs = [] } of commands) {
    for (const sub of subs) for (const word of [sub.name, ...(sub.similar ?? [])]) add(word, `${name} ${sub.name}`);
  }
  const words = [...answers.keys()];
  const begun = typed.length < LEAST_PREFIX ? [] : words.filter((word) => word.startsWith(typed.toLowerCase()));
  const [shortest] = begun.sort((one, other) => one.length - other.length);
  const isOneWord = shortest !== undefined && begun.every((word) => word.startsWith(shortest)); // version, versions
  const found = nearest(typed, words) ?? (isOneWord ? shortest : undefined);
  return found === undefined ? undefined : answers.get(found);
}
