import { expect, test } from "vitest";
import { findCommand } from "../../src/config/find-command.ts";

test.each<[string[], string | undefined, string[]]>([
  [["proxy", "router"], "proxy", ["router"]],
  [["--log_as_json", "proxy", "router"], "proxy", ["--log_as_json", "router"]],
  [["--log_output_level", "debug", "proxy"], "proxy", ["--log_output_level", "debug"]],
  [["--log_output_level=debug", "proxy", "-x"], "proxy", ["--log_output_level=debug", "-x"]],
  [["--foo", "proxy"], undefined, ["--foo", "proxy"]],
  [["--foo=1", "proxy"], "proxy", ["--foo=1"]],
  [["-x", "proxy"], undefined, ["-x", "proxy"]],
  [["-xyz", "proxy"], "proxy", ["-xyz"]],
  [["--", "proxy"], undefined, ["--", "proxy"]],
  [[], undefined, []],
])("%j runs %s with %j", (args, name, rest) => {
  expect(findCommand(args)).toEqual({ name, rest });
});
