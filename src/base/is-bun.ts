/** Whether this program runs on Bun, as the executable does, or on Node. */
export const isBun = "Bun" in globalThis;
