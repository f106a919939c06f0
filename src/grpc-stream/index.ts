export { type ClientStream, openGrpcStream } from "./client.ts";
export { deliverMessage, type LocalMessage } from "./deliver-message.ts";
export type { Keepalive } from "./keepalive.ts";
export { type MessageHandler, type PieceHandler, TooLong } from "./message-reader.ts";
export type { PieceWriter } from "./message-writer.ts";
export { type GrpcStreamServerOptions, serveGrpcStreams } from "./server.ts";
export type { ServerStream } from "./server-stream.ts";
export { callUnary } from "./unary.ts";
