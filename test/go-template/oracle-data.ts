import { readFileSync } from "node:fs";
import { GoInt, GoNil, goNilCollection, goRecord, goTextMap, goTyped } from "../../src/go-template/index.ts";

const SOURCE = readFileSync(new URL("../fixtures/go-template/oracle/main.go", import.meta.url), "utf8");
const [, JSON_TEXT = "{}"] = /const data = `([\s\S]*?\n\})`\n/.exec(SOURCE.replace('` + "`" + `', "~tick~")) ?? [];

/** What the oracle's templates see: the same JSON and the same structs as in oracle/main.go. */
export function oracleData(): Record<string, unknown> {
  return {
    ...JSON.parse(JSON_TEXT.replace("~tick~", "`")),
    int: 7n,
    long: new GoInt(41, "int64"),
    texts: goTyped(["b", "a", "c"], "[]string"),
    ints: goTyped([3n, 1n, 2n], "[]int"),
    labels: goTextMap({ app: "web", version: "v1", num: "1" }),
    thing: thing("main.Thing"),
    ptr: thing("*main.Thing"),
  };
}

function thing(name: string): object {
  const port = (Name: string, number: number, Protocol: string): object =>
    goRecord(
      { Name, Number: new GoInt(number, "int32"), Protocol },
      { name: "main.Port", json: { Name, Number: number, Protocol } },
    );
  const nothing = new GoNil("*main.Inner");
  const inner = goRecord(
    { Text: "inner", Next: nothing },
    { name: "*main.Inner", json: { Text: "inner", Next: null } },
  );
  const ports = [port("http", 80, "TCP"), port("dns", 53, "UDP")];
  const fields = {
    ...{ Name: "thing", Count: new GoInt(3, "int64"), On: true, Labels: goTextMap({ app: "web" }) },
    ...{ Absent: goNilCollection(goTextMap({})), Ports: goTyped(ports, "[]main.Port") },
    ...{ None: goNilCollection(goTyped([], "[]main.Port")), Inner: inner, Nil: nothing, Any: "any" },
  };
  const json = JSON.parse(JSON.stringify({ ...fields, Count: 3, Ports: ports, Inner: inner }));
  return goRecord(fields, { name, json });
}
