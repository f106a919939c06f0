import { Chance } from "../../support/chance.ts";

/** What inputs are made from. */
export interface Corpus {
  /** Good inputs. */
  readonly seeds: readonly Buffer[];
  /** Pieces that mean something to the parser. */
  readonly words: readonly (Buffer | string)[];
}

const LONGEST = 256 * 1_024;
const NUMBERS = [0, 1, 0x7f, 0x80, 0xff];

/** The input of that number; the same number gives the same input. */
export function inputOf({ seeds, words }: Corpus, number: number): Buffer {
  const chance = new Chance(number);
  const wordOf = (): Buffer => Buffer.from(chance.one(words));
  let input = chance.one(seeds);
  const steps = 1 + chance.below(6);
  for (let step = 0; step < steps; step++) input = change(input, chance, wordOf, seeds);
  return input.subarray(0, LONGEST);
}

function change(input: Buffer, chance: Chance, wordOf: () => Buffer, seeds: readonly Buffer[]): Buffer {
  const at = chance.below(input.length + 1);
  const end = Math.min(input.length, at + 1 + chance.below(chance.one([4, 64, 4_096])));
  const around = (middle: Buffer, from = at, to = at): Buffer =>
    Buffer.concat([input.subarray(0, from), middle, input.subarray(to)]);
  switch (chance.below(10)) {
    case 0:
      return input.subarray(0, at); // cut off
    case 1:
      return around(Buffer.alloc(0), at, end);
    case 2:
      return around(input.subarray(at, end)); // twice
    case 3:
      return around(wordOf());
    case 4:
      return around(wordOf(), at, end);
    case 5:
      return around(repeated(wordOf(), chance)); // deep, or long
    case 6:
      return around(Buffer.from(chance.some(16, () => chance.below(256))), at, end);
    case 7: {
      const other = chance.one(seeds);
      return around(other.subarray(chance.below(other.length + 1)), at, input.length);
    }
    case 8:
      return around(Buffer.from([chance.one(NUMBERS)]), at, Math.min(input.length, at + 1));
    default:
      return around(Buffer.from([(input[at] ?? 0) ^ (1 << chance.below(8))]), at, Math.min(input.length, at + 1));
  }
}

function repeated(word: Buffer, chance: Chance): Buffer {
  const times = chance.one([2, 10, 1_000, 100_000]);
  return Buffer.concat(Array(Math.max(1, Math.min(times, Math.floor(LONGEST / Math.max(1, word.length))))).fill(word));
}
