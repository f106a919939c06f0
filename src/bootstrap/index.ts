export { describeDifference, diffByPath } from "./diff.ts";
export { renderGrpcBootstrap, writeGrpcBootstrap } from "./grpc-bootstrap.ts";
export type { BootstrapOptions } from "./options.ts";
export { renderBootstrap } from "./render-bootstrap.ts";
export { renderUserTemplate, type TemplateWords } from "./user-template.ts";
export { type BootstrapFile, foreignFile, writeBootstrap } from "./write-bootstrap.ts";
