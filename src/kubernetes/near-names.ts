const MOST_NEAR = 3;
const MOST_LISTED = 8;

/**
 * Of what there is, what somebody may have meant, the likeliest first. Nothing alike: all of it when that is a few, else
 * nothing.
 */
export function nearNames(wanted: string, known: readonly string[]): readonly string[] {
  const most = Math.max(1, Math.floor(wanted.length / 3));
  const near = known
    .map((name) => ({ name, distance: isPart(wanted, name) ? 1 : editDistance(wanted, name) }))
    .filter(({ distance }) => distance <= most)
    .sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1));
  if (near.length > 0) return near.slice(0, MOST_NEAR).map(({ name }) => name);
  return known.length <= MOST_LISTED ? [...known].sort() : [];
}

function isPart(wanted: string, name: string): boolean {
  return wanted.length > 2 && (name.startsWith(wanted) || wanted.startsWith(name));
}

/** How many letters have to be put in, taken out, replaced or swapped with the next. */
function editDistance(a: string, b: string): number {
  const rows = [[...Array(b.length + 1).keys()]];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = isSwap ? (rows[i - 2]?.[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY;
      row.push(
        Math.min((rows[i - 1]?.[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (rows[i - 1]?.[j - 1] ?? 0) + cost, swapped),
      );
    }
    rows.push(row);
  }
  return rows[a.length]?.[b.length] ?? 0;
}
