import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";

test("bootstrap-templates/README.md has a row for every template, and names no file that is not there", () => {
  const text = readFileSync("bootstrap-templates/README.md", "utf8");
  const named = [...text.matchAll(/`([^`\s]+\.(?:json|ts))`/g)].map(([, name = ""]) => name);
  for (const name of named.filter((one) => one.startsWith("src/"))) expect(existsSync(name), name).toBe(true);
  const patterns = named.filter((one) => one.endsWith(".json")).map(patternOf);
  const templates = readdirSync("bootstrap-templates", { recursive: true, encoding: "utf8" }).filter((file) =>
    file.endsWith(".json"),
  );
  expect(templates.filter((file) => !patterns.some((pattern) => pattern.test(file)))).toEqual([]);
  expect(patterns.filter((pattern) => !templates.some((file) => pattern.test(file)))).toEqual([]);
});

test("bench/README.md has a row for every benchmark", () => {
  const text = readFileSync("bench/README.md", "utf8");
  const rows = [...text.matchAll(/^\| `(\w+)` +\|/gm)].map(([, name = ""]) => `${name}.ts`);
  expect(rows.sort()).toEqual(
    readdirSync("bench")
      .filter((file) => file.endsWith(".ts"))
      .sort(),
  );
});

const read = (file: string): string => readFileSync(file, "utf8");
const PAGES = readdirSync("docs").filter((file) => file.endsWith(".md"));

test("reality 37: the index names every page, and every link of a page leads somewhere", () => {
  const index = read("docs/README.md");
  expect(PAGES.filter((page) => page !== "README.md" && !index.includes(`](${page})`))).toEqual([]);
  const dead = ["README.md", ...PAGES.map((page) => `docs/${page}`)].flatMap((page) =>
    [...read(page).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, link = ""]) => link)
      .filter((link) => !isAlive(page, link))
      .map((link) => `${page}: ${link}`),
  );
  expect(dead).toEqual([]);
});

function isAlive(page: string, link: string): boolean {
  if (/^https?:/.test(link)) return true;
  const [path = "", anchor] = link.split("#");
  const file = path === "" ? page : join(dirname(page), path);
  if (!existsSync(file)) return false;
  return anchor === undefined || headings(read(file)).includes(anchor);
}

/** As GitHub makes anchors of them. */
function headings(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );
}

/** `{a,b}` and `*` as a shell has them. */
function patternOf(name: string): RegExp {
  const source = name
    .replaceAll(".", "\\.")
    .replaceAll("*", "[^/]*")
    .replace(/\{([^}]*)\}/g, (_, list: string) => `(?:${list.replaceAll(",", "|")})`);
  return new RegExp(`^${source}$`);
}
