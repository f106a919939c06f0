#!/usr/bin/env node
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { Script } from "node:vm";

/** Runs a file of the bundle as CommonJS, once, and returns what it exports. */
type Load = (file: string) => unknown;

/** The compiled form of a file of the bundle; undefined where there is none. */
type Compiled = (file: string) => Buffer | undefined;

/** What Node's own loader puts around a file, all in its first line, so that the lines in traces are those of the file. */
const [BEFORE, AFTER] = ["(function (exports, require, module, __filename, __dirname) { ", "\n})"];

/**
 * The loader for a bundle whose compiled form is beside it: the files are read, not looked for, and V8 neither parses nor
 * compiles what is in that form. V8 itself refuses a form that another version of it made, or another text; then the file
 * is compiled as usual.
 */
function compiledLoader(compiled: Compiled): Load {
  const ofNode = createRequire(__filename);
  const loaded = new Map<string, { exports: unknown }>();
  const load: Load = (file) => {
    const known = loaded.get(file);
    if (known !== undefined) return known.exports;
    const module = { exports: {} };
    loaded.set(file, module);
    const text = BEFORE + readFileSync(file, "latin1").replace(/^#!/, "//") + AFTER; // the build leaves ASCII only
    const script = new Script(text, { filename: file, cachedData: compiled(file) });
    const folder = dirname(file);
    const request = (name: string) => (name.startsWith(".") ? load(resolve(folder, name)) : ofNode(name));
    script.runInThisContext()(module.exports, request, module, file, folder);
    return module.exports;
  };
  return load;
}

/**
 * The first file that Node runs. `scripts/compile.mjs` has left the compiled form of the bundle for the version of Node
 * that built it; every other one loads the bundle by itself, and may keep a form of its own (`host/compiled-code.ts`).
 */
function launch(): void {
  const folder = join(__dirname, "compiled", `${process.version}-${process.arch}`);
  const command = join(__dirname, "command.js");
  if (!existsSync(folder)) {
    createRequire(__filename)(command);
    return;
  }
  compiledLoader((file) => {
    try {
      return readFileSync(join(folder, file.slice(__dirname.length + 1)));
    } catch {
      return undefined; // nothing of it was needed when the build tried
    }
  })(command);
}

launch();
