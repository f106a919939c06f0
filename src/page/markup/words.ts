/** The two largest units: `11h 58m`, `4m 3s`, `7s`. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  const units = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3_600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "m"],
    [seconds % 60, "s"],
  ] as const;
  const first = units.findIndex(([count]) => count > 0);
  if (first < 0) return "0s";
  return units
    .slice(first, first + 2)
    .map(([count, unit]) => `${count}${unit}`)
    .join(" ");
}

/** `2026-08-01 10:00:00`, in UTC. */
export function utc(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19).replace("T", " ");
}

/** Three digits: `0`, `0.25`, `7.5`, `42`, `1234`. */
export function rate(value: number): string {
  if (value === 0 || value >= 10) return String(Math.round(value));
  return String(Number(value.toFixed(value >= 1 ? 1 : 2)));
}

/** `<1 ms`, `1.5 ms`, `12 ms`, `1.5 s`. */
export function latency(ms: number): string {
  if (ms < 1) return "<1 ms"; // Envoy counts whole ones
  return ms >= 1_000 ? `${rate(ms / 1_000)} s` : `${ms < 10 ? Number(ms.toFixed(1)) : Math.round(ms)} ms`;
}

/** `612 B`, `15 KiB`, `15 MiB`. */
export function bytes(count: number): string {
  if (count < 1_024) return `${count} B`;
  if (count < 1_024 ** 2) return `${Math.round(count / 1_024)} KiB`;
  return `${Math.round(count / 1_024 ** 2)} MiB`;
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Both ends of a text that is longer than that many characters: names often differ in either. */
export function shorten(text: string, most: number): string {
  const characters = [...text];
  if (characters.length <= most) return text;
  const head = Math.ceil((most - 1) * 0.6);
  return `${characters.slice(0, head).join("")}…${characters.slice(characters.length - (most - 1 - head)).join("")}`;
}
