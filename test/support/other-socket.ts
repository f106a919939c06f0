import { spawn } from "node:child_process";
import { once } from "node:events";

/** A UNIX socket that Node cannot make, held by another program. `more` is Python. Disposing kills it; the file stays. */
export async function holdSocket(path: string, kind: "SOCK_DGRAM" | "SOCK_STREAM", more = "pass"): Promise<Disposable> {
  const program = `
import socket, sys, time
p = sys.argv[1]
def connect(p):
    c = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM); c.setblocking(False)
    try: c.connect(p)
    except BlockingIOError: pass
    return c
s = socket.socket(socket.AF_UNIX, socket.${kind}); s.bind(p)
${more}
print("ready", flush=True); time.sleep(600)`;
  const child = spawn("python3", ["-c", program, path], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  return { [Symbol.dispose]: () => void child.kill("SIGKILL") };
}

/** The Python for a stream socket that accepts nobody and whose queue is full. */
export const FULL_QUEUE = "s.listen(0); held=[connect(p) for _ in range(2)]";
