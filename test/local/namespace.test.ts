import { expect, test } from "vitest";
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

/** As `getent passwd UID` prints it; neither user is in /etc/passwd of any machine. */
const lookUp = async (uid: number): Promise<string | undefined> =>
  uid === 61_000 ? "ada:x:61000:61100:Ada:/srv/ada:/bin/zsh\n" : undefined;

test("the application's user is the one who called sudo, from whichever user database", async () => {
  const ada = await applicationUser({ SUDO_UID: "61000", SUDO_GID: "61001" }, lookUp);
  expect(ada && userWords(ada)).toEqual(["--reuid=61000", "--regid=61001", "--init-groups"]);
  const variables = { HOME: "/srv/ada", USER: "ada", LOGNAME: "ada", SHELL: "/bin/zsh", MAIL: undefined };
  expect(ada && userVariables(ada)).toEqual(variables);
  for (const uid of [undefined, "", "0"]) {
    expect(await applicationUser({ SUDO_UID: uid, SUDO_GID: "61001" }, lookUp)).toBeUndefined();
  }
});

test("a user without an account keeps nothing of root's", async () => {
  const ids = { SUDO_UID: "61001", SUDO_GID: "61002" };
  const unknown = await applicationUser(ids, lookUp);
  expect(unknown && userWords(unknown)).toEqual(["--reuid=61001", "--regid=61002", "--clear-groups"]);
  const nothing = { HOME: "/", USER: undefined, LOGNAME: undefined, SHELL: "/bin/sh", MAIL: undefined };
  expect(unknown && userVariables(unknown)).toEqual(nothing);
  const said = await applicationUser({ ...ids, SUDO_USER: "bob", SUDO_HOME: "/home/bob" }, lookUp);
  expect(said && userVariables(said)).toMatchObject({ HOME: "/home/bob", USER: "bob", LOGNAME: "bob" });
});

test("the machine's own user database is asked", async () => {
  const nobody = await applicationUser({ SUDO_UID: "65534", SUDO_GID: "65534", PATH: process.env.PATH });
  expect(nobody?.account?.name).toBe("nobody");
  const withoutGetent = await applicationUser({ SUDO_UID: "1", PATH: "/nowhere" });
  expect(withoutGetent?.account?.name).toBe("daemon");
  expect(withoutGetent?.gid).toBe(1);
});

test.each([undefined, "", "x", "-1", "99999999999", "4294967295"])("SUDO_GID %o is not group root", async (gid) => {
  expect((await applicationUser({ SUDO_UID: "61000", SUDO_GID: gid }, lookUp))?.gid).toBe(61_100);
  const refused = applicationUser({ SUDO_UID: "61001", SUDO_GID: gid }, lookUp);
  await expect(refused).rejects.toMatchObject({
    code: "REDIRECT_NOT_POSSIBLE",
    message: expect.stringMatching(/SUDO_GID is .*a number/),
  });
});

test.each(["x", "-1", "1000x", " ", "4294967295"])("SUDO_UID %o is not root", async (uid) => {
  const refused = applicationUser({ SUDO_UID: uid, SUDO_GID: "61001" }, lookUp);
  await expect(refused).rejects.toMatchObject({
    code: "REDIRECT_NOT_POSSIBLE",
    message: expect.stringMatching(/SUDO_UID is .*a number/),
  });
});
