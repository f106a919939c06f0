/**
 * Sends to a caller as fast as it reads. For one that does not, nothing piles up: `room` asks to read no further requests
 * of it, and of the pushes that come meanwhile only the latest is made, once there is room.
 */
export class Pace<Response> {
  readonly #send: (response: Response) => Promise<void> | void;
  /** Settles when there is room for more. Undefined while there is. */
  #room: Promise<void> | undefined;
  #push: (() => void) | undefined;

  /** `send` as `ServerStream.send`: a promise asks to wait. */
  constructor(send: (response: Response) => Promise<void> | void) {
    this.#send = send;
  }

  get room(): Promise<void> | undefined {
    return this.#room;
  }

  /** Never refuses: an answer is owed to each request. */
  send(response: Response): void {
    const room = this.#send(response);
    if (!(room instanceof Promise)) return;
    const current = room.then(() => {
      if (this.#room === current) this.#resume();
    });
    this.#room = current;
  }

  /** Calls `push`, now or as soon as there is room. */
  push(push: () => void): void {
    if (this.#room === undefined) push();
    else this.#push = push;
  }

  #resume(): void {
    this.#room = undefined;
    const push = this.#push;
    this.#push = undefined;
    push?.();
  }
}
