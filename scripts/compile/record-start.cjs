// Runs `pilotboat proxy` until it is up, ends it, and writes what V8 has compiled: record-start.cjs MAIN.JS FOLDER
const { mkdirSync, writeFileSync } = require("node:fs");
const { dirname, join, relative } = require("node:path");
const v8 = require("node:v8");
const vm = require("node:vm");

const [, , main, folder] = process.argv;
/** Nothing more was loaded for so long: the agent is up. */
const QUIET_MS = 1_000;

v8.setFlagsFromString = () => undefined; // V8 refuses what was compiled under other flags, and a start has none of ours yet

const scripts = new Map();
const { Script } = vm;
vm.Script = class extends Script {
  constructor(text, options) {
    super(text, options);
    scripts.set(options.filename, this);
    quiet.refresh();
  }
};
const quiet = setTimeout(() => process.kill(process.pid, "SIGTERM"), QUIET_MS);

process.on("exit", () => {
  for (const [file, script] of scripts) {
    const to = join(folder, relative(dirname(main), file));
    mkdirSync(dirname(to), { recursive: true });
    writeFileSync(to, script.createCachedData());
  }
});
process.argv.splice(1, process.argv.length, main, "proxy", "sidecar", "--free-ports");
require(main);
