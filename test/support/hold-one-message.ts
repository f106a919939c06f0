/**
 * Lets a gRPC stream hold one message per direction before it asks the writer to wait. The default of object streams is
 * sixteen messages, which for pushes of 4 MiB is 138 MB per stalled reader instead of 13. grpc-js has no option for it;
 * should a runtime keep the number elsewhere, the stream works on with its default.
 */
export function holdOneMessage(stream: object): void {
  const { _readableState: readable, _writableState: writable } = stream as Partial<
    Record<"_readableState" | "_writableState", { highWaterMark?: number }>
  >;
  if (readable !== undefined) readable.highWaterMark = 1;
  if (writable !== undefined) writable.highWaterMark = 1;
}
