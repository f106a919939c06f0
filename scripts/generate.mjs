// Generates src/proto/gen from proto/, and notes which inputs it came from, so that a test can tell when it is stale.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { protoDigest } from "./proto-digest.mjs";

execFileSync("../node_modules/.bin/buf", ["generate"], { cwd: "proto", stdio: "inherit" });
writeFileSync("src/proto/gen/inputs.sha256", `${protoDigest()}\n`);
