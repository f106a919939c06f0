import { execFile, execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Runtime, run, runtimes } from "../support/pilotboat.ts";
import { realEnvoy } from "../support/real-envoy.ts";

const NAMESPACES = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];

const why = whyNot();
if (why !== undefined) console.log(`no application runs in a network namespace of its own: ${why}`);

function whyNot(): string | undefined {
  for (const name of ["iptables", "nft", "ip", "nsenter", "curl"]) {
    try {
      execFileSync("sh", ["-c", `command -v ${name}`], { stdio: "pipe" });
    } catch {
      return `the program ${name} is missing`;
    }
  }
  try {
    execFileSync("unshare", [...NAMESPACES, "ip", "link", "add", "one", "type", "veth", "peer", "name", "two"], {
      stdio: "pipe",
    });
    return undefined;
  } catch (error) {
    return `there are no namespaces with interfaces of their own: ${String(error).split("\n")[0]}`;
  }
}

interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Machine {
  readonly network: string;
  readonly mounts: string;
  readonly namespaces: string;
  readonly processes: readonly string[];
  readonly files: readonly string[];
}

interface Seen
  extends Readonly<
      Record<
        | "alone"
        | "curl"
        | "web"
        | "several"
        | "upEnded"
        | "local"
        | "orphan"
        | "byNft"
        | "withoutRules"
        | "withoutNsenter"
        | "noGroup",
        Ended
      >
    >,
    Readonly<Record<"before" | "after" | "afterKill", Machine>>,
    Readonly<
      Record<
        | "up"
        | "variables"
        | "outside"
        | "passed"
        | "status"
        | "files"
        | "user"
        | "strange"
        | "names"
        | "outsideNames"
        | "inbound",
        string
      >
    > {
  readonly failure?: string;
  readonly processes: readonly string[];
  readonly refused: number;
  readonly outsidePort: number;
  readonly refusedOutside: string;
  readonly killed: number;
  readonly second: string;
  readonly again: string;
}

async function see({ command }: Runtime, folder: string): Promise<Seen> {
  const words = { command, folder, mesh: resolve("examples/transparent/xds/mesh.yaml"), envoy: await realEnvoy() };
  const args = [...NAMESPACES, process.execPath, resolve("test/fixtures/laptop.mjs"), JSON.stringify(words)];
  const { stdout } = await promisify(execFile)("unshare", args, { maxBuffer: 2 ** 24 });
  return JSON.parse(stdout) as Seen;
}

const IDENTITY = "URI=spiffe://cluster.local/ns/default/sa/quickstart";

describe.skipIf(why !== undefined).each(runtimes())("an application in a network namespace, by $name", (runtime) => {
  let folder: string;
  let seen: Seen;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "pb-laptop-"));
    seen = await see(runtime, folder);
    expect(seen.failure).toBeUndefined();
  }, 240_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test("curl of a name of the mesh goes through Envoy, over mutual TLS, to a server of the machine", () => {
    expect(seen.curl).toMatchObject({ code: 7, signal: null, stderr: "" });
    expect(seen.curl.stdout).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(seen.curl.stdout).toMatch(/^server: envoy\r$/m);
    expect(seen.curl.stdout).toMatch(/^x-envoy-upstream-service-time: \d+\r$/m);
    expect(seen.curl.stdout).toContain('"name":"reviews","url":"/stars"');
    expect(seen.curl.stdout).toContain(IDENTITY);
    expect(seen.variables).not.toMatch(/proxy=/i);
  });

  test("what is not of the mesh goes on to its destination, its name asked of the machine's name server", () => {
    expect(seen.outside).toContain('"name":"outside"');
    expect(seen.outside).not.toMatch(/envoy/i);
    expect(seen.passed).toContain(`passthrough::10.9.9.9:${seen.outsidePort}::cx_total::1\n`);
    expect(seen.files).toBe(`nameserver 192.0.2.1\nsearch home.example\n${process.cwd()}\n`);
  });

  test("a server in the namespace is reached by the mesh through Envoy, over mutual TLS, and by nobody else", () => {
    expect(seen.inbound).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(seen.inbound).toContain('"name":"web"');
    expect(seen.inbound).toContain(IDENTITY);
    expect(seen.refusedOutside).toBe("7");
  });

  test("its loopback address is its own, with the agent's status port", () => {
    expect(seen.refused).toBe(7);
    expect(seen.status).toMatch(/200$/);
  });

  test("it runs as the user who called sudo, without a right of root", () => {
    expect(seen.user).toMatch(/^1\n1\n\/\S+ daemon\nCapEff:\t0+\n200$/); // and no variable names root's folder
    expect(seen.strange).toBe("4711\n4712\n4712\n/ bob bob\n");
    expect(seen.noGroup.code).toBe(1);
    expect(seen.noGroup.stderr).toMatch(/SUDO_GID is unset, wanted a number \[REDIRECT_NOT_POSSIBLE\]\n {2}hint: /);
    expect(seen.variables).toMatch(/^PILOTBOAT_RUN_FOLDER=\//m);
    expect(seen.variables).toMatch(/^GRPC_XDS_BOOTSTRAP=\//m);
  });

  test("it keeps the names of the mesh when the machine replaces resolv.conf and nsswitch.conf", () => {
    const inside = "nameserver 192.0.2.1\nsearch home.example\nhosts: files dns\n200\n";
    expect(seen.names).toBe(`inside 1\n${inside}inside 2\n${inside}`);
    expect(seen.outsideNames).toMatch(/^search home.example\nnameserver 127.0.0.1\npasswd: files\nhosts: mymachines /);
  });

  test("signals reach it, and its end is the run's", () => {
    expect(seen.web).toEqual({ code: 9, signal: null, stdout: "listening\nasked to stop\n", stderr: "" });
    expect(seen.killed).toBe(137);
    expect(seen.local).toMatchObject({ code: 3, signal: null });
    expect(seen.local.stdout).toMatch(/^server: envoy\r$/m);
  });

  test("a second mesh is beside the first one, and has to be named", () => {
    expect(seen.second).toBe("200");
    expect(seen.several.code).toBe(2);
    expect(seen.several.stderr).toMatch(
      /2 meshes have one \[USAGE\]\n {2}hint: Name one: --run-folder \S+ \(pid \d+\), /,
    );
    expect(seen.alone.code).toBe(1);
    expect(seen.alone.stderr).toContain('no "pilotboat up --netns" is ready on this machine [REDIRECT_NOT_POSSIBLE]');
  });

  test("up says how to try it", () => {
    expect(seen.up).toMatch(/^namespace {6}\/proc\/\d+\/fd\/\d+$/m);
    expect(seen.up).toContain("\nTry:  pilotboat run --transparent -- curl http://reviews/\n");
    expect(seen.up).not.toMatch(/^listener/m);
  });

  test("an Envoy that was killed comes back, and a program hears that its mesh does not", () => {
    expect(seen.again).toBe("200");
    expect(seen.orphan).toMatchObject({ code: 143, stdout: "inside\n" });
    expect(seen.orphan.stderr).toMatch(
      /^pilotboat: the mesh of pid \d+ is gone; what the program sends reaches nobody now\n$/,
    );
  });

  test("nft makes the rules where no iptables works; what else is missing is named", () => {
    expect(seen.byNft).toMatchObject({ code: 3, stdout: expect.stringMatching(/^server: envoy\r$/m) });
    expect(seen.withoutRules.stderr).toMatch(
      /Cannot find an iptables that works: \[REDIRECT_NOT_POSSIBLE\]\n[\s\S]*\n {2}hint: /,
    );
    expect(seen.withoutNsenter.stderr).toMatch(/nsenter[\s\S]*\[PROGRAM_NOT_FOUND\]\n {2}hint: .*util-linux/);
    expect([seen.withoutRules.code, seen.withoutNsenter.code]).toEqual([1, 1]);
  });

  test("the machine is as before, after Ctrl-C and after kill -9", () => {
    expect(seen.upEnded.code).toBe(0);
    expect(seen.processes.join("\n")).toContain("envoy");
    expect(seen.after).toEqual(seen.before);
    expect(seen.afterKill).toEqual(seen.before);
  });
});

describe.skipIf(why !== undefined).each(runtimes())("without what it takes, by $name", (runtime) => {
  const asNobody = {
    ...runtime,
    command: ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", ...runtime.command],
  };
  const withoutRights = { ...runtime, command: ["setpriv", "--bounding-set=-sys_admin", ...runtime.command] };
  const LOCAL = ["run", "--local", "--transparent", "--", "true"];

  test.each([
    ["another user than root", asNobody, /as user 65534, wanted root \[REDIRECT_NOT_POSSIBLE\]\n {2}hint: .*sudo/],
    [
      "no CAP_SYS_ADMIN",
      withoutRights,
      /namespace: unshare: .*not permitted \[REDIRECT_NOT_POSSIBLE\]\n {2}hint: .*CAP_SYS_ADMIN/i,
    ],
  ])("%s", async (_, wrapped, message) => {
    const { code, stderr } = await run(wrapped, LOCAL, { env: { TMPDIR: tmpdir() } });
    expect(stderr).toMatch(message);
    expect(code).toBe(1);
  });
});
