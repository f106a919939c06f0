/** What a stream's bookkeeping needs of the connection that it keeps the books of. */
export interface StreamPort<Response> {
  send(response: Response): void;
  newNonce(): string;
  /** The other end refused what was sent last. */
  onReject(typeUrl: string, message: string): void;
  /** True while answers of that type are held back. */
  isWithheld(typeUrl: string): boolean;
}

/** What a stream was sent of one type, and what became of it. */
export interface WatchReport {
  readonly typeUrl: string;
  /** As they were asked for; of a delta stream that wants all of them, those that it has. */
  readonly names: readonly string[];
  /** Nonce of the latest response, and of the latest that was accepted; empty for none. */
  readonly sent: string;
  readonly acked: string;
  /** Milliseconds since the epoch; 0 while nothing was sent. */
  readonly sentMs: number;
  /** Why the latest was refused; empty when it was not. */
  readonly lastError: string;
}

/** Of what nothing was sent yet. */
export const UNANSWERED = { nonce: "", acked: "", sentMs: 0, lastError: "" } as const;
