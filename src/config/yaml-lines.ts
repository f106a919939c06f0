/** The lines, counted from 0, from `first` to the one on which the brackets close that are open where it begins. */
export function linesInFlow(lines: readonly string[], first: number): readonly number[] {
  const found: number[] = [];
  let depth = 1;
  let quote = "";
  for (let at = first; at < lines.length && depth > 0; at++) {
    const line = lines[at] ?? "";
    if (isMarker(line)) break;
    found.push(at);
    for (const [token] of line.matchAll(TOKENS)) {
      if (quote !== "") quote = token === quote ? "" : quote;
      else if (token.startsWith("#") || token.startsWith(" #")) break;
      else if (/^["']$/.test(token)) quote = token;
      else if (/^[[{]$/.test(token)) depth++;
      else if (/^[\]}]$/.test(token) && --depth === 0) break;
    }
  }
  return found;
}

/** The lines from `first` to the one with the closing quote; none when there is none. */
export function linesInQuotes(lines: readonly string[], first: number, quote: string): readonly number[] {
  const found: number[] = [];
  const closing = quote === '"' ? /^(?:[^"\\]|\\.|\\$)*"/ : /^(?:[^']|'')*'(?!')/;
  for (let at = first; at < lines.length && !isMarker(lines[at] ?? ""); at++) {
    found.push(at);
    if (closing.test(lines[at] ?? "")) return found;
  }
  return [];
}

/** An escape, two single quotes, a comment's beginning, a quote, a bracket. */
const TOKENS = /\\.|''|(?:^| )#|["'[\]{}]/g;

function isMarker(line: string): boolean {
  return /^(?:---|\.\.\.)(?:\s|$)/.test(line);
}
