/**
 * Sorts in place, by insertion. istioctl's order of routes leaves most pairs undecided, and what comes out then depends on
 * the way of sorting: up to twelve items Go sorts like this. Source: Go's sort.Slice.
 */
export function insertionSort<T>(items: T[], isBefore: (a: T, b: T) => boolean): void {
  for (let from = 1; from < items.length; from++) {
    const item = items[from] as T;
    let at = from;
    for (; at > 0 && isBefore(item, items[at - 1] as T); at--) items[at] = items[at - 1] as T;
    items[at] = item;
  }
}
