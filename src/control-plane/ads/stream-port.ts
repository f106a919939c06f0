/** What a stream's bookkeeping needs of the connection that it keeps the books of. */
export interface StreamPort<Response> {
  send(response: Response): void;
  newNonce(): string;
  /** The other end refused what was sent last. */
  onReject(typeUrl: string, message: string): void;
  /** True while answers of that type are held back. */
  isWithheld(typeUrl: string): boolean;
}
