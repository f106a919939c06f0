/** When each step of the start was reached, in milliseconds since the process began. */
export interface Timeline {
  /** Notes a step; only the first time counts. */
  mark(step: string): void;
  /** Steps in the order they were reached. */
  readonly marks: ReadonlyMap<string, number>;
}

export function createTimeline(): Timeline {
  const marks = new Map<string, number>();
  return {
    marks,
    mark(step) {
      if (!marks.has(step)) marks.set(step, performance.now());
    },
  };
}
