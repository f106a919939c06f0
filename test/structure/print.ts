import { floorOf, noFolderIsPartOfACircle, ownArrows, placeOf, roomOf } from "./rules.ts";
import { readSources } from "./source-graph.ts";

// The import graph of `src/` as text, from the top floor down: what each folder (or with `files`, each file) imports.
// Of a folder that has an index of its own the index counts as the folder.

const sources = readSources();
const areFiles = process.argv[2] === "files";
const nameOf = areFiles ? (file: string): string => file : placeOf;

const targets = new Map<string, Set<string>>();
for (const file of sources.keys()) targets.set(nameOf(file), new Set());
for (const { from, to } of ownArrows(sources)) {
  if (nameOf(from) !== nameOf(to)) targets.get(nameOf(from))?.add(nameOf(to));
}
const floor = (name: string): number => floorOf(name.endsWith(".ts") ? name : `${name}/index.ts`);
const byFloor = [...targets.keys()].sort((a, b) => floor(b) - floor(a) || (a < b ? -1 : 1));

console.log(`${sources.size} files, ${targets.size} ${areFiles ? "files" : "folders"}, from the top floor down`);
for (const name of byFloor) {
  const list = [...(targets.get(name) ?? [])].map((one) => one.replace(/^src\//, "")).sort();
  console.log(`${name.replace(/^src\//, "")} -> ${list.length === 0 ? "nothing" : list.join(", ")}`);
}
const up = ownArrows(sources).filter(({ from, to }) => roomOf(from) !== roomOf(to) && floorOf(from) < floorOf(to));
console.log(`arrows up: ${up.length}; folders in a circle: ${noFolderIsPartOfACircle(sources).length}`);
