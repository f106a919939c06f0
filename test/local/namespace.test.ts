import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { applicationUser, userVariables, userWords } from "../../src/local/namespace/application-user.ts";
import { withNameServer, withoutOtherResolvers } from "../../src/local/namespace/enter-namespace.ts";

test("resolv.conf names the agent, and keeps search list and options", () => {
  const text = "# by somebody\nnameserver 127.0.0.53\n  nameserver ::1\noptions edns0\nsearch home.example\n";
  expect(withNameServer(text)).toBe("nameserver 192.0.2.1\n# by somebody\noptions edns0\nsearch home.example\n");
});

test("names are asked of files and DNS alone, whatever else nsswitch.conf has", () => {
  const text = "passwd: files systemd\nhosts: mymachines resolve [!UNAVAIL=return] files dns\nshadow: files\n";
  expect(withoutOtherResolvers(text)).toBe("passwd: files systemd\nhosts: files dns\nshadow: files\n");
  expect(withoutOtherResolvers("hosts: files dns\n")).toBeUndefined();
  expect(withoutOtherResolvers("")).toBeUndefined();
});

test("the application's user is the one who called sudo", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-user-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const passwd = join(folder, "passwd");
  await writeFile(passwd, "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000:Ada:/home/ada:/bin/sh\n");
  const user = (uid?: string, gid?: string) => applicationUser({ SUDO_UID: uid, SUDO_GID: gid }, passwd);

  const ada = await user("1000", "1000");
  expect(ada && userWords(ada)).toEqual(["--reuid=1000", "--regid=1000", "--init-groups"]);
  expect(ada && userVariables(ada)).toEqual({ HOME: "/home/ada", USER: "ada", LOGNAME: "ada" });
  const unknown = await user("4711", "4712");
  expect(unknown && userWords(unknown)).toEqual(["--reuid=4711", "--regid=4712", "--clear-groups"]);
  expect(unknown && userVariables(unknown)).toEqual({});
  for (const uid of [undefined, "", "0", "x", "-1"]) expect(await user(uid, "1000")).toBeUndefined();
});
