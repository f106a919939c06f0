import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type Credentials, dockerCredentials, parseDockerConfig } from "../../src/oci/index.ts";
import { writeProgram } from "../support/fake-pip.ts";

const never = new AbortController().signal;
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const shown = (found: Credentials | undefined): string | undefined =>
  found?.kind === "password" ? `${found.user}:${found.password.revealText()}` : found?.token.revealText();

async function home(config: unknown, helpers: Readonly<Record<string, string>> = {}) {
  const folder = await mkdtemp(join(tmpdir(), "pb-docker-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await mkdir(join(folder, ".docker"));
  const text = typeof config === "string" ? config : JSON.stringify(config);
  if (config !== undefined) await writeFile(join(folder, ".docker/config.json"), text);
  for (const [name, script] of Object.entries(helpers)) {
    await writeProgram(join(folder, `docker-credential-${name}`), script);
  }
  const notes: string[] = [];
  const env = { HOME: folder, PATH: `${folder}:/usr/bin:/bin` };
  return { folder, env, notes, find: dockerCredentials({ env, onNote: (line) => notes.push(line) }) };
}

test("entries of docker login are found by host, and Docker's own registry by its old name", async () => {
  const { find } = await home({
    auths: {
      "https://index.docker.io/v1/": { auth: base64("hub:a:b") },
      "https://r.example/v2/": { username: "user", password: "pass" },
      "r.example:5000": { auth: base64("port:1") },
      "i.example": { auth: base64("x:y"), identitytoken: "refresh" },
      "empty.example": {},
      "odd.example": { auth: base64("no colon") },
    },
  });
  expect(shown(await find("docker.io", never))).toBe("hub:a:b");
  expect(shown(await find("r.example", never))).toBe("user:pass");
  expect(shown(await find("R.example:5000", never))).toBe("port:1");
  expect(await find("i.example", never)).toMatchObject({ kind: "identity" });
  for (const host of ["empty.example", "odd.example", "other.example", "__proto__"]) {
    expect(await find(host, never), host).toBeUndefined();
  }
});

test("who never logged in is nobody, and DOCKER_CONFIG names another folder", async () => {
  const { find, folder } = await home(undefined);
  expect(await find("r.example", never)).toBeUndefined();
  await mkdir(join(folder, "other"));
  await writeFile(
    join(folder, "other/config.json"),
    JSON.stringify({ auths: { "r.example": { auth: base64("a:b") } } }),
  );
  const elsewhere = dockerCredentials({ env: { DOCKER_CONFIG: join(folder, "other") }, onNote: () => undefined });
  expect(shown(await elsewhere("r.example", never))).toBe("a:b");
});

test("a helper is asked by the name of the server, and one for a registry comes first", async () => {
  const answer = (user: string): string => `cat > "$HOME/asked-$1"; echo '{"Username":"${user}","Secret":"s"}'`;
  const { find, folder } = await home(
    { credsStore: "store", credHelpers: { "r.example": "own" } },
    { store: answer("<token>"), own: answer("me") },
  );
  expect(shown(await find("r.example", never))).toBe("me:s");
  expect(await find("docker.io", never)).toMatchObject({ kind: "identity" });
  expect(await readFile(join(folder, "asked-get"), "utf8")).toBe("https://index.docker.io/v1/");
});

test("a helper that has nothing is silent, one that fails is told, and what the file has counts", async () => {
  const { find, notes } = await home(
    {
      auths: { "b.example": { auth: base64("file:1") } },
      credHelpers: { "a.example": "none", "b.example": "broken", "c.example": "missing", "d.example": "../../bin/sh" },
    },
    { none: "echo credentials not found in native keychain; exit 1", broken: "echo 'no session' >&2; exit 3" },
  );
  expect(await find("a.example", never)).toBeUndefined();
  expect(notes).toEqual([]);
  expect(shown(await find("b.example", never))).toBe("file:1");
  expect(await find("c.example", never)).toBeUndefined();
  expect(await find("d.example", never)).toBeUndefined();
  expect(notes).toEqual([
    'Warning: docker-credential-broken failed, so "b.example" is asked without credentials: no session',
    'Warning: docker-credential-missing failed, so "c.example" is asked without credentials: it is not on PATH',
  ]);
});

test("a helper that never answers ends with the stop", async () => {
  const { find } = await home({ credsStore: "slow" }, { slow: "exec sleep 600" });
  const stop = new AbortController();
  const asked = find("r.example", stop.signal);
  stop.abort(new Error("enough"));
  await expect(asked).rejects.toThrow("enough");
});

test("hostile: a file that is no JSON is refused without a word of it", async () => {
  const { find } = await home('{"auths": "secret');
  const failure = await find("r.example", never).catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: "FILE_UNREADABLE" });
  expect(String(failure)).not.toContain("secret");
  for (const odd of ["null", "[]", '{"auths": 1, "credHelpers": [], "credsStore": {}}']) {
    expect(parseDockerConfig(odd, "x").find("r.example"), odd).toBeUndefined();
  }
});
