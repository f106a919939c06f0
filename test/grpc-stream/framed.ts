/** A message of gRPC behind its header. `length` is what the header says. Source: grpc/grpc doc/PROTOCOL-HTTP2.md. */
export function framed(message: Uint8Array, flags = 0, length = message.length): Buffer {
  const header = Buffer.from([flags, 0, 0, 0, 0]);
  header.writeUInt32BE(length, 1);
  return Buffer.concat([header, message]);
}
