// Runs a command of the bundle, and writes what V8 has compiled when it ends: record-compiled.cjs FOLDER MAIN.JS WORDS...
const { mkdirSync, writeFileSync } = require("node:fs");
const { dirname, join, relative } = require("node:path");
const v8 = require("node:v8");
const vm = require("node:vm");

const [, , folder, main] = process.argv;
v8.setFlagsFromString = () => undefined; // V8 refuses what was compiled under other flags, and a start has none of ours yet

const scripts = new Map();
const { Script } = vm;
vm.Script = class extends Script {
  constructor(text, options) {
    super(text, options);
    scripts.set(options.filename, this);
  }
};

process.on("exit", () => {
  for (const [file, script] of scripts) {
    const to = join(folder, relative(dirname(main), file));
    mkdirSync(dirname(to), { recursive: true });
    writeFileSync(to, script.createCachedData());
  }
});
process.argv.splice(1, 2); // the program sees the words that it would have without this file
require(main);
